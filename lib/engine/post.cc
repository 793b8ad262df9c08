#include "engine/post.h"

#include <algorithm>
#include <utility>

namespace ocsp_plus::engine {
namespace {

constexpr Millis kSweepInterval = 10000;

}  // namespace

Result<std::unique_ptr<Post>> Post::take(const Environment& environment, const store::Candidate& self) {
  store::StapleZone zone = environment.zone;
  const store::LeaseHolder before = store::lease_holder(zone);
  const auto epoch = store::acquire_lease(zone, environment.lock, self, environment.clock, &store::process_alive);
  if (!epoch.has_value()) {
    return fail(Reason::kLeaseLost);
  }
  auto resolver = net::Resolver::create(environment.loop, environment.clock, environment.settings.resolver);
  if (!resolver) {
    store::release_lease(zone, *epoch, self.pid);
    return tl::unexpected<Error>(std::move(resolver.error()));
  }
  return std::unique_ptr<Post>(
      new Post(environment, self, *epoch, std::move(*resolver), before.generation != self.generation));
}

Post::Post(const Environment& environment, const store::Candidate& self, std::uint32_t epoch,
           std::unique_ptr<net::Resolver> resolver, bool new_configuration)
    : environment_(environment),
      self_(self),
      epoch_(epoch),
      resolver_(std::move(resolver)),
      writer_(environment.zone, environment.lock, environment.clock, epoch, self.pid),
      archive_(environment.loop, environment.clock, environment.log, environment.zone, environment.settings,
               environment.starting),
      gate_(environment.zone, writer_, environment.settings.policy, &archive_),
      files_(environment.clock, environment.log, environment.catalog, environment.settings, gate_,
             environment.starting),
      refresher_({environment.loop, environment.clock, environment.random, environment.log, *resolver_,
                  environment.zone, gate_, environment.catalog, environment.settings},
                 new_configuration) {}

Post::~Post() {
  store::release_lease(environment_.zone, epoch_, self_.pid);
}

void Post::keep_held() {
  for (const auto& target : environment_.catalog.targets()) {
    if (gate_.held(*target).has_value()) {
      archive_.published(*target);
    }
  }
}

bool Post::beat() {
  if (refresher_.lease_lost() || !store::renew_lease(environment_.zone, epoch_, self_.pid, environment_.clock)) {
    return false;
  }
  files_.look();
  refresher_.tick();
  const Millis now = environment_.clock.monotonic();
  if (now - swept_ >= kSweepInterval) {
    swept_ = now;
    // Entries of configurations whose last worker is gone. A busy lock: the next sweep does it. A lost lease: the
    // next beat shows it.
    (void)writer_.remove_stale(environment_.zone.oldest_living_generation(&store::process_alive));
    archive_.sweep();
  }
  return true;
}

bool Post::hopeless(const Target& target) const {
  return std::all_of(target.responders.begin(), target.responders.end(),
                     [this](const net::Url* url) { return refresher_.hosts().failing(url->host_key()); });
}

}  // namespace ocsp_plus::engine
