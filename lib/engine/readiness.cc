#include "engine/readiness.h"

#include "engine/admit.h"
#include "store/entry_state.h"
#include "store/shared_stats.h"

namespace ocsp_plus::engine {

bool Readiness::over(const store::StapleZone& zone) {
  return store::number(zone, store::Number::kSettled) == 1;
}

const Target* Readiness::tick(const Clock& clock, std::size_t budget) {
  if (over(zone_)) {
    return nullptr;
  }
  const UnixSeconds now = clock.now();
  const Millis began = store::number(zone_, store::Number::kBegan);
  const bool late = saturating_sub(clock.monotonic(), began) >= kFirstRound;
  const auto& targets = catalog_.targets();
  for (; next_ < targets.size(); ++next_) {
    if (budget-- == 0) {
      return nullptr;
    }
    if (!settled(*targets[next_], now, late)) {
      return targets[next_].get();
    }
  }
  store::record(zone_, store::Number::kSettled, 1);
  return nullptr;
}

bool Readiness::settled(const Target& target, UnixSeconds now, bool late) const {
  if (target.ca || target.ended(now)) {
    return true;
  }
  if (!target.required && (late || !target.stapleable() || store::read_attempt(zone_, target.entry).at != 0)) {
    return true;
  }
  const auto held = zone_.peek(target.entry, target.certificate.id);
  return held.has_value() && is_staplable(*held, now, settings_.policy.clock_skew);
}

}  // namespace ocsp_plus::engine
