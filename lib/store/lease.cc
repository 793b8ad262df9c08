#include "store/lease.h"

#include <cerrno>
#include <csignal>

#include "store/layout.h"

namespace ocsp_plus::store {
namespace {

bool stale(Millis heartbeat, Millis now) {
  const Millis age = saturating_sub(now, heartbeat);
  return age > kStale || age < -kStale;
}

bool may_take(const LeaseState& holder, const ProcessIdentity& self, Millis now, bool (*alive)(std::int32_t pid)) {
  return holder.pid == 0 || holder.pid == self.pid || holder.generation < self.generation ||
         stale(holder.heartbeat, now) || !alive(holder.pid);
}

// Under the lock only a release by the holder changes the word, so the second try succeeds.
std::optional<std::uint32_t> take(StapleZone& zone, const ProcessIdentity& self, const Clock& clock,
                                  bool (*alive)(std::int32_t pid)) {
  Lease& lease = zone.header().lease;
  for (int tries = 0; tries < 2; ++tries) {
    const LeaseState holder = lease_holder(zone);
    if (!may_take(holder, self, clock.monotonic(), alive)) {
      return std::nullopt;
    }
    const bool ours = holder.pid == self.pid;
    const std::uint32_t epoch = ours ? holder.epoch : holder.epoch + 1;
    std::uint64_t seen = pid_word(holder.epoch, holder.pid);
    // The word is written first: a process that is killed before it writes the rest is a holder that is gone, so
    // others can take the lease from it.
    if (lease.word.compare_exchange_strong(seen, pid_word(epoch, self.pid), std::memory_order_acq_rel)) {
      lease.generation.store(self.generation, std::memory_order_relaxed);
      lease.slot.store(self.slot, std::memory_order_relaxed);
      lease.heartbeat.store(clock.monotonic(), std::memory_order_relaxed);
      if (!ours) {
        lease.since.store(clock.now(), std::memory_order_relaxed);
      }
      return epoch;
    }
  }
  return std::nullopt;
}

}  // namespace

LeaseState lease_holder(const StapleZone& zone) noexcept {
  const Lease& lease = zone.header().lease;
  const std::uint64_t word = lease.word.load(std::memory_order_acquire);
  LeaseState holder;
  holder.epoch = number_of(word);
  holder.pid = pid_of(word);
  holder.slot = lease.slot.load(std::memory_order_relaxed);
  holder.generation = lease.generation.load(std::memory_order_relaxed);
  holder.since = lease.since.load(std::memory_order_relaxed);
  holder.heartbeat = lease.heartbeat.load(std::memory_order_relaxed);
  return holder;
}

bool process_alive(std::int32_t pid) {
  // Pids come out of shared memory; 0 and below would address groups of processes.
  return pid > 0 && (kill(pid, 0) == 0 || errno == EPERM);
}

std::optional<std::uint32_t> acquire_lease(StapleZone& zone, SharedLock& lock, const ProcessIdentity& self,
                                           const Clock& clock, bool (*alive)(std::int32_t pid)) {
  // Every worker asks again and again: most of the time the answer is no, which needs no lock.
  if (self.pid <= 0 || !may_take(lease_holder(zone), self, clock.monotonic(), alive)) {
    return std::nullopt;
  }
  const ScopedLock scope(lock);
  return scope.held() ? take(zone, self, clock, alive) : std::nullopt;
}

bool renew_lease(StapleZone& zone, std::uint32_t epoch, std::int32_t pid, const Clock& clock) noexcept {
  Lease& lease = zone.header().lease;
  // The heartbeat is read before the word is checked and swapped after it, so a process that was stopped in between
  // cannot write its old time over the heartbeat of a new holder.
  std::int64_t beat = lease.heartbeat.load(std::memory_order_acquire);
  if (lease.word.load(std::memory_order_acquire) != pid_word(epoch, pid)) {
    return false;
  }
  lease.heartbeat.compare_exchange_strong(beat, clock.monotonic(), std::memory_order_acq_rel);
  return lease.word.load(std::memory_order_acquire) == pid_word(epoch, pid);
}

void release_lease(StapleZone& zone, std::uint32_t epoch, std::int32_t pid) noexcept {
  std::uint64_t ours = pid_word(epoch, pid);
  zone.header().lease.word.compare_exchange_strong(ours, pid_word(epoch, 0), std::memory_order_acq_rel);
}

}  // namespace ocsp_plus::store
