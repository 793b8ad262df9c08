// Records which certificates have entries, and which workers still serve a configuration that named them: an entry is
// removed only when no such worker is left.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/ports.h"
#include "base/result.h"
#include "store/staple_zone.h"

namespace ocsp_plus::store {

// --- registration: by the master, once for each configuration, or by a test ---

struct Registration {
  CertificateId id;
  IssuerKey issuer_key;
};

// Makes this configuration the newest and gives each certificate its entry: the one it has, else a new one. Entries
// that are not named stay until remove_stale(). An entry whose issuer key has changed loses its response, which has
// to go through admit again; one that is registered with kUnknownIssuer keeps what it has. If entries are short,
// certificates loaded per connection lose theirs, the least recently used first. Returns the generation; `entries`
// gets one index per registration, in order; a certificate named twice has one entry, with the issuer key named last.
// kZoneBusy: the lock was taken. kZoneFull: nothing was changed; the detail names how many fit. kInternal: another
// process is writing over the zone at this moment.
Result<std::uint32_t> register_all(const StapleZone& zone, SharedLock& lock,
                                   const std::vector<Registration>& registrations, std::vector<EntryIndex>* entries);

// --- living workers; lock-free, since they come and go at any moment, also by a kill ---

// false: no slot is free; the oldest such generation then counts as alive for ever, so that nothing is removed early.
bool worker_started(const StapleZone& zone, std::int32_t pid, std::uint32_t generation) noexcept;
void worker_stopped(const StapleZone& zone, std::int32_t pid) noexcept;
// Returns the oldest generation that a living worker belongs to; the newest if no worker lives. Workers that are
// dead, as `alive` says, lose their slots.
std::uint32_t oldest_living_generation(const StapleZone& zone, bool (*alive)(std::int32_t pid)) noexcept;

}  // namespace ocsp_plus::store
