// Publishes responses, and gives entries to certificates loaded per connection (entry_state.h). Only the lease holder
// does this; zone_repair.h has the rest of its work.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/ports.h"
#include "base/result.h"
#include "base/time.h"
#include "store/staple_zone.h"
#include "store/writer_state.h"

namespace ocsp_plus::store {

struct PerConnectionCertificate {
  CertificateId id = {};
  ByteView leaf;  // its DER
  IssuerKey issuer_key = {};
  CertificateId issuer_id = {};
  ByteView issuer;  // DER; empty: none is known
  std::uint64_t profile = 0;
  UnixSeconds used = 0;
};

class ZoneWriter {
 public:
  // REQUIRES: this process took the lease with `epoch` and `pid`. `lock` and `clock` must outlive the writer. Reads
  // all entries once; writes nothing. The first of the calls below that gets the lock sets words to 0 that make no
  // sense (another process has written over the zone).
  ZoneWriter(const StapleZone& zone, SharedLock& lock, const Clock& clock, std::uint32_t epoch, std::int32_t pid)
      : state_(zone, lock, clock, epoch, pid) {}
  ZoneWriter(const ZoneWriter&) = delete;
  ZoneWriter& operator=(const ZoneWriter&) = delete;

  // Writes the response aside and points the entry to it, under the lock and only while the lease is still ours. Sets
  // header.length from `der`. kZoneBusy: try again soon. kZoneFull: the old response stays. kLeaseLost: stop.
  // kInvalidArgument: `der` is empty or longer than kMaxBlobLength, or the entry is not, or no longer, that of
  // header.id and header.issuer_key in the newest configuration.
  Result<void> publish(EntryIndex entry, BlobHeader header, ByteView der);

  // Sets the issuer's key of a certificate whose configuration did not know its issuer. Drops what the entry held
  // under another key. Errors as publish(); kInvalidArgument also if a newer configuration has named another.
  Result<void> set_issuer_key(EntryIndex entry, const CertificateId& id, const IssuerKey& key);

  // Drops the response that the entry holds. Errors as publish().
  Result<void> drop(EntryIndex entry);

  // Removes entries that no configuration of `oldest_living` or newer names; never one that the newest names or that
  // own() has named, nor one loaded per connection. Returns how many. Errors as publish().
  Result<std::size_t> remove_stale(std::uint32_t oldest_living);

  // Gives the certificate an entry: the one it has, with its response unless that was admitted under another issuer
  // key, else a new one. With kUnknownIssuer it keeps what it has, as in register_all(). An issuer is kept once,
  // however many certificates it issued. Errors as publish(); kZoneFull also if no entry is free.
  Result<EntryIndex> add_per_connection(const PerConnectionCertificate& certificate);
  // Removes the entry again; if a configuration has named the certificate since, only what made it one loaded per
  // connection. kInvalidArgument: the entry is another certificate's by now, or free. Other errors as publish().
  Result<void> remove_per_connection(EntryIndex entry, const CertificateId& id);
  // Makes it a certificate that a configuration names: entry and response stay. Errors as remove_per_connection().
  Result<void> adopt_per_connection(EntryIndex entry, const CertificateId& id);

  // Records the entries of the lease holder's own configuration: whatever stands in them, they are not stale.
  void own(const std::vector<EntryIndex>& entries) { state_.own(entries); }
  // Records that what was read there has been verified. REQUIRES: nothing was published since.
  void vouch(EntryIndex entry, const BlobHeader& header, ByteView der) { state_.vouch(entry, header, der); }
  // Returns the entries whose responses check_response() (zone_repair.h) found lost since the last call, or that made
  // no sense when this process became the writer.
  std::vector<EntryIndex> take_lost() { return std::exchange(state_.lost(), {}); }

  // Bytes of blobs, those in their grace period included.
  std::size_t bytes_used() const { return state_.zone().arena_bytes() - bytes_free(); }
  std::size_t bytes_free() const { return std::size_t{state_.arena().free_units()} * kBlobAlign; }
  // The part of bytes_used() that becomes free as soon as it is needed.
  std::size_t bytes_in_grace() const { return std::size_t{state_.arena().units_in_grace()} * kBlobAlign; }
  // The part of bytes_used() for certificates loaded per connection, their issuers and responses.
  std::size_t per_connection_bytes() const { return state_.per_connection_bytes(); }

  // Returns what zone_repair.cc works on.
  WriterState& state() { return state_; }

 private:
  Error no_room(std::size_t bytes) const;

  WriterState state_;
};

}  // namespace ocsp_plus::store
