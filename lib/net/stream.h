// A connection by TCP or a unix socket, optionally with TLS. It has no timer: its user destroys it on timeout.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/ports.h"
#include "base/result.h"
#include "base/tls.h"
#include "net/address.h"

namespace ocsp_plus::net {

class Stream {
 public:
  // Receives the stream's events, from the loop only. Every function may destroy the stream or hand it to another
  // user.
  class User {
   public:
    virtual ~User() = default;
    virtual void on_open() = 0;                // connected; after start_tls(): the peer is verified
    virtual void on_data(ByteView bytes) = 0;  // at least one byte
    // The last event. No error: the peer closed. Errors: kConnectRefused, kConnectUnreachable, kConnectionReset,
    // kTimeout (the system's own), kNetworkError, and those of TlsSession. Their text names the address.
    virtual void on_end(std::optional<Error> error) = 0;
  };

  // Starts to connect. If the address fails immediately, returns the error and does not call `user`.
  static Result<std::unique_ptr<Stream>> connect(EventLoop& loop, const Address& address, User& user);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void hand_to(User& user) { user_ = &user; }
  // Starts TLS; on_open() is called again when it is established. REQUIRES: open, no answer outstanding.
  void start_tls(std::unique_ptr<TlsSession> session);
  // REQUIRES: open. A failure ends the stream, but only after delivering what the peer has sent before.
  void send(std::string_view bytes);
  // Sends what the socket takes at once. For a stream that is about to be destroyed: nobody is called because of it.
  void send_now();

  const Address& peer() const { return address_; }
  bool sent_all() const { return out_.empty(); }
  std::size_t unsent() const { return out_.size(); }    // bytes, those of TLS included
  const TlsSession* tls() const { return tls_.get(); }  // nullptr: no TLS

 private:
  Stream(EventLoop& loop, const Address& address, User& user);
  Result<void> start();
  void on_ready(unsigned ready);
  bool check_connected();
  void receive();
  void on_ciphertext(ByteView bytes);
  void flush();
  void end(std::optional<Error> error);
  Error system_error(const char* what, int error) const;

  EventLoop& loop_;
  const Address address_;
  User* user_;
  std::unique_ptr<TlsSession> tls_;
  std::string out_;     // unsent bytes
  int send_error_ = 0;  // errno of a send that failed
  int fd_ = -1;
  bool connected_ = false;
  // False once a call to the user has destroyed the stream.
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<IoWatch> watch_;  // must be destroyed before fd_ is closed
};

}  // namespace ocsp_plus::net
