#include "store/counters.h"

#include <algorithm>

#include "store/layout.h"

namespace ocsp_plus::store {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

template <typename Numbers>
void carry(const Numbers& from, Numbers& to, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    to[i].store(from[i].load(kRelaxed), kRelaxed);
  }
}

}  // namespace

void count(const StapleZone& zone, Counter::Kind what, std::uint64_t more) noexcept {
  zone.stats().counters[what].fetch_add(more, kRelaxed);
}

std::uint64_t counted(const StapleZone& zone, Counter::Kind what) noexcept {
  return zone.stats().counters[what].load(kRelaxed);
}

void count_handshake(const StapleZone& zone, std::uint32_t worker, Handshake::Kind what, EntryIndex entry) noexcept {
  zone.handshakes(worker).counts[what].fetch_add(1, kRelaxed);
  count_staple(zone, worker, entry);
}

void count_staple(const StapleZone& zone, std::uint32_t worker, EntryIndex entry) noexcept {
  if (entry < zone.capacity()) {
    zone.staple_count(worker, entry).fetch_add(1, kRelaxed);
  }
}

HandshakeTotals handshake_totals(const StapleZone& zone) noexcept {
  HandshakeTotals totals = {};
  for (std::uint32_t slot = 0; slot < kCounterSlots; ++slot) {
    for (std::size_t what = 0; what < totals.size(); ++what) {
      totals[what] += zone.handshakes(slot).counts[what].load(kRelaxed);
    }
  }
  return totals;
}

void count_duration(const StapleZone& zone, Millis took) noexcept {
  const auto spent = static_cast<std::uint64_t>(std::max<Millis>(took, 0));
  const auto bucket = std::lower_bound(kDurationBounds.begin(), kDurationBounds.end(), spent);
  zone.stats().durations[static_cast<std::size_t>(bucket - kDurationBounds.begin())].fetch_add(1, kRelaxed);
  count(zone, Counter::kExchangeMillis, spent);
}

Durations durations(const StapleZone& zone) noexcept {
  Durations durations = {};
  for (std::size_t i = 0; i < durations.size(); ++i) {
    durations[i] = zone.stats().durations[i].load(kRelaxed);
  }
  return durations;
}

void count_failure(const StapleZone& zone, Reason reason) noexcept {
  zone.stats().failures[static_cast<std::size_t>(reason) % kReasonNumbers].fetch_add(1, kRelaxed);
}

std::uint64_t failures(const StapleZone& zone, Reason reason) noexcept {
  return zone.stats().failures[static_cast<std::size_t>(reason) % kReasonNumbers].load(kRelaxed);
}

void copy_counters(const StapleZone& from, const StapleZone& to) noexcept {
  const SharedStats& old = from.stats();
  carry(old.counters, to.stats().counters, Counter::kHanded);
  carry(old.durations, to.stats().durations, old.durations.size());
  carry(old.failures, to.stats().failures, old.failures.size());
  const HandshakeTotals totals = handshake_totals(from);
  for (std::size_t what = 0; what < totals.size(); ++what) {
    to.handshakes(0).counts[what].store(totals[what], kRelaxed);
  }
}

}  // namespace ocsp_plus::store
