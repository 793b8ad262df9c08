#include "engine/designated_worker.h"

#include <utility>

namespace ocsp_plus::engine {
namespace {

constexpr Millis kPause = 30000;          // after a failure that another try would only repeat
constexpr Millis kSweepInterval = 10000;  // for entries of configurations whose last worker is gone

}  // namespace

DesignatedWorker::Post::Post(const Environment& environment, const store::Candidate& self, std::uint32_t lease_epoch,
                             std::unique_ptr<net::Resolver> names, bool new_configuration)
    : epoch(lease_epoch),
      resolver(std::move(names)),
      writer(environment.zone, environment.lock, environment.clock, lease_epoch, self.pid),
      gate(environment.zone, writer, environment.settings.policy),
      refresher({environment.loop, environment.clock, environment.random, environment.log, *resolver,
                 environment.zone, gate, environment.catalog, environment.settings},
                new_configuration) {}

DesignatedWorker::DesignatedWorker(const Environment& environment, const store::Candidate& self)
    : environment_(environment),
      self_(self),
      report_(environment.log),
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
  leave_post();
}

void DesignatedWorker::beat() {
  if (!post_.has_value()) {
    take_post();
  }
  if (post_.has_value()) {
    do_post();
  }
  if (!retired_) {
    timer_->arm(store::kHeartbeatInterval);
  }
}

void DesignatedWorker::take_post() {
  if (environment_.clock.monotonic() < not_before_) {
    return;
  }
  const store::LeaseHolder before = store::lease_holder(environment_.zone);
  const auto epoch =
      store::acquire_lease(environment_.zone, environment_.lock, self_, environment_.clock, &store::process_alive);
  if (!epoch.has_value()) {
    return;
  }
  auto resolver = net::Resolver::create(environment_.loop, environment_.clock, environment_.settings.resolver);
  if (!resolver) {
    report_.resolver_failed(resolver.error());
    store::release_lease(environment_.zone, *epoch, self_.pid);
    not_before_ = environment_.clock.monotonic() + kPause;
    return;
  }
  report_.lease_taken(self_.slot, self_.generation, environment_.catalog.targets().size());
  post_.emplace(environment_, self_, *epoch, std::move(*resolver), before.generation != self_.generation);
}

void DesignatedWorker::do_post() {
  if (post_->refresher.lease_lost() ||
      !store::renew_lease(environment_.zone, post_->epoch, self_.pid, environment_.clock)) {
    report_.lease_lost();
    return leave_post();
  }
  post_->refresher.tick();
  const Millis now = environment_.clock.monotonic();
  if (now - swept_ >= kSweepInterval) {
    swept_ = now;
    // A busy lock: the next sweep does it. A lost lease: the next beat shows it.
    (void)post_->writer.remove_stale(environment_.zone.oldest_living_generation(&store::process_alive));
  }
}

void DesignatedWorker::leave_post() {
  if (post_.has_value()) {
    const std::uint32_t epoch = post_->epoch;
    post_.reset();
    store::release_lease(environment_.zone, epoch, self_.pid);
  }
}

}  // namespace ocsp_plus::engine
