#include "engine/responder_health.h"

#include <algorithm>
#include <utility>

namespace ocsp_plus::engine {
namespace {

// A host that has answered before does not fail because of one reset connection.
constexpr std::uint32_t kPatience = 3;

constexpr std::uint32_t kEnough = 1000;  // higher counts would tell nothing
constexpr std::uint32_t kRefusesAll = 20;
constexpr std::uint32_t kEnoughRefusals = 100000;

}  // namespace

std::uint32_t ResponderHealth::most_at_once(State state, Millis oldest, std::size_t concurrency) {
  const auto half = static_cast<std::uint32_t>(std::max<std::size_t>(concurrency / 2, 1));
  switch (state) {
    case State::kUp:
      return half;
    case State::kUnproven:
      return oldest >= kHangs ? std::min(kMostBesideHanging, half) : 1;
    case State::kFailing:
      return 1;
  }
  return 1;
}

ResponderHealth::Permit ResponderHealth::may_start(const std::string& name, UnixSeconds now, Millis monotonic) const {
  if (proxy_.state == State::kFailing && (now < proxy_.next_probe || proxy_.in_flight > 0)) {
    return Permit::kFailing;
  }
  const auto found = hosts_.find(name);
  if (found == hosts_.end()) {
    return Permit::kAllowed;
  }
  const Host& host = found->second;
  const bool room = host.in_flight < most_at_once(host.state, monotonic - host.began, concurrency_);
  if (host.state == State::kFailing) {
    if (now < host.next_probe || !room) {
      return Permit::kFailing;
    }
    return failing_in_flight_ < std::max<std::size_t>(concurrency_ / 2, 1) ? Permit::kAllowed : Permit::kBusy;
  }
  return room ? Permit::kAllowed : Permit::kBusy;
}

std::size_t ResponderHealth::leases(const std::string& name) const {
  const auto found = hosts_.find(name);
  const Host host = found == hosts_.end() ? Host() : found->second;
  const std::uint32_t most = most_at_once(host.state, 0, concurrency_);
  return most - std::min(most, host.in_flight);
}

std::uint32_t ResponderHealth::started(const std::string& name, Millis monotonic) {
  Host& host = hosts_[name];
  if (++host.in_flight == 1) {
    host.began = monotonic;
  }
  ++proxy_.in_flight;
  failing_in_flight_ += host.state == State::kFailing ? 1 : 0;
  return host.failures;
}

void ResponderHealth::ended(Host& host) {
  failing_in_flight_ -= host.state == State::kFailing ? 1 : 0;
  --host.in_flight;
  --proxy_.in_flight;
}

std::uint32_t ResponderHealth::proxy_failed(const std::string& name, UnixSeconds now) {
  ended(hosts_[name]);
  proxy_.consecutive_errors = std::min(proxy_.consecutive_errors + 1, kPatience);
  if (proxy_.state == State::kFailing) {
    if (now < proxy_.next_probe) {
      return 0;  // begun before it counted as failing
    }
    return proxy_.failures = std::min(proxy_.failures + 1, kEnough);
  }
  if (proxy_.state == State::kUp && proxy_.consecutive_errors < kPatience) {
    return 0;
  }
  proxy_.state = State::kFailing;
  return proxy_.failures = 1;
}

// An answer came through the proxy.
void ResponderHealth::proxy_works() {
  proxy_.state = State::kUp;
  proxy_.consecutive_errors = 0;
  proxy_.failures = 0;
}

void ResponderHealth::cancelled(const std::string& name) {
  ended(hosts_[name]);
}

void ResponderHealth::answered(const std::string& name) {
  Host& host = hosts_[name];
  ended(host);
  proxy_works();
  if (host.state == State::kFailing) {
    failing_in_flight_ -= host.in_flight;  // exchanges that still run count as a live host's from now on
  }
  host.state = State::kUp;
  host.failures = 0;
  host.consecutive_errors = 0;
}

std::uint32_t ResponderHealth::failed(const std::string& name, std::uint32_t started, bool leave_alone) {
  Host& host = hosts_[name];
  ended(host);
  proxy_works();
  host.consecutive_errors = std::min(host.consecutive_errors + 1, kPatience);
  if (host.state == State::kFailing) {
    if (started == host.failures) {
      host.failures = std::min(host.failures + 1, kEnough);
      return host.failures;
    }
    return leave_alone ? host.failures : 0;
  }
  if (host.state == State::kUp && host.consecutive_errors < kPatience && !leave_alone) {
    return 0;
  }
  host.state = State::kFailing;
  failing_in_flight_ += host.in_flight;
  return host.failures = 1;
}

void ResponderHealth::plan_proxy_probe(const TryTimes& when) {
  proxy_.next_probe = when.planned;
  proxy_.probes = when;
}

void ResponderHealth::plan_probe(const std::string& name, const TryTimes& when) {
  Host& host = hosts_[name];
  host.next_probe = when.planned;
  host.probes = when;
}

void ResponderHealth::remember_failure(const std::string& name, bool of_proxy, Reason reason, UnixSeconds now) {
  Host& host = of_proxy ? proxy_ : hosts_[name];
  host.failed_at = now;
  host.reason = reason;
}

void ResponderHealth::bring_probe_forward(const std::string& name, UnixSeconds when) {
  Host& host = hosts_[name];
  host.next_probe = std::min(host.next_probe, when);
  proxy_.next_probe = std::min(proxy_.next_probe, when);
}

void ResponderHealth::bring_probe_forward(const std::string& name, Need need) {
  if (const auto found = hosts_.find(name); found != hosts_.end()) {
    Host& host = found->second;
    host.next_probe = std::min(host.next_probe, host.probes.by(need));
  }
  proxy_.next_probe = std::min(proxy_.next_probe, proxy_.probes.by(need));
}

void ResponderHealth::bring_probe_within(const std::string& name, Seconds bound) {
  if (const auto found = hosts_.find(name); found != hosts_.end()) {
    Host& host = found->second;
    host.next_probe = std::min(host.next_probe, host.probes.within(bound));
  }
  proxy_.next_probe = std::min(proxy_.next_probe, proxy_.probes.within(bound));
}

void ResponderHealth::forget_probe_times() {
  proxy_.next_probe = 0;
  for (auto& [name, host] : hosts_) {
    host.next_probe = 0;
  }
}

void ResponderHealth::shift_probe_times(Seconds by) {
  const auto shift = [by](UnixSeconds* time) {
    *time = *time == 0 || *time == kNever ? *time : saturating_add(*time, by);
  };
  const auto shift_all = [&shift](Host* host) {
    shift(&host->next_probe);
    shift(&host->probes.planned);
    shift(&host->probes.for_staple);
    shift(&host->probes.for_required_staple);
    shift(&host->probes.failed);
    shift(&host->probes.not_before);
  };
  shift_all(&proxy_);
  for (auto& [name, host] : hosts_) {
    shift_all(&host);
  }
}

void ResponderHealth::refused(const std::string& name) {
  std::uint32_t& refusals = hosts_[name].refusals;
  refusals = std::min(refusals + 1, kEnoughRefusals);
}

std::uint32_t ResponderHealth::consecutive_refusals(const std::string& name) const {
  const auto found = hosts_.find(name);
  return found == hosts_.end() || found->second.refusals < kRefusesAll ? 0 : found->second.refusals;
}

bool ResponderHealth::worth_past_caches(const std::string& name, Millis monotonic) const {
  const auto found = hosts_.find(name);
  return found == hosts_.end() || found->second.caches_until <= monotonic;
}

void ResponderHealth::answered_past_caches(const std::string& name, bool same, Millis monotonic) {
  Host& host = hosts_[name];
  host.same_past_caches = same ? host.same_past_caches + 1 : 0;
  if (host.same_past_caches >= kMostSame) {
    host.same_past_caches = 0;
    host.caches_until = saturating_add(monotonic, kCachesBelieved);
  }
}

bool ResponderHealth::falls_behind(const std::string& name, UnixSeconds waits_since) {
  Host& host = hosts_[name];
  return std::max(host.failed_at, proxy_.failed_at) < waits_since && !std::exchange(host.late, true);
}

void ResponderHealth::forget(const std::string& name) {
  const auto found = hosts_.find(name);
  if (found != hosts_.end() && found->second.in_flight == 0) {
    hosts_.erase(found);
  }
}

crypto::CertIdHash ResponderHealth::hash(const std::string& name) const {
  const auto found = hosts_.find(name);
  return found == hosts_.end() ? crypto::CertIdHash::kSha1 : found->second.hash;
}

bool ResponderHealth::answers(const std::string& name) const {
  const auto found = hosts_.find(name);
  return found != hosts_.end() && found->second.state == State::kUp;
}

bool ResponderHealth::failing(const std::string& name) const {
  const auto found = hosts_.find(name);
  return proxy_.state == State::kFailing || (found != hosts_.end() && found->second.state == State::kFailing);
}

UnixSeconds ResponderHealth::next_probe(const std::string& name) const {
  const auto found = hosts_.find(name);
  const UnixSeconds proxy = proxy_.state == State::kFailing ? proxy_.next_probe : 0;
  return found == hosts_.end() ? proxy : std::max(found->second.next_probe, proxy);
}

}  // namespace ocsp_plus::engine
