// The shared-memory zone of verified responses: a handle to the memory, and what handshakes read of it.
//
// Readers (every worker, in the handshake) take no lock and survive a writer killed at any instruction: the writer
// writes a response aside and then stores one 64-bit word; readers load the word, copy, load the word again and
// compare. They check the response's identity and length before they hand anything out.
//
// Writers: only the holder of the lease publishes (zone_writer.h), and only the master registers (zone_registry.h).
// Both hold the zone's lock, for which no process ever waits.
//
// Trust: any worker could have written over the memory. A handle reads no offset and no size from it.
//
// A StapleZone is a handle: cheap to copy, valid as long as the mapping; both sides of a fork may use it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/result.h"
#include "store/geometry.h"

namespace ocsp_plus::store {

using EntryIndex = std::uint32_t;
constexpr EntryIndex kNoEntry = UINT32_MAX;

constexpr std::size_t kBlobAlign = 64;             // blobs start at multiples of this; Entry::word counts in it
constexpr std::uint32_t kMaxBlobLength = 1 << 20;  // bytes of DER; a larger length makes no sense

// SHA-256 of an issuer's public key.
using IssuerKey = std::array<std::uint8_t, 32>;
// The issuer is still to be fetched: ZoneWriter::set_issuer_key().
constexpr IssuerKey kUnknownIssuer = {};

enum class Source : std::uint8_t { kNone = 0, kNetwork = 1, kCache = 2, kFile = 3, kShared = 4 };

// A blob in the arena: this header, followed by the DER of a response or of a certificate. It is immutable once an
// Entry::word points to it. A certificate's header has only id and length.
struct BlobHeader {
  // The one cache line that a handshake looks at.
  CertificateId id;
  std::int64_t this_update;
  std::int64_t expires;      // valid while now < expires
  std::int64_t next_update;  // 0: the response has none
  std::uint32_t length;      // of the DER that follows
  std::uint8_t cert_status;  // crypto::CertStatus
  Source source;
  std::uint8_t unsendable;  // 1: a revocation that the running OpenSSL does not send (crypto/sendable.h)
  std::uint8_t reserved;
  // The rest.
  IssuerKey issuer_key;
  std::int64_t produced_at;
  std::int64_t revoked_at;
  std::int64_t admitted_at;
  std::uint8_t reserved_too[8];
};

static_assert(sizeof(BlobHeader) == 2 * kBlobAlign, "raise kLayoutVersion; the DER follows without a gap");
// The parts of the memory, which layout.h defines.
struct Header;
struct SharedStats;
struct HandshakeCounters;
struct HostSlot;
struct MethodSlot;
struct OfferSlot;
struct Entry;
struct Detail;
using WorkerSlot = std::atomic<std::uint64_t>;  // pid_word() of a worker's generation and pid; 0: free
using IndexSlot = std::atomic<std::uint32_t>;
using StapleCount = std::atomic<std::uint64_t>;  // handshakes that got an entry's staple, as one row counts them

class StapleZone {
 public:
  // The state of memory that becomes a zone. Fresh pages of mmap() are kZeroed: format() then leaves most of them
  // untouched, and they cost nothing until they are used.
  enum class Memory { kUsed, kZeroed };

  // Writes an empty zone. kZoneFull: `size` is too small. kInvalidArgument: `base` is not aligned to 64. REQUIRES: no
  // process is attached.
  static Result<StapleZone> format(void* base, std::size_t size, Memory memory = Memory::kUsed);
  // Adopts a zone that format() made, perhaps in another process. kInvalidArgument: magic, layout version or size
  // differ; the caller then formats a new one.
  static Result<StapleZone> attach(void* base, std::size_t size);

  // Returns the entry of a certificate, lock-free; kNoEntry: it has none. It may miss a certificate that is being
  // added or removed at this moment.
  EntryIndex find(const CertificateId& id) const noexcept;
  // Returns the certificate of an entry, and the key by which it was issued; all zero if the entry is free.
  CertificateId id(EntryIndex entry) const noexcept;
  IssuerKey issuer_key(EntryIndex entry) const noexcept;
  bool is_used(EntryIndex entry) const noexcept;

  // --- reading: lock-free, any process ---

  using Allocate = void* (*)(std::size_t);
  using Release = void (*)(void*);
  struct Copy {
    BlobHeader header;
    void* data = nullptr;     // header.length bytes from `allocate`; owned by the caller
    std::uint32_t place = 0;  // where it lay, for expect()
  };
  enum class Read { kCopied, kNone, kOutOfMemory };

  // Copies the response held for `id`, whether valid now or not: look at header.expires. kNone also if the entry is
  // another certificate's by now, or if the memory makes no sense.
  Read copy(EntryIndex entry, const CertificateId& id, Allocate allocate, Release release, Copy* out) const noexcept;
  // Makes the processor fetch what copy() will read, while copy() still looks for it. `place`: that of an earlier
  // copy of the same entry, or any other value: a wrong one only costs time.
  void expect(EntryIndex entry, std::uint32_t place) const noexcept;
  // Returns what copy() would, without the bytes.
  std::optional<BlobHeader> peek(EntryIndex entry, const CertificateId& id) const noexcept;
  // Returns what copy() would, as a vector: for status, cache and tests. Returns nothing also if memory is out.
  std::optional<Bytes> read(EntryIndex entry, const CertificateId& id, BlobHeader* header = nullptr) const;

  std::uint32_t generation() const noexcept;    // of the newest configuration that has registered its certificates
  std::uint32_t entries_used() const noexcept;  // the high-water mark: entries from here on were never used
  std::uint32_t capacity() const noexcept { return geometry_.capacity; }
  std::size_t size() const noexcept { return geometry_.size; }
  std::size_t arena_bytes() const noexcept { return geometry_.arena_bytes; }

  // --- the memory itself, for the files of lib/store and its tests: templates, since layout.h has the types ---

  const Geometry& geometry() const noexcept { return geometry_; }
  template <typename T = Header>
  T& header() const noexcept {
    return at<T>(0);
  }
  template <typename T = SharedStats>
  T& stats() const noexcept {
    return at<T>(geometry_.stats);
  }
  template <typename T = HandshakeCounters>
  T& handshakes(std::uint32_t worker) const noexcept {
    return at<T>(geometry_.counters, worker % kCounterSlots);
  }
  template <typename T = HostSlot>  // REQUIRES: slot < geometry().host_slots; so does method_slot()
  T& host_slot(std::uint32_t slot) const noexcept {
    return at<T>(geometry_.hosts, slot);
  }
  template <typename T = MethodSlot>
  T& method_slot(std::uint32_t slot) const noexcept {
    return at<T>(geometry_.methods, slot);
  }
  template <typename T = Entry>  // REQUIRES: index < capacity(); so does detail_words()
  T& entry(EntryIndex index) const noexcept {
    return at<T>(geometry_.entries, index);
  }
  template <typename T = Detail>
  T& detail_words(EntryIndex index) const noexcept {
    return at<T>(geometry_.details, index);
  }
  // REQUIRES: index < capacity()
  StapleCount& staple_count(std::size_t row, EntryIndex index) const noexcept {
    return at<StapleCount>(geometry_.staple_counts + row % kStapleCountRows * geometry_.staple_count_row, index);
  }
  // REQUIRES: slot < geometry().index_slots
  IndexSlot& index_slot(std::uint32_t slot) const noexcept { return at<IndexSlot>(geometry_.index, slot); }
  // REQUIRES: slot < kWorkerSlots
  WorkerSlot& worker_slot(std::size_t slot) const noexcept { return at<WorkerSlot>(geometry_.workers, slot); }
  // The large slots follow the others. REQUIRES: slot < offer_slots + large_offer_slots
  template <typename T = OfferSlot>
  T& offer_slot(std::uint32_t slot) const noexcept {
    const std::size_t large = slot - geometry_.offer_slots;
    return slot < geometry_.offer_slots
               ? at<T>(geometry_.offers + slot * (sizeof(T) + kOfferBytes))
               : at<T>(geometry_.large_offers + large * (sizeof(T) + geometry_.large_offer_bytes));
  }
  std::uint8_t* arena() const noexcept { return base_ + geometry_.arena; }
  // REQUIRES: the blob lies in the arena.
  std::uint8_t* blob(std::uint64_t word) const noexcept { return arena() + (word & UINT32_MAX) * kBlobAlign; }

 private:
  StapleZone(std::uint8_t* base, const Geometry& geometry) : base_(base), geometry_(geometry) {}

  template <typename T>
  T& at(std::size_t offset, std::size_t index = 0) const noexcept {
    return reinterpret_cast<T*>(base_ + offset)[index];
  }

  std::uint8_t* base_ = nullptr;
  Geometry geometry_;
};

}  // namespace ocsp_plus::store
