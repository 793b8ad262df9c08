#include "engine/clock_watch.h"

#include "engine/freshness.h"

namespace ocsp_plus::engine {
namespace {

constexpr Seconds kJump = 2;  // the wall clock moved that many seconds more or less than the monotonic one
constexpr std::uint64_t kFreshStarts = 3;  // an hour
constexpr Millis kDoubted = 300000;        // without a responder's Date to compare with

}  // namespace

ClockWatch::ClockWatch(const Clock& clock)
    : clock_(clock),
      fresh_starts_(kFreshStarts, RateLimit::kHour),
      last_wall_(clock.now()),
      last_monotonic_(clock.monotonic()),
      doubted_since_(last_monotonic_) {}

std::optional<Seconds> ClockWatch::jump() {
  const UnixSeconds now = clock_.now();
  const Millis monotonic = clock_.monotonic();
  const Seconds jump = saturating_sub(saturating_sub(now, last_wall_), (monotonic - last_monotonic_) / 1000);
  last_wall_ = now;
  last_monotonic_ = monotonic;
  if (jump <= kJump && jump >= -kJump) {
    return std::nullopt;
  }
  ++jumps_;
  confirmed_ = false;
  doubted_since_ = monotonic;
  return jump;
}

bool ClockWatch::permits_fresh_start() {
  return fresh_starts_.permits(last_monotonic_);
}

void ClockWatch::compared(Seconds apart) {
  confirmed_ = confirmed_ || (apart <= kClocksDiffer && apart >= -kClocksDiffer);
}

bool ClockWatch::trusted() const {
  return confirmed_ || clock_.monotonic() - doubted_since_ >= kDoubted;
}

}  // namespace ocsp_plus::engine
