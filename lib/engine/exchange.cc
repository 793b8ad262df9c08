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

Exchange::Choice Exchange::choose(const Hosts& hosts, const Target& target, const std::vector<bool>& asked,
                                  UnixSeconds now) {
  Choice best;
  bool found = false;
  UnixSeconds best_probe = kNever;
  for (std::size_t i = 0; i < target.responders.size(); ++i) {
    if (i < asked.size() && asked[i]) {
      continue;
    }
    const std::string host = target.host(i);
    const Hosts::Permit permit = hosts.may_start(host, now);
    if (permit == Hosts::Permit::kGo) {
      return {permit, i};
    }
    // Better to wait for a live host than for one that fails; among those, for the one that is probed first.
    const UnixSeconds probe = permit == Hosts::Permit::kBusy ? 0 : hosts.next_probe(host);
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
  if (target.issuer == nullptr && !environment_.issuers->find(target)) {
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
        const UnixSeconds now = environment_.clock.now();
        deadline_ = environment_.clock.monotonic() + environment_.settings.timeout;
        ask(choose(environment_.hosts, target_, asked_, now).responder);
      });
}

Exchange::~Exchange() {
  if (!counted_) {
    environment_.hosts.cancelled(hosts_asked_.back());
  }
}

void Exchange::ask(std::size_t responder) {
  asked_by_other_hash_ = false;
  const bool automatic = environment_.settings.certid_auto;
  const std::string host = target_.host(responder);
  ask(responder, {automatic ? environment_.hosts.hash(host) : crypto::CertIdHash::kSha1, false});
}

void Exchange::ask(std::size_t responder, Manner manner) {
  manner_ = manner;
  responder_ = responder;
  asked_[responder] = true;
  hosts_asked_.push_back(target_.host(responder));
  started_ = environment_.hosts.started(hosts_asked_.back());
  counted_ = false;

  net::FetchRequest request;
  request.url = *target_.responders[responder];
  request.timeout = std::max<Millis>(time_for_one(), 1);
  request.limits.body = environment_.settings.max_response;
  request.no_cache = manner.past_caches;
  request.tls = environment_.tls.find(target_);
  request.named = target_.named_hosts();
  if (known_.has_value() && known_->responder == responder && !manner.past_caches) {
    request.validators = known_->validators;
  }
  request.trace = environment_.trace;
  if (target_.public_only) {
    request.permits = [](const net::Address& address) { return address.is_public(); };
  }
  // The hashes come from the issuer and cannot fail once it was read; an empty request would only be answered
  // malformed_request.
  if (auto made = crypto::make_request(target_.certificate, *target_.issuer, manner.hash)) {
    request.body = std::move(made->der);
    request.get_path = std::move(made->get_path);
  }
  fetch_ = net::Fetch::start(environment_.transport, std::move(request),
                             [this](net::Fetch::Outcome outcome) { on_outcome(std::move(outcome)); });
}

// The deadline is one for all; where others can still be asked, one that hangs gets half of what is left of it.
Millis Exchange::time_for_one() const {
  const Millis left = deadline_ - environment_.clock.monotonic();
  const Choice next = choose(environment_.hosts, target_, asked_, environment_.clock.now());
  const bool others = !asked_[next.responder] && next.permit != Hosts::Permit::kFailing;
  return others ? left / 2 : left;
}

void host_failed(const Exchange::Environment& environment, const std::string& host, std::uint32_t started,
                 const net::Fetch::Failure& error) {
  const UnixSeconds now = environment.clock.now();
  engine::Failure failure;
  failure.failures = error.of_proxy() ? environment.hosts.proxy_failed(host, now)
                                      : environment.hosts.failed(host, started, error.retry_after.has_value());
  failure.retry_after = error.retry_after;
  environment.hosts.remember_failure(host, error.of_proxy(), error.reason, now);
  if (failure.failures == 0) {
    return;
  }
  const TryTimes probes = next_tries(now, failure, may_pass(error.reason, error.status), environment.settings.retry,
                                     environment.random.next());
  if (error.of_proxy()) {
    environment.hosts.plan_proxy_probe(probes);
  } else {
    environment.hosts.plan_probe(host, probes);
  }
}

void Exchange::on_outcome(net::Fetch::Outcome outcome) {
  failure_.responder = responder_;
  if (!outcome && outcome.error().reason == Reason::kAddressForbidden) {
    counted_ = true;
    environment_.hosts.cancelled(hosts_asked_.back());  // it is we who do not ask
    failure_.error = std::move(outcome.error());
    failure_.error.detail +=
        "; to ask it all the same name it in ocsp_plus_responder, its issuer in ocsp_plus_trusted_certificate or the "
        "certificate in ocsp_plus_preload";
    return ask_next_or_end();
  }
  if (!outcome) {
    counted_ = true;
    const unsigned status = outcome.error().status;
    if (ask_by_other_hash(status == 400 || status == 404)) {
      return;
    }
    host_failed(environment_, hosts_asked_.back(), started_, outcome.error());
    failure_.error = std::move(outcome.error());
    return ask_next_or_end();
  }
  // A copyable owner, for std::function's sake.
  const auto response = std::make_shared<net::FetchResponse>(std::move(*outcome));
  place_ = environment_.turns.wait([this, response] { judge_answer(*response); });
}

void Exchange::judge_answer(const net::FetchResponse& response) {
  counted_ = true;
  Error why;
  const Answer answer = judge_(response, responder_, &why);
  static_cast<Error&>(failure_.error) = std::move(why);
  failure_.error.status = response.status();
  if (response.under_error()) {
    std::string& detail = failure_.error.detail;
    detail = fmt::format("HTTP {}{}{}", response.status(), detail.empty() ? "" : ": ", detail);
  }
  failure_.error.date = response.http.head.time();
  failure_.error.retry_after = response.http.head.retry_after;
  if (answer != Answer::kAccepted && ask_by_other_hash(refuses_hash(failure_.error.reason))) {
    return;
  }
  if (answer == Answer::kHostTrouble) {
    host_failed(environment_, hosts_asked_.back(), started_, failure_.error);
  } else {
    environment_.hosts.answered(hosts_asked_.back());
  }
  if (answer == Answer::kAccepted) {
    environment_.hosts.remember_hash(hosts_asked_.back(), manner_.hash);
    return end(std::nullopt);
  }
  if (answer == Answer::kEnded && !asked_past_caches_ && environment_.clock.monotonic() < deadline_) {
    asked_past_caches_ = true;
    return ask(responder_, {manner_.hash, true});
  }
  ask_next_or_end();
}

// A responder that refuses one hash may know the other; which one, it does not say, so any refusal counts. True: it
// is asked again.
bool Exchange::ask_by_other_hash(bool refused) {
  if (!refused || !environment_.settings.certid_auto || asked_by_other_hash_ ||
      environment_.clock.monotonic() >= deadline_) {
    return false;
  }
  environment_.hosts.answered(hosts_asked_.back());
  asked_by_other_hash_ = true;
  const bool sha1 = manner_.hash == crypto::CertIdHash::kSha1;
  ask(responder_, {sha1 ? crypto::CertIdHash::kSha256 : crypto::CertIdHash::kSha1, false});
  return true;
}

void Exchange::ask_next_or_end() {
  const Choice next = choose(environment_.hosts, target_, asked_, environment_.clock.now());
  // A busy host is asked all the same: this exchange holds its slot already, so the total stays within bounds.
  if (!asked_[next.responder] && next.permit != Hosts::Permit::kFailing &&
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
