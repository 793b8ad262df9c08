// What the core needs from the process it runs in. Under nginx the shim provides these through the C ABI; the
// command line, the start helper and the tests bring a poll(2) loop (base/poll_loop.h) or fakes. Nothing in lib/
// asks the system for time, randomness, readiness or a lock by any other way.
//
// All of it belongs to one process and one thread; no object here may be used from two processes after a fork.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "base/time.h"

namespace ocsp_plus {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual UnixSeconds now() const = 0;   // wall clock; may jump
  virtual Millis monotonic() const = 0;  // CLOCK_MONOTONIC; comparable between processes of the machine
};

class Random {
 public:
  virtual ~Random() = default;
  virtual std::uint64_t next() = 0;  // uniform; for jitter, never for secrets
};

enum class LogLevel : int { kCrit = 3, kError = 4, kWarn = 5, kNotice = 6, kInfo = 7, kDebug = 8 };  // as NGX_LOG_*

class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual bool enabled(LogLevel level) const = 0;
  virtual void write(LogLevel level, std::string_view line) = 0;  // one event, one line, no line feed
};

// The lock of the shared memory. Nobody ever waits for it: its holder may have been killed.
class SharedLock {
 public:
  virtual ~SharedLock() = default;
  virtual bool try_lock() = 0;
  virtual void unlock() = 0;
};

// A file descriptor that is being watched. Level-triggered: the callback comes again while the descriptor is
// ready. Destroying it ends the watch; it does not close the descriptor and must happen before it is closed.
class IoWatch {
 public:
  static constexpr unsigned kRead = 1;
  static constexpr unsigned kWrite = 2;

  virtual ~IoWatch() = default;
  virtual bool set(unsigned interest) = 0;  // kRead | kWrite or 0; false where the loop refuses
};

// A one-shot timer. Arming again replaces the earlier time. Destroying it disarms it.
class Timer {
 public:
  virtual ~Timer() = default;
  virtual void arm(Millis after) = 0;  // not before `after` milliseconds; 0: in the loop's next turn, never at once
  virtual void disarm() = 0;
};

// Callbacks run from the loop only, never from inside a call to it. A callback may destroy any watch or timer,
// including the one it was called for.
class EventLoop {
 public:
  using IoCallback = std::function<void(unsigned ready)>;  // kRead | kWrite; errors and hang-ups count as both
  using TimerCallback = std::function<void()>;

  virtual ~EventLoop() = default;
  virtual std::unique_ptr<IoWatch> watch(int fd, IoCallback callback) = 0;  // nullptr where no slot is free
  virtual std::unique_ptr<Timer> timer(TimerCallback callback) = 0;
};

}  // namespace ocsp_plus
