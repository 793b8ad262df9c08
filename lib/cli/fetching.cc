#include "cli/fetching.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "cli/command.h"
#include "cli/fleet_store.h"
#include "crypto/sendable.h"
#include "engine/exchange.h"
#include "engine/missing_issuers.h"
#include "engine/responder_health.h"
#include "engine/schedule.h"

namespace ocsp_plus::cli {
namespace {

constexpr Millis kSecond = 1000;

// Returns false for what somebody has to mend before an attempt can succeed.
bool wait_may_mend(Reason reason) {
  switch (reason) {
    case Reason::kCertificateExpired:
    case Reason::kIssuerMismatch:
    case Reason::kSigRequired:
    case Reason::kProxyAuth:
    case Reason::kRedirectForbidden:
    case Reason::kRedirectScheme:
    case Reason::kUrlScheme:
      return false;
    default:
      return true;
  }
}

}  // namespace

// The attempts for one job.
class Fetching::Call {
 public:
  Call(Fetching& fetching, FetchJob& the_job, std::function<void(const std::string&)> the_step)
      : job(the_job),
        step(std::move(the_step)),
        issuers(*the_job.catalog, fetching.searches_, nullptr,
                [this](const engine::Target&, const net::Url& url) { job.issuer_url = url.to_string(); }) {
    if (!job.kept_issuer.empty()) {
      (void)issuers.take_kept(job.target(), job.kept_issuer);
    }
  }

  bool is_due(Millis now) const { return !begun && due <= now; }
  bool has_ended() const { return begun && (exchange == nullptr || result.has_value()); }

  FetchJob& job;
  std::function<void(const std::string&)> step;
  engine::MissingIssuers issuers;
  // One attempt's health of hosts: a host that failed in the last one is asked again.
  std::optional<engine::ResponderHealth> health;
  std::unique_ptr<engine::Exchange> exchange;
  std::optional<engine::Exchange::End> result;

  Millis due = 0;      // monotonic; of the next attempt
  bool begun = false;  // an attempt, whose end is not dealt with yet
  bool over = false;
};

Fetching::Fetching(const FetchOptions& options, const engine::ShareSettings* share)
    : options_(options), share_(share) {
  settings_.resolver.servers = options.resolvers;
  settings_.resolver.servers_from = "--resolver";
  settings_.resolver.ipv4 = !options.ipv6_only;
  settings_.resolver.ipv6 = !options.ipv4_only;
  settings_.timeout = options.timeout * kSecond;
  settings_.policy.must_be_sendable = crypto::openssl_selects();
}

Result<void> Fetching::set_proxy(const std::string& text) {
  auto proxy = net::Proxy::parse(text);
  if (!proxy) {
    return fail(proxy.error().reason, fmt::format("--proxy: {}; give it like http://user:password@proxy.example:3128",
                                                  proxy.error().detail));
  }
  settings_.proxy = std::move(*proxy);
  return {};
}

Result<void> Fetching::set_up() {
  auto resolver = net::Resolver::create(loop_, clock_, settings_.resolver);
  RETURN_IF_ERROR(resolver);
  resolver_ = std::move(*resolver);
  transport_.emplace(loop_, clock_, *resolver_, settings_.proxy);
  deadline_ = clock_.monotonic() + options_.wait * kSecond;
  return {};
}

Result<void> Fetching::run(const std::vector<std::unique_ptr<FetchJob>>& jobs,
                           const std::function<void(FetchJob&)>& ended) {
  RETURN_IF_ERROR(set_up());
  Progress progress(options_.verbose, options_.quiet, clock_.monotonic());
  Calls calls;
  for (const auto& job : jobs) {
    if (job->can_be_asked()) {
      std::string name = jobs.size() > 1 ? quoted(job->described.label()) + ": " : "";
      calls.push_back(
          std::make_unique<Call>(*this, *job, [this, &progress, name = std::move(name)](const std::string& what) {
            progress.step(name + what, clock_.monotonic());
          }));
    }
  }
  while (!calls.empty()) {
    RETURN_IF_ERROR(begin_due(calls));
    for (const auto& call : calls) {
      if (call->has_ended() && !goes_on(*call)) {
        call->over = true;
        ended(call->job);
      }
    }
    calls.erase(std::remove_if(calls.begin(), calls.end(), [](const auto& call) { return call->over; }), calls.end());
    wait_for_one(calls);
  }
  return {};
}

Result<void> Fetching::begin_due(Calls& calls) {
  for (const auto& call : calls) {
    if (call->is_due(clock_.monotonic()) && in_flight_ < settings_.concurrency) {
      RETURN_IF_ERROR(begin(*call));
    }
  }
  return {};
}

// Waits until an attempt has ended, or another is due that may begin.
void Fetching::wait_for_one(const Calls& calls) {
  Millis time = kNever;
  for (const auto& call : calls) {
    if (!call->begun && in_flight_ < settings_.concurrency) {
      time = std::min(time, std::max<Millis>(call->due - clock_.monotonic(), 0));
    }
  }
  const auto has_ended = [](const auto& call) { return call->has_ended(); };
  if (!calls.empty() && std::none_of(calls.begin(), calls.end(), has_ended)) {
    loop_.run_until([&] { return std::any_of(calls.begin(), calls.end(), has_ended); }, time);
  }
}

Result<void> Fetching::begin(Call& call) {
  call.begun = true;
  ++call.job.attempts;
  call.job.outcome = {};
  if (share_ != nullptr) {
    return ask_fleet(call);
  }
  ask(call);
  return {};
}

void Fetching::ask(Call& call) {
  ++in_flight_;
  call.health.emplace(1);
  call.exchange = std::make_unique<engine::Exchange>(
      engine::ExchangeServices{clock_, random_, *transport_, tls_, *call.health, work_queue_, settings_, call.step,
                               &call.issuers},
      call.job.target(), std::nullopt, 0, [&call](engine::Exchange::End ended) { call.result = std::move(ended); });
}

// The store's response, if it is a good one; else the responder's, which is published.
Result<void> Fetching::ask_fleet(Call& call) {
  const engine::Target& target = call.job.target();
  FetchOutcome& outcome = call.job.outcome;
  auto opened = FleetStore::open({loop_, clock_, random_, settings_, call.step}, *share_);
  if (!opened) {
    return tl::unexpected<Error>(std::move(opened.error()));
  }
  FleetStore& store = **opened;
  outcome.accepted = store.take(target);
  outcome.published = outcome.accepted.has_value();
  if (!outcome.published) {
    ask(call);
    loop_.run_until([&call] { return call.result.has_value(); }, kNever);
    take_result(call);
    if (outcome.accepted.has_value()) {
      outcome.published = store.publish(target, &*outcome.accepted);
    } else {
      store.release(target);
    }
  }
  outcome.store = store.place();
  if (!store.trouble().empty()) {
    outcome.warning = fmt::format("the shared store cannot be used: {}; look with \"ocsp-plus share {}\"",
                                  store.trouble(), outcome.store);
  }
  if (!outcome.accepted.has_value() && store.old().has_value()) {
    outcome.warning = fmt::format(
        "{}{}; the shared store's response is valid and was taken, but it is time for another",
        meaning(outcome.verdict.reason), outcome.verdict.detail.empty() ? "" : ", " + outcome.verdict.detail);
    outcome.accepted = store.old();
    outcome.published = true;
  }
  if (outcome.accepted.has_value()) {
    outcome.verdict = outcome.accepted->verdict;
  }
  return {};
}

void Fetching::take_result(Call& call) {
  if (!call.result.has_value()) {
    return;
  }
  --in_flight_;
  call.exchange.reset();
  auto result = std::exchange(call.result, std::nullopt)->result;
  FetchOutcome& outcome = call.job.outcome;
  const engine::Target& target = call.job.target();
  const std::size_t responder = result ? result->responder : result.error().responder;
  if (responder < target.responders.size()) {
    outcome.responder = target.responders[responder]->to_string();
  }
  if (result) {
    outcome.verdict = result->verified->verdict;
    outcome.accepted = std::move(*result->verified);
    return;
  }
  outcome.failure = std::move(result.error());
  outcome.verdict = outcome.failure->verdict.value_or(crypto::Verdict());
  outcome.verdict.reason = outcome.failure->error.reason;
  outcome.verdict.detail = outcome.failure->error.detail;
}

// Returns whether there is another attempt after the one that has ended.
bool Fetching::goes_on(Call& call) {
  take_result(call);
  call.begun = false;
  FetchOutcome& outcome = call.job.outcome;
  const Millis now = clock_.monotonic();
  const Millis left = deadline_ - now;
  if (left < kSecond || outcome.accepted.has_value() || !wait_may_mend(outcome.verdict.reason)) {
    return false;
  }
  const net::Fetch::Failure& error = outcome.failure->error;
  engine::Failure failure;
  failure.failures = call.job.attempts;
  failure.retry_after = error.retry_after;
  failure.newly_issued = engine::is_newly_issued(error.reason, call.job.described.not_before, clock_.now());
  failure.need = engine::may_pass(error.reason, error.status) ? engine::Need::kRequiredStaple : engine::Need::kNone;
  failure.within = engine::kLongestForRequiredStaple;
  const UnixSeconds wall = clock_.now();
  if (error.retry_after.has_value() && saturating_sub(*error.retry_after, wall) * kSecond > left) {
    outcome.verdict.detail +=
        fmt::format("; not to be asked again before {}, which is after --wait", to_rfc3339(*error.retry_after));
    return false;
  }
  const Seconds wait = engine::next_try(wall, failure, 0, settings_.retry, random_.next()) - wall;
  call.due = now + std::min(wait * kSecond, left);
  call.step(fmt::format("{}; next attempt in {} s", token(outcome.verdict.reason), (call.due - now) / kSecond));
  return true;
}

}  // namespace ocsp_plus::cli
