// Which certificates have entries, and which workers still serve a configuration that named them: an entry goes only
// when nobody does any more.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/ports.h"
#include "base/result.h"
#include "store/staple_zone.h"

namespace ocsp_plus::store {

// --- registering: the master, once a configuration; or a test ---

struct Registration {
  CertificateId id;
  IssuerKey issuer_key;
};

// Makes this configuration the newest and gives each certificate its entry: the one it has, else a new one. Entries
// that are not named stay until remove_stale(). An entry whose issuer key has changed loses its response (it has to
// go through admit again); one that is registered with kUnknownIssuer keeps what it has. Where entries are short,
// certificates loaded per connection give theirs up, those first that were not used for longest. Returns the
// generation; `entries` gets one index per registration, in order; the same certificate named twice has one entry,
// with the issuer key named last. kZoneBusy: the lock was taken; kZoneFull: nothing was added, the detail names how
// many fit. kInternal: somebody is scribbling on the zone at this moment.
Result<std::uint32_t> register_all(const StapleZone& zone, SharedLock& lock,
                                   const std::vector<Registration>& registrations, std::vector<EntryIndex>* entries);

// --- which workers live; lock-free: they come and go at any moment, also by a kill ---

// False: no slot is free; the oldest generation then counts as alive for ever, so that nothing is removed early.
bool worker_started(const StapleZone& zone, std::int32_t pid, std::uint32_t generation) noexcept;
void worker_stopped(const StapleZone& zone, std::int32_t pid) noexcept;
// The oldest generation that a living worker belongs to; dead ones (`alive` says so) lose their slot. The newest
// where no worker lives.
std::uint32_t oldest_living_generation(const StapleZone& zone, bool (*alive)(std::int32_t pid)) noexcept;

}  // namespace ocsp_plus::store
