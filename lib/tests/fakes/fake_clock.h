// Clocks for tests.
#pragma once

#include "base/poll_loop.h"
#include "base/ports.h"

namespace ocsp_plus::testing {

constexpr UnixSeconds kTestNow = 1767225600;  // 2026-01-01T00:00:00Z

// Stands still until told otherwise.
class FakeClock : public Clock {
 public:
  UnixSeconds now() const override { return now_; }
  Millis monotonic() const override { return monotonic_; }

  void advance(Millis span) {
    monotonic_ += span;
    now_ = kTestNow + (monotonic_ - kStart) / 1000;
  }
  void set_now(UnixSeconds now) { now_ = now; }  // the wall clock jumps, the monotonic one does not

 private:
  static constexpr Millis kStart = 1000000;
  UnixSeconds now_ = kTestNow;
  Millis monotonic_ = kStart;
};

// For tests with sockets: the monotonic clock runs with the machine's and can be moved ahead, so that a timer of many
// seconds is due now. The wall clock stands still.
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
