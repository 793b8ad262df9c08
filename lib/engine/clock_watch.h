// Compares the wall clock with the monotonic one: has it jumped, and can it be trusted since?
#pragma once

#include <optional>

#include "base/ports.h"
#include "engine/rate_limit.h"

namespace ocsp_plus::engine {

class ClockWatch {
 public:
  explicit ClockWatch(const Clock& clock);

  // Returns by how much the wall clock has jumped since the last call; nothing: it has not. Call it about twice a
  // second.
  std::optional<Seconds> jump();
  // The number of jumps so far.
  unsigned jumps() const { return jumps_; }
  // Whether everything may be planned anew after this jump. Bounded: a clock that jumps to and fro must not cause a
  // request for every failing certificate each time.
  bool permits_fresh_start();

  // A responder's Date is `apart` from our clock.
  void compared(Seconds apart);
  // Whether a responder has confirmed the clock since it jumped, or five minutes have passed.
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
