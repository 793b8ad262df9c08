// When connections to a host last worked and last failed, by address family. Times are of the monotonic clock in ms,
// which no change of the wall clock touches and which all processes of a machine share; 0: never.
#pragma once

#include <sys/socket.h>

#include "base/time.h"

namespace ocsp_plus {

struct FamilyTimes {
  Millis ok = 0;             // the last success
  Millis failed = 0;         // the last failure
  Millis failing_since = 0;  // the first failure since the last success
  // Every failure since the last success was one without a route: a machine may lack a family altogether.
  bool no_route = false;

  void record_success(Millis now) {
    ok = now;
    failing_since = 0;
    no_route = false;
  }
  void record_failure(Millis now, bool without_route) {
    no_route = without_route && (failing_since == 0 || no_route);
    failed = now;
    failing_since = failing_since == 0 ? now : failing_since;
  }
  // Adds what happened after all that is recorded here. That there is no route to a family that has never worked is
  // no failure, and leaves nothing.
  void append(const FamilyTimes& later) {
    if (later.no_route && later.ok == 0 && ok == 0) {
      return;
    }
    failing_since = later.ok != 0 || failing_since == 0 ? later.failing_since : failing_since;
    ok = later.ok != 0 ? later.ok : ok;
    failed = later.failed != 0 ? later.failed : failed;
  }
};

struct HostFamilies {
  FamilyTimes ipv4, ipv6;

  FamilyTimes& of(int family) { return family == AF_INET6 ? ipv6 : ipv4; }
};

}  // namespace ocsp_plus
