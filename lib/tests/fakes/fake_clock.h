// Clocks for tests.
#pragma once

#include "base/poll_loop.h"
#include "base/ports.h"

namespace ocsp_plus::testing {

constexpr UnixSeconds kTestNow = 1767225600;  // 2026-01-01T00:00:00Z

// A clock that stands still until set or advanced.
class FakeClock : public Clock {
 public:
  UnixSeconds now() const override { return now_; }
  Millis monotonic() const override { return monotonic_; }

  void advance(Millis span) {
    monotonic_ += span;
    now_ = kTestNow + (monotonic_ - kStart) / 1000;
  }
  void set_now(UnixSeconds now) { now_ = now; }  // only the wall clock jumps

 private:
  static constexpr Millis kStart = 1000000;
  UnixSeconds now_ = kTestNow;
  Millis monotonic_ = kStart;
};

// A clock for tests with sockets: the monotonic clock follows the system's and can be advanced, so that a long timer
// expires now. The wall clock stands still.
class ShiftedClock : public Clock {
 public:
  UnixSeconds now() const override { return kTestNow; }
  Millis monotonic() const override { return system_.monotonic() + shift_; }

  void advance(Millis span) { shift_ += span; }

 private:
  SystemClock system_;
  Millis shift_ = 0;
};

}  // namespace ocsp_plus::testing
