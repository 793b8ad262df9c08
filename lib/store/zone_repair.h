// Puts right what another process has written over, by the one process that holds the lease; engine/zone_repair.h
// decides when. The lock is taken only where something is not as it should be. Errors as ZoneWriter::publish().
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

// Words of the header, and times of the stats, that follow from what the lease holder knows. How many were wrong.
Result<std::size_t> repair_header(ZoneWriter& writer, const ProcessIdentity& self);

// Who an entry of ZoneWriter::own() belongs to, in the entry and in the index. `generation`: the lease holder's;
// `newest`: no newer configuration is coming up, which might have changed issuers or made an entry of its own. True:
// it was another's, and is right again.
Result<bool> repair_entry(ZoneWriter& writer, EntryIndex entry, const Registration& registration,
                          std::uint32_t generation, bool newest);

enum class HeldResponse {
  kSound,     // what this process has published or vouched for; or nothing is held, and nothing was
  kUnknown,   // an earlier holder has published it: verify it, then vouch() or drop()
  kRestored,  // the entry pointed to something else; the response was whole
  kLost,      // its bytes are not what they were; nothing is held now
};
// Whether the entry still holds what it should.
Result<HeldResponse> check_response(ZoneWriter& writer, EntryIndex entry);
}  // namespace ocsp_plus::store
