// The zone that a new one replaces because its size was changed. Its contents are taken over, and verified like
// anything that another process wrote: any worker may have scribbled on it, and old workers still use it.
//
// Used by the start helper, which still has it mapped. Nothing is written to it.
#pragma once

#include <cstddef>
#include <functional>

#include "base/ports.h"
#include "engine/admit.h"
#include "engine/catalog.h"
#include "engine/settings.h"
#include "store/staple_zone.h"
#include "store/zone_writer.h"

namespace ocsp_plus::engine {

class ReplacedZone {
 public:
  // Both zones are copied (handles); the rest outlives the object.
  ReplacedZone(const store::StapleZone& from, const store::StapleZone& to, const Clock& clock,
               const Settings& settings)
      : from_(from), to_(to), clock_(clock), settings_(settings) {}

  // Copies the counters and the records of attempts. REQUIRES: no process has the new zone's lease yet.
  void carry_numbers();

  // Admits the response that the old zone holds for a target; its source and the time of its confirmation stay.
  // REQUIRES: as Gate::admit().
  void carry(const Target& target, Gate& gate);

  // Takes over certificates loaded per connection, with their responses, the most recently used first, if the old
  // zone has leaf and issuer and the leaf's signature verifies. Stops after kLoadedTime ms, or when half of the new
  // zone is used; the others come again with handshakes. Calls `progress` after each.
  void carry_loaded(Catalog& catalog, store::ZoneWriter& writer, const std::function<void()>& progress);
  static constexpr Millis kLoadedTime = 2000;

  std::size_t taken() const { return taken_; }      // responses, per connection included
  std::size_t refused() const { return refused_; }  // responses left behind: ended, forged, or no room
  std::size_t loaded() const { return loaded_; }    // certificates loaded per connection

 private:
  void carry_one_loaded(store::EntryIndex entry, IssuerPool& issuers, store::ZoneWriter& writer);
  void admit(const Target& target, store::EntryIndex source, Gate& gate);

  store::StapleZone from_;
  store::StapleZone to_;
  const Clock& clock_;
  const Settings& settings_;
  std::size_t taken_ = 0, refused_ = 0, loaded_ = 0;
};

}  // namespace ocsp_plus::engine
