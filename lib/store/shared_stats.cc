#include "store/shared_stats.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "store/counters.h"
#include "store/entry_state.h"
#include "store/layout.h"
#include "store/zone_text.h"

namespace ocsp_plus::store {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

// Returns the key of a host or URL, never 0, which marks free slots.
std::uint64_t hash(std::string_view text) {
  return std::max<std::uint64_t>(fnv1a(text), 1);
}

// --- the tables of hosts and of methods, which have the same number of slots ---

FamilyTimes load(const FamilySlot& from) {
  return {from.ok.load(kRelaxed), from.failed.load(kRelaxed), from.failing_since.load(kRelaxed)};
}

void store(FamilySlot& to, const FamilyTimes& times) {
  to.ok.store(times.ok, kRelaxed);
  to.failed.store(times.failed, kRelaxed);
  to.failing_since.store(times.failing_since, kRelaxed);
}

void append(FamilySlot& to, const FamilyTimes& later) {
  FamilyTimes times = load(to);
  times.append(later);
  store(to, times);
}

HostRecord load(const HostSlot& from) {
  HostRecord record;
  record.state = from.state.load(kRelaxed);
  record.failures = from.failures.load(kRelaxed);
  record.in_flight = from.in_flight.load(kRelaxed);
  record.next_probe = from.next_probe.load(kRelaxed);
  record.failed_at = from.failed_at.load(kRelaxed);
  record.reason = static_cast<Reason>(from.reason.load(kRelaxed));
  record.families = {load(from.ipv4), load(from.ipv6)};
  return record;
}

void store(HostSlot& to, const HostHealth& health) {
  to.state.store(health.state, kRelaxed);
  to.failures.store(health.failures, kRelaxed);
  to.in_flight.store(health.in_flight, kRelaxed);
  to.next_probe.store(health.next_probe, kRelaxed);
  to.failed_at.store(health.failed_at, kRelaxed);
  to.reason.store(static_cast<std::uint32_t>(health.reason), kRelaxed);
}

void store(HostSlot& to, const HostFamilies& since) {
  append(to.ipv4, since.ipv4);
  append(to.ipv6, since.ipv6);
}

void store(HostSlot& to, const HostRecord& record) {
  store(to, static_cast<const HostHealth&>(record));
  store(to.ipv4, record.families.ipv4);
  store(to.ipv6, record.families.ipv6);
}

struct Method {
  std::uint32_t method = 0;
  std::uint32_t failures = 0;
};

Method load(const MethodSlot& from) {
  return {from.method.load(kRelaxed), from.failures.load(kRelaxed)};
}

void store(MethodSlot& to, const Method& method) {
  to.method.store(method.method, kRelaxed);
  to.failures.store(method.failures, kRelaxed);
}

template <typename Slot>
using Table = Slot& (StapleZone::*)(std::uint32_t) const noexcept;

// Returns the slot of a key, or the free slot where it would be; nullptr: the table is full.
template <typename Slot>
Slot* find_slot(const StapleZone& zone, Table<Slot> table, std::uint64_t key) {
  const std::uint32_t slots = zone.geometry().host_slots;
  for (std::uint32_t probes = 0; probes < slots; ++probes) {
    Slot& slot = (zone.*table)(static_cast<std::uint32_t>((key + probes) % slots));
    const std::uint64_t seen = slot.key.load(std::memory_order_acquire);
    if (seen == key || seen == 0) {
      return &slot;
    }
  }
  return nullptr;
}

template <typename Slot>
Slot* find_used(const StapleZone& zone, Table<Slot> table, std::uint64_t key) {
  Slot* slot = find_slot(zone, table, key);
  return slot != nullptr && slot->key.load(kRelaxed) == key ? slot : nullptr;
}

template <typename Slot, typename Value>
void record_in(const StapleZone& zone, Table<Slot> table, std::uint64_t key, const Value& value) {
  if (Slot* slot = find_slot(zone, table, key); slot != nullptr) {
    if (slot->key.load(kRelaxed) == 0) {
      store(*slot, decltype(load(*slot))());  // clears what another name has left there
    }
    store(*slot, value);
    slot->key.store(key, std::memory_order_release);
  }
}

// Removes all other names from the table.
template <typename Slot>
void keep(const StapleZone& zone, Table<Slot> table, const std::vector<std::string>& names) {
  std::vector<std::pair<std::uint64_t, decltype(load(std::declval<Slot>()))>> kept;
  for (const std::string& name : names) {
    const std::uint64_t key = hash(name);
    if (const Slot* slot = find_used(zone, table, key); slot != nullptr) {
      kept.emplace_back(key, load(*slot));
    }
  }
  for (std::uint32_t i = 0; i < zone.geometry().host_slots; ++i) {
    (zone.*table)(i).key.store(0, kRelaxed);
  }
  for (const auto& [key, value] : kept) {
    record_in(zone, table, key, value);
  }
}

}  // namespace

std::int64_t number(const StapleZone& zone, Number::Kind what) noexcept {
  return zone.stats().numbers[what].load(std::memory_order_acquire);
}

void record(const StapleZone& zone, Number::Kind what, std::int64_t value) noexcept {
  zone.stats().numbers[what].store(value, std::memory_order_release);
}

void record_cache_failure(const StapleZone& zone, Reason reason, UnixSeconds now) noexcept {
  record(zone, Number::kCacheReason, static_cast<std::int64_t>(reason));
  if (number(zone, Number::kCacheFailingSince) == 0) {
    // A clock that stands at 0 must not make a failing directory look as if all were well.
    record(zone, Number::kCacheFailingSince, std::max<UnixSeconds>(now, 1));
  }
}

// --- the shared store ---

void record_share(const StapleZone& zone, const ShareState& state) noexcept {
  SharedStats& stats = zone.stats();
  record(zone, Number::kShareState, state.state);
  record(zone, Number::kShareSince, state.since);
  record(zone, Number::kShareReason, static_cast<std::int64_t>(state.reason));
  write_text(stats.share_place.words, stats.share_place.sum, state.place);
  write_text(stats.share_detail.words, stats.share_detail.sum, state.detail);
}

ShareState read_share(const StapleZone& zone) {
  const SharedStats& stats = zone.stats();
  ShareState state;
  state.state = static_cast<std::uint32_t>(number(zone, Number::kShareState));
  state.since = number(zone, Number::kShareSince);
  state.place = read_text(stats.share_place.words, stats.share_place.sum);
  state.reason = static_cast<Reason>(number(zone, Number::kShareReason));
  state.detail = read_text(stats.share_detail.words, stats.share_detail.sum);
  return state;
}

// --- responders ---

void record_host(const StapleZone& zone, std::string_view host_key, const HostHealth& health) noexcept {
  record_in(zone, &StapleZone::host_slot<HostSlot>, hash(host_key), health);
}

void record_connections(const StapleZone& zone, std::string_view host_key, const HostFamilies& since) noexcept {
  record_in(zone, &StapleZone::host_slot<HostSlot>, hash(host_key), since);
}

void keep_hosts(const StapleZone& zone, const std::vector<std::string>& host_keys) {
  keep(zone, &StapleZone::host_slot<HostSlot>, host_keys);
}

HostTable::HostTable(const StapleZone& zone) {
  for (std::uint32_t i = 0; i < zone.geometry().host_slots; ++i) {
    const std::uint64_t key = zone.host_slot(i).key.load(std::memory_order_acquire);
    if (key != 0) {
      hosts_[key] = load(zone.host_slot(i));
    }
  }
}

std::optional<HostRecord> HostTable::find(std::string_view host_key) const {
  const auto found = hosts_.find(hash(host_key));
  return found == hosts_.end() ? std::nullopt : std::optional<HostRecord>(found->second);
}

std::optional<std::uint32_t> method_that_worked(const StapleZone& zone, std::string_view url) noexcept {
  const MethodSlot* slot = find_used(zone, &StapleZone::method_slot<MethodSlot>, hash(url));
  const Method known = slot != nullptr ? load(*slot) : Method();
  return known.method == 0 || known.failures >= kMethodFailures ? std::nullopt : std::optional(known.method);
}

void record_method(const StapleZone& zone, std::string_view url, std::uint32_t method) noexcept {
  record_in(zone, &StapleZone::method_slot<MethodSlot>, hash(url), Method{method, 0});
}

void record_method_failure(const StapleZone& zone, std::string_view url) noexcept {
  MethodSlot* slot = find_used(zone, &StapleZone::method_slot<MethodSlot>, hash(url));
  if (slot != nullptr && slot->failures.load(kRelaxed) < kMethodFailures) {
    slot->failures.fetch_add(1, kRelaxed);
  }
}

void keep_methods(const StapleZone& zone, const std::vector<std::string>& urls) {
  keep(zone, &StapleZone::method_slot<MethodSlot>, urls);
}

// --- of the zone itself ---

ZoneUse zone_use(const StapleZone& zone) noexcept {
  ZoneUse use;
  const auto arena = static_cast<std::uint64_t>(number(zone, Number::kArenaUsed));
  use.bytes = zone.geometry().entries + zone.entries_used() * sizeof(Entry) + std::min(arena, zone.arena_bytes());
  for (EntryIndex i = 0; i < zone.entries_used(); ++i) {
    use.entries += zone.is_used(i) ? 1u : 0u;
  }
  return use;
}

// --- requests to the designated worker ---

bool request_refresh_all(const StapleZone& zone, Millis now) noexcept {
  SharedStats& stats = zone.stats();
  std::int64_t last = stats.refresh_all_at.load(kRelaxed);
  // No clock of this boot has written a time in the future.
  if (last != 0 && last <= now && now - last < kRefreshAllInterval) {
    return false;
  }
  if (!stats.refresh_all_at.compare_exchange_strong(last, now, kRelaxed)) {
    return false;  // another worker has just recorded such a request
  }
  stats.refresh_all_serial.fetch_add(1, std::memory_order_release);
  return true;
}

bool request_refresh(const StapleZone& zone, EntryIndex entry) noexcept {
  const std::uint32_t wanted = entry + 1;
  for (std::atomic<std::uint32_t>& slot : zone.stats().refresh_one) {
    std::uint32_t seen = 0;
    if (slot.compare_exchange_strong(seen, wanted, std::memory_order_release) || seen == wanted) {
      return true;
    }
  }
  return false;
}

RefreshRequests take_refresh_requests(const StapleZone& zone) {
  RefreshRequests requests;
  SharedStats& stats = zone.stats();
  const std::uint32_t serial = stats.refresh_all_serial.load(std::memory_order_acquire);
  requests.all = serial != stats.refresh_all_done.load(kRelaxed);
  stats.refresh_all_done.store(serial, kRelaxed);
  for (std::atomic<std::uint32_t>& slot : stats.refresh_one) {
    if (slot.load(kRelaxed) != 0) {
      requests.entries.push_back(slot.exchange(0, std::memory_order_acquire) - 1);
    }
  }
  return requests;
}

// --- a zone of another size ---

void copy_stats(const StapleZone& from, const StapleZone& to, Millis now) noexcept {
  copy_counters(from, to);
  for (const Number::Kind what : {Number::kBegan, Number::kClockJumpedAt}) {
    if (const Millis time = number(from, what); time > 0 && time <= now) {
      record(to, what, time);
    }
  }
  for (const Number::Kind what : {Number::kSettled, Number::kClockSkew, Number::kClockComparedAt,
                                  Number::kCacheReason, Number::kCacheFailingSince}) {
    record(to, what, number(from, what));
  }
  to.stats().refresh_all_at.store(from.stats().refresh_all_at.load(kRelaxed), kRelaxed);
  for (std::uint32_t i = 0; i < from.geometry().host_slots; ++i) {
    const MethodSlot& slot = from.method_slot(i);
    if (const std::uint64_t key = slot.key.load(kRelaxed); key != 0) {
      record_in(to, &StapleZone::method_slot<MethodSlot>, key, load(slot));
    }
    const HostSlot& host = from.host_slot(i);
    if (const std::uint64_t key = host.key.load(kRelaxed); key != 0) {
      record_in(to, &StapleZone::host_slot<HostSlot>, key, load(host).families);
    }
  }
  for (EntryIndex i = 0; i < to.entries_used(); ++i) {
    const EntryIndex source = from.find(to.entry(i).id);
    if (source != kNoEntry) {
      record_stapled(to, i, stapled(from, source));
      record_attempt(to, i, read_attempt(from, source));
    }
  }
}

}  // namespace ocsp_plus::store
