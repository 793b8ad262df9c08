// The part of StapleZone that knows which workers live: entries of an old configuration go only when nobody serves it
// any more. Lock-free: workers come and go at any moment, also by a kill.
#include <algorithm>

#include "store/staple_zone.h"

namespace ocsp_plus::store {
namespace {

std::uint64_t pack(std::int32_t pid, std::uint32_t generation) {
  return std::uint64_t{static_cast<std::uint32_t>(pid)} << 32 | generation;
}

std::int32_t pid_of(std::uint64_t word) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(word >> 32));
}

void lower_to(std::atomic<std::uint32_t>& least, std::uint32_t generation) {
  std::uint32_t seen = least.load(std::memory_order_relaxed);
  while ((seen == 0 || generation < seen) && !least.compare_exchange_weak(seen, generation)) {
  }
}

}  // namespace

bool StapleZone::worker_started(std::int32_t pid, std::uint32_t generation) noexcept {
  const std::uint64_t word = pack(pid, generation);
  // A slot with our pid was left by a process that is gone: two living ones do not share a pid.
  for (std::size_t i = 0; i < kWorkerSlots; ++i) {
    std::uint64_t seen = worker_slot(i).load(std::memory_order_relaxed);
    if (seen != 0 && pid_of(seen) == pid && worker_slot(i).compare_exchange_strong(seen, word)) {
      return true;
    }
  }
  for (std::size_t i = 0; i < kWorkerSlots; ++i) {
    std::uint64_t free = 0;
    if (worker_slot(i).compare_exchange_strong(free, word)) {
      return true;
    }
  }
  lower_to(header().unlisted_generation, std::max(generation, std::uint32_t{1}));
  return false;
}

void StapleZone::worker_stopped(std::int32_t pid) noexcept {
  for (std::size_t i = 0; i < kWorkerSlots; ++i) {
    std::uint64_t seen = worker_slot(i).load(std::memory_order_relaxed);
    if (seen != 0 && pid_of(seen) == pid) {
      worker_slot(i).compare_exchange_strong(seen, 0);
    }
  }
}

std::uint32_t StapleZone::oldest_living_generation(bool (*alive)(std::int32_t pid)) noexcept {
  std::uint32_t oldest = generation();
  for (std::size_t i = 0; i < kWorkerSlots; ++i) {
    std::uint64_t seen = worker_slot(i).load(std::memory_order_acquire);
    if (seen == 0) {
      continue;
    }
    if (alive(pid_of(seen))) {
      oldest = std::min(oldest, static_cast<std::uint32_t>(seen));
    } else {
      worker_slot(i).compare_exchange_strong(seen, 0);
    }
  }
  const std::uint32_t unlisted = header().unlisted_generation.load(std::memory_order_relaxed);
  return unlisted == 0 ? oldest : std::min(oldest, unlisted);
}

}  // namespace ocsp_plus::store
