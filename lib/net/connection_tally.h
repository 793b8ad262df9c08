// What connections to responders, and to the proxy where there is one, came to, by address family. Of one process.
#pragma once

#include <sys/socket.h>

#include <cstdint>

namespace ocsp_plus::net {

struct ConnectionTally {
  struct Family {
    std::uint64_t ok = 0;
    // Refused, reset, unreachable, or not there when the time was over or when one that began later was.
    std::uint64_t failed = 0;
  };
  Family ipv4, ipv6;

  Family& of(int family) { return family == AF_INET6 ? ipv6 : ipv4; }
};

}  // namespace ocsp_plus::net
