// The services that the core needs from its process. Under nginx the shim provides them through the C ABI; the
// command line, the start helper and the tests use a poll(2) loop (base/poll_loop.h) or fakes. lib/ gets time,
// randomness, readiness and locks from here only.
//
// Every object belongs to one thread of one process and must not be used by two processes after a fork.
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
  virtual Millis monotonic() const = 0;  // CLOCK_MONOTONIC; comparable across the machine's processes
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

// The shared memory's lock. No process waits for it: its holder may have been killed.
class SharedLock {
 public:
  virtual ~SharedLock() = default;
  virtual bool try_lock() = 0;
  virtual void unlock() = 0;
};

// Holds it for the length of a scope, if it was free at the beginning.
class ScopedLock {
 public:
  explicit ScopedLock(SharedLock& lock) : lock_(lock), held_(lock.try_lock()) {}
  ~ScopedLock() {
    if (held_) {
      lock_.unlock();
    }
  }
  ScopedLock(const ScopedLock&) = delete;
  ScopedLock& operator=(const ScopedLock&) = delete;

  bool held() const { return held_; }

 private:
  SharedLock& lock_;
  const bool held_;
};

// Watches a file descriptor, level-triggered: the callback repeats while the descriptor is ready. Destroying the
// IoWatch ends the watch and leaves the descriptor open; destroy it before closing the descriptor.
class IoWatch {
 public:
  static constexpr unsigned kRead = 1;
  static constexpr unsigned kWrite = 2;

  virtual ~IoWatch() = default;
  virtual bool set(unsigned interest) = 0;  // kRead | kWrite or 0; false if the loop refuses
};

// A one-shot timer. Arming it again replaces the earlier time; destroying it disarms it.
class Timer {
 public:
  virtual ~Timer() = default;
  virtual void arm(Millis after) = 0;  // not before `after` milliseconds; 0: in the loop's next turn, never at once
  virtual void disarm() = 0;
};

// Callbacks run from the loop, never from inside a call to it. A callback may destroy any watch or timer, its own
// included.
class EventLoop {
 public:
  using IoCallback = std::function<void(unsigned ready)>;  // kRead | kWrite; errors and hang-ups count as both
  using TimerCallback = std::function<void()>;

  virtual ~EventLoop() = default;
  virtual std::unique_ptr<IoWatch> watch(int fd, IoCallback callback) = 0;  // nullptr if no slot is free
  virtual std::unique_ptr<Timer> timer(TimerCallback callback) = 0;
};

}  // namespace ocsp_plus
