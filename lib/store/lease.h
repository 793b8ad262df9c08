// The lease decides which process is the designated worker. It lies in the zone: an epoch that only grows, the
// holder's pid, and a heartbeat on the monotonic clock, which all processes of the machine share.
//
// A worker of a newer generation that has really started takes the lease from an older one (its caller lets slot 0
// try first). Any worker takes it from a process that is gone, or whose last heartbeat is older than kStale. A
// heartbeat that lies more than kStale in the future is stale as well: no clock of this boot has written it.
#pragma once

#include <cstdint>
#include <optional>

#include "base/ports.h"
#include "base/time.h"
#include "store/staple_zone.h"

namespace ocsp_plus::store {

constexpr Millis kHeartbeatInterval = 500;
constexpr Millis kStale = 10000;

struct LeaseState {
  std::uint32_t epoch = 0;
  std::int32_t pid = 0;  // 0: no process
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;
  UnixSeconds since = 0;
  Millis heartbeat = 0;
};

LeaseState lease_holder(const StapleZone& zone) noexcept;

struct ProcessIdentity {
  std::int32_t pid = 0;
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;
};

// Returns whether a process of that id exists (a zombie counts as alive until it is reaped).
bool process_alive(std::int32_t pid);

// Takes the lease if the rules above allow it (a holder keeps its own). Returns the epoch; nothing: the lease is not
// ours to take, or the lock was busy; ask again. `alive`: as process_alive().
std::optional<std::uint32_t> acquire_lease(StapleZone& zone, SharedLock& lock, const ProcessIdentity& self,
                                           const Clock& clock, bool (*alive)(std::int32_t pid));

// Writes a heartbeat. false: the lease is another's by now; the caller stops at once.
bool renew_lease(StapleZone& zone, std::uint32_t epoch, std::int32_t pid, const Clock& clock) noexcept;

// Gives the lease up, if it is still ours. Needs no lock: one compare-and-swap.
void release_lease(StapleZone& zone, std::uint32_t epoch, std::int32_t pid) noexcept;

}  // namespace ocsp_plus::store
