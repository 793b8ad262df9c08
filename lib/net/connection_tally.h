// Counts this process's connection attempts to responders and to the proxy, by address family.
#pragma once

#include <sys/socket.h>

#include <cstdint>

namespace ocsp_plus::net {

struct ConnectionTally {
  struct Family {
    std::uint64_t ok = 0;
    // Refused, reset or unreachable; or still connecting at the deadline, or when a later attempt connected first.
    std::uint64_t failed = 0;
  };
  Family ipv4, ipv6;

  Family& of(int family) { return family == AF_INET6 ? ipv6 : ipv4; }
};

}  // namespace ocsp_plus::net
