// The private memory of the one process that writes to a zone: what each entry holds, which entries and which parts
// of the arena are free, and the issuers that certificates loaded per connection share. zone_writer and zone_repair
// work on it. Only for the files of lib/store.
//
// None of it is in the shared memory. It follows from what the entries point to, so a new writer reads it from there
// (rebuild()), and a kill tears nothing that would have to be repaired.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "base/bytes.h"
#include "base/ports.h"
#include "base/result.h"
#include "store/arena_map.h"
#include "store/blob_reader.h"
#include "store/staple_zone.h"

namespace ocsp_plus::store {

// How long a replaced blob stays in the arena, unless the room is needed; ms.
constexpr Millis kGrace = 2000;

class WriterState {
 public:
  static constexpr std::uint32_t kNoIssuer = UINT32_MAX;

  struct Held {
    ArenaMap::Range response;  // the entry's word points to it, or did until another process cleared that
    std::uint64_t sum = 0;     // of its header and bytes; 0: an earlier holder has published it
    ArenaMap::Range leaf;
    std::uint32_t issuer = kNoIssuer;  // offset
  };

  // Parameters as those of ZoneWriter().
  WriterState(const StapleZone& zone, SharedLock& lock, const Clock& clock, std::uint32_t epoch, std::int32_t pid);

  const StapleZone& zone() const { return zone_; }
  SharedLock& lock() const { return lock_; }
  const Clock& clock() const { return clock_; }
  ArenaMap& arena() { return arena_; }
  const ArenaMap& arena() const { return arena_; }

  // Begins every operation under the lock. `locked`: the caller got the lock. Errors: kZoneBusy, kLeaseLost.
  Result<void> begin(bool locked);
  // begin() of an operation on this certificate's entry; kInvalidArgument: the entry is another's, or free.
  Result<void> begin(bool locked, EntryIndex entry, const CertificateId& id);
  // Reads all anew if there was a registration, which takes responses and entries away. The caller loses what it has
  // allocated and not published.
  void catch_up();

  // Writes a blob to a place that no entry points to yet. REQUIRES: header.length is der.size().
  void write(ArenaMap::Range range, const BlobHeader& header, ByteView der) const;

  Held held(EntryIndex entry) const { return entry < held_.size() ? held_[entry] : Held(); }
  // Records that the entry holds this response from now on; what it held goes into its grace period.
  void hold(EntryIndex entry, ArenaMap::Range response);
  // Clears the entry's word: the entry holds no response from now on.
  void drop(EntryIndex entry);
  // Remembers the sum of the response that the entry holds.
  void vouch(EntryIndex entry, BlobHeader header, ByteView der);
  // Returns whether the response is in its place, belongs to this entry and has its sum, if that is known.
  bool is_intact(EntryIndex entry, const Held& held) const;

  EntryIndex take_free();         // kNoEntry: none is free
  void remove(EntryIndex entry);  // frees it, but only after nothing names it any more

  // Issuers and leaves of certificates loaded per connection.
  std::uint32_t find_issuer(const CertificateId& id, ByteView der) const;  // offset; kNoIssuer: it must be written
  void hold_certificate(EntryIndex entry, ArenaMap::Range leaf);
  // true: the entry is the first that points to this issuer.
  bool hold_issuer(EntryIndex entry, ArenaMap::Range issuer);
  // Removes the certificate and its issuer from the entry; the response and the rest of the entry stay.
  void drop_certificate(EntryIndex entry);
  std::size_t per_connection_bytes() const { return per_connection_units_ * kBlobAlign; }

  // Words that make no sense, which are cleared under the next lock; and entries that have lost their responses.
  bool has_invalid() const { return !invalid_.empty(); }
  std::vector<EntryIndex>& lost() { return lost_; }

  // The entries of the lease holder's own configuration.
  void own(const std::vector<EntryIndex>& entries);
  bool owns(EntryIndex entry) const { return entry < own_.size() && own_[entry]; }
  // Returns the right high-water mark, by what this process knows and by registrations that have begun since.
  std::uint32_t high_water_mark() const;

 private:
  struct SharedIssuer {
    ArenaMap::Range range;
    std::uint32_t users = 0;
    CertificateId id = {};
  };

  void rebuild();
  void drop_invalid();
  void retire(ArenaMap::Range range);
  void release_issuer(EntryIndex entry);
  Held& at(EntryIndex entry);

  StapleZone zone_;
  SharedLock& lock_;
  const Clock& clock_;
  std::uint64_t lease_word_;

  ArenaMap arena_;
  std::vector<Held> held_;                         // by entry
  std::vector<EntryIndex> free_;                   // below the high-water mark; take_free() checks each again
  std::map<std::uint32_t, SharedIssuer> issuers_;  // by offset
  std::map<CertificateId, std::uint32_t> issuer_offsets_;
  std::size_t per_connection_units_ = 0;
  std::vector<BlobRef> invalid_;
  std::vector<EntryIndex> lost_;
  std::vector<bool> own_;            // by entry
  std::uint32_t least_entries_ = 0;  // at least so many have been used
  std::uint32_t rebuilt_at_ = 0;     // the zone's generation at the last rebuild
};

}  // namespace ocsp_plus::store
