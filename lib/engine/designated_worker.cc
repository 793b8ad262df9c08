#include "engine/designated_worker.h"

#include <utility>

namespace ocsp_plus::engine {
namespace {

constexpr unsigned kBeatsOfSlot = 20;
constexpr Millis kPause = 30000;  // after a failure that another try would only repeat

}  // namespace

DesignatedWorker::DesignatedWorker(const Environment& environment, const store::Candidate& self)
    : environment_(environment),
      self_(self),
      report_(environment.log, environment.clock),
      timer_(environment.loop.timer([this] { beat(); })) {
  environment_.zone.worker_started(self_.pid, self_.generation);
  timer_->arm(self_.slot == 0 ? 0 : store::kHeartbeatInterval);
}

DesignatedWorker::~DesignatedWorker() {
  retire();
  environment_.zone.worker_stopped(self_.pid);
}

void DesignatedWorker::retire() {
  retired_ = true;
  timer_->disarm();
  post_.reset();
}

void DesignatedWorker::beat() {
  if (retired_) {
    return;
  }
  timer_->arm(store::kHeartbeatInterval);  // first: whatever fails below, there is another beat
  // Its slot may have been written over.
  if (++beats_ % kBeatsOfSlot == 0) {
    environment_.zone.worker_started(self_.pid, self_.generation);
  }
  if (std::exchange(distrusted_, false)) {
    post_.reset();
  }
  if (post_ == nullptr) {
    take_post();
  }
  if (post_ != nullptr && !post_->beat()) {
    report_.lease_lost();
    post_.reset();
  }
}

void DesignatedWorker::take_post() {
  if (environment_.clock.monotonic() < not_before_) {
    return;
  }
  auto post = Post::take(environment_, self_);
  if (post) {
    post_ = std::move(*post);
    post_->catch_up();
    report_.lease_taken(self_.slot, self_.generation, environment_.catalog.targets().size());
  } else if (post.error().reason != Reason::kLeaseLost) {
    report_.resolver_failed(post.error());
    not_before_ = environment_.clock.monotonic() + kPause;
  }
}

}  // namespace ocsp_plus::engine
