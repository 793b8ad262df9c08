#include "admin/snapshot.h"

#include <algorithm>
#include <utility>

#include "engine/admit.h"
#include "engine/responder_health.h"
#include "net/family_memory.h"
#include "net/shared_store.h"
#include "store/counters.h"
#include "store/entry_state.h"
#include "store/lease.h"

namespace ocsp_plus::admin {
namespace {

constexpr UnixSeconds kLastTime = 253402300799;  // the end of year 9999
constexpr Millis kLongestLatency = 86400000;

std::optional<UnixSeconds> sane(UnixSeconds time) {
  return time > 0 && time <= kLastTime ? std::optional<UnixSeconds>(time) : std::nullopt;
}

std::string_view source_name(store::Source source) {
  return source == store::Source::kCache    ? "cache"
         : source == store::Source::kFile   ? "file"
         : source == store::Source::kShared ? "shared"
                                            : "network";
}

std::optional<HeldResponse> held_of(const View& view, const engine::Target& target, bool* staplable) {
  const auto header = view.zone->peek(target.entry, target.certificate.id);
  if (!header.has_value()) {
    return std::nullopt;
  }
  *staplable = engine::is_staplable(*header, view.now, view.settings.policy.clock_skew);
  const auto status = static_cast<crypto::CertStatus>(header->cert_status);
  return HeldResponse{status == crypto::CertStatus::kRevoked ? status : crypto::CertStatus::kGood,
                      sane(header->this_update).value_or(0),
                      sane(header->next_update),
                      sane(header->expires).value_or(0),
                      sane(store::read_confirmed_at(*view.zone, target.entry, *header, view.now)).value_or(0),
                      source_name(header->source)};
}

// Returns why there can be no response; nothing: there may be one. A certificate that names nobody to ask lacks
// nothing else, whether its issuer is known or not.
std::optional<Reason> obstacle(const engine::Target& target, bool verifiable) {
  if (target.has_source()) {
    // The issuer is fetched on the way to a responder only.
    const bool issuer_may_come = target.issuer != nullptr || (verifiable && !target.responders.empty());
    return issuer_may_come ? std::nullopt : std::optional(Reason::kNoIssuer);
  }
  const std::vector<std::string>& urls = target.certificate.ocsp_urls;
  if (urls.empty()) {
    return Reason::kNoResponder;
  }
  const auto first = net::Url::parse(urls.front());
  return first ? Reason::kNoResponder : first.error().reason;
}

State state_of(const View& view, const engine::Target& target, bool supported,
               const std::optional<HeldResponse>& held, bool staplable) {
  if (target.ended(view.now)) {
    return State::kEnded;
  }
  if (held.has_value()) {
    return held->cert_status == crypto::CertStatus::kRevoked ? State::kRevoked
           : staplable                                       ? State::kValid
                                                             : State::kExpired;
  }
  return supported ? State::kPending : State::kUnsupported;
}

std::string_view host_state(std::uint32_t state) {
  using HostState = engine::ResponderHealth::State;
  const auto known = static_cast<HostState>(state);
  return known == HostState::kUp ? "up" : known == HostState::kFailing ? "failing" : "unproven";
}

std::string_view share_state(std::uint32_t state) {
  using State = net::SharedStore::State;
  switch (static_cast<State>(state)) {
    case State::kUp:
      return "up";
    case State::kReadOnly:
      return "read_only";
    case State::kDown:
      return "down";
    default:
      return "connecting";
  }
}

bool fails(const store::HostHealth& health) {
  return host_state(health.state) == "failing";
}

// A certificate that waits for a failing responder shows the responder's error: it may never have been fetched
// itself.
void tell_of_waiting(const View& view, const store::HostTable& hosts, CertificateStatus* status) {
  const engine::Target& target = *status->target;
  const bool due = status->next_attempt.value_or(0) <= view.now;
  const auto way = status->staplable && !due ? std::nullopt : failing_way(hosts, target);
  if (!way.has_value()) {
    return;
  }
  if (const auto probe = sane(way->health.next_probe)) {
    status->next_attempt = std::max(status->next_attempt.value_or(0), *probe);
  }
  const bool asked = status->last_attempt.has_value() && status->last_attempt->reason != Reason::kNotChecked;
  const auto failed_at = sane(way->health.failed_at);
  if (!asked && failed_at.has_value()) {
    status->last_attempt =
        LastAttempt{*failed_at, way->health.reason, "waits for its responder, which fails for others",
                    target.responders.front()->to_string()};
  }
}

// A family that is not tried any more, while the other one connects, does not fail: the host may have lost its
// addresses of that family, or the other one is preferred since it came back first.
constexpr Millis kStillTried = 2 * net::FamilyMemory::kKept;

FamilyStatus family_status(const View& view, const FamilyTimes& times, const FamilyTimes& other) {
  // No clock of this boot has written a time in the future.
  const auto wall = [&view](Millis time) {
    return time > 0 && time <= view.monotonic ? sane(view.now - (view.monotonic - time) / 1000) : std::nullopt;
  };
  const bool tried = saturating_add(times.failed, kStillTried) >= other.ok;
  return {wall(times.ok), wall(times.failed), tried ? wall(times.failing_since) : std::nullopt};
}

}  // namespace

std::string_view token(State state) {
  constexpr std::array<std::string_view, kStates.size()> kTokens = {"valid",   "pending",     "expired",
                                                                    "revoked", "unsupported", "ended"};
  return kTokens[static_cast<std::size_t>(state)];
}

std::optional<State> state_of(std::string_view text) {
  const auto* const found =
      std::find_if(kStates.begin(), kStates.end(), [text](State state) { return token(state) == text; });
  return found == kStates.end() ? std::nullopt : std::optional<State>(*found);
}

CertificateStatus certificate_status(const View& view, const store::HostTable& hosts, const engine::Target& target,
                                     bool verifiable) {
  CertificateStatus status = {};
  status.target = &target;
  status.held = held_of(view, target, &status.staplable);
  const auto why_not = obstacle(target, verifiable);
  status.state = state_of(view, target, !why_not.has_value(), status.held, status.staplable);
  status.reason = status.state == State::kUnsupported ? why_not : std::nullopt;
  status.stapled = store::stapled(*view.zone, target.entry);
  const store::Attempt attempt = store::read_attempt(*view.zone, target.entry);
  if (const auto at = sane(attempt.at)) {
    status.last_attempt = LastAttempt{*at, attempt.reason, store::read_detail(*view.zone, target.entry), {}};
    if (attempt.responder < target.responders.size()) {
      status.last_attempt->responder = target.responders[attempt.responder]->to_string();
    }
  }
  status.last_success = sane(attempt.succeeded_at);
  status.failures = attempt.failures;
  if (verifiable && !target.responders.empty() && status.state != State::kEnded) {
    status.next_attempt = sane(attempt.next);
    tell_of_waiting(view, hosts, &status);
  }
  return status;
}

std::unique_ptr<LoadedTarget> loaded_target(const View& view, store::EntryIndex entry) {
  const auto state = store::per_connection_state(*view.zone, entry);
  if (!state.has_value()) {
    return nullptr;
  }
  const CertificateId id = view.zone->id(entry);
  const auto der = store::read_leaf(*view.zone, entry, id);
  const auto leaves = der.has_value() ? crypto::parse_der_certificates(*der) : std::vector<crypto::X509Ptr>();
  auto certificate = leaves.size() == 1 ? crypto::describe(leaves[0].get()) : fail(Reason::kUnreadable);
  if (!certificate || certificate->id != id) {
    return nullptr;
  }
  auto loaded = std::make_unique<LoadedTarget>();
  engine::Target& target = loaded->target;
  target.certificate = std::move(*certificate);
  loaded->bytes = der->size();
  target.entry = entry;
  target.per_connection = true;
  const engine::Profile* profile = view.catalog.profile(state->profile);
  engine::set_responders(profile, &target, &loaded->urls);
  if (profile != nullptr) {
    target.servers.insert(profile->servers.begin(), profile->servers.end());
  }
  loaded->verifiable =
      state->has_issuer || (view.settings.issuer_fetch && engine::names_issuer_url(target.certificate));
  return loaded;
}

std::optional<FailingWay> failing_way(const store::HostTable& hosts, const engine::Target& target) {
  const auto proxy = hosts.find(store::kProxyKey);
  if (proxy.has_value() && fails(*proxy)) {
    return FailingWay{"the proxy", *proxy};
  }
  std::optional<FailingWay> first;
  for (std::size_t i = 0; i < target.responders.size(); ++i) {
    const auto health = hosts.find(target.host(i));
    if (!health.has_value() || !fails(*health)) {
      return std::nullopt;
    }
    if (!first.has_value() || health->next_probe < first->health.next_probe) {
      first = FailingWay{target.responders[i]->host_key(), *health};
    }
  }
  return first;
}

std::vector<ResponderStatus> responder_statuses(const View& view) {
  std::vector<ResponderStatus> all;
  if (!view.zone.has_value()) {
    return all;
  }
  const store::HostTable table(*view.zone);
  for (const std::string& host : view.catalog.hosts()) {
    const store::HostRecord known = table.find(host).value_or(store::HostRecord());
    const std::string_view state = host_state(known.state);
    const bool failing = state == "failing";
    const auto& [ipv4, ipv6] = known.families;
    all.push_back({host, state, failing ? known.failures : 0, failing ? sane(known.next_probe) : std::nullopt,
                   family_status(view, ipv4, ipv6), family_status(view, ipv6, ipv4)});
  }
  return all;
}

Cache cache_status(const View& view) {
  if (!view.zone.has_value() || view.settings.cache.empty()) {
    return {"off", {}, std::nullopt, std::nullopt};
  }
  if (const UnixSeconds since = store::number(*view.zone, store::Number::kCacheFailingSince); since != 0) {
    const auto reason = static_cast<Reason>(store::number(*view.zone, store::Number::kCacheReason));
    return {"failing", view.settings.cache, reason, sane(since)};
  }
  return {"works", view.settings.cache, std::nullopt, std::nullopt};
}

std::optional<Share> share_status(const View& view) {
  if (!view.zone.has_value() || !view.settings.share.has_value()) {
    return std::nullopt;
  }
  store::ShareState seen = store::read_share(*view.zone);
  Share share;
  share.state = share_state(seen.state);
  share.since = sane(seen.since);
  share.place = std::move(seen.place);
  if (token(seen.reason) != token(Reason::kNotChecked)) {
    share.reason = seen.reason;
    share.detail = std::move(seen.detail);
  }
  const Millis latency = store::number(*view.zone, store::Number::kShareLatency);
  if (store::counted(*view.zone, store::Counter::kShareCommands) != 0 && latency >= 0 && latency <= kLongestLatency) {
    share.latency = latency;
  }
  return share;
}

Overview overview(const View& view) {
  Overview all;
  if (!view.zone.has_value()) {
    return all;
  }
  const store::StapleZone& zone = *view.zone;
  const store::ZoneUse use = store::zone_use(zone);
  all.zone_size = zone.size();
  all.zone_used = use.bytes;
  all.zone_entries = use.entries;
  const store::LeaseState holder = store::lease_holder(zone);
  if (holder.pid > 0) {
    const Seconds age = std::max<Millis>(saturating_sub(view.monotonic, holder.heartbeat), 0) / 1000;
    all.worker = Worker{holder.pid, holder.slot, sane(holder.since).value_or(0),
                        sane(saturating_sub(view.now, age)).value_or(0)};
  }
  all.handshakes = store::handshake_totals(zone);
  for (std::size_t what = 0; what < all.counters.size(); ++what) {
    all.counters[what] = store::counted(zone, static_cast<store::Counter::Kind>(what));
  }
  all.durations = store::durations(zone);
  all.in_flight = store::number(zone, store::Number::kInFlight);
  if (store::number(zone, store::Number::kClockComparedAt) != 0) {
    all.clock_skew = store::number(zone, store::Number::kClockSkew);
  }
  return all;
}

LoadedCounts loaded_counts(const View& view) {
  const auto number = [&view](store::Counter::Kind what) { return store::counted(*view.zone, what); };
  return {{{"handed", number(store::Counter::kHanded)},
           {"dropped", number(store::Counter::kDropped)},
           {"torn", number(store::Counter::kTorn)},
           {"taken", number(store::Counter::kTaken)},
           {"refused", number(store::Counter::kRefused)},
           {"evicted", number(store::Counter::kEvicted)},
           {"ended", number(store::Counter::kEnded)}}};
}

}  // namespace ocsp_plus::admin
