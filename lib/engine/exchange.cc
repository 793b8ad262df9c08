#include "engine/exchange.h"

#include <algorithm>
#include <utility>

#include "crypto/ocsp_request.h"

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

Exchange::Choice Exchange::choose(const Hosts& hosts, const Target& target, const std::vector<bool>& asked,
                                  UnixSeconds now) {
  Choice best;
  bool found = false;
  UnixSeconds best_probe = kNever;
  for (std::size_t i = 0; i < target.responders.size(); ++i) {
    if (i < asked.size() && asked[i]) {
      continue;
    }
    const std::string host = target.responders[i]->host_key();
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

Exchange::Exchange(const Environment& environment, const Target& target, std::size_t first, Judge judge, Done done)
    : environment_(environment),
      target_(target),
      judge_(std::move(judge)),
      done_(std::move(done)),
      deadline_(environment.clock.monotonic() + environment.settings.timeout),
      asked_(target.responders.size(), false) {
  ask(first);
}

Exchange::~Exchange() {
  if (!counted_) {
    environment_.hosts.cancelled(hosts_asked_.back());
  }
}

void Exchange::ask(std::size_t responder, bool past_caches) {
  responder_ = responder;
  asked_[responder] = true;
  const net::Url& url = *target_.responders[responder];
  hosts_asked_.push_back(url.host_key());
  started_ = environment_.hosts.started(hosts_asked_.back());
  counted_ = false;

  net::FetchRequest request;
  request.url = url;
  request.timeout = std::max<Millis>(time_for_one(), 1);
  request.limits.body = environment_.settings.max_response;
  request.no_cache = past_caches;
  request.trace = environment_.trace;
  // The hashes come from the issuer and cannot fail once it was read; an empty request would only be answered
  // malformed_request.
  if (auto made = crypto::make_request(target_.certificate, *target_.issuer, crypto::CertIdHash::kSha1)) {
    request.body = std::move(made->der);
    request.get_path = std::move(made->get_path);
  }
  fetch_ = net::Fetch::start(environment_.loop, environment_.clock, environment_.resolver, std::move(request),
                             [this](net::Fetch::Outcome outcome) { on_outcome(std::move(outcome)); });
}

// The deadline is one for all; where others can still be asked, one that hangs gets half of what is left of it.
Millis Exchange::time_for_one() const {
  const Millis left = deadline_ - environment_.clock.monotonic();
  const Choice next = choose(environment_.hosts, target_, asked_, environment_.clock.now());
  const bool others = !asked_[next.responder] && next.permit != Hosts::Permit::kFailing;
  return others ? left / 2 : left;
}

void Exchange::count_failure(const std::optional<UnixSeconds>& retry_after) {
  const std::string& host = hosts_asked_.back();
  engine::Failure failure;
  failure.failures = environment_.hosts.failed(host, started_, retry_after.has_value());
  failure.retry_after = retry_after;
  if (failure.failures > 0) {
    environment_.hosts.plan_probe(host, next_try(environment_.clock.now(), failure, 0, environment_.settings.retry,
                                                 environment_.random.next()));
  }
}

void Exchange::on_outcome(net::Fetch::Outcome outcome) {
  counted_ = true;
  failure_.responder = responder_;
  if (!outcome) {
    count_failure(outcome.error().retry_after);
    failure_.error = std::move(outcome.error());
    return ask_next_or_end();
  }
  Error why;
  const Answer answer = judge_(*outcome, responder_, &why);
  static_cast<Error&>(failure_.error) = std::move(why);
  failure_.error.date = outcome->http.head.date;
  failure_.error.retry_after = outcome->http.head.retry_after;
  if (answer == Answer::kHostTrouble) {
    count_failure(failure_.error.retry_after);
  } else {
    environment_.hosts.answered(hosts_asked_.back());
  }
  if (answer == Answer::kAccepted) {
    return end(std::nullopt);
  }
  if (answer == Answer::kEnded && !asked_past_caches_ && environment_.clock.monotonic() < deadline_) {
    asked_past_caches_ = true;
    return ask(responder_, true);
  }
  ask_next_or_end();
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
