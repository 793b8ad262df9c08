// From addresses to a connection, in the spirit of RFC 8305 ("happy eyeballs"): the next address is tried when one
// fails, or has not connected within 250 ms; the first that connects wins. So a network that swallows one family
// costs a quarter of a second.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "base/ports.h"
#include "net/connection_tally.h"
#include "net/stream.h"
#include "net/trace.h"

namespace ocsp_plus::net {

class Connector {
 public:
  static constexpr Millis kAttemptDelay = 250;  // RFC 8305 section 5

  using Callback = std::function<void(Result<std::unique_ptr<Stream>>)>;

  // `user` is whose the streams will be; `tally` counts what came of each attempt. Both outlive the connector. The
  // callback comes from the loop and may destroy the connector.
  Connector(EventLoop& loop, std::vector<Address> addresses, Stream::User& user, ConnectionTally& tally, Trace trace,
            Callback callback);
  ~Connector();
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;

  // Looks for a connection among the addresses that have not failed; again, after the one found was of no use. Calls
  // back once, never before it returns. The error is that of the address that failed last, but kConnectUnreachable
  // (a family of addresses that is of no use here) only if all of them are that.
  void next();
  // That one was connected, and of no use nevertheless.
  void remember(Error error);
  bool more() const { return !addresses_.empty(); }  // that were not tried, or cut short by one that was faster

 private:
  class Attempt;
  void start_one();
  void won(Attempt& attempt);
  void lost(Attempt& attempt, Error error);
  void on_timer();

  EventLoop& loop_;
  std::vector<Address> addresses_;  // still to be tried, in order
  Stream::User& user_;
  ConnectionTally& tally_;
  Trace trace_;
  Callback callback_;
  std::list<Attempt> attempts_;
  std::optional<Error> error_;
  std::unique_ptr<Timer> timer_;
};

}  // namespace ocsp_plus::net
