#include "store/shared_stats.h"

#include <algorithm>
#include <cstring>

#include "base/text.h"

namespace ocsp_plus::store {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

// 0 marks free slots.
std::uint64_t hash(std::string_view text) {
  const std::uint64_t sum = fnv1a(text);
  return sum == 0 ? 1 : sum;
}

template <typename T>
void carry(const std::atomic<T>& from, std::atomic<T>& to) {
  to.store(from.load(kRelaxed), kRelaxed);
}

// Of the monotonic clock.
void carry_past(const std::atomic<std::int64_t>& from, std::atomic<std::int64_t>& to, Millis now) {
  const Millis time = from.load(kRelaxed);
  if (time > 0 && time <= now) {
    to.store(time, kRelaxed);
  }
}

}  // namespace

// --- the text of an attempt ---

void StapleZone::set_detail(EntryIndex index, std::string_view text) noexcept {
  if (index >= capacity()) {
    return;
  }
  std::atomic<std::uint32_t>& sum = entry(index).detail;
  sum.store(0, kRelaxed);
  if (text.empty()) {
    return;
  }
  std::atomic_thread_fence(std::memory_order_release);
  char bytes[kDetailBytes] = {};
  std::memcpy(bytes, text.data(), std::min(text.size(), sizeof(bytes)));
  Detail& words = detail_words(index);
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + 8 * i, 8);
    words[i].store(word, kRelaxed);
  }
  const auto check = static_cast<std::uint32_t>(hash({bytes, sizeof(bytes)}));
  sum.store(check == 0 ? 1 : check, std::memory_order_release);
}

std::string StapleZone::detail(EntryIndex index) const {
  const std::uint32_t wanted = index < capacity() ? entry(index).detail.load(std::memory_order_acquire) : 0;
  if (wanted == 0) {
    return {};
  }
  char bytes[kDetailBytes];
  const Detail& words = detail_words(index);
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::uint64_t word = words[i].load(kRelaxed);
    std::memcpy(bytes + 8 * i, &word, 8);
  }
  const auto check = static_cast<std::uint32_t>(hash({bytes, sizeof(bytes)}));
  if ((check == 0 ? 1 : check) != wanted) {
    return {};  // half of it is another text
  }
  return std::string(bytes, std::find(bytes, bytes + sizeof(bytes), '\0'));
}

// --- the designated worker tells ---

void record_exchange(const StapleZone& zone, Millis took) noexcept {
  const auto spent = static_cast<std::uint64_t>(std::max<Millis>(took, 0));
  const auto bucket = std::lower_bound(kDurationBounds.begin(), kDurationBounds.end(), spent);
  SharedStats& stats = zone.stats();
  stats.durations[static_cast<std::size_t>(bucket - kDurationBounds.begin())].fetch_add(1, kRelaxed);
  stats.duration_ms.fetch_add(spent, kRelaxed);
}

void record_failure(const StapleZone& zone, Reason reason) noexcept {
  zone.stats().failures[static_cast<std::size_t>(reason) % kReasonNumbers].fetch_add(1, kRelaxed);
}

void record_clock_skew(const StapleZone& zone, Seconds skew, UnixSeconds now) noexcept {
  zone.stats().clock_skew.store(skew, kRelaxed);
  zone.stats().clock_compared_at.store(now, kRelaxed);
}

Millis zone_began(const StapleZone& zone) noexcept {
  return zone.stats().began.load(kRelaxed);
}

void record_clock_jump(const StapleZone& zone, Millis now) noexcept {
  zone.stats().clock_jumped_at.store(now, kRelaxed);
}

Millis clock_jumped_at(const StapleZone& zone) noexcept {
  return zone.stats().clock_jumped_at.load(kRelaxed);
}

void record_cache_failure(const StapleZone& zone, Reason reason, UnixSeconds now) noexcept {
  SharedStats& stats = zone.stats();
  stats.cache_reason.store(static_cast<std::uint32_t>(reason), kRelaxed);
  if (stats.cache_failing_since.load(kRelaxed) == 0) {
    // A clock that stands at its beginning must not make it look as if all were well.
    stats.cache_failing_since.store(std::max<UnixSeconds>(now, 1), std::memory_order_release);
  }
}

void record_cache_works(const StapleZone& zone) noexcept {
  zone.stats().cache_failing_since.store(0, kRelaxed);
}

void record_host(const StapleZone& zone, std::string_view host_key, const HostHealth& health) noexcept {
  const std::uint64_t key = hash(host_key);
  const std::uint32_t slots = zone.geometry().host_slots;
  for (std::uint32_t probes = 0; probes < slots; ++probes) {
    HostSlot& to = zone.host_slot(static_cast<std::uint32_t>((key + probes) % slots));
    const std::uint64_t seen = to.key.load(kRelaxed);
    if (seen != key && seen != 0) {
      continue;
    }
    to.state.store(health.state, kRelaxed);
    to.failures.store(health.failures, kRelaxed);
    to.in_flight.store(health.in_flight, kRelaxed);
    to.next_probe.store(health.next_probe, kRelaxed);
    to.failed_at.store(health.failed_at, kRelaxed);
    to.reason.store(static_cast<std::uint32_t>(health.reason), kRelaxed);
    to.key.store(key, std::memory_order_release);
    return;
  }
}

void keep_hosts(const StapleZone& zone, const std::vector<std::string>& host_keys) {
  const HostTable before(zone);
  for (std::uint32_t i = 0; i < zone.geometry().host_slots; ++i) {
    zone.host_slot(i).key.store(0, kRelaxed);
  }
  for (const std::string& host_key : host_keys) {
    if (const auto health = before.find(host_key)) {
      record_host(zone, host_key, *health);
    }
  }
}

// The slot of a URL, or the free one where it would stand; nullptr: the table is full.
static MethodSlot* method_slot(const StapleZone& zone, std::uint64_t key) noexcept {
  const std::uint32_t slots = zone.geometry().host_slots;
  for (std::uint32_t probes = 0; probes < slots; ++probes) {
    MethodSlot& slot = zone.method_slot(static_cast<std::uint32_t>((key + probes) % slots));
    const std::uint64_t seen = slot.key.load(kRelaxed);
    if (seen == key || seen == 0) {
      return &slot;
    }
  }
  return nullptr;
}

static void set_method(const StapleZone& zone, std::uint64_t key, std::uint32_t method,
                       std::uint32_t failures) noexcept {
  if (MethodSlot* slot = method_slot(zone, key); slot != nullptr) {
    slot->method.store(method, kRelaxed);
    slot->failures.store(failures, kRelaxed);
    slot->key.store(key, std::memory_order_release);
  }
}

std::optional<std::uint32_t> method_that_worked(const StapleZone& zone, std::string_view url) noexcept {
  const std::uint64_t key = hash(url);
  const MethodSlot* slot = method_slot(zone, key);
  if (slot == nullptr || slot->key.load(std::memory_order_acquire) != key ||
      slot->failures.load(kRelaxed) >= kMethodFailures) {
    return std::nullopt;
  }
  const std::uint32_t method = slot->method.load(kRelaxed);
  return method == 0 ? std::nullopt : std::optional<std::uint32_t>(method);
}

void record_method(const StapleZone& zone, std::string_view url, std::uint32_t method) noexcept {
  set_method(zone, hash(url), method, 0);
}

void record_method_failure(const StapleZone& zone, std::string_view url) noexcept {
  const std::uint64_t key = hash(url);
  MethodSlot* slot = method_slot(zone, key);
  if (slot != nullptr && slot->key.load(kRelaxed) == key && slot->failures.load(kRelaxed) < kMethodFailures) {
    slot->failures.fetch_add(1, kRelaxed);
  }
}

void keep_methods(const StapleZone& zone, const std::vector<std::string>& urls) {
  struct Kept {
    std::uint64_t key;
    std::uint32_t method, failures;
  };
  std::vector<Kept> all;
  for (const std::string& url : urls) {
    const std::uint64_t key = hash(url);
    const MethodSlot* slot = method_slot(zone, key);
    if (slot != nullptr && slot->key.load(kRelaxed) == key) {
      all.push_back({key, slot->method.load(kRelaxed), slot->failures.load(kRelaxed)});
    }
  }
  for (std::uint32_t i = 0; i < zone.geometry().host_slots; ++i) {
    zone.method_slot(i).key.store(0, kRelaxed);
  }
  for (const Kept& kept : all) {
    set_method(zone, kept.key, kept.method, kept.failures);
  }
}

// --- and anybody reads ---

HostTable::HostTable(const StapleZone& zone) {
  for (std::uint32_t i = 0; i < zone.geometry().host_slots; ++i) {
    const HostSlot& from = zone.host_slot(i);
    const std::uint64_t key = from.key.load(std::memory_order_acquire);
    if (key != 0) {
      hosts_[key] = {from.state.load(kRelaxed),     from.failures.load(kRelaxed),
                     from.in_flight.load(kRelaxed), from.next_probe.load(kRelaxed),
                     from.failed_at.load(kRelaxed), static_cast<Reason>(from.reason.load(kRelaxed))};
    }
  }
}

std::optional<HostHealth> HostTable::find(std::string_view host_key) const {
  const auto found = hosts_.find(hash(host_key));
  return found == hosts_.end() ? std::nullopt : std::optional<HostHealth>(found->second);
}

ExchangeTotals exchange_totals(const StapleZone& zone) noexcept {
  ExchangeTotals totals;
  totals.ok = zone.header().fetches.ok.load(kRelaxed);
  totals.failed = zone.header().fetches.failed.load(kRelaxed);
  totals.in_flight = zone.header().fetches.in_flight.load(kRelaxed);
  totals.duration_ms = zone.stats().duration_ms.load(kRelaxed);
  for (std::size_t i = 0; i < totals.durations.size(); ++i) {
    totals.durations[i] = zone.stats().durations[i].load(kRelaxed);
  }
  return totals;
}

std::uint64_t failures(const StapleZone& zone, Reason reason) noexcept {
  return zone.stats().failures[static_cast<std::size_t>(reason) % kReasonNumbers].load(kRelaxed);
}

void record_connections(const StapleZone& zone, const Connections& more) noexcept {
  auto& counters = zone.stats().connections;
  counters[0].fetch_add(more.ipv4_ok, kRelaxed);
  counters[1].fetch_add(more.ipv4_failed, kRelaxed);
  counters[2].fetch_add(more.ipv6_ok, kRelaxed);
  counters[3].fetch_add(more.ipv6_failed, kRelaxed);
}

Connections connections(const StapleZone& zone) noexcept {
  const auto& counters = zone.stats().connections;
  return {counters[0].load(kRelaxed), counters[1].load(kRelaxed), counters[2].load(kRelaxed),
          counters[3].load(kRelaxed)};
}

std::optional<CacheFailure> cache_failure(const StapleZone& zone) noexcept {
  const UnixSeconds since = zone.stats().cache_failing_since.load(std::memory_order_acquire);
  if (since == 0) {
    return std::nullopt;
  }
  return CacheFailure{static_cast<Reason>(zone.stats().cache_reason.load(kRelaxed)), since};
}

// --- requests to the designated worker ---

bool request_refresh_all(const StapleZone& zone, Millis now) noexcept {
  SharedStats& stats = zone.stats();
  std::int64_t last = stats.refresh_all_at.load(kRelaxed);
  // A time in the future was not written by any clock of this boot.
  if (last != 0 && last <= now && now - last < kRefreshAllInterval) {
    return false;
  }
  if (!stats.refresh_all_at.compare_exchange_strong(last, now, kRelaxed)) {
    return false;  // another worker has just been asked
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

void copy_stats(const StapleZone& from, StapleZone& to, Millis now) noexcept {
  const StapleZone::HandshakeTotals totals = from.handshake_totals();
  HandshakeCounters& counters = to.handshakes(0);
  counters.stapled.store(totals.stapled, kRelaxed);
  counters.missing.store(totals.missing, kRelaxed);
  counters.refused.store(totals.refused, kRelaxed);
  counters.foreign.store(totals.foreign, kRelaxed);
  counters.replaced.store(totals.replaced, kRelaxed);
  carry(from.header().fetches.ok, to.header().fetches.ok);
  carry(from.header().fetches.failed, to.header().fetches.failed);
  const SharedStats& old = from.stats();
  SharedStats& stats = to.stats();
  carry(old.clock_skew, stats.clock_skew);
  carry(old.clock_compared_at, stats.clock_compared_at);
  carry_past(old.clock_jumped_at, stats.clock_jumped_at, now);
  carry(old.duration_ms, stats.duration_ms);
  for (std::size_t i = 0; i < old.durations.size(); ++i) {
    carry(old.durations[i], stats.durations[i]);
  }
  for (std::size_t i = 0; i < old.failures.size(); ++i) {
    carry(old.failures[i], stats.failures[i]);
  }
  for (std::size_t i = 0; i < old.connections.size(); ++i) {
    carry(old.connections[i], stats.connections[i]);
  }
  carry_past(old.began, stats.began, now);
  carry(old.settled, stats.settled);
  carry(old.cache_reason, stats.cache_reason);
  carry(old.cache_failing_since, stats.cache_failing_since);
  carry(old.refresh_all_at, stats.refresh_all_at);
  for (std::uint32_t i = 0; i < from.geometry().host_slots; ++i) {
    const MethodSlot& slot = from.method_slot(i);
    if (const std::uint64_t key = slot.key.load(kRelaxed); key != 0) {
      set_method(to, key, slot.method.load(kRelaxed), slot.failures.load(kRelaxed));
    }
  }
  for (EntryIndex i = 0; i < to.entries_used(); ++i) {
    const EntryIndex source = from.find(to.entry(i).id);
    if (source != kNoEntry) {
      carry(from.entry(source).stapled, to.entry(i).stapled);
      to.set_attempt(i, from.attempt(source));
    }
  }
}

}  // namespace ocsp_plus::store
