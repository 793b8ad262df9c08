// Decides when the first round is over: every certificate has a staple or was tried, or a minute has passed;
// certificates that a server refuses to serve without a staple must have one. Once over it stays over, whatever
// responders do later: a responder that dies must not take every machine out of a load balancer.
#pragma once

#include <cstddef>
#include <optional>

#include "base/ports.h"
#include "engine/catalog.h"
#include "engine/settings.h"
#include "store/staple_zone.h"

namespace ocsp_plus::engine {

constexpr Millis kFirstRound = 60000;

class Readiness {
 public:
  // All references outlive the object.
  Readiness(const store::StapleZone& zone, const Catalog& catalog, const Settings& settings)
      : zone_(zone), catalog_(catalog), settings_(settings) {}

  // Continues where it stopped the last time; records in the zone that the round is over. Looks at `budget`
  // certificates at most. Returns the one that is waited for; nullptr: none is, or the budget is used up.
  const Target* tick(const Clock& clock, std::size_t budget = SIZE_MAX);

  // Returns whether the first round is over, which the zone records for good.
  static bool over(const store::StapleZone& zone);

 private:
  bool settled(const Target& target, UnixSeconds now, bool late) const;

  store::StapleZone zone_;
  const Catalog& catalog_;
  const Settings& settings_;
  std::size_t next_ = 0;
};

}  // namespace ocsp_plus::engine
