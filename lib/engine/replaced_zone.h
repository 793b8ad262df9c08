// The zone that a new one replaces because its size was changed: what it holds is taken over, and verified like
// anything that some other process wrote. Any worker may have scribbled on it, and old workers still use it.
//
// For the start helper, in which it is still mapped. Nothing is written to it.
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

  // Counters, and what is known of attempts. REQUIRES: nobody has the new zone's lease yet.
  void carry_numbers();

  // Shows the gate what the old zone holds for a target; it goes on as what it was there: of the same source,
  // confirmed when it was. REQUIRES: as Gate::admit().
  void carry(const Target& target, Gate& gate);

  // Certificates that were loaded per connection, with their responses, those first that were used last: where the
  // leaf and its issuer lie there and the signature of the one on the other verifies. For kLoadedTime at the most,
  // and while half of the new zone is free; the others come again with handshakes. `progress` is called after each.
  void carry_loaded(const Catalog& catalog, store::ZoneWriter& writer, const std::function<void()>& progress);
  static constexpr Millis kLoadedTime = 2000;

  std::size_t taken() const { return taken_; }      // responses, those of loaded certificates included
  std::size_t refused() const { return refused_; }  // likewise: ended, forged, or without room
  std::size_t loaded() const { return loaded_; }    // certificates

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
