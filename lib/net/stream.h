// A TCP connection, with TLS on top once that was asked for: bytes out, bytes in. It has no timer: whoever loses
// patience destroys it.
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
  // Who uses the stream. Called from the loop only, and may destroy the stream or hand it on.
  class User {
   public:
    virtual ~User() = default;
    virtual void on_open() = 0;                // connected; after start_tls(): the peer is who it should be
    virtual void on_data(ByteView bytes) = 0;  // at least one
    // No more will come; nothing: the peer closed. Where the peer never became the user's: why.
    // Errors: kConnectRefused, kConnectUnreachable, kConnectionReset, kTimeout (the system's own), kNetworkError, and
    // those of TlsSession. Their text names the address.
    virtual void on_end(std::optional<Error> error) = 0;
  };

  // Starts to connect. An address that fails at once is an Error here, and nobody is called.
  static Result<std::unique_ptr<Stream>> connect(EventLoop& loop, const Address& address, User& user);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void hand_to(User& user) { user_ = &user; }
  // REQUIRES: open, and nothing sent that is not answered. on_open() comes again.
  void start_tls(std::unique_ptr<TlsSession> session);
  // REQUIRES: open. What cannot be sent ends the stream, but only after what the peer may have said before.
  void send(std::string_view bytes);

  const Address& peer() const { return address_; }
  bool sent_all() const { return out_.empty(); }
  const TlsSession* tls() const { return tls_.get(); }  // nullptr: a plain one

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
  std::string out_;     // to be sent
  int send_error_ = 0;  // errno of a send that failed
  int fd_ = -1;
  bool connected_ = false;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // a call to the user may end the stream
  std::unique_ptr<IoWatch> watch_;                                    // must go before fd_ is closed
};

}  // namespace ocsp_plus::net
