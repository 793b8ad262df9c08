#include "store/writer_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "store/entry_state.h"
#include "store/layout.h"

namespace ocsp_plus::store {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

// Returns the checksum of a response, never 0.
std::uint64_t sum_of(const BlobHeader& header, const std::uint8_t* der) {
  std::uint8_t bytes[sizeof(header)];
  std::memcpy(bytes, &header, sizeof(header));
  return std::max<std::uint64_t>(checksum({der, header.length}, checksum({bytes, sizeof(bytes)})), 1);
}

bool is_untouched(const Entry& entry) {
  return entry.generation.load(kRelaxed) == 0 && entry.id == CertificateId{};
}

}  // namespace

WriterState::WriterState(const StapleZone& zone, SharedLock& lock, const Clock& clock, std::uint32_t epoch,
                         std::int32_t pid)
    : zone_(zone),
      lock_(lock),
      clock_(clock),
      lease_word_(pid_word(epoch, pid)),
      arena_(static_cast<std::uint32_t>(zone.arena_bytes() / kBlobAlign)) {
  rebuild();
}

void WriterState::rebuild() {
  rebuilt_at_ = zone_.generation();
  BlobRefs refs = read_blob_refs(zone_);
  invalid_ = std::move(refs.invalid);
  // A high-water mark that was written over counts entries that no process has ever used.
  std::uint32_t entries = zone_.entries_used();
  while (entries > 0 && is_untouched(zone_.entry(entries - 1))) {
    --entries;
  }
  const std::vector<Held> before = std::exchange(held_, std::vector<Held>(entries));
  issuers_.clear();
  issuer_offsets_.clear();
  per_connection_units_ = 0;
  std::vector<ArenaMap::Range> used;
  used.reserve(refs.valid.size());
  for (const BlobRef& ref : refs.valid) {
    if (ref.kind != BlobKind::kIssuer) {
      (ref.kind == BlobKind::kLeaf ? at(ref.entry).leaf : at(ref.entry).response) = ref.range;
      used.push_back(ref.range);
    } else if (hold_issuer(ref.entry, ref.range)) {
      used.push_back(ref.range);
    }
  }
  for (EntryIndex i = 0; i < std::min(before.size(), held_.size()); ++i) {
    const ArenaMap::Range was = before[i].response, is = held_[i].response;
    held_[i].sum = was.offset == is.offset && was.units == is.units ? before[i].sum : 0;
  }
  for (const Held& held : held_) {
    per_connection_units_ += held.leaf ? held.leaf.units + held.response.units : 0;
  }
  arena_.rebuild(used);
  free_.clear();
  for (EntryIndex i = entries; i-- > 0;) {
    if (zone_.entry(i).generation.load(kRelaxed) == 0) {
      free_.push_back(i);
    }
  }
}

Result<void> WriterState::begin(bool locked) {
  if (!locked) {
    return fail(Reason::kZoneBusy, "another process is writing to the zone");
  }
  // The lease changes hands only under the lock, so what is true here stays true until the lock is released.
  if (zone_.header().lease.word.load(std::memory_order_acquire) != lease_word_) {
    return fail(Reason::kLeaseLost, "another process has become the designated one");
  }
  drop_invalid();
  arena_.end_grace(clock_.monotonic());
  return {};
}

Result<void> WriterState::begin(bool locked, EntryIndex index, const CertificateId& id) {
  RETURN_IF_ERROR(begin(locked));
  if (!zone_.is_used(index) || zone_.entry(index).id != id) {
    return fail(Reason::kInvalidArgument, fmt::format("entry {} belongs to another certificate", index));
  }
  return {};
}

void WriterState::catch_up() {
  if (rebuilt_at_ != zone_.generation()) {
    rebuild();
    drop_invalid();
  }
}

void WriterState::drop_invalid() {
  for (const BlobRef& ref : invalid_) {
    std::uint64_t word = ref.word;
    if (word_of(zone_, ref.entry, ref.kind).compare_exchange_strong(word, 0, std::memory_order_release) &&
        ref.kind == BlobKind::kResponse) {
      lost_.push_back(ref.entry);
    }
  }
  invalid_.clear();
}

// --- what entries hold ---

void WriterState::write(ArenaMap::Range range, const BlobHeader& header, ByteView der) const {
  // Orders the new bytes after the word that freed this space: see unmoved() in blob_reader.cc.
  std::atomic_thread_fence(std::memory_order_release);
  std::uint8_t* to = zone_.blob(range.offset);
  std::memcpy(to, &header, sizeof(header));
  std::memcpy(to + sizeof(header), der.data(), der.size());
}

void WriterState::retire(ArenaMap::Range range) {
  arena_.retire(range, saturating_add(clock_.monotonic(), kGrace));
}

WriterState::Held& WriterState::at(EntryIndex entry) {
  if (entry >= held_.size()) {
    held_.resize(entry + 1);
  }
  return held_[entry];
}

void WriterState::hold(EntryIndex entry, ArenaMap::Range response) {
  Held& held = at(entry);
  retire(held.response);
  if (held.leaf) {
    per_connection_units_ = per_connection_units_ - held.response.units + response.units;
  }
  held.response = response;
  held.sum = 0;
}

void WriterState::drop(EntryIndex index) {
  clear_word(zone_.entry(index));
  hold(index, {});
}

void WriterState::vouch(EntryIndex entry, BlobHeader header, ByteView der) {
  if (entry < held_.size() && held_[entry].response) {
    header.length = static_cast<std::uint32_t>(der.size());
    held_[entry].sum = sum_of(header, der.data());
  }
}

bool WriterState::is_intact(EntryIndex index, const Held& held) const {
  const Entry& entry = zone_.entry(index);
  BlobHeader header;
  return load_blob_header(zone_, held.response.offset, &entry.id, &header) && header.issuer_key == entry.issuer_key &&
         units_for(header.length) == held.response.units &&
         (held.sum == 0 || held.sum == sum_of(header, zone_.blob(held.response.offset) + sizeof(header)));
}

EntryIndex WriterState::take_free() {
  while (!free_.empty()) {
    const EntryIndex index = free_.back();
    free_.pop_back();
    if (zone_.entry(index).generation.load(kRelaxed) == 0) {
      return index;
    }
  }
  return zone_.entries_used() < zone_.capacity() ? zone_.entries_used() : kNoEntry;
}

void WriterState::remove(EntryIndex index) {
  free_entry(zone_, index);
  hold(index, {});
  drop_certificate(index);
  free_.push_back(index);
}

// --- certificates loaded per connection ---

void WriterState::hold_certificate(EntryIndex entry, ArenaMap::Range leaf) {
  Held& held = at(entry);
  held.leaf = leaf;
  per_connection_units_ += leaf.units + held.response.units;
}

bool WriterState::hold_issuer(EntryIndex entry, ArenaMap::Range range) {
  const auto [found, fresh] = issuers_.try_emplace(range.offset);
  SharedIssuer& issuer = found->second;
  if (fresh) {
    BlobHeader header;
    std::memcpy(&header, zone_.blob(range.offset), sizeof(header));
    issuer.range = range;
    issuer.id = header.id;
    issuer_offsets_.emplace(header.id, range.offset);
    per_connection_units_ += range.units;
  }
  ++issuer.users;
  at(entry).issuer = range.offset;
  return fresh;
}

void WriterState::release_issuer(EntryIndex entry) {
  const auto found = issuers_.find(std::exchange(held_[entry].issuer, kNoIssuer));
  if (found == issuers_.end() || --found->second.users > 0) {
    return;
  }
  const auto by_id = issuer_offsets_.find(found->second.id);
  if (by_id != issuer_offsets_.end() && by_id->second == found->first) {
    issuer_offsets_.erase(by_id);
  }
  per_connection_units_ -= found->second.range.units;
  retire(found->second.range);
  issuers_.erase(found);
}

// Compares the bytes as well: another process may have written over them.
std::uint32_t WriterState::find_issuer(const CertificateId& id, ByteView der) const {
  const auto found = issuer_offsets_.find(id);
  BlobHeader header;
  const bool same = found != issuer_offsets_.end() && load_blob_header(zone_, found->second, &id, &header) &&
                    header.length == der.size() &&
                    std::memcmp(zone_.blob(found->second) + sizeof(header), der.data(), der.size()) == 0;
  return same ? found->second : kNoIssuer;
}

void WriterState::drop_certificate(EntryIndex index) {
  Entry& entry = zone_.entry(index);
  entry.leaf.store(0, std::memory_order_release);
  entry.issuer.store(0, std::memory_order_release);
  if (index >= held_.size()) {
    return;
  }
  Held& held = held_[index];
  if (held.leaf) {
    per_connection_units_ -= held.leaf.units + held.response.units;
    retire(held.leaf);
    held.leaf = {};
  }
  release_issuer(index);
}

// --- what the zone should have ---

void WriterState::own(const std::vector<EntryIndex>& entries) {
  own_.assign(zone_.capacity(), false);
  least_entries_ = 0;
  for (const EntryIndex entry : entries) {
    if (entry < own_.size()) {
      own_[entry] = true;
      least_entries_ = std::max(least_entries_, entry + 1);
    }
  }
}

// Only a registration that came after rebuild(), or that a kill has cut short, has entries above the known ones.
std::uint32_t WriterState::high_water_mark() const {
  const std::uint32_t known =
      std::min(std::max(least_entries_, static_cast<std::uint32_t>(held_.size())), zone_.capacity());
  const std::uint32_t newest = zone_.generation();
  std::uint32_t mark = zone_.header().entries.load(kRelaxed);
  if (mark > zone_.capacity()) {
    return known;
  }
  for (; mark > known; --mark) {
    const std::uint32_t generation = zone_.entry(mark - 1).generation.load(kRelaxed);
    if (generation != 0 && (rebuilt_at_ != newest || generation - newest == 1)) {
      break;
    }
  }
  return std::max(mark, known);
}

}  // namespace ocsp_plus::store
