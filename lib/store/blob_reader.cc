#include "store/blob_reader.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <tuple>

#include "store/layout.h"

namespace ocsp_plus::store {
namespace {

// A failed try means that a writer has replaced the response meanwhile.
constexpr int kTries = 16;

// Makes reading without a lock sound, as in a seqlock whose sequence number is the entry's word:
//
// - Publishing: the writer writes the bytes, then stores the word with release. A reader that loads that word with
//   acquire sees all the bytes.
// - Reusing the space: the writer does so only after the word has changed, with a release fence between the change
//   and the first new byte (WriterState::write). A reader that has copied even one such byte and then passes the
//   acquire fence below therefore sees the changed word. If the word has not changed, no byte was new.
// - The word never returns to an earlier value: its upper half grows with each version (Entry::versions).
bool unmoved(const std::atomic<std::uint64_t>& word, std::uint64_t seen) noexcept {
  std::atomic_thread_fence(std::memory_order_acquire);
  return word.load(std::memory_order_relaxed) == seen;
}

std::size_t blob_offset(std::uint64_t word) noexcept {
  return static_cast<std::size_t>(word & UINT32_MAX) * kBlobAlign;
}

// Returns whether a blob of `length` bytes of DER may lie there.
bool fits(const StapleZone& zone, std::uint64_t word, std::uint32_t length) noexcept {
  const std::size_t offset = blob_offset(word);
  return length != 0 && length <= kMaxBlobLength && offset <= zone.arena_bytes() &&
         zone.arena_bytes() - offset >= sizeof(BlobHeader) + length;
}

// Compares as == does, but word by word: 32 bytes at once would have to wait for the two halves just copied.
bool same(const CertificateId& a, const CertificateId& b) noexcept {
  std::uint64_t differ = 0;
  for (std::size_t i = 0; i < a.size(); i += sizeof(differ)) {
    std::uint64_t left = 0, right = 0;
    std::memcpy(&left, &a[i], sizeof(left));
    std::memcpy(&right, &b[i], sizeof(right));
    differ |= left ^ right;
  }
  return differ == 0;
}

void read_ref(const StapleZone& zone, EntryIndex index, BlobKind kind, BlobRefs* refs) {
  const Entry& entry = zone.entry(index);
  const std::uint64_t word = word_of(zone, index, kind).load(std::memory_order_acquire);
  if (word == 0) {
    return;
  }
  BlobHeader header;
  const bool valid = word >> 32 != 0 && entry.generation.load(std::memory_order_relaxed) != 0 &&
                     load_blob_header(zone, word, kind == BlobKind::kIssuer ? nullptr : &entry.id, &header);
  if (valid) {
    refs->valid.push_back({{static_cast<std::uint32_t>(word), units_for(header.length)}, index, kind, word});
  } else {
    refs->invalid.push_back({{}, index, kind, word});
  }
}

bool same_issuer(const BlobRef& a, const BlobRef& b) {
  return a.kind == BlobKind::kIssuer && b.kind == BlobKind::kIssuer && a.range.offset == b.range.offset &&
         a.range.units == b.range.units;
}

// Moves refs that overlap to the invalid ones: the space of one may be the other's by now, so none can be trusted.
void reject_overlapping(BlobRefs* refs) {
  std::vector<BlobRef>& valid = refs->valid;
  std::sort(valid.begin(), valid.end(), [](const BlobRef& a, const BlobRef& b) {
    return std::tie(a.range.offset, a.range.units, a.kind) < std::tie(b.range.offset, b.range.units, b.kind);
  });
  std::vector<std::size_t> first(valid.size());  // the first ref to the same issuer
  std::vector<bool> bad(valid.size(), false);    // by the first ref
  std::size_t reaching = 0;                      // the ref that reaches furthest so far
  const auto end = [&](std::size_t i) { return valid[i].range.offset + valid[i].range.units; };
  for (std::size_t i = 1; i < valid.size(); ++i) {
    first[i] = same_issuer(valid[i - 1], valid[i]) ? first[i - 1] : i;
    if (first[i] == i && valid[i].range.offset < end(reaching)) {
      bad[i] = bad[first[reaching]] = true;
    }
    reaching = end(i) > end(reaching) ? i : reaching;
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < valid.size(); ++i) {
    if (bad[first[i]]) {
      refs->invalid.push_back(valid[i]);
    } else {
      valid[kept++] = valid[i];
    }
  }
  valid.resize(kept);
}

}  // namespace

std::uint32_t units_for(std::size_t length) noexcept {
  return static_cast<std::uint32_t>((sizeof(BlobHeader) + length + kBlobAlign - 1) / kBlobAlign);
}

bool load_blob_header(const StapleZone& zone, std::uint64_t word, const CertificateId* id, BlobHeader* out) noexcept {
  if (!fits(zone, word, 1)) {
    return false;
  }
  std::memcpy(out, zone.blob(word), sizeof(BlobHeader));
  // The compiler must not read a field again from the shared bytes after it has checked it.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return fits(zone, word, out->length) && (id == nullptr || same(out->id, *id));
}

std::optional<BlobHeader> peek_blob(const StapleZone& zone, const std::atomic<std::uint64_t>& word,
                                    const CertificateId& id) noexcept {
  for (int tries = 0; tries < kTries; ++tries) {
    BlobHeader header;
    const std::uint64_t seen = word.load(std::memory_order_acquire);
    const bool valid = seen != 0 && load_blob_header(zone, seen, &id, &header);
    if (unmoved(word, seen)) {
      return valid ? std::optional(header) : std::nullopt;
    }
  }
  return std::nullopt;
}

// Copies the bytes before it looks at the header, by the length that the entry has: so the processor fetches both at
// the same time. If the two lengths differ, the header decides, and the bytes are copied again.
StapleZone::Read copy_blob(const StapleZone& zone, const BlobWord& from, const CertificateId* id,
                           StapleZone::Allocate allocate, StapleZone::Release release,
                           StapleZone::Copy* out) noexcept {
  const auto expected = [&from] { return from.length == nullptr ? 0 : from.length->load(std::memory_order_relaxed); };
  std::uint32_t length = expected();
  for (int tries = 0; tries < kTries; ++tries) {
    const std::uint64_t seen = from.word.load(std::memory_order_acquire);
    if (seen == 0) {
      return StapleZone::Read::kNone;
    }
    void* data = nullptr;
    if (fits(zone, seen, length)) {
      if (data = allocate(length); data == nullptr) {
        return StapleZone::Read::kOutOfMemory;
      }
      std::memcpy(data, zone.blob(seen) + sizeof(BlobHeader), length);
    }
    const bool valid = load_blob_header(zone, seen, id, &out->header);
    const bool settled = unmoved(from.word, seen);
    if (settled && valid && data != nullptr && out->header.length == length) {
      out->data = data;
      out->place = static_cast<std::uint32_t>(seen);
      return StapleZone::Read::kCopied;
    }
    if (data != nullptr) {
      release(data);
    }
    if (settled && !valid) {
      return StapleZone::Read::kNone;
    }
    length = settled ? out->header.length : expected();
  }
  return StapleZone::Read::kNone;
}

std::optional<Bytes> read_blob(const StapleZone& zone, const BlobWord& from, const CertificateId* id,
                               BlobHeader* header) {
  StapleZone::Copy copied;
  if (copy_blob(zone, from, id, std::malloc, std::free, &copied) != StapleZone::Read::kCopied) {
    return std::nullopt;
  }
  const std::unique_ptr<void, StapleZone::Release> owner(copied.data, std::free);
  if (header != nullptr) {
    *header = copied.header;
  }
  const auto* bytes = static_cast<const std::uint8_t*>(copied.data);
  return Bytes(bytes, bytes + copied.header.length);
}

std::atomic<std::uint64_t>& word_of(const StapleZone& zone, EntryIndex entry, BlobKind kind) noexcept {
  switch (kind) {
    case BlobKind::kLeaf:
      return zone.entry(entry).leaf;
    case BlobKind::kIssuer:
      return zone.entry(entry).issuer;
    case BlobKind::kResponse:
      break;
  }
  return zone.entry(entry).word;
}

BlobRefs read_blob_refs(const StapleZone& zone) {
  BlobRefs refs;
  for (EntryIndex i = 0; i < zone.entries_used(); ++i) {
    read_ref(zone, i, BlobKind::kResponse, &refs);
    // The words of a free entry may be left over from a process that was killed.
    if (zone.entry(i).generation.load(std::memory_order_relaxed) != 0) {
      read_ref(zone, i, BlobKind::kLeaf, &refs);
      read_ref(zone, i, BlobKind::kIssuer, &refs);
    }
  }
  reject_overlapping(&refs);
  return refs;
}

}  // namespace ocsp_plus::store
