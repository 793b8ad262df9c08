// What stands in an entry beside its response: numbers that the lease holder and handshakes record and the status
// reads, lock-free, in any process. Each number is atomic, not all of them together. An entry that does not exist
// reads as nothing, and nothing is recorded for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/reason.h"
#include "base/time.h"
#include "store/staple_zone.h"

namespace ocsp_plus::store {

// --- attempts: recorded by the lease holder, taken up by the next ---

// What the last attempt came to.
struct Attempt {
  UnixSeconds at = 0;  // 0: never
  UnixSeconds next = 0;
  UnixSeconds succeeded_at = 0;
  std::uint32_t failures = 0;
  std::uint32_t responder = 0;
  Reason reason = Reason::kNotChecked;
  UnixSeconds began = 0;  // of an exchange that runs, or whose process ended before it did; 0: there is none
};

Attempt read_attempt(const StapleZone& zone, EntryIndex entry) noexcept;
void record_attempt(const StapleZone& zone, EntryIndex entry, const Attempt& attempt) noexcept;

// What is to be said of the last attempt: any bytes, cut where they are long (kDetailBytes). Empty also while it is
// being changed.
std::string read_detail(const StapleZone& zone, EntryIndex entry);
void record_detail(const StapleZone& zone, EntryIndex entry, std::string_view text) noexcept;

// When the responder last confirmed the response that is held, wall clock: no later than `now`, no earlier than its
// thisUpdate, which counts where nobody knows better.
UnixSeconds read_confirmed_at(const StapleZone& zone, EntryIndex entry, const BlobHeader& held,
                              UnixSeconds now) noexcept;
void record_confirmed_at(const StapleZone& zone, EntryIndex entry, UnixSeconds time) noexcept;

// Handshakes that got the staple of this entry; recorded for one that another zone has counted for.
std::uint64_t stapled(const StapleZone& zone, EntryIndex entry) noexcept;
void record_stapled(const StapleZone& zone, EntryIndex entry, std::uint64_t count) noexcept;

// --- of certificates that no configuration names: a server loads them for a connection (zone_writer.h adds them) ---

struct PerConnectionState {
  std::uint64_t profile = 0;  // whatever stands in the zone
  UnixSeconds used = 0;       // likewise
  bool has_issuer = false;
};
// Nothing where the entry is free or a configuration has named its certificate.
std::optional<PerConnectionState> per_connection_state(const StapleZone& zone, EntryIndex entry) noexcept;

// The entries of such certificates that may be evicted, at most `most`: the least recently used first.
std::vector<EntryIndex> least_recently_used(const StapleZone& zone, std::size_t most,
                                            const std::function<bool(EntryIndex)>& may_go);

// The certificate's DER; as StapleZone::read().
std::optional<Bytes> read_leaf(const StapleZone& zone, EntryIndex entry, const CertificateId& id);
// And that of its issuer, whoever that is; nothing where none is known.
std::optional<Bytes> read_issuer(const StapleZone& zone, EntryIndex entry, BlobHeader* header = nullptr);

// A handshake has used it. Writes no more often than every kUsedStep seconds.
constexpr Seconds kUsedStep = 5;
void record_use(const StapleZone& zone, EntryIndex entry, UnixSeconds now) noexcept;
// The server whose profile counts from now on.
void record_profile(const StapleZone& zone, EntryIndex entry, std::uint64_t profile) noexcept;

// --- the whole of it, for the files of this room; REQUIRES the zone's lock ---

// As for a certificate that is new; above the high-water mark an entry may hold anything.
void reset_entry(const StapleZone& zone, EntryIndex entry) noexcept;
// Nothing is held any more, and nothing known about it.
void forget_response(const StapleZone& zone, EntryIndex entry) noexcept;
// Nobody's any more: free only after nothing names it.
void free_entry(const StapleZone& zone, EntryIndex entry) noexcept;

}  // namespace ocsp_plus::store
