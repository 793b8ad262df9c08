// base/poll_loop.h in virtual time: the start helper, which has its own loop under nginx, drives the machine here.
#include "base/poll_loop.h"

#include <utility>

#include "sim/machine.h"

namespace ocsp_plus {

using sim::Machine;

UnixSeconds SystemClock::now() const {
  return Machine::here().wall();
}

Millis SystemClock::monotonic() const {
  return Machine::here().monotonic();
}

struct PollLoop::Impl {};

PollLoop::PollLoop(const Clock&) {}

PollLoop::~PollLoop() = default;

std::unique_ptr<IoWatch> PollLoop::watch(int, IoCallback) {
  return nullptr;
}

std::unique_ptr<Timer> PollLoop::timer(TimerCallback callback) {
  return Machine::here().timer(std::move(callback));
}

bool PollLoop::run_until(const std::function<bool()>& done, Millis timeout) {
  const Millis deadline = saturating_add(Machine::here().monotonic(), timeout);
  do {
    Machine::here().current()->point();
    if (!Machine::here().step(deadline)) {
      return done();
    }
  } while (!done());
  return true;
}

}  // namespace ocsp_plus
