// Reads blobs without a lock: copies them out of the zone, and says which of them its entries point to. For the files
// of this room.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "store/arena_map.h"
#include "store/staple_zone.h"

namespace ocsp_plus::store {

// Units of the arena that a blob of so many bytes of DER takes.
std::uint32_t units_for(std::size_t length) noexcept;

// A word of an entry that points to a blob (as Entry::word).
struct BlobWord {
  const std::atomic<std::uint64_t>& word;
  const std::atomic<std::uint32_t>* length = nullptr;  // Entry::length, where it is the response's
};

// Copies the header of the blob that the word's value points to. False where it lies outside of the arena, is too
// long, or is another certificate's (`id` nullptr: any will do).
bool load_blob_header(const StapleZone& zone, std::uint64_t word, const CertificateId* id, BlobHeader* out) noexcept;

// As StapleZone::copy(), peek() and read().
StapleZone::Read copy_blob(const StapleZone& zone, const BlobWord& from, const CertificateId* id,
                           StapleZone::Allocate allocate, StapleZone::Release release,
                           StapleZone::Copy* out) noexcept;
std::optional<BlobHeader> peek_blob(const StapleZone& zone, const std::atomic<std::uint64_t>& word,
                                    const CertificateId& id) noexcept;
std::optional<Bytes> read_blob(const StapleZone& zone, const BlobWord& from, const CertificateId* id,
                               BlobHeader* header);

// An entry's response; of one loaded per connection also the certificate and its issuer's.
enum class BlobKind : std::uint8_t { kResponse, kLeaf, kIssuer };

struct BlobRef {
  ArenaMap::Range range;
  EntryIndex entry = 0;
  BlobKind kind = BlobKind::kResponse;
  std::uint64_t word = 0;  // the one that says so
};

struct BlobRefs {
  std::vector<BlobRef> valid;    // in order of offset; none overlaps another, but issuers' may be the same
  std::vector<BlobRef> invalid;  // outside of the arena, another certificate's, or overlapping
};

// What the entries of the zone point to, sorted into what makes sense and what does not: for whoever becomes the
// writer.
BlobRefs read_blob_refs(const StapleZone& zone);

// REQUIRES: entry < zone.capacity().
std::atomic<std::uint64_t>& word_of(const StapleZone& zone, EntryIndex entry, BlobKind kind) noexcept;

}  // namespace ocsp_plus::store
