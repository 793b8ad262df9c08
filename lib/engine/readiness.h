// Whether the first round is over: each certificate is stapled or was tried, for a minute at most; those that a
// server refuses to serve without a staple are stapled. Once it is over it stays over, whatever responders do later:
// one responder that dies must not take every machine behind a load balancer out of it.
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

  // Goes on from where it stopped the last time; notes in the zone when the round is over. At most `budget`
  // certificates are looked at. The one that is waited for now; nullptr where none is, or the budget is used up.
  const Target* tick(const Clock& clock, std::size_t budget = SIZE_MAX);

  // As the zone knows: for good.
  static bool over(const store::StapleZone& zone);

 private:
  bool settled(const Target& target, UnixSeconds now, bool late) const;

  store::StapleZone zone_;
  const Catalog& catalog_;
  const Settings& settings_;
  std::size_t next_ = 0;
};

}  // namespace ocsp_plus::engine
