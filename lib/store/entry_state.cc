#include "store/entry_state.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "store/blob_reader.h"
#include "store/layout.h"
#include "store/zone_index.h"
#include "store/zone_text.h"

namespace ocsp_plus::store {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

}  // namespace

Attempt read_attempt(const StapleZone& zone, EntryIndex index) noexcept {
  Attempt attempt;
  if (index >= zone.capacity()) {
    return attempt;
  }
  const Entry& from = zone.entry(index);
  attempt.at = from.attempted_at.load(kRelaxed);
  attempt.next = from.next_attempt.load(kRelaxed);
  attempt.succeeded_at = from.succeeded_at.load(kRelaxed);
  attempt.began = from.attempt_began.load(kRelaxed);
  attempt.failures = from.failures.load(kRelaxed);
  attempt.responder = from.responder.load(kRelaxed);
  attempt.reason = static_cast<Reason>(from.reason.load(kRelaxed));
  return attempt;
}

void record_attempt(const StapleZone& zone, EntryIndex index, const Attempt& attempt) noexcept {
  if (index >= zone.capacity()) {
    return;
  }
  Entry& to = zone.entry(index);
  to.attempted_at.store(attempt.at, kRelaxed);
  to.next_attempt.store(attempt.next, kRelaxed);
  to.succeeded_at.store(attempt.succeeded_at, kRelaxed);
  to.attempt_began.store(attempt.began, kRelaxed);
  to.failures.store(attempt.failures, kRelaxed);
  to.responder.store(attempt.responder, kRelaxed);
  to.reason.store(static_cast<std::uint32_t>(attempt.reason), kRelaxed);
}

UnixSeconds read_confirmed_at(const StapleZone& zone, EntryIndex index, const BlobHeader& held,
                              UnixSeconds now) noexcept {
  const UnixSeconds time = index < zone.capacity() ? zone.entry(index).confirmed_at.load(kRelaxed) : 0;
  return time < held.this_update || time > now ? held.this_update : time;
}

void record_confirmed_at(const StapleZone& zone, EntryIndex index, UnixSeconds time) noexcept {
  if (index < zone.capacity()) {
    zone.entry(index).confirmed_at.store(time, kRelaxed);
  }
}

void record_detail(const StapleZone& zone, EntryIndex index, std::string_view text) noexcept {
  if (index < zone.capacity()) {
    write_text(zone.detail_words(index).words, zone.entry(index).detail, text);
  }
}

std::string read_detail(const StapleZone& zone, EntryIndex index) {
  return index < zone.capacity() ? read_text(zone.detail_words(index).words, zone.entry(index).detail)
                                 : std::string();
}

std::uint64_t stapled(const StapleZone& zone, EntryIndex entry) noexcept {
  std::uint64_t count = 0;
  for (std::size_t row = 0; entry < zone.capacity() && row < kStapleCountRows; ++row) {
    count += zone.staple_count(row, entry).load(kRelaxed);
  }
  return count;
}

void record_stapled(const StapleZone& zone, EntryIndex entry, std::uint64_t count) noexcept {
  for (std::size_t row = 0; entry < zone.capacity() && row < kStapleCountRows; ++row) {
    zone.staple_count(row, entry).store(row == 0 ? count : 0, kRelaxed);
  }
}

std::optional<PerConnectionState> per_connection_state(const StapleZone& zone, EntryIndex index) noexcept {
  if (index >= zone.entries_used()) {
    return std::nullopt;
  }
  const Entry& from = zone.entry(index);
  const std::uint32_t generation = from.generation.load(std::memory_order_acquire);
  if (generation == 0 || from.leaf.load(std::memory_order_acquire) == 0 ||
      from.per_connection.load(kRelaxed) != generation) {
    return std::nullopt;
  }
  return PerConnectionState{from.profile.load(kRelaxed), from.used.load(kRelaxed), from.issuer.load(kRelaxed) != 0,
                            from.unsupported.load(kRelaxed) != 0};
}

std::vector<EntryIndex> least_recently_used(const StapleZone& zone, std::size_t most,
                                            const std::function<bool(EntryIndex)>& may_go) {
  std::vector<std::pair<UnixSeconds, EntryIndex>> candidates;
  for (EntryIndex i = 0; i < zone.entries_used(); ++i) {
    const auto state = per_connection_state(zone, i);
    if (state.has_value() && may_go(i)) {
      candidates.emplace_back(state->used, i);
    }
  }
  const auto end = candidates.begin() + static_cast<std::ptrdiff_t>(std::min(most, candidates.size()));
  std::partial_sort(candidates.begin(), end, candidates.end());
  std::vector<EntryIndex> entries;
  std::transform(candidates.begin(), end, std::back_inserter(entries), [](const auto& each) { return each.second; });
  return entries;
}

std::optional<Bytes> read_leaf(const StapleZone& zone, EntryIndex index, const CertificateId& id) {
  return index < zone.capacity() ? read_blob(zone, {zone.entry(index).leaf}, &id, nullptr) : std::nullopt;
}

std::optional<Bytes> read_issuer(const StapleZone& zone, EntryIndex index, BlobHeader* header) {
  return index < zone.capacity() ? read_blob(zone, {zone.entry(index).issuer}, nullptr, header) : std::nullopt;
}

void record_use(const StapleZone& zone, EntryIndex index, UnixSeconds now) noexcept {
  if (index >= zone.capacity()) {
    return;
  }
  std::atomic<std::uint32_t>& used = zone.entry(index).used;
  const UnixSeconds before = used.load(kRelaxed);
  if (now >= before + kUsedStep || now < before) {
    used.store(static_cast<std::uint32_t>(now), kRelaxed);
  }
}

void record_unsupported(const StapleZone& zone, EntryIndex index, bool unsupported) noexcept {
  if (index < zone.capacity()) {
    zone.entry(index).unsupported.store(unsupported ? 1 : 0, kRelaxed);
  }
}

void record_profile(const StapleZone& zone, EntryIndex index, std::uint64_t profile) noexcept {
  if (index < zone.capacity()) {
    zone.entry(index).profile.store(profile, kRelaxed);
  }
}

void forget_response(const StapleZone& zone, EntryIndex index) noexcept {
  clear_word(zone.entry(index));
  record_attempt(zone, index, Attempt{});
  record_confirmed_at(zone, index, 0);
  record_detail(zone, index, {});
}

void reset_entry(const StapleZone& zone, EntryIndex index) noexcept {
  Entry& entry = zone.entry(index);
  if (index >= zone.entries_used()) {
    entry.word.store(0, kRelaxed);
    entry.versions.store(0, kRelaxed);  // a reused entry's version goes on: see Entry::versions
  }
  forget_response(zone, index);
  record_stapled(zone, index, 0);
  for (std::atomic<std::uint64_t>* word : {&entry.leaf, &entry.issuer}) {
    word->store(0, kRelaxed);
  }
  for (std::atomic<std::uint32_t>* word : {&entry.unsupported, &entry.max_age}) {
    word->store(0, kRelaxed);
  }
}

void free_entry(const StapleZone& zone, EntryIndex index) noexcept {
  Entry& entry = zone.entry(index);
  clear_word(entry);
  ZoneIndex(zone).remove(index);
  entry.generation.store(0, std::memory_order_release);
  entry.leaf.store(0, std::memory_order_release);
  entry.issuer.store(0, std::memory_order_release);
}

}  // namespace ocsp_plus::store
