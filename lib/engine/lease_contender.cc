#include "engine/lease_contender.h"

#include <utility>

#include "store/zone_registry.h"

namespace ocsp_plus::engine {
namespace {

constexpr unsigned kTicksOfSlot = 20;
constexpr Millis kPause = 30000;  // after a failure that another attempt would only repeat

}  // namespace

LeaseContender::LeaseContender(const Context& context, const store::ProcessIdentity& self)
    : context_(context),
      self_(self),
      report_(context.log, context.clock),
      timer_(context.loop.timer([this] { tick(); })) {
  store::worker_started(context_.zone, self_.pid, self_.generation);
  timer_->arm(self_.slot == 0 ? 0 : store::kHeartbeatInterval);
}

LeaseContender::~LeaseContender() {
  retire();
  store::worker_stopped(context_.zone, self_.pid);
}

void LeaseContender::retire() {
  retired_ = true;
  timer_->disarm();
  holder_.reset();
}

void LeaseContender::tick() {
  if (retired_) {
    return;
  }
  timer_->arm(store::kHeartbeatInterval);  // first, so that there is another tick whatever fails below
  // Another process may have written over the slot.
  if (++ticks_ % kTicksOfSlot == 0) {
    store::worker_started(context_.zone, self_.pid, self_.generation);
  }
  if (std::exchange(distrusted_, false)) {
    holder_.reset();
  }
  if (holder_ == nullptr) {
    take_lease();
  }
  if (holder_ != nullptr && !holder_->tick()) {
    report_.lease_lost();
    holder_.reset();
  }
}

void LeaseContender::take_lease() {
  if (context_.clock.monotonic() < not_before_) {
    return;
  }
  auto holder = LeaseHolder::take(context_, self_);
  if (holder) {
    holder_ = std::move(*holder);
    holder_->catch_up();
    if (std::exchange(failed_, false)) {
      report_.resolver_works();
    }
    report_.lease_taken(self_.slot, self_.generation, context_.catalog.targets().size());
  } else if (holder.error().reason != Reason::kLeaseLost) {
    failed_ = true;
    report_.resolver_failed(holder.error());
    not_before_ = context_.clock.monotonic() + kPause;
  }
}

}  // namespace ocsp_plus::engine
