// The shared-memory zone of verified responses: who may see what, and how.
//
// Readers (every worker, in the handshake) take no lock and survive a writer killed at any instruction: a response is
// written aside and then one 64-bit word is swung; they load the word, copy, load it again and compare. Its identity
// and length are checked before anything is handed out.
//
// Writers: only the holder of the lease publishes (zone_writer.h), and only the master registers. Both hold the
// zone's lock, which nobody ever waits for.
//
// Trust: any worker could have scribbled on the memory. A handle reads no offset and no size from it.
//
// A StapleZone is a handle: cheap to copy, valid as long as the mapping; it may be used on both sides of a fork.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/ports.h"
#include "base/reason.h"
#include "base/result.h"
#include "base/time.h"
#include "store/layout.h"

namespace ocsp_plus::store {

using EntryIndex = std::uint32_t;
constexpr EntryIndex kNoEntry = UINT32_MAX;

// SHA-256 of an issuer's public key.
using IssuerKey = std::array<std::uint8_t, 32>;
// It is still to be fetched: ZoneWriter::set_issuer_key().
constexpr IssuerKey kUnknownIssuer = {};

struct Registration {
  CertificateId id;
  IssuerKey issuer_key;
};

// What the last attempt for a certificate came to; shown by the status and taken up by the next lease holder.
struct Attempt {
  UnixSeconds at = 0;  // 0: never
  UnixSeconds next = 0;
  UnixSeconds succeeded_at = 0;
  std::uint32_t failures = 0;
  std::uint32_t responder = 0;
  Reason reason = Reason::kNotChecked;
  UnixSeconds began = 0;  // of an exchange that runs, or whose process ended before it did; 0: there is none
};

class StapleZone {
 public:
  // What is known about memory that becomes a zone. Fresh pages of mmap() are kZeroed: most of them stay untouched
  // then, and cost nothing until they are used.
  enum class Memory { kUsed, kZeroed };

  // Writes an empty zone. kZoneFull where `size` is too small, kInvalidArgument where `base` is not aligned to 64.
  // REQUIRES: nobody attached.
  static Result<StapleZone> format(void* base, std::size_t size, Memory memory = Memory::kUsed);
  // Adopts a zone that format() made, perhaps in another process. kInvalidArgument where magic, layout version or
  // size differ: the caller formats a new one then.
  static Result<StapleZone> attach(void* base, std::size_t size);

  // --- registering: the master, once a configuration; or a test ---

  // Makes this configuration the newest and gives each certificate its entry: the one it has, else a new one. Entries
  // that are not named stay until remove_stale(). An entry whose issuer key has changed loses its response (it has to
  // go through admit again); one that is registered with kUnknownIssuer keeps what it has. Where entries are short,
  // certificates that are loaded per connection give theirs up, those first that were not used for longest. Returns
  // the generation; `entries` gets one index per registration, in order; the same certificate named twice has one
  // entry, with the issuer key named last. kZoneBusy: the lock was taken; kZoneFull: nothing was added, the detail
  // names how many fit. kInternal: somebody is scribbling on the zone at this moment.
  Result<std::uint32_t> register_all(SharedLock& lock, const std::vector<Registration>& registrations,
                                     std::vector<EntryIndex>* entries);

  // The entry of a certificate, lock-free; kNoEntry. A certificate that is being added or removed at this moment may
  // be missed.
  EntryIndex find(const CertificateId& id) const noexcept;

  // --- reading: lock-free, any process ---

  using Allocate = void* (*)(std::size_t);
  using Release = void (*)(void*);
  struct Copy {
    BlobHeader header;
    void* data = nullptr;  // header.length bytes from `allocate`; owned by the caller
  };
  enum class Read { kCopied, kNone, kOutOfMemory };

  // The response held for `id`, whether valid now or not: look at header.expires. kNone also where the entry is
  // another certificate's by now, or where the memory makes no sense.
  Read copy(EntryIndex entry, const CertificateId& id, Allocate allocate, Release release, Copy* out) const noexcept;
  // Likewise without the bytes.
  std::optional<BlobHeader> peek(EntryIndex entry, const CertificateId& id) const noexcept;
  // Likewise into a vector: for status, cache and tests. Empty where memory is out, too.
  std::optional<Bytes> read(EntryIndex entry, const CertificateId& id, BlobHeader* header = nullptr) const;

  // --- certificates that are loaded per connection; lock-free, any process ---

  struct LoadedState {
    std::uint64_t profile = 0;  // whatever stands in the zone
    UnixSeconds used = 0;       // likewise
    bool has_issuer = false;
  };
  // Nothing where the entry is free or a configuration has named its certificate.
  std::optional<LoadedState> loaded(EntryIndex entry) const noexcept;
  // The DER of such a certificate; as read().
  std::optional<Bytes> leaf(EntryIndex entry, const CertificateId& id) const;
  // And of its issuer, whoever that is; nothing where none is known.
  std::optional<Bytes> issuer(EntryIndex entry, BlobHeader* header = nullptr) const;
  // A handshake has used it. Writes no more often than every kUsedStep seconds.
  void note_use(EntryIndex entry, UnixSeconds now) const noexcept;
  void set_profile(EntryIndex entry, std::uint64_t profile) const noexcept;
  static constexpr Seconds kUsedStep = 5;

  // --- what is known about the attempts; written by the lease holder only; each field atomic, not all of them ---

  Attempt attempt(EntryIndex entry) const noexcept;
  void set_attempt(EntryIndex entry, const Attempt& attempt) noexcept;
  // What is to be said of the last attempt, up to kDetailBytes of it; any bytes. Empty also while it is being
  // changed.
  std::string detail(EntryIndex entry) const;
  void set_detail(EntryIndex entry, std::string_view text) noexcept;
  // When the responder last confirmed the response that is held, wall clock: no later than `now`, no earlier than its
  // thisUpdate, which counts where nobody knows better.
  UnixSeconds confirmed_at(EntryIndex entry, const BlobHeader& held, UnixSeconds now) const noexcept;
  void set_confirmed_at(EntryIndex entry, UnixSeconds time) noexcept;

  // --- counters; any process, atomic ---

  HandshakeCounters& handshakes(std::uint32_t worker) const noexcept;  // of one worker slot
  struct HandshakeTotals {
    std::uint64_t stapled = 0, missing = 0, refused = 0, foreign = 0;  // disjoint; all that asked is their sum
    std::uint64_t replaced = 0;  // status callbacks that another module had taken and that were put back
  };
  HandshakeTotals handshake_totals() const noexcept;
  void count_stapled(EntryIndex entry) noexcept;
  std::uint64_t stapled(EntryIndex entry) const noexcept;  // handshakes that got its staple

  // --- which workers live ---

  // false: no slot is free; the oldest generation then counts as alive for ever, so that nothing is removed early.
  bool worker_started(std::int32_t pid, std::uint32_t generation) noexcept;
  void worker_stopped(std::int32_t pid) noexcept;
  // The oldest generation that a living worker belongs to; dead ones (`alive` says so) lose their slot. The newest
  // where no worker lives.
  std::uint32_t oldest_living_generation(bool (*alive)(std::int32_t pid)) noexcept;

  std::uint32_t generation() const noexcept;
  std::uint32_t entries_used() const noexcept;  // the high-water mark: entries from here on were never used
  std::uint32_t capacity() const noexcept { return geometry_.capacity; }
  std::size_t size() const noexcept { return geometry_.size; }

  // For the other files of this room.
  const Geometry& geometry() const noexcept { return geometry_; }
  Header& header() const noexcept;
  SharedStats& stats() const noexcept;
  HostSlot& host_slot(std::uint32_t slot) const noexcept;      // REQUIRES: slot < geometry().host_slots
  MethodSlot& method_slot(std::uint32_t slot) const noexcept;  // likewise
  // The large ones follow the others. REQUIRES: slot < geometry().offer_slots + geometry().large_offer_slots
  OfferSlot& offer_slot(std::uint32_t slot) const noexcept;
  std::size_t offer_slot_bytes(std::uint32_t slot) const noexcept;  // that lie behind it
  Loaded& loaded_words(EntryIndex index) const noexcept;            // REQUIRES: index < capacity()
  Detail& detail_words(EntryIndex index) const noexcept;            // REQUIRES: index < capacity()
  Entry& entry(EntryIndex index) const noexcept;                    // REQUIRES: index < capacity()
  IndexSlot& index_slot(std::uint32_t slot) const noexcept;         // REQUIRES: slot < geometry().index_slots
  WorkerSlot& worker_slot(std::size_t slot) const noexcept;         // REQUIRES: slot < kWorkerSlots
  std::uint8_t* arena() const noexcept;
  // Copies the header of the blob that an Entry::word points to. false where it lies outside of the arena, is too
  // long, or is another certificate's (`id` nullptr: any will do).
  bool blob_header(std::uint64_t word, const CertificateId* id, BlobHeader* out) const noexcept;

 private:
  Read copy_blob(const std::atomic<std::uint64_t>& word, const CertificateId* id, Allocate allocate, Release release,
                 Copy* out) const noexcept;
  std::optional<Bytes> read_blob(const std::atomic<std::uint64_t>& word, const CertificateId* id,
                                 BlobHeader* header) const;

  StapleZone(std::uint8_t* base, const Geometry& geometry) : base_(base), geometry_(geometry) {}

  template <typename T>
  T& at(std::size_t offset, std::size_t index = 0) const noexcept {
    return reinterpret_cast<T*>(base_ + offset)[index];
  }

  std::uint8_t* base_ = nullptr;
  Geometry geometry_;
};

}  // namespace ocsp_plus::store
