#include "store/zone_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "store/blob_word.h"
#include "store/lease.h"
#include "store/scoped_lock.h"
#include "store/zone_index.h"

namespace ocsp_plus::store {

ZoneWriter::ZoneWriter(const StapleZone& zone, SharedLock& lock, const Clock& clock, std::uint32_t epoch,
                       std::int32_t pid)
    : zone_(zone),
      lock_(lock),
      clock_(clock),
      lease_word_(std::uint64_t{epoch} << 32 | static_cast<std::uint32_t>(pid)),
      arena_(static_cast<std::uint32_t>(zone.geometry().arena_bytes / kBlobAlign)) {
  rebuild();
}

void ZoneWriter::rebuild() {
  rebuilt_at_ = zone_.generation();
  grace_.clear();
  grace_units_ = 0;
  BlobRefs refs = read_blob_refs(zone_);
  invalid_ = std::move(refs.invalid);
  const std::vector<Held> before = std::exchange(held_, std::vector<Held>(zone_.entries_used()));
  issuers_.clear();
  issuer_offsets_.clear();
  loaded_units_ = 0;
  std::vector<ArenaMap::Range> used;
  used.reserve(refs.valid.size());
  for (const BlobRef& ref : refs.valid) {
    if (ref.kind != BlobKind::kIssuer) {
      (ref.kind == BlobKind::kLeaf ? held_[ref.entry].leaf : held_[ref.entry].response) = ref.range;
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
    loaded_units_ += held.leaf ? held.leaf.units + held.response.units : 0;
  }
  arena_.rebuild(used);
  find_free();
}

// What every locked operation begins with.
Result<void> ZoneWriter::begin(bool locked) {
  if (!locked) {
    return fail(Reason::kZoneBusy, "another process is writing to the zone");
  }
  // The lease changes hands under the lock only, so what is true here stays true until the lock is given back.
  if (zone_.header().lease.word.load(std::memory_order_acquire) != lease_word_) {
    return fail(Reason::kLeaseLost, "another process has become the designated one");
  }
  drop_invalid();
  end_grace(clock_.monotonic());
  return {};
}

void ZoneWriter::drop_invalid() {
  for (const BlobRef& ref : invalid_) {
    std::uint64_t word = ref.word;
    if (word_of(zone_, ref.entry, ref.kind).compare_exchange_strong(word, 0, std::memory_order_release) &&
        ref.kind == BlobKind::kResponse) {
      lost_.push_back(ref.entry);
    }
  }
  invalid_.clear();
}

void ZoneWriter::release_first_in_grace() {
  grace_units_ -= grace_.front().range.units;
  arena_.release(grace_.front().range);
  grace_.pop_front();
}

void ZoneWriter::end_grace(Millis now) {
  while (!grace_.empty() && grace_.front().until <= now) {
    release_first_in_grace();
  }
}

// Ends the grace of what was replaced longest ago, as far as needed.
ArenaMap::Range ZoneWriter::make_room(std::uint32_t units) {
  ArenaMap::Range range = arena_.allocate(units);
  while (!range && !grace_.empty()) {
    release_first_in_grace();
    range = arena_.allocate(units);
  }
  // A registration may have cleared words, whose space we would otherwise count as used for ever.
  if (!range && rebuilt_at_ != zone_.generation()) {
    rebuild();
    drop_invalid();
    range = arena_.allocate(units);
  }
  return range;
}

void ZoneWriter::retire(ArenaMap::Range range) {
  if (range) {
    grace_.push_back({saturating_add(clock_.monotonic(), kGrace), range});
    grace_units_ += range.units;
  }
}

// Notes what the entry holds from now on; what it held goes into its grace period.
void ZoneWriter::hold(EntryIndex entry, ArenaMap::Range range) {
  if (entry >= held_.size()) {
    held_.resize(entry + 1);
  }
  Held& held = held_[entry];
  retire(held.response);
  if (held.leaf) {
    loaded_units_ = loaded_units_ - held.response.units + range.units;
  }
  held.response = range;
  held.sum = 0;
}

void ZoneWriter::write(ArenaMap::Range range, const BlobHeader& header, ByteView der) {
  // Orders the new bytes behind the word that gave this space free: see unmoved() in staple_zone.cc.
  std::atomic_thread_fence(std::memory_order_release);
  std::uint8_t* to = zone_.arena() + std::size_t{range.offset} * kBlobAlign;
  std::memcpy(to, &header, sizeof(header));
  std::memcpy(to + sizeof(header), der.data(), der.size());
}

Result<void> ZoneWriter::publish(EntryIndex index, BlobHeader header, ByteView der) {
  if (index >= zone_.capacity() || der.empty() || der.size() > kMaxBlobLength) {
    return fail(Reason::kInvalidArgument, fmt::format("entry {}: {} bytes are no response", index, der.size()));
  }
  const ScopedLock scope(lock_);
  if (auto ready = begin(scope.held()); !ready) {
    return ready;
  }
  Entry& entry = zone_.entry(index);
  if (index >= zone_.entries_used() || entry.generation.load(std::memory_order_relaxed) == 0 ||
      entry.id != header.id || entry.issuer_key != header.issuer_key) {
    return fail(Reason::kInvalidArgument,
                fmt::format("entry {} belongs to another certificate or issuer key", index));
  }
  header.length = static_cast<std::uint32_t>(der.size());
  const ArenaMap::Range range = make_room(units_for(der.size()));
  if (!range) {
    return fail(Reason::kZoneFull, fmt::format("no room for {} bytes among {} free ones in a zone of {} bytes",
                                               der.size(), bytes_free(), zone_.size()));
  }
  const std::uint32_t version = next_version(entry);
  hold(index, range);
  write(range, header, der);
  vouch(index, header, der);
  entry.versions.store(version, std::memory_order_relaxed);
  entry.word.store(std::uint64_t{version} << 32 | range.offset, std::memory_order_release);
  return {};
}

Result<void> ZoneWriter::set_issuer_key(EntryIndex index, const CertificateId& id, const IssuerKey& key) {
  const ScopedLock scope(lock_);
  if (auto ready = begin(scope.held()); !ready) {
    return ready;
  }
  if (index >= zone_.entries_used() || zone_.entry(index).generation.load(std::memory_order_relaxed) == 0 ||
      zone_.entry(index).id != id) {
    return fail(Reason::kInvalidArgument, fmt::format("entry {} belongs to another certificate", index));
  }
  Entry& entry = zone_.entry(index);
  if (entry.issuer_key == key) {
    return {};
  }
  if (entry.issuer_key != kUnknownIssuer) {
    // The lease is ours, so the generation in it is ours as well.
    if (zone_.header().lease.generation.load(std::memory_order_relaxed) != zone_.generation()) {
      return fail(Reason::kInvalidArgument,
                  fmt::format("a newer configuration knows another issuer of entry {}", index));
    }
    clear_word(entry);
    hold(index, {});
  }
  entry.issuer_key = key;
  return {};
}

Result<void> ZoneWriter::drop(EntryIndex index) {
  const ScopedLock scope(lock_);
  if (auto ready = begin(scope.held()); !ready) {
    return ready;
  }
  if (index >= zone_.entries_used()) {
    return fail(Reason::kInvalidArgument, fmt::format("there is no entry {}", index));
  }
  clear_word(zone_.entry(index));
  hold(index, {});
  return {};
}

// Free only after nothing names it any more.
void ZoneWriter::remove(EntryIndex index) {
  clear_word(zone_.entry(index));
  hold(index, {});
  ZoneIndex(zone_).remove(index);
  zone_.entry(index).generation.store(0, std::memory_order_release);
  unload(index);
  free_.push_back(index);
}

Result<std::size_t> ZoneWriter::remove_stale(std::uint32_t oldest_living) {
  const ScopedLock scope(lock_);
  if (auto ready = begin(scope.held()); !ready) {
    return tl::unexpected<Error>(ready.error());
  }
  const std::uint32_t newest = zone_.generation();
  std::size_t removed = 0;
  for (EntryIndex i = 0; i < zone_.entries_used(); ++i) {
    Entry& entry = zone_.entry(i);
    const std::uint32_t generation = entry.generation.load(std::memory_order_relaxed);
    if (generation == 0 || generation >= oldest_living || generation == newest || owns(i)) {
      continue;
    }
    if (zone_.loaded(i).has_value()) {
      continue;  // no configuration's business
    }
    remove(i);
    ++removed;
  }
  return removed;
}

std::size_t ZoneWriter::bytes_used() const {
  return std::size_t{arena_.total_units() - arena_.free_units()} * kBlobAlign;
}

std::size_t ZoneWriter::bytes_free() const {
  return std::size_t{arena_.free_units()} * kBlobAlign;
}

std::size_t ZoneWriter::bytes_in_grace() const {
  return grace_units_ * kBlobAlign;
}

}  // namespace ocsp_plus::store
