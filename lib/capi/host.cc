#include "capi/host.h"

#include <array>
#include <exception>
#include <new>
#include <utility>

#include "base/printable.h"

namespace ocsp_plus::capi {
namespace {

// Stops the exceptions of callbacks. A callback may destroy its owner; it is kept until it returns, and
// keeping it allocates nothing: a callback that is not called at all would be the worst of failures.
class Guard {
 public:
  Guard(LogSink& log, const std::function<void()>& failed) : log_(log), failed_(failed) {}

  template <typename Callback, typename... Args>
  void run(std::shared_ptr<Callback> callback, Args... args) const noexcept {
    const Guard kept = *this;
    try {
      (*callback)(args...);
    } catch (const std::exception& error) {
      kept.tell(error.what());
    } catch (...) {
      kept.tell("not a standard exception");
    }
  }

 private:
  void tell(const char* what) const noexcept {
    // Memory may be what is missing.
    std::array<char, 256> line = {};
    const std::size_t begun = print_into("ocsp_plus: unexpected failure: ", line.data(), line.size());
    print_into(what, line.data() + begun, line.size() - begun);
    log_.write(LogLevel::kError, line.data());
    failed_();
  }

  LogSink& log_;
  const std::function<void()>& failed_;
};

class HostWatch : public IoWatch {
 public:
  HostWatch(const op_host_ops_t& host, Guard guard, EventLoop::IoCallback callback)
      : host_(host), guard_(guard), callback_(std::make_shared<EventLoop::IoCallback>(std::move(callback))) {}
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
    const auto* self = static_cast<HostWatch*>(data);
    self->guard_.run(self->callback_, ready);
  }

  const op_host_ops_t& host_;
  Guard guard_;
  std::shared_ptr<EventLoop::IoCallback> callback_;
  void* io_ = nullptr;
};

class HostTimer : public Timer {
 public:
  HostTimer(const op_host_ops_t& host, Guard guard, EventLoop::TimerCallback callback)
      : host_(host),
        guard_(guard),
        callback_(std::make_shared<EventLoop::TimerCallback>(std::move(callback))),
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
    const auto* self = static_cast<HostTimer*>(data);
    self->guard_.run(self->callback_);
  }

  const op_host_ops_t& host_;
  Guard guard_;
  std::shared_ptr<EventLoop::TimerCallback> callback_;
  void* timer_;
};

}  // namespace

std::unique_ptr<IoWatch> HostLoop::watch(int fd, IoCallback callback) {
  auto watch = std::make_unique<HostWatch>(host_, Guard(log_, failed_), std::move(callback));
  return watch->open(fd) ? std::move(watch) : nullptr;
}

std::unique_ptr<Timer> HostLoop::timer(TimerCallback callback) {
  return std::make_unique<HostTimer>(host_, Guard(log_, failed_), std::move(callback));
}

}  // namespace ocsp_plus::capi
