#include "engine/lease_holder.h"

#include <algorithm>
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

// Connects to the shared store. Its name is resolved by the system's configuration: ocsp_plus_resolver is for
// responders. What cannot be set up costs the sharing alone.
void LeaseHolder::open_share() {
  if (!context_.settings.share.has_value()) {
    return;
  }
  const ShareSettings& settings = *context_.settings.share;
  auto resolver = net::Resolver::create(context_.loop, context_.clock, net::ResolverOptions());
  auto anchors =
      settings.trusted.empty() ? crypto::TrustAnchors::of_system() : crypto::TrustAnchors::of(settings.trusted);
  auto tls = anchors ? crypto::make_tls_client(*anchors, settings.certificate ? &*settings.certificate : nullptr)
                     : Result<std::unique_ptr<TlsClient>>(tl::unexpected<Error>(anchors.error()));
  if (!resolver || !tls) {
    report_.share_failed(!resolver ? resolver.error() : tls.error());
    return;
  }
  share_resolver_ = std::move(*resolver);
  share_tls_ = std::move(*tls);
  net::SharedStoreOptions options;
  options.places = settings.places;
  options.sentinel = settings.sentinel;
  options.prefix = settings.prefix;
  options.user = settings.user;
  options.password = settings.password;
  options.tls = share_tls_.get();
  options.timeout = settings.timeout;
  options.most_response = std::min(context_.settings.max_response, net::SharedStore::kMostResponse);
  share_ =
      net::SharedStore::create(context_.loop, context_.clock, context_.random, *share_resolver_, std::move(options),
                               [this](net::SharedStore::State state) { refresher_.sharing()->state_changed(state); });
  refresher_.share_through(*share_);
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
  record_hosts();
  record_connections();
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
  for (const auto& [key, host] : refresher_.health().all()) {
    // Unproven hosts are skipped, since an earlier lease holder may have known more; hosts of certificates loaded per
    // connection are skipped, since tenants decide how many there are.
    if (host.state != ResponderHealth::State::kUnproven && key.find(kHealthSuffix) == std::string::npos) {
      store::record_host(context_.zone, key,
                         {static_cast<std::uint32_t>(host.state), host.failures, host.in_flight, host.next_probe,
                          host.failed_at, host.reason});
    }
  }
  const ResponderHealth::Host& proxy = refresher_.health().proxy();
  if (proxy.state != ResponderHealth::State::kUnproven) {
    store::record_host(context_.zone, store::kProxyKey,
                       {static_cast<std::uint32_t>(proxy.state), proxy.failures, proxy.in_flight, proxy.next_probe,
                        proxy.failed_at, proxy.reason});
  }
}

void LeaseHolder::record_connections() {
  const net::ConnectionTally tally = std::exchange(transport_.tally, {});
  store::count(context_.zone, store::Counter::kIpv4Ok, tally.ipv4.ok);
  store::count(context_.zone, store::Counter::kIpv4Failed, tally.ipv4.failed);
  store::count(context_.zone, store::Counter::kIpv6Ok, tally.ipv6.ok);
  store::count(context_.zone, store::Counter::kIpv6Failed, tally.ipv6.failed);
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
