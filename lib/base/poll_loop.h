// The EventLoop of processes without nginx: the command line, the start helper, tests. poll(2) and a list of timers.
#pragma once

#include <functional>
#include <memory>

#include "base/ports.h"

namespace ocsp_plus {

// The system's clocks.
class SystemClock : public Clock {
 public:
  UnixSeconds now() const override;
  Millis monotonic() const override;
};

// Watches and timers may outlive it and then do nothing. A descriptor that is closed under its watch is reported
// once, as ready for both, and not again until the next set().
class PollLoop : public EventLoop {
 public:
  explicit PollLoop(const Clock& clock);  // `clock` must outlive the loop; timers count its monotonic time
  ~PollLoop() override;

  std::unique_ptr<IoWatch> watch(int fd, IoCallback callback) override;
  std::unique_ptr<Timer> timer(TimerCallback callback) override;

  // Runs at least one turn. A turn waits for a descriptor or a timer, so `done` must come true by one of them.
  // Runs turns until `done` answers true after a turn, or `timeout` ms are over; true in the first case.
  bool run_until(const std::function<bool()>& done, Millis timeout);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace ocsp_plus
