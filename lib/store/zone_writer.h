// Publishing, by the one process that holds the lease.
//
// Which parts of the arena are free stands nowhere in the shared memory: what is in use is exactly what the entries
// point to, so a new holder builds the free map anew and nothing that a kill could tear has to be repaired. A
// response that was replaced stays for a grace period, so that a reader in the middle of copying it finishes on the
// first try; that it would notice otherwise makes the grace a courtesy, not a condition.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/ports.h"
#include "base/result.h"
#include "base/time.h"
#include "store/arena_map.h"
#include "store/blob_refs.h"
#include "store/lease.h"
#include "store/staple_zone.h"

namespace ocsp_plus::store {

constexpr Millis kGrace = 2000;

class ZoneWriter {
 public:
  // REQUIRES: this process took the lease with `epoch` and `pid`. `lock` and `clock` must outlive the writer. Reads
  // all entries once; writes nothing. Words that make no sense (somebody scribbled on the zone) are set to 0 by the
  // first of the calls below that gets the lock.
  ZoneWriter(const StapleZone& zone, SharedLock& lock, const Clock& clock, std::uint32_t epoch, std::int32_t pid);
  ZoneWriter(const ZoneWriter&) = delete;
  ZoneWriter& operator=(const ZoneWriter&) = delete;

  // Writes the response aside and versions the entry to it. header.length is set from `der`.
  // Under the lock, and only while the lease is still ours. kZoneBusy: try again soon. kZoneFull: the old response
  // stays. kLeaseLost: stop. kInvalidArgument: `der` is empty or longer than kMaxBlobLength, or the entry is not (any
  // more) that of header.id and header.issuer_key, as the newest configuration has it.
  Result<void> publish(EntryIndex entry, BlobHeader header, ByteView der);

  // The issuer of this certificate, which its configuration did not know, has that key. What the entry held under
  // another is dropped. Errors as publish(); kInvalidArgument also where a newer configuration has named another.
  Result<void> set_issuer_key(EntryIndex entry, const CertificateId& id, const IssuerKey& key);

  // Forgets what the entry holds. Errors as publish().
  Result<void> drop(EntryIndex entry);

  // Removes entries that no configuration of `oldest_living` or newer names; never one that the newest names or that
  // own() has named, nor one that is loaded per connection. How many. Errors as publish().
  Result<std::size_t> remove_stale(std::uint32_t oldest_living);

  // --- what another process has written over (zone_repair.cc) ---
  //
  // The lock is taken only where something is not as it should be. Errors as publish().

  // The entries of the lease holder's own configuration.
  void own(const std::vector<EntryIndex>& entries);

  // Words of the header, and times of the stats, that follow from what the lease holder knows. How many were wrong.
  Result<std::size_t> repair_header(const ProcessIdentity& self);

  // Who an entry of own() belongs to, in the entry and in the index. `generation`: the lease holder's; `newest`: no
  // newer configuration is coming up, which might have changed issuers or made an entry of its own. True: it was
  // another's, and is right again.
  Result<bool> repair_entry(EntryIndex entry, const Registration& registration, std::uint32_t generation,
                            bool newest);

  enum class Response {
    kSound,     // what this process has published or vouched for; or nothing is held, and nothing was
    kUnknown,   // an earlier holder has published it: verify it, then vouch() or drop()
    kRestored,  // the entry pointed to something else; the response was whole
    kLost,      // its bytes are not what they were; nothing is held now
  };
  // Whether the entry still holds what it should.
  Result<Response> check_response(EntryIndex entry);
  // What was read there has been verified. REQUIRES: nothing was published since.
  void vouch(EntryIndex entry, BlobHeader header, ByteView der);
  // Entries whose responses were kLost since the last call, or found to make no sense when this process became the
  // writer.
  std::vector<EntryIndex> take_lost();

  // --- certificates that are loaded per connection (zone_loaded.cc) ---

  struct LoadedCertificate {
    CertificateId id = {};
    ByteView leaf;  // its DER
    std::array<std::uint8_t, 32> issuer_key = {};
    CertificateId issuer_id = {};
    ByteView issuer;  // DER; empty: none is known
    std::uint64_t profile = 0;
    UnixSeconds used = 0;
  };
  // Gives it an entry: the one it has, with its response unless that was admitted under another issuer key, else a
  // new one. With kUnknownIssuer it keeps what it has, as by register_all(). The issuer is kept once, however many
  // certificates it issued. Errors as publish(); kZoneFull also where no entry is free.
  Result<EntryIndex> add_loaded(const LoadedCertificate& certificate);
  // Takes the entry away again; where a configuration has named the certificate since, only what made it a loaded
  // one. kInvalidArgument: the entry is another certificate's by now, or none; else errors as publish().
  Result<void> remove_loaded(EntryIndex entry, const CertificateId& id);
  // A configuration names it from now on: the entry and its response stay. Errors as remove_loaded().
  Result<void> adopt_loaded(EntryIndex entry, const CertificateId& id);

  std::size_t loaded_bytes()
      const;  // of bytes_used(): certificates loaded per connection, their issuers and responses

  std::size_t bytes_used() const;  // by responses, those in their grace period included
  std::size_t bytes_free() const;
  std::size_t bytes_in_grace() const;  // of bytes_used(): free as soon as somebody needs them

 private:
  struct Retired {
    Millis until;
    ArenaMap::Range range;
  };

  struct Held {
    ArenaMap::Range response;  // what the entry's word points to, or pointed to until somebody cleared it
    std::size_t sum = 0;       // of its header and bytes; 0: an earlier holder has published it
    ArenaMap::Range leaf;
    std::uint32_t issuer = kNoIssuer;  // offset
  };
  struct SharedIssuer {
    ArenaMap::Range range;
    std::uint32_t users = 0;
    CertificateId id = {};
  };
  static constexpr std::uint32_t kNoIssuer = UINT32_MAX;

  Result<void> begin(bool locked);
  Result<void> begin_with(bool locked, EntryIndex entry, const CertificateId& id);
  void rebuild();
  void drop_invalid();
  bool owns(EntryIndex entry) const { return entry < own_.size() && own_[entry]; }
  std::uint32_t entries_in_use() const;
  bool header_is_sound(const ProcessIdentity& self) const;
  bool entry_is_sound(EntryIndex entry, const Registration& registration, std::uint32_t generation,
                      bool newest) const;
  Held held_by(EntryIndex entry) const;
  bool is_intact(EntryIndex entry, const Held& held) const;
  bool is_held(EntryIndex entry, const Held& held) const;
  void release_first_in_grace();
  void end_grace(Millis now);
  ArenaMap::Range make_room(std::uint32_t units);
  void retire(ArenaMap::Range range);
  void hold(EntryIndex entry, ArenaMap::Range range);
  bool hold_issuer(EntryIndex entry, ArenaMap::Range range);
  void release_issuer(EntryIndex entry);
  void unload(EntryIndex entry);
  void remove(EntryIndex entry);
  void find_free();
  EntryIndex take_free();
  std::uint32_t share_issuer(const LoadedCertificate& certificate);
  void write(ArenaMap::Range range, const BlobHeader& header, ByteView der);

  StapleZone zone_;
  SharedLock& lock_;
  const Clock& clock_;
  std::uint64_t lease_word_;

  ArenaMap arena_;
  std::vector<Held> held_;                         // by entry
  std::vector<EntryIndex> free_;                   // below the high-water mark; to be checked again when it is taken
  std::map<std::uint32_t, SharedIssuer> issuers_;  // by offset
  std::map<CertificateId, std::uint32_t> issuer_offsets_;
  std::size_t loaded_units_ = 0;
  std::size_t grace_units_ = 0;
  std::deque<Retired> grace_;        // in the order of `until`
  std::vector<BlobRef> invalid_;     // words found to make no sense
  std::vector<EntryIndex> lost_;     // whose response was among them
  std::vector<bool> own_;            // by entry
  std::uint32_t least_entries_ = 0;  // so many have been used at the least
  std::uint32_t rebuilt_at_ = 0;     // the zone's generation at the last rebuild
};

}  // namespace ocsp_plus::store
