#include "store/zone_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "store/lease.h"
#include "store/scoped_lock.h"
#include "store/zone_index.h"

namespace ocsp_plus::store {
namespace {

std::uint32_t units_for(std::size_t length) {
  return static_cast<std::uint32_t>((sizeof(BlobHeader) + length + kBlobAlign - 1) / kBlobAlign);
}

// What an entry points to, and the word that says so.
struct Claim {
  ArenaMap::Range range;
  EntryIndex entry;
  std::uint64_t word;
};

// The claims of all entries; those that make no sense go to `doomed`.
std::vector<Claim> read_claims(const StapleZone& zone, std::vector<std::pair<EntryIndex, std::uint64_t>>* doomed) {
  std::vector<Claim> claims;
  for (EntryIndex i = 0; i < zone.entries_used(); ++i) {
    const Entry& entry = zone.entry(i);
    const std::uint64_t word = entry.word.load(std::memory_order_acquire);
    if (word == 0) {
      continue;
    }
    BlobHeader header;
    const bool sound = word >> 32 != 0 && entry.generation.load(std::memory_order_relaxed) != 0 &&
                       zone.blob_header(word, entry.id, &header);
    if (sound) {
      claims.push_back({{static_cast<std::uint32_t>(word), units_for(header.length)}, i, word});
    } else {
      doomed->emplace_back(i, word);
    }
  }
  return claims;
}

// Of claims that overlap none can be trusted: the space of the one may be the other's by now.
void doom_overlapping(std::vector<Claim>* claims, std::vector<std::pair<EntryIndex, std::uint64_t>>* doomed) {
  std::sort(claims->begin(), claims->end(),
            [](const Claim& a, const Claim& b) { return a.range.offset < b.range.offset; });
  std::vector<bool> bad(claims->size(), false);
  std::size_t reaching = 0;  // the claim that reaches furthest so far
  const auto end = [&](std::size_t i) { return (*claims)[i].range.offset + (*claims)[i].range.units; };
  for (std::size_t i = 1; i < claims->size(); ++i) {
    if ((*claims)[i].range.offset < end(reaching)) {
      bad[i] = bad[reaching] = true;
    }
    reaching = end(i) > end(reaching) ? i : reaching;
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < claims->size(); ++i) {
    if (bad[i]) {
      doomed->emplace_back((*claims)[i].entry, (*claims)[i].word);
    } else {
      (*claims)[kept++] = (*claims)[i];
    }
  }
  claims->resize(kept);
}

// A swing's generation: larger than any that this entry had, never 0.
std::uint32_t next_swing(Entry& entry) {
  const std::uint32_t swings = entry.swings.load(std::memory_order_relaxed);
  const auto held = static_cast<std::uint32_t>(entry.word.load(std::memory_order_relaxed) >> 32);
  const std::uint32_t next = std::max(swings, held) + 1;
  return next == 0 ? 1 : next;
}

// Clears the word and keeps its generation in mind.
void clear_word(Entry& entry) {
  const auto held = static_cast<std::uint32_t>(entry.word.load(std::memory_order_relaxed) >> 32);
  entry.swings.store(std::max(entry.swings.load(std::memory_order_relaxed), held), std::memory_order_relaxed);
  entry.word.store(0, std::memory_order_release);
}

}  // namespace

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
  doomed_.clear();
  grace_.clear();
  std::vector<Claim> claims = read_claims(zone_, &doomed_);
  doom_overlapping(&claims, &doomed_);
  held_.assign(zone_.entries_used(), {});
  std::vector<ArenaMap::Range> used;
  used.reserve(claims.size());
  for (const Claim& claim : claims) {
    hold(claim.entry, claim.range);
    used.push_back(claim.range);
  }
  arena_.rebuild(used);
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
  drop_doomed();
  end_grace(clock_.monotonic());
  return {};
}

void ZoneWriter::drop_doomed() {
  for (const auto& [index, seen] : doomed_) {
    std::uint64_t word = seen;
    zone_.entry(index).word.compare_exchange_strong(word, 0, std::memory_order_release);
  }
  doomed_.clear();
}

void ZoneWriter::end_grace(Millis now) {
  while (!grace_.empty() && grace_.front().until <= now) {
    arena_.release(grace_.front().range);
    grace_.pop_front();
  }
}

// Ends the grace of what was replaced longest ago, as far as needed.
ArenaMap::Range ZoneWriter::make_room(std::uint32_t units) {
  ArenaMap::Range range = arena_.allocate(units);
  while (!range && !grace_.empty()) {
    arena_.release(grace_.front().range);
    grace_.pop_front();
    range = arena_.allocate(units);
  }
  // A registration may have cleared words, whose space we would otherwise count as used for ever.
  if (!range && rebuilt_at_ != zone_.generation()) {
    rebuild();
    drop_doomed();
    range = arena_.allocate(units);
  }
  return range;
}

// Notes what the entry holds from now on; what it held goes into its grace period.
void ZoneWriter::hold(EntryIndex entry, ArenaMap::Range range) {
  if (entry >= held_.size()) {
    held_.resize(entry + 1);
  }
  if (held_[entry]) {
    grace_.push_back({saturating_add(clock_.monotonic(), kGrace), held_[entry]});
  }
  held_[entry] = range;
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
  const std::uint32_t swing = next_swing(entry);
  hold(index, range);
  write(range, header, der);
  entry.swings.store(swing, std::memory_order_relaxed);
  entry.word.store(std::uint64_t{swing} << 32 | range.offset, std::memory_order_release);
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
    if (generation == 0 || generation >= oldest_living || generation == newest) {
      continue;
    }
    // Free only after nothing names it any more.
    clear_word(entry);
    hold(i, {});
    ZoneIndex(zone_).remove(i);
    entry.generation.store(0, std::memory_order_release);
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

std::size_t copy_responses(const StapleZone& from, StapleZone& to, SharedLock& lock_of_to, const Clock& clock) {
  // Nobody else uses `to`: whoever its lease names, a fresh zone's nobody, is as good as us.
  const LeaseHolder holder = lease_holder(to);
  ZoneWriter writer(to, lock_of_to, clock, holder.epoch, holder.pid);
  std::size_t copied = 0;
  for (EntryIndex i = 0; i < to.entries_used(); ++i) {
    const CertificateId id = to.entry(i).id;
    const EntryIndex source = from.find(id);
    if (source == kNoEntry) {
      continue;
    }
    if (to.entry(i).issuer_key == kUnknownIssuer) {
      to.entry(i).issuer_key = from.entry(source).issuer_key;  // was fetched
    }
    if (from.entry(source).issuer_key != to.entry(i).issuer_key) {
      continue;
    }
    to.set_attempt(i, from.attempt(source));
    BlobHeader header;
    const std::optional<Bytes> der = from.read(source, id, &header);
    if (der && writer.publish(i, header, *der)) {
      ++copied;
    }
  }
  return copied;
}

}  // namespace ocsp_plus::store
