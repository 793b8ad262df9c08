// The numbers of an entry beside its response: the lease holder and handshakes record them and the status reads them,
// lock-free, in any process. Each number is atomic, but not all of them together. An entry that does not exist reads
// as empty, and nothing is recorded for it.
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

// --- attempts: the lease holder records them, the next one continues from them ---

// The result of the last attempt.
struct Attempt {
  UnixSeconds at = 0;  // 0: never
  UnixSeconds next = 0;
  UnixSeconds succeeded_at = 0;
  std::uint32_t failures = 0;
  std::uint32_t responder = 0;
  Reason reason = Reason::kNotChecked;
  UnixSeconds began = 0;  // the exchange that runs, or that its process did not finish; 0: there is none
};

Attempt read_attempt(const StapleZone& zone, EntryIndex entry) noexcept;
void record_attempt(const StapleZone& zone, EntryIndex entry, const Attempt& attempt) noexcept;

// The explanation of the last attempt: any bytes, cut if they are long (kDetailBytes). It also reads as empty while
// it is being changed.
std::string read_detail(const StapleZone& zone, EntryIndex entry);
void record_detail(const StapleZone& zone, EntryIndex entry, std::string_view text) noexcept;

// Returns when the responder last confirmed the held response, wall clock: no later than `now` and no earlier than
// the response's thisUpdate, which is returned if no better time is known.
UnixSeconds read_confirmed_at(const StapleZone& zone, EntryIndex entry, const BlobHeader& held,
                              UnixSeconds now) noexcept;
void record_confirmed_at(const StapleZone& zone, EntryIndex entry, UnixSeconds time) noexcept;

// Returns how many handshakes got this entry's staple. record_stapled() takes over what another zone has counted.
std::uint64_t stapled(const StapleZone& zone, EntryIndex entry) noexcept;
void record_stapled(const StapleZone& zone, EntryIndex entry, std::uint64_t count) noexcept;

// --- certificates that no configuration names: a server loads them for a connection (zone_writer.h adds them) ---

struct PerConnectionState {
  std::uint64_t profile = 0;  // unchecked, as are `used` and `unsupported`
  UnixSeconds used = 0;
  bool has_issuer = false;
  bool unsupported = false;
};
// Returns nothing if the entry is free or a configuration has named its certificate.
std::optional<PerConnectionState> per_connection_state(const StapleZone& zone, EntryIndex entry) noexcept;

// Returns the entries of such certificates that may be evicted, at most `most`, the least recently used first.
std::vector<EntryIndex> least_recently_used(const StapleZone& zone, std::size_t most,
                                            const std::function<bool(EntryIndex)>& may_go);

// Returns the certificate's DER, as StapleZone::read() does.
std::optional<Bytes> read_leaf(const StapleZone& zone, EntryIndex entry, const CertificateId& id);
// Returns its issuer's DER, whichever issuer that is; nothing: none is known.
std::optional<Bytes> read_issuer(const StapleZone& zone, EntryIndex entry, BlobHeader* header = nullptr);

// Records that a handshake has used the certificate. Writes no more often than every kUsedStep seconds.
constexpr Seconds kUsedStep = 5;
void record_use(const StapleZone& zone, EntryIndex entry, UnixSeconds now) noexcept;
// Records whether the certificate can never have a staple: it names no responder, or nobody knows its issuer.
void record_unsupported(const StapleZone& zone, EntryIndex entry, bool unsupported) noexcept;
// Records the server whose profile counts from now on.
void record_profile(const StapleZone& zone, EntryIndex entry, std::uint64_t profile) noexcept;

// --- whole entries, for the files of lib/store only; REQUIRES the zone's lock ---

// Resets the entry for a new certificate; above the high-water mark an entry may hold anything.
void reset_entry(const StapleZone& zone, EntryIndex entry) noexcept;
// Removes the response and all that is known about it.
void forget_response(const StapleZone& zone, EntryIndex entry) noexcept;
// Frees the entry, but only after no index slot names it any more.
void free_entry(const StapleZone& zone, EntryIndex entry) noexcept;

}  // namespace ocsp_plus::store
