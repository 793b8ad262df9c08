// Implements the core's ports (base/ports.h) with the functions that the host passes through the C ABI.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "base/ports.h"
#include "ocsp_plus/ocsp_plus.h"

namespace ocsp_plus::capi {

class HostClock : public Clock {
 public:
  explicit HostClock(const op_host_ops_t& host) : host_(host) {}
  UnixSeconds now() const override { return host_.now_s(host_.ctx); }
  Millis monotonic() const override { return host_.monotonic_ms(host_.ctx); }

 private:
  const op_host_ops_t& host_;
};

class HostLog : public LogSink {
 public:
  explicit HostLog(const op_log_ops_t& log) : log_(log) {}
  bool enabled(LogLevel level) const override { return log_.log_enabled(log_.ctx, static_cast<int>(level)) != 0; }
  void write(LogLevel level, std::string_view line) override {
    log_.log_write(log_.ctx, static_cast<int>(level), line.data(), line.size());
  }

 private:
  const op_log_ops_t& log_;
};

class HostLock : public SharedLock {
 public:
  explicit HostLock(const op_lock_ops_t& lock) : lock_(lock) {}
  bool try_lock() override { return lock_.trylock(lock_.ctx) != 0; }
  void unlock() override { lock_.unlock(lock_.ctx); }

 private:
  const op_lock_ops_t& lock_;
};

class HostLoop : public EventLoop {
 public:
  // Logs an exception that a callback lets out, and calls `failed`: the callback's work is half done.
  HostLoop(const op_host_ops_t& host, LogSink& log, std::function<void()> failed)
      : host_(host), log_(log), failed_(std::move(failed)) {}
  std::unique_ptr<IoWatch> watch(int fd, IoCallback callback) override;
  std::unique_ptr<Timer> timer(TimerCallback callback) override;

 private:
  const op_host_ops_t& host_;
  LogSink& log_;
  std::function<void()> failed_;
};

}  // namespace ocsp_plus::capi
