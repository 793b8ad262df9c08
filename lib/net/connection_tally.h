// Counts this process's connection attempts to responders and to the proxy by address family, and notes when they
// worked and failed by host.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <map>
#include <string>

#include "base/family_times.h"
#include "base/reason.h"

namespace ocsp_plus::net {

struct ConnectionTally {
  struct Family {
    std::uint64_t ok = 0;
    // Refused, reset or unreachable; or still connecting at the deadline, or when a later attempt connected first.
    std::uint64_t failed = 0;
  };
  Family ipv4, ipv6;
  std::map<std::string, HostFamilies> hosts;  // by host key

  // `outcome`: kOk, or why the attempt failed.
  void count(const std::string& host_key, int family, Reason outcome, Millis now) {
    Family& all = family == AF_INET6 ? ipv6 : ipv4;
    FamilyTimes& times = hosts[host_key].of(family);
    if (outcome == Reason::kOk) {
      ++all.ok;
      times.record_success(now);
    } else {
      ++all.failed;
      times.record_failure(now, outcome == Reason::kConnectUnreachable);
    }
  }
};

}  // namespace ocsp_plus::net
