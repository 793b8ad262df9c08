// What the one process that writes to a zone knows in its own memory: what each entry holds, which entries and which
// parts of the arena are free, and the issuers that certificates loaded per connection share. zone_writer and
// zone_repair work on it. For the files of this room.
//
// Nothing of it stands in the shared memory: it follows from what the entries point to, so a new writer reads it from
// there (rebuild()), and nothing that a kill could tear has to be repaired.
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

// How long what was replaced stays in the arena, unless the room is needed.
constexpr Millis kGrace = 2000;

class WriterState {
 public:
  static constexpr std::uint32_t kNoIssuer = UINT32_MAX;

  struct Held {
    ArenaMap::Range response;  // what the entry's word points to, or pointed to until somebody cleared it
    std::uint64_t sum = 0;     // of its header and bytes; 0: an earlier holder has published it
    ArenaMap::Range leaf;
    std::uint32_t issuer = kNoIssuer;  // offset
  };

  // As ZoneWriter().
  WriterState(const StapleZone& zone, SharedLock& lock, const Clock& clock, std::uint32_t epoch, std::int32_t pid);

  const StapleZone& zone() const { return zone_; }
  SharedLock& lock() const { return lock_; }
  const Clock& clock() const { return clock_; }
  ArenaMap& arena() { return arena_; }
  const ArenaMap& arena() const { return arena_; }

  // What every operation under the lock begins with; `locked`: it was got. kZoneBusy, kLeaseLost.
  Result<void> begin(bool locked);
  // The same for an operation on this certificate's entry; kInvalidArgument where it is another's, or free.
  Result<void> begin(bool locked, EntryIndex entry, const CertificateId& id);
  // A registration takes responses and entries away: where there was one, reads all anew. What was allocated and not
  // published is lost by that.
  void catch_up();

  // Writes a blob where nobody points to yet. REQUIRES: header.length is der.size().
  void write(ArenaMap::Range range, const BlobHeader& header, ByteView der) const;

  Held held(EntryIndex entry) const { return entry < held_.size() ? held_[entry] : Held(); }
  // The entry holds this response from now on; what it held goes into its grace period.
  void hold(EntryIndex entry, ArenaMap::Range response);
  // It holds none from now on.
  void drop(EntryIndex entry);
  // Remembers the sum of the response that the entry holds.
  void vouch(EntryIndex entry, BlobHeader header, ByteView der);
  // Whether the response is where it should be, of this entry, and of the sum, as far as that is known.
  bool is_intact(EntryIndex entry, const Held& held) const;

  EntryIndex take_free();         // kNoEntry: none is
  void remove(EntryIndex entry);  // free only after nothing names it any more

  // Of certificates loaded per connection.
  std::uint32_t find_issuer(const CertificateId& id, ByteView der) const;  // offset; kNoIssuer: it is to be written
  void hold_certificate(EntryIndex entry, ArenaMap::Range leaf);
  // True: it is the first that points to this issuer.
  bool hold_issuer(EntryIndex entry, ArenaMap::Range issuer);
  // Takes away what makes the entry one of these; the response and the rest of it stay.
  void drop_certificate(EntryIndex entry);
  std::size_t per_connection_bytes() const { return per_connection_units_ * kBlobAlign; }

  // Words found to make no sense, which wait for the lock; and entries that have lost their responses.
  bool has_invalid() const { return !invalid_.empty(); }
  std::vector<EntryIndex>& lost() { return lost_; }

  // The entries of the lease holder's own configuration.
  void own(const std::vector<EntryIndex>& entries);
  bool owns(EntryIndex entry) const { return entry < own_.size() && own_[entry]; }
  // The high-water mark, as it has to be: of what this process knows, and of registrations that have begun since.
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
  std::vector<EntryIndex> free_;                   // below the high-water mark; to be checked again when it is taken
  std::map<std::uint32_t, SharedIssuer> issuers_;  // by offset
  std::map<CertificateId, std::uint32_t> issuer_offsets_;
  std::size_t per_connection_units_ = 0;
  std::vector<BlobRef> invalid_;
  std::vector<EntryIndex> lost_;
  std::vector<bool> own_;            // by entry
  std::uint32_t least_entries_ = 0;  // so many have been used at the least
  std::uint32_t rebuilt_at_ = 0;     // the zone's generation at the last rebuild
};

}  // namespace ocsp_plus::store
