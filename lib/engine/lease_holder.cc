#include "engine/lease_holder.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "store/shared_stats.h"

namespace ocsp_plus::engine {
namespace {

constexpr Millis kSweepInterval = 10000;
constexpr Millis kForgetInterval = 3600000;
constexpr std::size_t kIssuersSwept = 1024;  // looked at in one tick, whether anybody uses them

}  // namespace

Result<std::unique_ptr<LeaseHolder>> LeaseHolder::take(const Environment& environment,
                                                       const store::ProcessIdentity& self) {
  store::StapleZone zone = environment.zone;
  const store::LeaseState before = store::lease_holder(zone);
  const auto epoch = store::acquire_lease(zone, environment.lock, self, environment.clock, &store::process_alive);
  if (!epoch.has_value()) {
    return fail(Reason::kLeaseLost);
  }
  auto resolver = net::Resolver::create(environment.loop, environment.clock, environment.settings.resolver);
  if (!resolver) {
    store::release_lease(zone, *epoch, self.pid);
    return tl::unexpected<Error>(std::move(resolver.error()));
  }
  return std::unique_ptr<LeaseHolder>(
      new LeaseHolder(environment, self, *epoch, std::move(*resolver), before.generation != self.generation));
}

LeaseHolder::LeaseHolder(const Environment& environment, const store::ProcessIdentity& self, std::uint32_t epoch,
                         std::unique_ptr<net::Resolver> resolver, bool new_configuration)
    : environment_(environment),
      self_(self),
      epoch_(epoch),
      report_(environment.log, environment.clock),
      resolver_(std::move(resolver)),
      transport_(environment.loop, environment.clock, *resolver_, environment.settings.proxy),
      work_queue_(environment.loop),
      searches_(environment.loop, environment.clock, work_queue_),
      writer_(environment.zone, environment.lock, environment.clock, epoch, self.pid),
      roster_(environment.catalog),
      disk_cache_(environment.loop, environment.clock, report_, environment.zone, environment.catalog,
                  environment.settings, environment.starting, &writer_),
      issuers_(environment.catalog, searches_, &disk_cache_,
               [this](const Target& target, const net::Url& url) {
                 report_.issuer_fetched(target, url);
                 refresher_.issuer_came(target);
               }),
      gate_(environment.zone, writer_, environment.settings.policy, &disk_cache_),
      files_(environment.clock, report_, environment.catalog, environment.settings, gate_, environment.starting),
      refresher_({environment.loop, environment.clock, environment.random, report_, transport_, tls_, work_queue_,
                  environment.zone, gate_, roster_, environment.settings, &issuers_, &disk_cache_},
                 new_configuration),
      discovery_({environment.loop, environment.clock, report_, environment.zone, writer_, gate_, disk_cache_,
                  roster_, refresher_, issuers_, environment.catalog, environment.settings}),
      readiness_(environment.zone, environment.catalog, environment.settings),
      repair_(
          {environment.clock, report_, environment.zone, writer_, gate_, roster_, refresher_, environment.settings},
          self),
      new_configuration_(new_configuration) {
  tidy_tables();
}

// Takes out what no responder of this configuration goes by.
void LeaseHolder::tidy_tables() {
  store::keep_hosts(environment_.zone, environment_.catalog.hosts());
  std::set<std::string> urls;
  for (const auto& target : environment_.catalog.targets()) {
    for (const net::Url* url : target->responders) {
      urls.insert(url->to_string());
    }
  }
  store::keep_methods(environment_.zone, {urls.begin(), urls.end()});
}

LeaseHolder::~LeaseHolder() {
  record_hosts();
  record_connections();
  store::release_lease(environment_.zone, epoch_, self_.pid);
}

void LeaseHolder::catch_up() {
  (void)disk_cache_.check();
  for (const auto& target : environment_.catalog.targets()) {
    if (gate_.held(*target).has_value()) {
      disk_cache_.changed(*target);
    }
  }
  // A holder of this configuration before us has told what lies there and is of no use.
  refresher_.look_for_missing(new_configuration_);
}

bool LeaseHolder::tick() {
  if (refresher_.lease_lost() || !store::renew_lease(environment_.zone, epoch_, self_.pid, environment_.clock)) {
    return false;
  }
  if (!environment_.starting && repair_.tick()) {
    tidy_tables();
  }
  answer_requests();
  issuers_.tick();
  issuers_.pool().sweep(kIssuersSwept);
  files_.tick();
  // What others bring is left to the workers: a start waits for what the configuration names.
  if (!environment_.starting) {
    discovery_.tick();
  }
  refresher_.tick();
  if (refresher_.jumps() != jumps_) {
    jumps_ = refresher_.jumps();
    files_.look_again();
  }
  if (disk_cache_.recoveries() != recoveries_) {
    recoveries_ = disk_cache_.recoveries();
    refresher_.look_for_missing(false);
  }
  record_hosts();
  record_connections();
  environment_.zone.stats().arena_used.store(writer_.bytes_used(), std::memory_order_relaxed);
  readiness_.tick(environment_.clock);
  const Millis now = environment_.clock.monotonic();
  if (now - forgot_ >= kForgetInterval) {
    forgot_ = now;
    issuers_.pool().forget_mismatches();
  }
  if (now - swept_ >= kSweepInterval) {
    swept_ = now;
    // Entries of configurations whose last worker is gone. A busy lock: the next sweep does it. A lost lease: the
    // next tick shows it.
    (void)writer_.remove_stale(environment_.zone.oldest_living_generation(&store::process_alive));
    disk_cache_.sweep();
  }
  return true;
}

// What other workers were asked to have done.
void LeaseHolder::answer_requests() {
  const store::RefreshRequests requests = store::take_refresh_requests(environment_.zone);
  if (requests.all) {
    refresher_.refresh_all();
  }
  for (const store::EntryIndex entry : requests.entries) {
    (void)refresher_.refresh(entry);  // it may have gone meanwhile
  }
}

void LeaseHolder::record_hosts() {
  for (const auto& [key, host] : refresher_.health().all()) {
    // Of one that is unproven to us an earlier holder may have known more; of those that are asked for certificates
    // loaded per connection, others decide how many there are.
    if (host.state != ResponderHealth::State::kUnproven && key.find(kHealthSuffix) == std::string::npos) {
      store::record_host(environment_.zone, key,
                         {static_cast<std::uint32_t>(host.state), host.failures, host.in_flight, host.next_probe,
                          host.failed_at, host.reason});
    }
  }
  const ResponderHealth::Host& proxy = refresher_.health().proxy();
  if (proxy.state != ResponderHealth::State::kUnproven) {
    store::record_host(environment_.zone, store::kProxyKey,
                       {static_cast<std::uint32_t>(proxy.state), proxy.failures, proxy.in_flight, proxy.next_probe,
                        proxy.failed_at, proxy.reason});
  }
}

void LeaseHolder::record_connections() {
  const net::ConnectionTally tally = std::exchange(transport_.tally, {});
  store::record_connections(environment_.zone, {tally.ipv4.ok, tally.ipv4.failed, tally.ipv6.ok, tally.ipv6.failed});
}

bool LeaseHolder::hopeless(const Target& target) const {
  for (std::size_t i = 0; i < target.responders.size(); ++i) {
    if (!refresher_.health().failing(target.host(i))) {
      return false;
    }
  }
  return true;
}

}  // namespace ocsp_plus::engine
