// The wall clock beside the monotonic one: whether it has jumped, and whether it can be trusted since.
#pragma once

#include <optional>

#include "base/ports.h"
#include "engine/rate_limit.h"

namespace ocsp_plus::engine {

class ClockWatch {
 public:
  explicit ClockWatch(const Clock& clock);

  // By how much the wall clock has jumped since the last call; nothing: it has not. To be called about twice a
  // second.
  std::optional<Seconds> jump();
  // How often it has.
  unsigned jumps() const { return jumps_; }
  // Whether everything may be planned anew after this jump: a clock that goes to and fro must not have those that
  // fail asked for each time.
  bool permits_fresh_start();

  // A responder's Date is `apart` from our clock.
  void compared(Seconds apart);
  // A responder has confirmed the clock since it jumped, or nobody has for so long that it is believed all the same.
  bool trusted() const;

 private:
  const Clock& clock_;
  RateLimit fresh_starts_;
  UnixSeconds last_wall_;
  Millis last_monotonic_;
  unsigned jumps_ = 0;
  Millis doubted_since_;
  bool confirmed_ = false;
};

}  // namespace ocsp_plus::engine
