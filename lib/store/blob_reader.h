// Reads blobs without a lock: copies them out of the zone, and finds those that the entries point to. Only for the
// files of lib/store.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "store/arena_map.h"
#include "store/staple_zone.h"

namespace ocsp_plus::store {

// Returns the units of the arena that a blob with `length` bytes of DER takes.
std::uint32_t units_for(std::size_t length) noexcept;

// A word of an entry that points to a blob, such as Entry::word.
struct BlobWord {
  const std::atomic<std::uint64_t>& word;
  const std::atomic<std::uint32_t>* length = nullptr;  // Entry::length, if the blob is the response
};

// Copies the header of the blob that the word's value points to. false: the blob lies outside the arena, is too long,
// or belongs to another certificate (`id` nullptr: any certificate will do).
bool load_blob_header(const StapleZone& zone, std::uint64_t word, const CertificateId* id, BlobHeader* out) noexcept;

// These are as StapleZone::copy(), peek() and read().
StapleZone::Read copy_blob(const StapleZone& zone, const BlobWord& from, const CertificateId* id,
                           StapleZone::Allocate allocate, StapleZone::Release release,
                           StapleZone::Copy* out) noexcept;
std::optional<BlobHeader> peek_blob(const StapleZone& zone, const std::atomic<std::uint64_t>& word,
                                    const CertificateId& id) noexcept;
std::optional<Bytes> read_blob(const StapleZone& zone, const BlobWord& from, const CertificateId* id,
                               BlobHeader* header);

// The blobs of an entry: its response; for a certificate loaded per connection also that certificate and its issuer.
enum class BlobKind : std::uint8_t { kResponse, kLeaf, kIssuer };

struct BlobRef {
  ArenaMap::Range range;
  EntryIndex entry = 0;
  BlobKind kind = BlobKind::kResponse;
  std::uint64_t word = 0;  // the entry's word that points there
};

struct BlobRefs {
  std::vector<BlobRef> valid;    // in order of offset, without overlap, except that issuers' may be the same
  std::vector<BlobRef> invalid;  // outside the arena, another certificate's, or overlapping
};

// Returns what the entries of the zone point to, sorted into what makes sense and what does not. A process calls it
// when it becomes the writer.
BlobRefs read_blob_refs(const StapleZone& zone);

// Returns the entry's word for blobs of that kind. REQUIRES: entry < zone.capacity().
std::atomic<std::uint64_t>& word_of(const StapleZone& zone, EntryIndex entry, BlobKind kind) noexcept;

}  // namespace ocsp_plus::store
