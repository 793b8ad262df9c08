// One TLS handshake with a server, by the first of its addresses that answers.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ports.h"
#include "base/result.h"
#include "cli/command.h"
#include "cli/stapling.h"
#include "crypto/tls_probe.h"
#include "net/address.h"

namespace ocsp_plus::cli {

class HandshakeAttempt {
 public:
  // References outlive the object.
  HandshakeAttempt(EventLoop& loop, const crypto::TlsHello& hello, Progress& progress, const Clock& clock);
  ~HandshakeAttempt() { hang_up(); }
  HandshakeAttempt(const HandshakeAttempt&) = delete;
  HandshakeAttempt& operator=(const HandshakeAttempt&) = delete;

  // Tries each address in turn until one answers.
  void start(std::vector<net::Address> addresses);
  bool done() const { return result_.has_value(); }
  // Call when done, or after the deadline.
  Handshake take();

 private:
  void try_next();
  bool connect_to(const net::Address& address);
  void on_seen(crypto::TlsSeen seen);
  void remember(int error);
  void refuse(Error error);
  void hang_up();
  std::string where() const;
  void say(const std::string& what);

  EventLoop& loop_;
  crypto::TlsHello hello_;
  Progress& progress_;
  const Clock& clock_;
  std::vector<net::Address> addresses_;
  std::size_t next_ = 0;
  Error error_ = {Reason::kDnsNoAddress, "no address to connect to"};
  int fd_ = -1;
  std::unique_ptr<crypto::TlsProbe> probe_;
  std::optional<Handshake> result_;
};

}  // namespace ocsp_plus::cli
