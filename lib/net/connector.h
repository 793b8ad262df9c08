// Connects to the first of several addresses that accepts, after RFC 8305 ("happy eyeballs"): the next address is
// tried when one fails or has not connected within 250 ms. A network that drops one family's packets then costs a
// quarter of a second.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "base/ports.h"
#include "net/stream.h"
#include "net/trace.h"

namespace ocsp_plus::net {

class Connector {
 public:
  static constexpr Millis kAttemptDelay = 250;  // RFC 8305 section 5

  using Callback = std::function<void(Result<std::unique_ptr<Stream>>)>;

  // Learns the outcome of each attempt: kOk or why it failed; kTimeout if it was given up or overtaken.
  using OnAttempt = std::function<void(int family, Reason outcome)>;

  // `user` will use the stream and must outlive the connector. `on_attempt` may be empty; it is called from the
  // destructor too. The callback runs from the loop and may destroy the connector.
  Connector(EventLoop& loop, std::vector<Address> addresses, Stream::User& user, OnAttempt on_attempt, Trace trace,
            Callback callback);
  ~Connector();
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;

  // Starts connecting to the addresses that have not failed. Call it again if the connection turns out to be useless.
  // Calls back once, never before it returns. The error is the last address's, except that kConnectUnreachable (a
  // family that does not work here) is reported only if every address failed with it.
  void next();
  // Records the error of an address that connected but turned out to be useless.
  void remember(Error error);
  bool more() const { return !addresses_.empty(); }  // untried or overtaken addresses are left

 private:
  class ConnectionAttempt;
  void start_one();
  void won(ConnectionAttempt& attempt);
  void lost(ConnectionAttempt& attempt, Error error);
  void on_timer();
  void tell(const Address& address, Reason outcome) const;

  EventLoop& loop_;
  std::vector<Address> addresses_;  // to be tried, in this order
  Stream::User& user_;
  OnAttempt on_attempt_;
  Trace trace_;
  Callback callback_;
  std::list<ConnectionAttempt> attempts_;
  std::optional<Error> error_;
  std::unique_ptr<Timer> timer_;
};

}  // namespace ocsp_plus::net
