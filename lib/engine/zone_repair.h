// Finds what another process has written over in the zone, and puts it right: any worker can write into it. Who an
// entry belongs to, the index, the header and which response an entry holds follow from what the lease holder knows.
// A response whose bytes have changed is taken away, and comes from the cache directory or the responder like any
// that is missing; what an earlier holder has published is verified once.
//
// Lives in the process that holds the lease. A few entries at each tick, so that a round takes kEntriesABeat of them
// each half second.
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
  static constexpr std::size_t kEntriesABeat = 256;
  static constexpr std::size_t kVerifiedABeat = 1;
  // A newer configuration that nobody has begun to serve after so long was refused.
  static constexpr Millis kComesUp = 60000;

  // All of them outlive the object.
  ZoneRepair(const Context& context, Report& report, store::ZoneWriter& writer, Gate& gate, const Roster& roster,
             Refresher& refresher, const store::ProcessIdentity& self);

  // To be called about twice a second. True: something was wrong.
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
  Millis newer_since_ = 0;    // monotonic: another configuration has registered; 0: ours is the newest
  std::size_t words_ = 0, restored_ = 0, lost_ = 0;  // at this tick
};

}  // namespace ocsp_plus::engine
