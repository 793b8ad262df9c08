#include "engine/refresher.h"

#include <algorithm>

namespace ocsp_plus::engine {
namespace {

constexpr Millis kOfferInterval = 20;  // until the zone's lock is free
constexpr Seconds kJump = 2;           // the wall clock moved this much more or less than the monotonic one
constexpr Seconds kNewborn = 3600;     // CAs may take a while until they answer for a new certificate

std::optional<UnixSeconds> fresh_until(const net::HttpHead& head, UnixSeconds now) {
  if (head.max_age.has_value()) {
    return saturating_add(now, saturating_sub(*head.max_age, head.age.value_or(0)));
  }
  return head.expires;
}

Answer answer_for(Reason reason) {
  switch (reason) {
    case Reason::kTryLater:
    case Reason::kInternalError:
    case Reason::kMalformedResponse:
    case Reason::kTrailingData:
      return Answer::kHostTrouble;
    default:
      return Answer::kRefused;
  }
}

}  // namespace

Refresher::Refresher(const Environment& environment, bool new_configuration)
    : environment_(environment),
      report_(environment.log),
      hosts_(environment.settings.concurrency),
      items_(environment.catalog.targets().size()),
      pump_timer_(environment.loop.timer([this] { pump(); })),
      offer_timer_(environment.loop.timer([this] { offer_again(); })),
      last_wall_(environment.clock.now()),
      last_monotonic_(environment.clock.monotonic()) {
  load(new_configuration);
}

Refresher::~Refresher() = default;

// --- planning ---

void Refresher::load(bool new_configuration) {
  const UnixSeconds now = environment_.clock.now();
  for (Index index = 0; index < items_.size(); ++index) {
    if (target(index).stapleable()) {
      item(index).attempt = environment_.zone.attempt(target(index).entry);
      enqueue(index, first_due(index, new_configuration, now));
    }
  }
}

UnixSeconds Refresher::first_due(Index index, bool new_configuration, UnixSeconds now) const {
  const store::Attempt& attempt = items_[index].attempt;
  const UnixSeconds latest = due_by_validity(index, now);
  if (attempt.next == 0 || (new_configuration && attempt.failures > 0)) {
    return attempt.failures > 0 ? now : latest;
  }
  // What stands in the zone may be nonsense, or from before a jump of the clock.
  const UnixSeconds bound = latest > now ? latest : saturating_add(now, environment_.settings.retry.max);
  return std::min(attempt.next, bound);
}

UnixSeconds Refresher::due_by_validity(Index index, UnixSeconds now) const {
  const auto held = environment_.gate.held(target(index));
  if (!held.has_value() || held->expires <= now) {
    return now;
  }
  return next_look(now, {held->this_update, held->expires}, held->id, std::nullopt, environment_.settings.retry);
}

UnixSeconds Refresher::valid_until(const Target& target) const {
  const auto held = environment_.gate.held(target);
  return held.has_value() ? held->expires : 0;
}

void Refresher::replan_if_clock_jumped() {
  const UnixSeconds now = environment_.clock.now();
  const Millis monotonic = environment_.clock.monotonic();
  const Seconds jump = saturating_sub(saturating_sub(now, last_wall_), (monotonic - last_monotonic_) / 1000);
  last_wall_ = now;
  last_monotonic_ = monotonic;
  if (jump <= kJump && jump >= -kJump) {
    return;
  }
  report_.clock_jumped(jump);
  hosts_.forget_probe_times();
  Queue idle;
  idle.swap(queue_);
  for (auto& [host, waiting] : waiting_) {
    idle.merge(waiting);
  }
  waiting_.clear();
  for (const auto& [due, index] : idle) {
    enqueue(index, due_by_validity(index, now));
  }
}

void Refresher::enqueue(Index index, UnixSeconds due) {
  item(index).due = due;
  queue_.emplace(due, index);
}

// --- starting ---

void Refresher::tick() {
  replan_if_clock_jumped();
  pump();
}

void Refresher::pump() {
  if (lease_lost_) {
    return;
  }
  const UnixSeconds now = environment_.clock.now();
  start_waiting(now);
  while (in_flight_ < environment_.settings.concurrency && !queue_.empty() && queue_.begin()->first <= now) {
    const Index index = queue_.begin()->second;
    queue_.erase(queue_.begin());
    place(index, now);
  }
}

void Refresher::place(Index index, UnixSeconds now) {
  const Exchange::Choice choice = Exchange::choose(hosts_, target(index), {}, now);
  if (choice.permit == Hosts::Permit::kGo) {
    return start(index, choice.responder);
  }
  waiting_[target(index).responders[choice.responder]->host_key()].emplace(item(index).due, index);
}

void Refresher::start_waiting(UnixSeconds now) {
  // One for each host in turn, until nobody may go any more: a host with thousands of certificates does not push
  // the others aside.
  bool started = true;
  while (started && in_flight_ < environment_.settings.concurrency) {
    started = false;
    std::vector<std::string> order;
    order.reserve(waiting_.size());
    for (auto it = waiting_.upper_bound(turn_); it != waiting_.end(); ++it) {
      order.push_back(it->first);
    }
    for (auto it = waiting_.begin(); it != waiting_.end() && it->first <= turn_; ++it) {
      order.push_back(it->first);
    }
    for (const std::string& host : order) {
      if (in_flight_ < environment_.settings.concurrency && start_one_waiting_for(host, now)) {
        started = true;
        turn_ = host;
      }
    }
  }
}

bool Refresher::start_one_waiting_for(const std::string& host, UnixSeconds now) {
  if (hosts_.may_start(host, now) != Hosts::Permit::kGo) {
    return false;
  }
  const auto found = waiting_.find(host);
  Queue& waiting = found->second;
  auto chosen = waiting.begin();
  if (hosts_.failures(host) > 0) {
    // A probe: for the one whose response ends first.
    chosen = std::min_element(waiting.begin(), waiting.end(), [this](const auto& a, const auto& b) {
      return valid_until(target(a.second)) < valid_until(target(b.second));
    });
  }
  const Index index = chosen->second;
  waiting.erase(chosen);
  if (waiting.empty()) {
    waiting_.erase(found);
  }
  place(index, now);
  return true;
}

void Refresher::start(Index index, std::size_t responder) {
  ++in_flight_;
  environment_.zone.header().fetches.in_flight.store(in_flight_, std::memory_order_relaxed);
  const Exchange::Environment environment = {
      environment_.loop,    environment_.clock, environment_.random, environment_.resolver, hosts_,
      environment_.settings};
  item(index).exchange = std::make_unique<Exchange>(
      environment, target(index), responder,
      [this, index](const net::FetchResponse& response, std::size_t asked, Error* why) {
        return judge(index, response, asked, why);
      },
      [this, index](Exchange::End end) { exchange_ended(index, std::move(end)); });
}

// --- answers ---

Answer Refresher::judge(Index index, const net::FetchResponse& response, std::size_t responder, Error* why) {
  const Admission admission = offer(index, responder, response);
  if (admission.action != Action::kRefuse) {
    return Answer::kAccepted;
  }
  *why = {admission.verdict.reason, admission.verdict.detail};
  return answer_for(admission.verdict.reason);
}

Admission Refresher::offer(Index index, std::size_t responder, const net::FetchResponse& response) {
  const Target& about = target(index);
  Admission admission =
      environment_.gate.admit(about, response.http.body, store::Source::kNetwork, environment_.clock.now());
  if (admission.action == Action::kRefuse) {
    return admission;
  }
  switch (admission.stored) {
    case Reason::kOk:
      succeeded(index, responder, admission, response);
      break;
    case Reason::kZoneBusy:
      offers_.push_back({index, responder, response});
      offer_timer_->arm(kOfferInterval);
      break;
    case Reason::kLeaseLost:
      lease_lost_ = true;
      break;
    default: {
      net::Fetch::Failure failure;
      failure.reason = admission.stored;
      failure.detail = "enlarge ocsp_plus_zone";
      failed(index, responder, failure);
    }
  }
  return admission;
}

void Refresher::offer_again() {
  std::vector<Offer> offers;
  offers.swap(offers_);
  for (const Offer& again : offers) {
    const Admission admission = offer(again.index, again.responder, again.response);
    if (admission.action == Action::kRefuse) {
      net::Fetch::Failure failure;  // it ended while it waited
      failure.reason = admission.verdict.reason;
      failure.detail = admission.verdict.detail;
      failed(again.index, again.responder, failure);
    }
  }
}

void Refresher::succeeded(Index index, std::size_t responder, const Admission& admission,
                          const net::FetchResponse& response) {
  const UnixSeconds now = environment_.clock.now();
  const Target& about = target(index);
  const auto held = environment_.gate.held(about);
  const Validity validity = {held->this_update, held->expires};
  store::Attempt& attempt = item(index).attempt;
  attempt.at = now;
  attempt.succeeded_at = now;
  attempt.failures = 0;
  attempt.responder = static_cast<std::uint32_t>(responder);
  attempt.reason = admission.action == Action::kKeep ? Reason::kNotNewer : admission.verdict.reason;
  attempt.next = held->expires > now ? next_look(now, validity, about.certificate.id,
                                                 fresh_until(response.http.head, now), environment_.settings.retry)
                                     : saturating_add(now, environment_.settings.retry.min);
  environment_.zone.set_attempt(about.entry, attempt);
  environment_.zone.header().fetches.ok.fetch_add(1, std::memory_order_relaxed);
  report_.verified(about, responder, admission, attempt.next, response.took);
  enqueue(index, attempt.next);
}

void Refresher::failed(Index index, std::size_t responder, const net::Fetch::Failure& error) {
  const UnixSeconds now = environment_.clock.now();
  const Target& about = target(index);
  store::Attempt& attempt = item(index).attempt;
  attempt.at = now;
  attempt.failures = std::min<std::uint32_t>(attempt.failures + 1, 1000000);
  attempt.responder = static_cast<std::uint32_t>(responder);
  attempt.reason = error.reason;

  const Exchange::Choice choice = Exchange::choose(hosts_, about, {}, now);
  if (choice.permit == Hosts::Permit::kFailing) {
    attempt.next = std::max(hosts_.next_probe(about.responders[choice.responder]->host_key()), now + 1);
  } else {
    Failure failure;
    failure.failures = attempt.failures;
    failure.retry_after = error.retry_after;
    failure.newborn =
        error.reason == Reason::kUnauthorized && saturating_sub(now, about.certificate.not_before) < kNewborn;
    attempt.next =
        next_try(now, failure, valid_until(about), environment_.settings.retry, environment_.random.next());
  }
  environment_.zone.set_attempt(about.entry, attempt);
  environment_.zone.header().fetches.failed.fetch_add(1, std::memory_order_relaxed);
  report_.failed(about, responder, error, valid_until(about), attempt.next, now);
  enqueue(index, attempt.next);
}

void Refresher::exchange_ended(Index index, Exchange::End end) {
  item(index).exchange.reset();
  --in_flight_;
  environment_.zone.header().fetches.in_flight.store(in_flight_, std::memory_order_relaxed);
  const UnixSeconds now = environment_.clock.now();
  for (const std::string& host : end.hosts) {
    probe_in_time(host, now);
  }
  if (end.failure.has_value()) {
    for (const net::Url* url : target(index).responders) {
      const UnixSeconds until = valid_until(target(index));
      if (until > now) {
        hosts_.bring_probe_forward(url->host_key(), now + std::max<Seconds>((until - now) / 2, 1));
      }
    }
    failed(index, end.failure->responder, end.failure->error);
  }
  pump_timer_->arm(0);
}

// Among those who wait for a failing host may be one whose response ends before the host's next probe.
void Refresher::probe_in_time(const std::string& host, UnixSeconds now) {
  const auto found = waiting_.find(host);
  if (found == waiting_.end() || hosts_.failures(host) == 0) {
    return;
  }
  for (const auto& [due, index] : found->second) {
    const UnixSeconds until = valid_until(target(index));
    if (until > now) {
      hosts_.bring_probe_forward(host, now + std::max<Seconds>((until - now) / 2, 1));
    }
  }
}

}  // namespace ocsp_plus::engine
