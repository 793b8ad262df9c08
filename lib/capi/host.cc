#include "capi/host.h"

#include <sys/random.h>

#include <exception>
#include <new>
#include <utility>

#include "base/log.h"

namespace ocsp_plus::capi {
namespace {

// Where exceptions of callbacks stop. The callable is copied first: it may destroy its owner, and itself with it.
template <typename Callback, typename... Args>
void guarded(LogSink& log, const Callback& callback, Args... args) noexcept {
  try {
    const Callback kept = callback;
    kept(args...);
  } catch (const std::exception& error) {
    log.write(LogLevel::kError, std::string("ocsp_plus: unexpected failure: ") + error.what());
  } catch (...) {
    log.write(LogLevel::kError, "ocsp_plus: unexpected failure");
  }
}

class HostWatch : public IoWatch {
 public:
  HostWatch(const op_host_ops_t& host, LogSink& log, EventLoop::IoCallback callback)
      : host_(host), log_(log), callback_(std::move(callback)) {}
  ~HostWatch() override {
    if (io_ != nullptr) {
      host_.io_del(host_.ctx, io_);
    }
  }
  bool open(int fd) {
    io_ = host_.io_add(host_.ctx, fd, &HostWatch::ready, this);
    return io_ != nullptr;
  }
  bool set(unsigned interest) override { return host_.io_set(host_.ctx, io_, interest) != 0; }

 private:
  static void ready(void* data, unsigned ready) {
    auto* self = static_cast<HostWatch*>(data);
    guarded(self->log_, self->callback_, ready);
  }

  const op_host_ops_t& host_;
  LogSink& log_;
  EventLoop::IoCallback callback_;
  void* io_ = nullptr;
};

class HostTimer : public Timer {
 public:
  HostTimer(const op_host_ops_t& host, LogSink& log, EventLoop::TimerCallback callback)
      : host_(host),
        log_(log),
        callback_(std::move(callback)),
        timer_(host_.timer_add(host_.ctx, &HostTimer::fired, this)) {
    if (timer_ == nullptr) {
      throw std::bad_alloc();
    }
  }
  ~HostTimer() override { host_.timer_del(host_.ctx, timer_); }
  void arm(Millis after) override { host_.timer_set(host_.ctx, timer_, after < 0 ? 0 : after); }
  void disarm() override { host_.timer_set(host_.ctx, timer_, -1); }

 private:
  static void fired(void* data) {
    auto* self = static_cast<HostTimer*>(data);
    guarded(self->log_, self->callback_);
  }

  const op_host_ops_t& host_;
  LogSink& log_;
  EventLoop::TimerCallback callback_;
  void* timer_;
};

}  // namespace

std::unique_ptr<IoWatch> HostLoop::watch(int fd, IoCallback callback) {
  auto watch = std::make_unique<HostWatch>(host_, log_, std::move(callback));
  return watch->open(fd) ? std::move(watch) : nullptr;
}

std::unique_ptr<Timer> HostLoop::timer(TimerCallback callback) {
  return std::make_unique<HostTimer>(host_, log_, std::move(callback));
}

HostRandom::HostRandom() : state_(0) {
  // Without the system's randomness the address of the object is jitter enough; nothing secret hangs on it.
  if (getrandom(&state_, sizeof(state_), GRND_NONBLOCK) != static_cast<ssize_t>(sizeof(state_))) {
    state_ = reinterpret_cast<std::uintptr_t>(this);
  }
}

std::uint64_t HostRandom::next() {
  state_ += 0x9e3779b97f4a7c15;
  std::uint64_t mixed = state_;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  return mixed ^ (mixed >> 31);
}

}  // namespace ocsp_plus::capi
