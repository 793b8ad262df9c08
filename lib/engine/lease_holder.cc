#include "engine/lease_holder.h"

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <utility>

#include "store/counters.h"
#include "store/shared_stats.h"
#include "store/zone_registry.h"

namespace ocsp_plus::engine {
namespace {

constexpr Millis kSweepInterval = 10000;
constexpr Millis kForgetInterval = 3600000;
constexpr std::size_t kIssuersSwept = 1024;  // looked at in one tick

}  // namespace

Result<std::unique_ptr<LeaseHolder>> LeaseHolder::take(const Context& context, const store::ProcessIdentity& self) {
  store::StapleZone zone = context.zone;
  const store::LeaseState before = store::lease_holder(zone);
  const auto epoch = store::acquire_lease(zone, context.lock, self, context.clock, &store::process_alive);
  if (!epoch.has_value()) {
    return fail(Reason::kLeaseLost);
  }
  auto resolver = net::Resolver::create(context.loop, context.clock, context.settings.resolver);
  if (!resolver) {
    store::release_lease(zone, *epoch, self.pid);
    return tl::unexpected<Error>(std::move(resolver.error()));
  }
  return std::unique_ptr<LeaseHolder>(
      new LeaseHolder(context, self, *epoch, std::move(*resolver), before.generation != self.generation));
}

LeaseHolder::LeaseHolder(const Context& context, const store::ProcessIdentity& self, std::uint32_t epoch,
                         std::unique_ptr<net::Resolver> resolver, bool new_configuration)
    : context_(context),
      self_(self),
      epoch_(epoch),
      report_(context.log, context.clock),
      resolver_(std::move(resolver)),
      transport_(context.loop, context.clock, *resolver_, context.settings.proxy),
      work_queue_(context.loop),
      searches_(context.loop, context.clock, work_queue_),
      writer_(context.zone, context.lock, context.clock, epoch, self.pid),
      roster_(context.catalog),
      disk_cache_(context.loop, context.clock, report_, context.zone, context.catalog, context.settings,
                  context.starting, &writer_),
      issuers_(context.catalog, searches_, &disk_cache_,
               [this](const Target& target, const net::Url& url) {
                 report_.issuer_fetched(target, url);
                 refresher_.issuer_came(target);
               }),
      gate_(context.zone, writer_, context.settings.policy, &disk_cache_),
      files_(context.clock, report_, context.catalog, context.settings, gate_, context.starting),
      refresher_(context, report_, transport_, tls_, work_queue_, gate_, roster_, &issuers_, &disk_cache_,
                 new_configuration),
      discovery_(context, report_, writer_, gate_, disk_cache_, roster_, refresher_, issuers_),
      readiness_(context.zone, context.catalog, context.settings),
      repair_(context, report_, writer_, gate_, roster_, refresher_, self),
      new_configuration_(new_configuration) {
  tidy_tables();
  open_share();
}

// Connects to the shared store. What cannot be set up costs the sharing alone.
void LeaseHolder::open_share() {
  if (!context_.settings.share.has_value()) {
    return;
  }
  const ShareSettings& settings = *context_.settings.share;
  auto access = ShareAccess::open(context_.loop, context_.clock, settings, context_.settings.max_response);
  if (!access) {
    const Error& error = access.error();
    report_.share_failed(error, context_.starting);
    store::record_share(context_.zone,
                        {static_cast<std::uint32_t>(net::SharedStore::State::kDown), context_.clock.now(),
                         settings.places.front().to_string(), error.reason, error.detail});
    return;
  }
  share_access_ = std::move(*access);
  share_ = net::SharedStore::create(context_.loop, context_.clock, context_.random, *share_access_->resolver,
                                    share_access_->options, [this](net::SharedStore::State state) {
                                      record_share();
                                      refresher_.sharing()->state_changed(state);
                                    });
  refresher_.share_through(*share_);
  record_share();
}

void LeaseHolder::end_sharing() {
  if (refresher_.sharing() != nullptr) {
    refresher_.sharing()->release_all();
  }
}

bool LeaseHolder::sharing_ends() const {
  return refresher_.sharing() != nullptr && refresher_.sharing()->busy();
}

// Removes from the zone's tables what belongs to no responder of this configuration.
void LeaseHolder::tidy_tables() {
  store::keep_hosts(context_.zone, context_.catalog.hosts());
  std::set<std::string> urls;
  for (const auto& target : context_.catalog.targets()) {
    for (const net::Url* url : target->responders) {
      urls.insert(url->to_string());
    }
  }
  store::keep_methods(context_.zone, {urls.begin(), urls.end()});
}

LeaseHolder::~LeaseHolder() {
  end_sharing();
  record_hosts();
  record_connections();
  count_share();
  store::release_lease(context_.zone, epoch_, self_.pid);
}

void LeaseHolder::catch_up() {
  (void)disk_cache_.check();
  for (const auto& target : context_.catalog.targets()) {
    if (gate_.held(*target).has_value()) {
      disk_cache_.changed(*target);
    }
  }
  // An earlier lease holder of this configuration has logged the useless files.
  refresher_.look_for_missing(new_configuration_);
}

bool LeaseHolder::tick() {
  if (refresher_.lease_lost() || !store::renew_lease(context_.zone, epoch_, self_.pid, context_.clock)) {
    return false;
  }
  if (!context_.starting && repair_.tick()) {
    tidy_tables();
  }
  answer_requests();
  issuers_.tick();
  issuers_.pool().sweep(kIssuersSwept);
  files_.tick();
  // Certificates loaded per connection are left to the workers: a start waits only for configured ones.
  if (!context_.starting) {
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
  record_share();
  count_share();
  store::record(context_.zone, store::Number::kArenaUsed, static_cast<std::int64_t>(writer_.bytes_used()));
  readiness_.tick(context_.clock);
  const Millis now = context_.clock.monotonic();
  if (now - forgot_ >= kForgetInterval) {
    forgot_ = now;
    issuers_.pool().forget_mismatches();
  }
  if (now - swept_ >= kSweepInterval) {
    swept_ = now;
    // Removes entries of configurations whose last worker is gone. A busy lock: the next sweep does it; a lost lease:
    // the next tick finds out.
    (void)writer_.remove_stale(store::oldest_living_generation(context_.zone, &store::process_alive));
    disk_cache_.sweep();
  }
  return true;
}

// Refreshes what the operator asked other workers for.
void LeaseHolder::answer_requests() {
  const store::RefreshRequests requests = store::take_refresh_requests(context_.zone);
  if (requests.all) {
    refresher_.refresh_all();
  }
  for (const store::EntryIndex entry : requests.entries) {
    refresher_.refresh(entry);  // the certificate may have gone meanwhile
  }
}

void LeaseHolder::record_hosts() {
  const auto record = [this](std::string_view key, const ResponderHealth::Host& host) {
    // An earlier lease holder may have known more of a host that is unproven.
    if (host.state != ResponderHealth::State::kUnproven) {
      store::record_host(context_.zone, key,
                         {static_cast<std::uint32_t>(host.state), host.failures, host.in_flight, host.next_probe,
                          host.failed_at, host.reason});
    }
  };
  for (const auto& [key, host] : refresher_.health().all()) {
    // Tenants decide how many hosts of certificates loaded per connection there are.
    if (key.find(kHealthSuffix) == std::string::npos) {
      record(key, host);
    }
  }
  record(store::kProxyKey, refresher_.health().proxy());
}

void LeaseHolder::record_connections() {
  const net::ConnectionTally tally = std::exchange(transport_.tally, {});
  store::count(context_.zone, store::Counter::kIpv4Ok, tally.ipv4.ok);
  store::count(context_.zone, store::Counter::kIpv4Failed, tally.ipv4.failed);
  store::count(context_.zone, store::Counter::kIpv6Ok, tally.ipv6.ok);
  store::count(context_.zone, store::Counter::kIpv6Failed, tally.ipv6.failed);
  for (const auto& [host, families] : tally.hosts) {
    // Tenants decide how many others there are.
    if (context_.catalog.names_host(host)) {
      store::record_connections(context_.zone, host, families);
    }
  }
}

// Records the state of the shared store, for the status.
void LeaseHolder::record_share() {
  if (share_ == nullptr) {
    return;
  }
  const net::SharedStore::Status status = share_->status();
  store::ShareState state;
  state.state = static_cast<std::uint32_t>(status.state);
  state.since = status.since;
  state.place = status.place;
  if (status.last_error.has_value()) {
    state.reason = status.last_error->reason;
    state.detail = status.last_error->detail;
  }
  store::record_share(context_.zone, state);
}

// Adds to the zone's counters what has happened with the shared store since the last call.
void LeaseHolder::count_share() {
  if (share_ == nullptr) {
    return;
  }
  using store::Counter;
  const SharingTally& sharing = refresher_.sharing()->tally();
  const net::SharedStore::Tally traffic = share_->tally();
  const std::array<std::pair<Counter::Kind, std::uint64_t>, kShareCounts> counts = {{
      {Counter::kShareLooks, sharing.looks},
      {Counter::kShareHits, sharing.hits},
      {Counter::kShareSame, sharing.same},
      {Counter::kShareRefused, sharing.refused},
      {Counter::kShareMisses, sharing.misses},
      {Counter::kShareElsewhere, sharing.elsewhere},
      {Counter::kShareLooksFailed, sharing.looks_failed},
      {Counter::kSharePublished, sharing.published},
      {Counter::kSharePublicationsFailed, sharing.publications_failed},
      {Counter::kShareLeases, sharing.leases},
      {Counter::kShareAlone, sharing.alone},
      {Counter::kShareErrors, sharing.errors},
      {Counter::kShareCommands, traffic.commands},
      {Counter::kShareMillis, static_cast<std::uint64_t>(traffic.waited)},
      {Counter::kShareSent, traffic.sent},
      {Counter::kShareReceived, traffic.received},
  }};
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const auto [what, now] = counts[i];
    if (now != share_counted_[i]) {
      store::count(context_.zone, what, now - std::exchange(share_counted_[i], now));
    }
  }
  if (traffic.commands != 0) {
    store::record(context_.zone, store::Number::kShareLatency, traffic.last);
  }
}

}  // namespace ocsp_plus::engine
