// Finds and restores what another process has written over in the zone: any worker can write into it. The lease
// holder knows the owner of each entry, the index, the header and which response an entry holds. A response whose
// bytes have changed is removed, and comes from the cache directory or the responder like any missing one; a response
// that an earlier lease holder published is verified once.
//
// Lives in the process that holds the lease. Looks at kEntriesPerTick entries at each tick.
#pragma once

#include <cstddef>
#include <vector>

#include "base/ports.h"
#include "engine/admit.h"
#include "engine/catalog.h"
#include "engine/context.h"
#include "engine/refresher.h"
#include "engine/report.h"
#include "engine/roster.h"
#include "engine/settings.h"
#include "store/lease.h"
#include "store/staple_zone.h"
#include "store/zone_writer.h"

namespace ocsp_plus::engine {

class ZoneRepair {
 public:
  static constexpr std::size_t kEntriesPerTick = 256;
  static constexpr std::size_t kVerifiedPerTick = 1;
  // ms; a newer configuration that no worker has begun to serve after that was refused.
  static constexpr Millis kComesUp = 60000;

  // All references outlive the object.
  ZoneRepair(const Context& context, Report& report, store::ZoneWriter& writer, Gate& gate, const Roster& roster,
             Refresher& refresher, const store::ProcessIdentity& self);

  // Call it about twice a second. true: something was wrong.
  bool tick();

 private:
  bool look_at(store::EntryIndex entry);
  bool is_true(store::EntryIndex entry, const Target& target);
  bool is_newest();
  void lost(store::EntryIndex entry);

  Context context_;
  Report& report_;
  store::ZoneWriter& writer_;
  Gate& gate_;
  const Roster& roster_;
  Refresher& refresher_;
  store::ProcessIdentity self_;
  store::EntryIndex next_ = 0;
  std::size_t verified_ = 0;  // at this tick
  Millis newer_since_ = 0;    // monotonic: when another configuration registered; 0: ours is the newest
  std::size_t words_ = 0, restored_ = 0, lost_ = 0;  // at this tick
};

}  // namespace ocsp_plus::engine
