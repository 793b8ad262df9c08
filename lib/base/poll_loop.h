// The poll(2) EventLoop of processes without nginx: the command line, the start helper, tests.
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

// Watches and timers may outlive the loop and then do nothing. A descriptor closed while it is watched is reported
// once, as readable and writable, and not again until the next set().
class PollLoop : public EventLoop {
 public:
  explicit PollLoop(const Clock& clock);  // `clock` must outlive the loop; timers count its monotonic time
  ~PollLoop() override;

  std::unique_ptr<IoWatch> watch(int fd, IoCallback callback) override;
  std::unique_ptr<Timer> timer(TimerCallback callback) override;

  // Runs turns, at least one, until `done` returns true after a turn (returns true) or `timeout` ms have passed
  // (returns false). A turn waits for a descriptor or a timer, so one of these must make `done` true.
  bool run_until(const std::function<bool()>& done, Millis timeout);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace ocsp_plus
