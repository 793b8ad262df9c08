// Restores what another process has written over. Only the lease holder calls this; engine/zone_repair.h decides
// when. The lock is taken only if something is wrong. Errors as ZoneWriter::publish().
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "store/lease.h"
#include "store/zone_registry.h"
#include "store/zone_writer.h"

namespace ocsp_plus::store {

// Restores words of the header and times of the stats, by what the lease holder knows. Returns how many were wrong.
Result<std::size_t> repair_header(ZoneWriter& writer, const ProcessIdentity& self);

// Restores the owner of an entry of ZoneWriter::own(), in the entry and in the index. `generation`: the lease
// holder's. `newest`: no newer configuration is coming up that might have changed issuers or made an entry of its
// own. true: the entry was another's, and is right again.
Result<bool> repair_entry(ZoneWriter& writer, EntryIndex entry, const Registration& registration,
                          std::uint32_t generation, bool newest);

enum class HeldResponse {
  kSound,     // this process has published or vouched for it; or nothing is held, and nothing was
  kUnknown,   // an earlier holder has published it: verify it, then vouch() or drop()
  kRestored,  // the entry pointed to something else; the response was whole
  kLost,      // its bytes have changed; nothing is held now
};
// Checks whether the entry still holds what it should; if not, restores or drops it.
Result<HeldResponse> check_response(ZoneWriter& writer, EntryIndex entry);
}  // namespace ocsp_plus::store
