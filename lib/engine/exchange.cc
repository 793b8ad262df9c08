#include "engine/exchange.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "crypto/ocsp_request.h"
#include "engine/issuer_exchange.h"

namespace ocsp_plus::engine {

Answer answer_for(Reason reason) {
  switch (reason) {
    case Reason::kTryLater:
    case Reason::kInternalError:
    case Reason::kMalformedResponse:
    case Reason::kTrailingData:
      return Answer::kHostTrouble;
    case Reason::kExpired:
    case Reason::kTooOldWithoutNextUpdate:
      return Answer::kEnded;
    default:
      return Answer::kRefused;
  }
}

// Answers by which responders refuse a request they cannot make sense of.
static bool refuses_hash(Reason reason) {
  return reason == Reason::kUnauthorized || reason == Reason::kMalformedRequest || reason == Reason::kInternalError;
}

Exchange::Choice Exchange::choose(const ResponderHealth& health, const Target& target, const std::vector<bool>& asked,
                                  const Clock& clock) {
  Choice best;
  bool found = false;
  UnixSeconds best_probe = kNever;
  for (std::size_t i = 0; i < target.responders.size(); ++i) {
    if (i < asked.size() && asked[i]) {
      continue;
    }
    const std::string host = target.host(i);
    const ResponderHealth::Permit permit = health.may_start(host, clock.now(), clock.monotonic());
    if (permit == ResponderHealth::Permit::kAllowed) {
      return {permit, i};
    }
    // Better to wait for a live host than for one that fails; among those, for the one that is probed first.
    const UnixSeconds probe = permit == ResponderHealth::Permit::kBusy ? 0 : health.next_probe(host);
    if (!found || probe < best_probe) {
      best = {permit, i};
      best_probe = probe;
      found = true;
    }
  }
  return best;
}

Exchange::Exchange(const Environment& environment, const Target& target, std::size_t first,
                   std::optional<Known> known, Judge judge, Done done)
    : environment_(environment),
      target_(target),
      judge_(std::move(judge)),
      done_(std::move(done)),
      deadline_(environment.clock.monotonic() + environment.settings.timeout),
      asked_(target.responders.size(), false),
      known_(std::move(known)) {
  if (target.issuer == nullptr) {
    get_issuer();
  } else {
    ask(first);
  }
}

void Exchange::get_issuer() {
  issuer_ = std::make_unique<IssuerExchange>(
      environment_, target_, &hosts_asked_, [this](std::optional<net::Fetch::Failure> failure) {
        issuer_.reset();
        if (failure.has_value()) {
          return end(Failure{std::move(*failure), kNobody});
        }
        deadline_ = environment_.clock.monotonic() + environment_.settings.timeout;
        ask(choose(environment_.health, target_, asked_, environment_.clock).responder);
      });
}

Exchange::~Exchange() {
  if (!counted_) {
    environment_.health.cancelled(hosts_asked_.back());
  }
}

net::FetchRequest Exchange::request_to(std::size_t responder, crypto::CertIdHash hash) const {
  net::FetchRequest request;
  request.url = *target_.responders[responder];
  // The hashes come from the issuer and cannot fail once it was read; an empty request would only be answered
  // malformed_request.
  if (auto made = crypto::make_request(target_.certificate, *target_.issuer, hash)) {
    request.body = std::move(made->der);
    request.get_path = std::move(made->get_path);
  }
  return request;
}

void Exchange::ask(std::size_t responder) {
  responder_ = responder;
  asked_by_other_hash_ = false;
  asked_by_other_method_ = false;
  requests_ = 0;
  hash_refused_ = false;
  said_.reset();
  RequestVariant variant;
  if (environment_.settings.certid_auto) {
    variant.hash = environment_.health.hash(target_.host(responder));
  }
  const net::FetchRequest request = request_to(responder, variant.hash);
  usual_ = net::usual_method(request);
  variant.method = usual_;
  if (environment_.methods != nullptr) {
    const auto worked = environment_.methods->worked(target_, request.url);
    variant.method = worked.has_value() && net::can_get(request) ? *worked : usual_;
  }
  first_method_ = variant.method;
  ask(variant);
}

void Exchange::ask(RequestVariant variant) {
  variant_ = variant;
  ++requests_;
  asked_[responder_] = true;
  if (std::string host = target_.host(responder_); hosts_asked_.empty() || hosts_asked_.back() != host) {
    hosts_asked_.push_back(std::move(host));
  }
  started_ = environment_.health.started(hosts_asked_.back(), environment_.clock.monotonic());
  counted_ = false;

  net::FetchRequest request = request_to(responder_, variant.hash);
  request.method = variant.method;
  request.timeout = std::max<Millis>(time_for_one(), 1);
  request.limits.body = environment_.settings.max_response;
  request.no_cache = variant.past_caches;
  request.tls = environment_.tls.find(target_);
  request.named = target_.named_hosts();
  if (known_.has_value() && known_->responder == responder_ && !variant.past_caches) {
    request.validators = known_->validators;
  }
  request.trace = environment_.trace;
  if (target_.public_only) {
    request.permits = [](const net::Address& address) { return address.is_public(); };
  }
  fetch_ = net::Fetch::start(environment_.transport, std::move(request),
                             [this](net::Fetch::Outcome outcome) { on_outcome(std::move(outcome)); });
}

bool Exchange::may_ask_again() const {
  return requests_ < kMostRequests && environment_.clock.monotonic() < deadline_;
}

void Exchange::record_method(bool read) {
  if (environment_.methods != nullptr) {
    environment_.methods->record(target_, *target_.responders[responder_], variant_.method, usual_, read);
  }
}

// The deadline is one for all; where others can still be asked, one that hangs gets half of what is left of it.
Millis Exchange::time_for_one() const {
  const Millis left = deadline_ - environment_.clock.monotonic();
  const Choice next = choose(environment_.health, target_, asked_, environment_.clock);
  const bool others = !asked_[next.responder] && next.permit != ResponderHealth::Permit::kFailing;
  return others ? left / 2 : left;
}

void host_failed(const Exchange::Environment& environment, const std::string& host, std::uint32_t started,
                 const net::Fetch::Failure& error) {
  const UnixSeconds now = environment.clock.now();
  engine::Failure failure;
  failure.failures = error.of_proxy() ? environment.health.proxy_failed(host, now)
                                      : environment.health.failed(host, started, error.retry_after.has_value());
  failure.retry_after = error.retry_after;
  environment.health.remember_failure(host, error.of_proxy(), error.reason, now);
  if (failure.failures == 0) {
    return;
  }
  const TryTimes probes = next_tries(now, failure, may_pass(error.reason, error.status), environment.settings.retry,
                                     environment.random.next());
  if (error.of_proxy()) {
    environment.health.plan_proxy_probe(probes);
  } else {
    environment.health.plan_probe(host, probes);
  }
}

void Exchange::on_outcome(net::Fetch::Outcome outcome) {
  failure_.responder = responder_;
  if (!outcome && outcome.error().reason == Reason::kAddressForbidden) {
    counted_ = true;
    environment_.health.cancelled(hosts_asked_.back());  // it is we who do not ask
    failure_.error = std::move(outcome.error());
    failure_.error.detail +=
        "; to ask it all the same name it in ocsp_plus_responder, its issuer in ocsp_plus_trusted_certificate or the "
        "certificate in ocsp_plus_preload";
    return ask_next_or_end();
  }
  if (!outcome) {
    counted_ = true;
    const unsigned status = outcome.error().status;
    record_method(false);
    failure_.error = std::move(outcome.error());
    if (ask_by_other_method() || ask_by_other_hash(status == 400 || status == 404, false)) {
      return;
    }
    if (said_.has_value()) {
      environment_.health.answered(hosts_asked_.back());
      failure_ = std::move(*said_);
    } else {
      host_failed(environment_, hosts_asked_.back(), started_, failure_.error);
    }
    return ask_next_or_end();
  }
  // A copyable owner, for std::function's sake.
  const auto response = std::make_shared<net::FetchResponse>(std::move(*outcome));
  job_ = environment_.work_queue.enqueue([this, response] { judge_answer(*response); });
}

void Exchange::judge_answer(const net::FetchResponse& response) {
  counted_ = true;
  Error why;
  const Answer answer = judge_(response, responder_, &why);
  failure_.error = {};
  static_cast<Error&>(failure_.error) = std::move(why);
  failure_.error.status = response.status();
  if (response.under_error()) {
    std::string& detail = failure_.error.detail;
    detail = fmt::format("HTTP {}{}{}", response.status(), detail.empty() ? "" : ": ", detail);
  }
  failure_.error.date = response.http.head.time();
  failure_.error.retry_after = response.http.head.retry_after;
  const bool read = answer == Answer::kAccepted || has_read_request(failure_.error.reason);
  record_method(read);
  if (answer != Answer::kAccepted) {
    if (failure_.error.reason == Reason::kMalformedRequest) {
      said_ = failure_;
    }
    if (ask_by_other_method() ||
        ask_by_other_hash(refuses_hash(failure_.error.reason), failure_.error.reason != Reason::kMalformedResponse)) {
      return;
    }
    if (failure_.error.reason == Reason::kMalformedResponse && said_.has_value()) {
      environment_.health.answered(hosts_asked_.back());
      failure_ = std::move(*said_);
      return ask_next_or_end();
    }
  }
  if (answer == Answer::kHostTrouble) {
    host_failed(environment_, hosts_asked_.back(), started_, failure_.error);
  } else {
    environment_.health.answered(hosts_asked_.back());
  }
  if (answer == Answer::kAccepted) {
    environment_.health.accepted(hosts_asked_.back());
    environment_.health.remember_hash(hosts_asked_.back(), variant_.hash);
    return end(std::nullopt);
  }
  if (answer == Answer::kEnded && !asked_past_caches_ && may_ask_again()) {
    asked_past_caches_ = true;
    return ask({variant_.hash, variant_.method, true});
  }
  if (answer != Answer::kHostTrouble) {
    environment_.health.refused(hosts_asked_.back());
  }
  ask_next_or_end();
}

// True: it is asked again. An answer that is no OCSP response says nothing of the host's health.
bool Exchange::ask_by_other_method() {
  const net::Fetch::Failure& error = failure_.error;
  if (asked_by_other_method_ || !may_ask_again() ||
      !other_method(error.reason, error.status, error.request_mangled)) {
    return false;
  }
  const bool was_get = variant_.method == net::Method::kGet;
  if (!was_get && !net::can_get(request_to(responder_, variant_.hash))) {
    return false;
  }
  environment_.health.cancelled(hosts_asked_.back());
  asked_by_other_method_ = true;
  ask({variant_.hash, was_get ? net::Method::kPost : net::Method::kGet, variant_.past_caches});
  return true;
}

// A responder that refuses one hash may know the other; which one, it does not say, so any refusal counts.
// `answered`: by an OCSP response. True: it is asked again, by the method that brought one, or the first where none
// did.
bool Exchange::ask_by_other_hash(bool refused, bool answered) {
  hash_refused_ = hash_refused_ || refused;
  if (!hash_refused_ || !environment_.settings.certid_auto || asked_by_other_hash_ || !may_ask_again()) {
    return false;
  }
  if (answered) {
    environment_.health.answered(hosts_asked_.back());
  } else {
    environment_.health.cancelled(hosts_asked_.back());
  }
  asked_by_other_hash_ = true;
  const bool sha1 = variant_.hash == crypto::CertIdHash::kSha1;
  ask({sha1 ? crypto::CertIdHash::kSha256 : crypto::CertIdHash::kSha1, answered ? variant_.method : first_method_,
       false});
  return true;
}

void Exchange::ask_next_or_end() {
  const Choice next = choose(environment_.health, target_, asked_, environment_.clock);
  // A busy host is asked all the same: this exchange holds its slot already, so the total stays within bounds.
  if (!asked_[next.responder] && next.permit != ResponderHealth::Permit::kFailing &&
      environment_.clock.monotonic() < deadline_) {
    return ask(next.responder);
  }
  end(std::move(failure_));
}

void Exchange::end(std::optional<Failure> failure) {
  // The callback may destroy this object, and itself with it.
  const Done done = std::move(done_);
  done(End{std::move(failure), std::move(hosts_asked_)});
}

}  // namespace ocsp_plus::engine
