#include "store/staple_zone.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "store/zone_index.h"

namespace ocsp_plus::store {
namespace {

constexpr std::size_t kAlign = 64;
constexpr int kTries =
    16;  // of a reader; each one that fails means that a writer has replaced the response meanwhile

bool aligned(const void* base) {
  return base != nullptr && reinterpret_cast<std::uintptr_t>(base) % kAlign == 0;
}

// How reading without a lock is sound, as in a seqlock whose sequence number is the entry's word:
//
// - Publishing: the bytes are written, then the word is stored with release. Who loads that word with acquire sees
// all
//   the bytes.
// - Reusing the space: it happens only after the word has moved on, and the writer puts a release fence between that
//   and the first new byte (ZoneWriter::write). A reader that has copied even one such byte and then passes the
//   acquire fence below therefore sees the word moved. If it has not moved, no byte was new.
// - The word cannot come back to a value it had: its upper half grows with each version (Entry::versions).
bool unmoved(const std::atomic<std::uint64_t>& word, std::uint64_t seen) noexcept {
  std::atomic_thread_fence(std::memory_order_acquire);
  return word.load(std::memory_order_relaxed) == seen;
}

std::size_t blob_offset(std::uint64_t word) noexcept {
  return static_cast<std::size_t>(word & UINT32_MAX) * kBlobAlign;
}

// As ==, but eight bytes at a time: the id has just been copied in pieces, and a processor that reads more at once
// than was written at once waits until all of it has left for the cache.
bool same_id(const CertificateId& a, const CertificateId& b) noexcept {
  std::uint64_t difference = 0;
  for (std::size_t i = 0; i < sizeof(CertificateId); i += sizeof(std::uint64_t)) {
    std::uint64_t words[2];
    std::memcpy(&words[0], a.data() + i, sizeof(words[0]));
    std::memcpy(&words[1], b.data() + i, sizeof(words[1]));
    difference |= words[0] ^ words[1];
  }
  return difference == 0;
}

enum class Try { kDone, kMoved, kFailed };

// Calls use(word) once `header` is whole; use() answers kMoved for another try.
template <typename Use>
StapleZone::Read with_blob(const StapleZone& zone, const std::atomic<std::uint64_t>& word, const CertificateId* id,
                           BlobHeader* header, Use use) noexcept {
  for (int tries = 0; tries < kTries; ++tries) {
    const std::uint64_t seen = word.load(std::memory_order_acquire);
    if (seen == 0) {
      return StapleZone::Read::kNone;
    }
    const bool sound = zone.blob_header(seen, id, header);
    if (!unmoved(word, seen)) {
      continue;
    }
    if (!sound) {
      return StapleZone::Read::kNone;
    }
    const Try outcome = use(seen);
    if (outcome != Try::kMoved) {
      return outcome == Try::kDone ? StapleZone::Read::kCopied : StapleZone::Read::kOutOfMemory;
    }
  }
  return StapleZone::Read::kNone;
}

}  // namespace

Result<StapleZone> StapleZone::format(void* base, std::size_t size, Memory memory) {
  if (!aligned(base)) {
    return fail(Reason::kInvalidArgument, "the zone is not aligned to 64 bytes");
  }
  const Geometry geometry = Geometry::of(size);
  if (geometry.capacity == 0) {
    return fail(Reason::kZoneFull,
                fmt::format("a zone of {} bytes holds nothing; {} bytes are the least", size, required_size(1)));
  }
  StapleZone zone(static_cast<std::uint8_t*>(base), geometry);
  zone.header().magic.store(0, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  // Entries need no clearing: none is looked at before register_all() has written it. Nor does the arena.
  const std::size_t from = sizeof(Header::magic);
  const std::size_t to = memory == Memory::kZeroed ? geometry.index : geometry.entries;
  std::memset(zone.base_ + from, 0, to - from);
  zone.header().layout_version = kLayoutVersion;
  zone.header().size = size;
  zone.header().magic.store(kMagic, std::memory_order_release);
  return zone;
}

Result<StapleZone> StapleZone::attach(void* base, std::size_t size) {
  const Geometry geometry = Geometry::of(size);
  if (!aligned(base) || geometry.capacity == 0) {
    return fail(Reason::kInvalidArgument, "the memory cannot be a zone: too small or not aligned to 64 bytes");
  }
  StapleZone zone(static_cast<std::uint8_t*>(base), geometry);
  if (zone.header().magic.load(std::memory_order_acquire) != kMagic) {
    return fail(Reason::kInvalidArgument, "the memory holds no zone");
  }
  if (zone.header().layout_version != kLayoutVersion || zone.header().size != size) {
    return fail(Reason::kInvalidArgument,
                fmt::format("the zone is of layout {} and {} bytes, not of layout {} and {} bytes",
                            zone.header().layout_version, zone.header().size, kLayoutVersion, size));
  }
  return zone;
}

EntryIndex StapleZone::find(const CertificateId& id) const noexcept {
  return ZoneIndex(*this).find(id);
}

bool StapleZone::blob_header(std::uint64_t word, const CertificateId* id, BlobHeader* out) const noexcept {
  const std::size_t offset = blob_offset(word);
  if (offset > geometry_.arena_bytes || geometry_.arena_bytes - offset < sizeof(BlobHeader)) {
    return false;
  }
  std::memcpy(out, arena() + offset, sizeof(BlobHeader));
  // The compiler must not go back to the shared bytes for a field that it has already checked.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  const std::size_t room = geometry_.arena_bytes - offset - sizeof(BlobHeader);
  return out->length != 0 && out->length <= kMaxBlobLength && out->length <= room &&
         (id == nullptr || same_id(out->id, *id));
}

StapleZone::Read StapleZone::copy_blob(const std::atomic<std::uint64_t>& word, const CertificateId* id,
                                       Allocate allocate, Release release, Copy* out) const noexcept {
  return with_blob(*this, word, id, &out->header, [&](std::uint64_t seen) {
    const std::uint32_t length = out->header.length;
    void* data = allocate(length);
    if (data == nullptr) {
      return Try::kFailed;
    }
    std::memcpy(data, arena() + blob_offset(seen) + sizeof(BlobHeader), length);
    if (!unmoved(word, seen)) {
      release(data);
      return Try::kMoved;
    }
    out->data = data;
    return Try::kDone;
  });
}

std::optional<Bytes> StapleZone::read_blob(const std::atomic<std::uint64_t>& word, const CertificateId* id,
                                           BlobHeader* header) const {
  Copy copied;
  if (copy_blob(word, id, std::malloc, std::free, &copied) != Read::kCopied) {
    return std::nullopt;
  }
  const std::unique_ptr<void, Release> owner(copied.data, std::free);
  if (header != nullptr) {
    *header = copied.header;
  }
  const auto* bytes = static_cast<const std::uint8_t*>(copied.data);
  return Bytes(bytes, bytes + copied.header.length);
}

StapleZone::Read StapleZone::copy(EntryIndex index, const CertificateId& id, Allocate allocate, Release release,
                                  Copy* out) const noexcept {
  return index < capacity() ? copy_blob(entry(index).word, &id, allocate, release, out) : Read::kNone;
}

std::optional<BlobHeader> StapleZone::peek(EntryIndex index, const CertificateId& id) const noexcept {
  std::optional<BlobHeader> found(std::in_place);
  if (index >= capacity() ||
      with_blob(*this, entry(index).word, &id, &*found, [](std::uint64_t) { return Try::kDone; }) != Read::kCopied) {
    found.reset();
  }
  return found;
}

std::optional<Bytes> StapleZone::read(EntryIndex index, const CertificateId& id, BlobHeader* header) const {
  return index < capacity() ? read_blob(entry(index).word, &id, header) : std::nullopt;
}

std::optional<Bytes> StapleZone::leaf(EntryIndex index, const CertificateId& id) const {
  return index < capacity() ? read_blob(loaded_words(index).leaf, &id, nullptr) : std::nullopt;
}

std::optional<Bytes> StapleZone::issuer(EntryIndex index, BlobHeader* header) const {
  return index < capacity() ? read_blob(loaded_words(index).issuer, nullptr, header) : std::nullopt;
}

std::optional<StapleZone::LoadedState> StapleZone::loaded(EntryIndex index) const noexcept {
  if (index >= entries_used() || entry(index).generation.load(std::memory_order_acquire) == 0) {
    return std::nullopt;
  }
  const Loaded& from = loaded_words(index);
  if (from.leaf.load(std::memory_order_acquire) == 0 ||
      from.generation.load(std::memory_order_relaxed) != entry(index).generation.load(std::memory_order_relaxed)) {
    return std::nullopt;
  }
  return LoadedState{from.profile.load(std::memory_order_relaxed), from.used.load(std::memory_order_relaxed),
                     from.issuer.load(std::memory_order_relaxed) != 0};
}

void StapleZone::note_use(EntryIndex index, UnixSeconds now) const noexcept {
  if (index >= capacity()) {
    return;
  }
  std::atomic<std::uint32_t>& used = loaded_words(index).used;
  const UnixSeconds before = used.load(std::memory_order_relaxed);
  if (now >= before + kUsedStep || now < before) {
    used.store(static_cast<std::uint32_t>(now), std::memory_order_relaxed);
  }
}

void StapleZone::set_profile(EntryIndex index, std::uint64_t profile) const noexcept {
  if (index < capacity()) {
    loaded_words(index).profile.store(profile, std::memory_order_relaxed);
  }
}

Attempt StapleZone::attempt(EntryIndex index) const noexcept {
  Attempt attempt;
  if (index >= capacity()) {
    return attempt;
  }
  const Entry& from = entry(index);
  attempt.at = from.attempted_at.load(std::memory_order_relaxed);
  attempt.next = from.next_attempt.load(std::memory_order_relaxed);
  attempt.succeeded_at = from.succeeded_at.load(std::memory_order_relaxed);
  attempt.began = from.attempt_began.load(std::memory_order_relaxed);
  attempt.failures = from.failures.load(std::memory_order_relaxed);
  attempt.responder = from.responder.load(std::memory_order_relaxed);
  attempt.reason = static_cast<Reason>(from.reason.load(std::memory_order_relaxed));
  return attempt;
}

void StapleZone::set_attempt(EntryIndex index, const Attempt& attempt) noexcept {
  if (index >= capacity()) {
    return;
  }
  Entry& to = entry(index);
  to.attempted_at.store(attempt.at, std::memory_order_relaxed);
  to.next_attempt.store(attempt.next, std::memory_order_relaxed);
  to.succeeded_at.store(attempt.succeeded_at, std::memory_order_relaxed);
  to.attempt_began.store(attempt.began, std::memory_order_relaxed);
  to.failures.store(attempt.failures, std::memory_order_relaxed);
  to.responder.store(attempt.responder, std::memory_order_relaxed);
  to.reason.store(static_cast<std::uint32_t>(attempt.reason), std::memory_order_relaxed);
}

UnixSeconds StapleZone::confirmed_at(EntryIndex index, const BlobHeader& held, UnixSeconds now) const noexcept {
  const UnixSeconds time = index < capacity() ? entry(index).confirmed_at.load(std::memory_order_relaxed) : 0;
  return time < held.this_update || time > now ? held.this_update : time;
}

void StapleZone::set_confirmed_at(EntryIndex index, UnixSeconds time) noexcept {
  if (index < capacity()) {
    entry(index).confirmed_at.store(time, std::memory_order_relaxed);
  }
}

HandshakeCounters& StapleZone::handshakes(std::uint32_t worker) const noexcept {
  return at<HandshakeCounters>(geometry_.counters, worker % kCounterSlots);
}

StapleZone::HandshakeTotals StapleZone::handshake_totals() const noexcept {
  HandshakeTotals totals;
  for (std::uint32_t slot = 0; slot < kCounterSlots; ++slot) {
    const HandshakeCounters& counters = handshakes(slot);
    totals.stapled += counters.stapled.load(std::memory_order_relaxed);
    totals.missing += counters.missing.load(std::memory_order_relaxed);
    totals.refused += counters.refused.load(std::memory_order_relaxed);
    totals.foreign += counters.foreign.load(std::memory_order_relaxed);
    totals.replaced += counters.replaced.load(std::memory_order_relaxed);
  }
  return totals;
}

void StapleZone::count_stapled(EntryIndex index) noexcept {
  if (index < capacity()) {
    entry(index).stapled.fetch_add(1, std::memory_order_relaxed);
  }
}

std::uint64_t StapleZone::stapled(EntryIndex index) const noexcept {
  return index < capacity() ? entry(index).stapled.load(std::memory_order_relaxed) : 0;
}

std::uint32_t StapleZone::generation() const noexcept {
  return header().generation.load(std::memory_order_acquire);
}

std::uint32_t StapleZone::entries_used() const noexcept {
  return std::min(header().entries.load(std::memory_order_acquire), capacity());
}

Header& StapleZone::header() const noexcept {
  return at<Header>(0);
}

SharedStats& StapleZone::stats() const noexcept {
  return at<SharedStats>(geometry_.stats);
}

HostSlot& StapleZone::host_slot(std::uint32_t slot) const noexcept {
  return at<HostSlot>(geometry_.hosts, slot);
}

MethodSlot& StapleZone::method_slot(std::uint32_t slot) const noexcept {
  return at<MethodSlot>(geometry_.methods, slot);
}

OfferSlot& StapleZone::offer_slot(std::uint32_t slot) const noexcept {
  const std::size_t bytes = offer_slot_bytes(slot);
  return slot < geometry_.offer_slots
             ? at<OfferSlot>(geometry_.offers + slot * (sizeof(OfferSlot) + bytes))
             : at<OfferSlot>(geometry_.large_offers + (slot - geometry_.offer_slots) * (sizeof(OfferSlot) + bytes));
}

std::size_t StapleZone::offer_slot_bytes(std::uint32_t slot) const noexcept {
  return slot < geometry_.offer_slots ? kOfferBytes : geometry_.large_offer_bytes;
}

Loaded& StapleZone::loaded_words(EntryIndex index) const noexcept {
  return at<Loaded>(geometry_.loaded, index);
}

Detail& StapleZone::detail_words(EntryIndex index) const noexcept {
  return at<Detail>(geometry_.details, index);
}

Entry& StapleZone::entry(EntryIndex index) const noexcept {
  return at<Entry>(geometry_.entries, index);
}

IndexSlot& StapleZone::index_slot(std::uint32_t slot) const noexcept {
  return at<IndexSlot>(geometry_.index, slot);
}

WorkerSlot& StapleZone::worker_slot(std::size_t slot) const noexcept {
  return at<WorkerSlot>(geometry_.workers, slot);
}

std::uint8_t* StapleZone::arena() const noexcept {
  return base_ + geometry_.arena;
}

}  // namespace ocsp_plus::store
