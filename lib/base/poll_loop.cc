#include "base/poll_loop.h"

#include <poll.h>
#include <time.h>

#include <algorithm>
#include <climits>
#include <cstddef>
#include <map>
#include <utility>
#include <vector>

namespace ocsp_plus {
namespace {

struct Watched {
  int fd = -1;
  EventLoop::IoCallback callback;
  unsigned interest = 0;
  bool alive = true;  // false: its IoWatch is gone; the list still holds it until the turn ends
};

// When a timer is due; the second number keeps timers of one millisecond in the order they were armed.
using Due = std::pair<Millis, std::uint64_t>;

struct Alarm {
  EventLoop::TimerCallback callback;
  Due due;
  bool armed = false;
};

timespec read_clock(clockid_t id) {
  timespec now = {};
  clock_gettime(id, &now);
  return now;
}

unsigned ready_from(short revents) {
  unsigned ready = 0;
  if ((revents & (POLLIN | POLLPRI)) != 0) {
    ready |= IoWatch::kRead;
  }
  if ((revents & POLLOUT) != 0) {
    ready |= IoWatch::kWrite;
  }
  if ((revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) {
    ready |= IoWatch::kRead | IoWatch::kWrite;
  }
  return ready;
}

short events_for(unsigned interest) {
  int events = 0;
  if ((interest & IoWatch::kRead) != 0) {
    events |= POLLIN;
  }
  if ((interest & IoWatch::kWrite) != 0) {
    events |= POLLOUT;
  }
  return static_cast<short>(events);
}

}  // namespace

UnixSeconds SystemClock::now() const {
  return read_clock(CLOCK_REALTIME).tv_sec;
}

Millis SystemClock::monotonic() const {
  const timespec now = read_clock(CLOCK_MONOTONIC);
  return static_cast<Millis>(now.tv_sec) * 1000 + now.tv_nsec / 1000000;
}

// Watches and timers share it with the loop, so they may outlive the loop and then do nothing. Within, callbacks are
// held by shared pointers, so one that destroys its own watch or timer still runs to its end.
struct PollLoop::Impl {
  class AlarmTimer;
  class PollWatch;

  explicit Impl(const Clock& the_clock) : clock(the_clock) {}

  void turn(Millis at_most);
  int poll_timeout(Millis at_most) const;
  void dispatch_io(const std::vector<pollfd>& polled, const std::vector<std::shared_ptr<Watched>>& snapshot);
  void dispatch_timers();
  void forget_dead_watches();

  const Clock& clock;
  std::vector<std::shared_ptr<Watched>> watches;
  std::map<Due, std::shared_ptr<Alarm>> alarms;
  std::uint64_t armed = 0;
  bool closed = false;
};

int PollLoop::Impl::poll_timeout(Millis at_most) const {
  Millis wait = at_most;
  if (!alarms.empty()) {
    wait = std::min(wait, saturating_sub(alarms.begin()->first.first, clock.monotonic()));
  }
  return static_cast<int>(std::clamp<Millis>(wait, 0, INT_MAX));
}

void PollLoop::Impl::turn(Millis at_most) {
  std::vector<pollfd> polled;
  std::vector<std::shared_ptr<Watched>> snapshot;
  for (const auto& watched : watches) {
    // Without an interest poll(2) would still report errors and hang-ups in every turn.
    if (watched->alive && watched->interest != 0) {
      polled.push_back({watched->fd, events_for(watched->interest), 0});
      snapshot.push_back(watched);
    }
  }
  const int ready = ::poll(polled.data(), polled.size(), poll_timeout(at_most));
  if (ready > 0) {
    dispatch_io(polled, snapshot);
  }
  dispatch_timers();
  forget_dead_watches();
}

void PollLoop::Impl::dispatch_io(const std::vector<pollfd>& polled,
                                 const std::vector<std::shared_ptr<Watched>>& snapshot) {
  for (std::size_t i = 0; i < polled.size(); ++i) {
    const short revents = polled[i].revents;
    const std::shared_ptr<Watched>& watched = snapshot[i];
    // An earlier callback of this turn may have destroyed the watch or lost its interest.
    if (revents == 0 || !watched->alive || watched->interest == 0) {
      continue;
    }
    if ((revents & POLLNVAL) != 0) {
      watched->interest = 0;  // the descriptor was closed while watched: report it once, or the loop would spin
    }
    watched->callback(ready_from(revents));
  }
}

void PollLoop::Impl::dispatch_timers() {
  const Millis now = clock.monotonic();
  std::vector<Due> due;  // a timer armed by one of the callbacks belongs to the next turn
  for (auto it = alarms.begin(); it != alarms.end() && it->first.first <= now; ++it) {
    due.push_back(it->first);
  }
  for (const Due& when : due) {
    const auto it = alarms.find(when);
    if (it == alarms.end()) {
      continue;  // disarmed by an earlier callback
    }
    const std::shared_ptr<Alarm> alarm = it->second;
    alarms.erase(it);
    alarm->armed = false;
    alarm->callback();
  }
}

void PollLoop::Impl::forget_dead_watches() {
  watches.erase(std::remove_if(watches.begin(), watches.end(), [](const auto& watched) { return !watched->alive; }),
                watches.end());
}

class PollLoop::Impl::PollWatch : public IoWatch {
 public:
  explicit PollWatch(std::shared_ptr<Watched> watched) : watched_(std::move(watched)) {}
  ~PollWatch() override { watched_->alive = false; }

  bool set(unsigned interest) override {
    watched_->interest = interest & (kRead | kWrite);
    return true;
  }

 private:
  std::shared_ptr<Watched> watched_;
};

class PollLoop::Impl::AlarmTimer : public Timer {
 public:
  AlarmTimer(std::shared_ptr<Impl> impl, EventLoop::TimerCallback callback)
      : impl_(std::move(impl)), alarm_(std::make_shared<Alarm>()) {
    alarm_->callback = std::move(callback);
  }
  ~AlarmTimer() override { disarm(); }

  void arm(Millis after) override {
    disarm();
    if (impl_->closed) {
      return;  // the loop is gone, and maybe its clock
    }
    alarm_->due = {saturating_add(impl_->clock.monotonic(), std::max<Millis>(after, 0)), ++impl_->armed};
    impl_->alarms.emplace(alarm_->due, alarm_);
    alarm_->armed = true;
  }

  void disarm() override {
    if (alarm_->armed) {
      impl_->alarms.erase(alarm_->due);
      alarm_->armed = false;
    }
  }

 private:
  std::shared_ptr<Impl> impl_;
  std::shared_ptr<Alarm> alarm_;
};

PollLoop::PollLoop(const Clock& clock) : impl_(std::make_shared<Impl>(clock)) {}

PollLoop::~PollLoop() {
  impl_->closed = true;
  for (const auto& [due, alarm] : impl_->alarms) {
    alarm->armed = false;
  }
  impl_->alarms.clear();
  impl_->watches.clear();
}

std::unique_ptr<IoWatch> PollLoop::watch(int fd, IoCallback callback) {
  auto watched = std::make_shared<Watched>();
  watched->fd = fd;
  watched->callback = std::move(callback);
  impl_->watches.push_back(watched);
  return std::make_unique<Impl::PollWatch>(std::move(watched));
}

std::unique_ptr<Timer> PollLoop::timer(TimerCallback callback) {
  return std::make_unique<Impl::AlarmTimer>(impl_, std::move(callback));
}

bool PollLoop::run_until(const std::function<bool()>& done, Millis timeout) {
  const std::shared_ptr<Impl> impl = impl_;
  const Millis deadline = saturating_add(impl->clock.monotonic(), timeout);
  for (;;) {
    impl->turn(saturating_sub(deadline, impl->clock.monotonic()));
    if (done()) {
      return true;
    }
    if (impl->clock.monotonic() >= deadline) {
      return false;
    }
  }
}

}  // namespace ocsp_plus
