// What the entries of a zone point to: read once by whoever becomes the writer, and sorted into what makes sense and
// what does not. For the files of this room.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "store/arena_map.h"
#include "store/staple_zone.h"

namespace ocsp_plus::store {

// An entry's response; of one that is loaded per connection also the certificate and its issuer's.
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

BlobRefs read_blob_refs(const StapleZone& zone);

// REQUIRES: entry < zone.capacity().
std::atomic<std::uint64_t>& word_of(const StapleZone& zone, EntryIndex entry, BlobKind kind) noexcept;

// Units of the arena that a blob of so many bytes takes.
std::uint32_t units_for(std::size_t length) noexcept;

}  // namespace ocsp_plus::store
