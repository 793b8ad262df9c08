// Virtual time with real sockets: the loop's clock advances only when nothing else is left to do. Days pass in
// milliseconds, an exchange with a loopback server takes no virtual time, and a hanging one takes its full time-out.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/poll_loop.h"
#include "base/ports.h"
#include "tests/pki.h"

namespace ocsp_plus::testing {

// Starts at the test PKI's time. Both clocks advance together; the wall clock may also jump.
class SteppedClock : public Clock {
 public:
  UnixSeconds now() const override { return kNow + elapsed_ / 1000 + jumped_; }
  Millis monotonic() const override { return kStart + elapsed_; }

  void advance(Millis span) { elapsed_ += span; }
  void jump(Seconds by) { jumped_ += by; }
  Millis elapsed() const { return elapsed_; }

 private:
  static constexpr Millis kStart = 1000000;
  Millis elapsed_ = 0;
  Seconds jumped_ = 0;
};

class SteppedLoop : public EventLoop {
 public:
  std::unique_ptr<IoWatch> watch(int fd, IoCallback callback) override {
    return inner_.watch(fd, [this, then = std::move(callback)](unsigned ready) {
      ++events_;
      then(ready);
    });
  }
  std::unique_ptr<Timer> timer(TimerCallback callback) override {
    return inner_.timer([this, then = std::move(callback)] {
      ++events_;
      then();
    });
  }

  void turn() {
    inner_.run_until([] { return true; }, 0);
    if (each_turn) {
      each_turn();
    }
  }
  // Runs the loop until nothing is left to do at the current time.
  void settle() {
    for (int quiet = 0; quiet < 3;) {
      const long before = events_;
      turn();
      quiet = events_ == before ? quiet + 1 : 0;
    }
  }

  // Lets `span` pass in steps of at most `step`, settling after each; `each` runs after every step.
  void pass(Millis span, Millis step = 500, const std::function<void()>& each = nullptr) {
    settle();
    while (span > 0) {
      const Millis now = std::min(span, step);
      clock.advance(now);
      span -= now;
      settle();
      if (each) {
        each();
      }
    }
  }

  SteppedClock clock;
  std::function<void()> each_turn;  // after each turn; may be empty

 private:
  PollLoop inner_{clock};
  long events_ = 0;
};

class RecordingLog : public LogSink {
 public:
  bool enabled(LogLevel level) const override { return level <= LogLevel::kInfo; }
  void write(LogLevel level, std::string_view line) override { lines.emplace_back(level, std::string(line)); }

  // Returns the number of lines that contain `text`.
  int count(std::string_view text) const {
    return static_cast<int>(std::count_if(
        lines.begin(), lines.end(), [&](const auto& line) { return line.second.find(text) != std::string::npos; }));
  }
  // Returns the levels of the lines that contain `text`.
  std::vector<LogLevel> levels(std::string_view text) const {
    std::vector<LogLevel> found;
    for (const auto& [level, line] : lines) {
      if (line.find(text) != std::string::npos) {
        found.push_back(level);
      }
    }
    return found;
  }

  std::vector<std::pair<LogLevel, std::string>> lines;
};

}  // namespace ocsp_plus::testing
