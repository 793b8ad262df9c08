// The part of ZoneWriter that puts right what another process has written over.
#include <algorithm>
#include <cstring>
#include <functional>
#include <string_view>
#include <utility>

#include "store/blob_word.h"
#include "store/scoped_lock.h"
#include "store/zone_index.h"
#include "store/zone_writer.h"

namespace ocsp_plus::store {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
// Configurations that may have registered since the lease holder's own; what is farther away is no generation.
constexpr std::uint32_t kGenerationsAhead = 4096;

// Never 0. For this process alone; it finds what was overwritten, not what somebody has forged with pains.
std::size_t sum_of(const BlobHeader& header, const std::uint8_t* der) {
  char bytes[sizeof(header)];
  std::memcpy(bytes, &header, sizeof(header));
  const std::hash<std::string_view> hash;
  const std::string_view text(reinterpret_cast<const char*>(der), header.length);
  const std::size_t sum = hash({bytes, sizeof(bytes)}) * 31 + hash(text);
  return sum == 0 ? 1 : sum;
}

bool is_generation(std::uint32_t found, std::uint32_t ours) {
  return found >= ours && found - ours <= kGenerationsAhead;
}

// Of times on the stats that decide for how long something waits.
bool is_past(const std::atomic<std::int64_t>& time, Millis now) {
  return time.load(kRelaxed) <= now && time.load(kRelaxed) >= 0;
}

template <typename T>
std::size_t set(std::atomic<T>& word, T value) {
  const bool differs = word.load(kRelaxed) != value;
  if (differs) {
    word.store(value, std::memory_order_release);
  }
  return differs ? 1 : 0;
}

template <typename T>
std::size_t set(T& word, const T& value) {
  const bool differs = word != value;
  if (differs) {
    word = value;
  }
  return differs ? 1 : 0;
}

}  // namespace

void ZoneWriter::own(const std::vector<EntryIndex>& entries) {
  own_.assign(zone_.capacity(), false);
  least_entries_ = 0;
  for (const EntryIndex entry : entries) {
    if (entry < own_.size()) {
      own_[entry] = true;
      least_entries_ = std::max(least_entries_, entry + 1);
    }
  }
}

std::vector<EntryIndex> ZoneWriter::take_lost() {
  return std::exchange(lost_, {});
}

// --- the header ---

bool ZoneWriter::header_is_sound(const ProcessIdentity& self) const {
  const Header& header = zone_.header();
  const Millis now = clock_.monotonic();
  return header.magic.load(kRelaxed) == kMagic && header.layout_version == kLayoutVersion &&
         header.size == zone_.size() && is_generation(header.generation.load(kRelaxed), self.generation) &&
         header.entries.load(kRelaxed) >= entries_in_use() && header.entries.load(kRelaxed) <= zone_.capacity() &&
         header.lease.generation.load(kRelaxed) == self.generation && header.lease.slot.load(kRelaxed) == self.slot &&
         is_past(zone_.stats().began, now) && is_past(zone_.stats().clock_jumped_at, now);
}

std::uint32_t ZoneWriter::entries_in_use() const {
  return std::max(least_entries_, static_cast<std::uint32_t>(held_.size()));
}

Result<std::size_t> ZoneWriter::repair_header(const ProcessIdentity& self) {
  if (invalid_.empty() && header_is_sound(self)) {
    return std::size_t{0};
  }
  const ScopedLock scope(lock_);
  if (auto ready = begin(scope.held()); !ready) {
    return tl::unexpected<Error>(ready.error());
  }
  Header& header = zone_.header();
  SharedStats& stats = zone_.stats();
  const Millis now = clock_.monotonic();
  std::size_t words = set(header.layout_version, kLayoutVersion) + set(header.size, std::uint64_t{zone_.size()}) +
                      set(header.lease.generation, self.generation) + set(header.lease.slot, self.slot) +
                      set(header.magic, kMagic);
  if (!is_generation(header.generation.load(kRelaxed), self.generation)) {
    words += set(header.generation, self.generation);
  }
  if (const std::uint32_t entries = header.entries.load(kRelaxed);
      entries < entries_in_use() || entries > zone_.capacity()) {
    words += set(header.entries, std::min(entries_in_use(), zone_.capacity()));
  }
  if (!is_past(stats.began, now)) {
    words += set(stats.began, now);
  }
  if (!is_past(stats.clock_jumped_at, now)) {
    words += set(stats.clock_jumped_at, now);
  }
  return words;
}

// --- entries ---

bool ZoneWriter::entry_is_sound(EntryIndex index, const Registration& registration, std::uint32_t generation,
                                bool newest) const {
  const Entry& entry = zone_.entry(index);
  const EntryIndex found = ZoneIndex(zone_).find(registration.id);
  const bool same_issuer =
      registration.issuer_key == kUnknownIssuer || entry.issuer_key == registration.issuer_key || !newest;
  return index < zone_.entries_used() && entry.id == registration.id && same_issuer &&
         is_generation(entry.generation.load(kRelaxed), generation) && (newest ? found == index : found != kNoEntry);
}

Result<bool> ZoneWriter::repair_entry(EntryIndex index, const Registration& registration, std::uint32_t generation,
                                      bool newest) {
  if (index >= zone_.entries_used() || entry_is_sound(index, registration, generation, newest)) {
    return false;
  }
  const ScopedLock scope(lock_);
  if (auto ready = begin(scope.held()); !ready) {
    return tl::unexpected<Error>(ready.error());
  }
  if (entry_is_sound(index, registration, generation, newest)) {
    return false;  // a registration was at work
  }
  Entry& entry = zone_.entry(index);
  const bool same_issuer = registration.issuer_key == kUnknownIssuer || entry.issuer_key == registration.issuer_key;
  if (entry.id != registration.id || (newest && !same_issuer)) {
    entry.id = registration.id;
    entry.issuer_key = registration.issuer_key;  // a response of another issuer's goes: check_response()
  }
  if (!is_generation(entry.generation.load(kRelaxed), generation)) {
    entry.generation.store(zone_.generation(), std::memory_order_release);
  }
  const EntryIndex other = ZoneIndex(zone_).find(registration.id);
  if (newest && other != index && other != kNoEntry && !owns(other)) {
    remove(other);  // nobody of ours has made it
  }
  if (ZoneIndex(zone_).find(registration.id) == kNoEntry) {
    ZoneIndex(zone_).insert(index);
  }
  return true;
}

// --- responses ---

bool ZoneWriter::is_intact(EntryIndex index, const Held& held) const {
  BlobHeader header;
  return zone_.blob_header(held.response.offset, &zone_.entry(index).id, &header) &&
         header.issuer_key == zone_.entry(index).issuer_key && units_for(header.length) == held.response.units &&
         (held.sum == 0 || held.sum == sum_of(header, zone_.arena() + std::size_t{held.response.offset} * kBlobAlign +
                                                          sizeof(header)));
}

bool ZoneWriter::is_held(EntryIndex index, const Held& held) const {
  const std::uint64_t word = zone_.entry(index).word.load(std::memory_order_acquire);
  if (!held.response) {
    return word == 0;
  }
  return word >> 32 != 0 && static_cast<std::uint32_t>(word) == held.response.offset && is_intact(index, held);
}

ZoneWriter::Held ZoneWriter::held_by(EntryIndex index) const {
  return index < held_.size() ? held_[index] : Held();
}

Result<ZoneWriter::Response> ZoneWriter::check_response(EntryIndex index) {
  const auto found = [&] {
    const Held held = held_by(index);
    return held.response && held.sum == 0 ? Response::kUnknown : Response::kSound;
  };
  if (index >= zone_.entries_used() || is_held(index, held_by(index))) {
    return found();
  }
  const ScopedLock scope(lock_);
  if (auto ready = begin(scope.held()); !ready) {
    return tl::unexpected<Error>(ready.error());
  }
  if (rebuilt_at_ != zone_.generation()) {
    rebuild();  // a registration takes responses away
    drop_invalid();
  }
  const Held held = held_by(index);
  if (is_held(index, held)) {
    return found();
  }
  Entry& entry = zone_.entry(index);
  const bool intact = held.response && held.sum != 0 && is_intact(index, held);
  if (intact && entry.generation.load(kRelaxed) != 0) {
    const std::uint32_t version = next_version(entry);
    entry.versions.store(version, kRelaxed);
    entry.word.store(std::uint64_t{version} << 32 | held.response.offset, std::memory_order_release);
    return Response::kRestored;
  }
  // A registration that was not finished has taken the entry away.
  const bool taken_away = intact && entry.word.load(kRelaxed) == 0;
  clear_word(entry);
  hold(index, {});
  if (taken_away) {
    return Response::kSound;
  }
  lost_.push_back(index);
  return Response::kLost;
}

void ZoneWriter::vouch(EntryIndex index, BlobHeader header, ByteView der) {
  if (index < held_.size() && held_[index].response) {
    header.length = static_cast<std::uint32_t>(der.size());
    held_[index].sum = sum_of(header, der.data());
  }
}

}  // namespace ocsp_plus::store
