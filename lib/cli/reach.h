// Finds out whether hosts can be reached by IPv4 and by IPv6: resolves their names and connects to each address.
#pragma once

#include <string>
#include <vector>

#include "base/poll_loop.h"
#include "base/time.h"
#include "net/resolver.h"

namespace ocsp_plus::cli {

struct Reach {
  enum class State { kNoAddress, kConnected, kFailed };
  struct Family {
    State state = State::kNoAddress;
    std::string why;  // kFailed: of the first address
  };

  std::string host;  // "host:port"
  std::string dns;   // why the name has no address; empty: it has
  Family ipv4, ipv6;

  bool connected() const { return ipv4.state == State::kConnected || ipv6.state == State::kConnected; }
};

// `hosts`: keys as of net::Url::host_key(). Sends nothing. Returns after `timeout` ms at the latest, in the order of
// `hosts`.
std::vector<Reach> reach_hosts(PollLoop& loop, net::Resolver& resolver, const std::vector<std::string>& hosts,
                               Millis timeout);

// Returns the state as a token: "no_address", "connected", "failed".
std::string_view token(Reach::State state);

}  // namespace ocsp_plus::cli
