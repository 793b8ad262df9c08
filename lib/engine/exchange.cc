#include "engine/exchange.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "crypto/ocsp_request.h"
#include "engine/freshness.h"
#include "engine/issuer_exchange.h"

namespace ocsp_plus::engine {

Exchange::Meaning Exchange::meaning_of(Reason reason) {
  switch (reason) {
    case Reason::kTryLater:
    case Reason::kInternalError:
    case Reason::kMalformedResponse:
    case Reason::kTrailingData:
      return Meaning::kHostTrouble;
    case Reason::kExpired:
    case Reason::kTooOldWithoutNextUpdate:
      return Meaning::kStaleCopy;
    default:
      return Meaning::kHostWorks;
  }
}

// Returns whether responders refuse a request that they do not understand with this error.
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
    // A live host is better to wait for than a failing one; of failing ones, the one that is probed first.
    const UnixSeconds probe = permit == ResponderHealth::Permit::kBusy ? 0 : health.next_probe(host);
    if (!found || probe < best_probe) {
      best = {permit, i};
      best_probe = probe;
      found = true;
    }
  }
  return best;
}

Exchange::Exchange(const ExchangeServices& services, Target& target, std::optional<HeldValidators> held,
                   Seconds oldest, Done done)
    : services_(services),
      target_(target),
      done_(std::move(done)),
      deadline_(services.clock.monotonic() + services.settings.timeout),
      asked_(target.responders.size(), false),
      held_(std::move(held)),
      oldest_(oldest) {
  if (target.issuer == nullptr) {
    get_issuer();
  } else {
    ask_one();
  }
}

Exchange::~Exchange() = default;

void Exchange::get_issuer() {
  issuer_ = std::make_unique<IssuerExchange>(
      services_, target_, &hosts_asked_, [this](std::optional<net::Fetch::Failure> failure) {
        issuer_.reset();
        if (failure.has_value()) {
          return end(tl::unexpected(Failure{std::move(*failure), kNoResponder}));
        }
        deadline_ = services_.clock.monotonic() + services_.settings.timeout;
        ask_one();
      });
}

void Exchange::ask_one() {
  ask(choose(services_.health, target_, asked_, services_.clock).responder);
}

net::FetchRequest Exchange::request_to(std::size_t responder, crypto::CertIdHash hash) const {
  net::FetchRequest request = request_for(services_, target_, *target_.responders[responder], target_.public_only);
  // The hashes come from the issuer and cannot fail once it was parsed; the answer to an empty request would be
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
  if (services_.settings.certid_auto) {
    variant.hash = services_.health.hash(target_.host(responder));
  }
  net::FetchRequest request = request_to(responder, variant.hash);
  usual_ = net::usual_method(request);
  variant.method = usual_;
  if (services_.methods != nullptr) {
    const auto worked = services_.methods->worked(target_, request.url);
    variant.method = worked.has_value() && net::can_get(request) ? *worked : usual_;
  }
  first_method_ = variant.method;
  ask(variant, std::move(request));
}

// `request`: request_to() the responder under the variant's hash.
void Exchange::ask(RequestVariant variant, net::FetchRequest request) {
  variant_ = variant;
  ++requests_;
  asked_[responder_] = true;
  std::string host = target_.host(responder_);
  if (hosts_asked_.empty() || hosts_asked_.back() != host) {
    hosts_asked_.push_back(host);
  }
  call_.emplace(services_, std::move(host));

  request.method = variant.method;
  request.timeout = std::max<Millis>(time_for_one(), 1);
  request.no_cache = variant.past_caches;
  if (held_.has_value() && held_->responder == responder_ && (!variant.past_caches || copy_.has_value())) {
    request.validators = held_->validators;
  }
  fetch_ = net::Fetch::start(services_.transport, std::move(request),
                             [this](net::Fetch::Outcome outcome) { on_outcome(std::move(outcome)); });
}

bool Exchange::may_ask_again() const {
  return requests_ < kMostRequests && services_.clock.monotonic() < deadline_;
}

void Exchange::record_method(bool read) {
  if (services_.methods != nullptr) {
    services_.methods->record(target_, *target_.responders[responder_], variant_.method, usual_, read);
  }
}

// All responders share the deadline; while others can still be asked, a responder that hangs gets half of the time
// left.
Millis Exchange::time_for_one() const {
  const Millis left = deadline_ - services_.clock.monotonic();
  const Choice next = choose(services_.health, target_, asked_, services_.clock);
  const bool others = !asked_[next.responder] && next.permit != ResponderHealth::Permit::kFailing;
  return others ? left / 2 : left;
}

void Exchange::on_outcome(net::Fetch::Outcome outcome) {
  failure_.responder = responder_;
  failure_.verdict.reset();
  if (!outcome && copy_.has_value()) {
    return take_copy();
  }
  if (!outcome) {
    return on_failure(std::move(outcome.error()));
  }
  // std::function needs a copyable owner.
  const auto response = std::make_shared<net::FetchResponse>(std::move(*outcome));
  job_ = services_.work_queue.enqueue([this, response] { on_response(*response); });
}

void Exchange::on_failure(net::Fetch::Failure error) {
  failure_.error = std::move(error);
  if (failure_.error.reason == Reason::kAddressForbidden) {
    call_->cancelled();  // we refused, not the host
    failure_.error.detail +=
        "; to ask it all the same name it in ocsp_plus_responder, its issuer in ocsp_plus_trusted_certificate or the "
        "certificate in ocsp_plus_preload";
    return ask_next_or_end();
  }
  const unsigned status = failure_.error.status;
  record_method(false);
  if (ask_by_other_method() || ask_by_other_hash(status == 400 || status == 404, false)) {
    return;
  }
  if (said_.has_value()) {
    call_->answered();
    failure_ = std::move(*said_);
  } else {
    call_->failed(failure_.error);
  }
  ask_next_or_end();
}

void Exchange::on_response(const net::FetchResponse& response) {
  const UnixSeconds now = services_.clock.now();
  if (response.not_modified()) {
    const auto held = held_.has_value() ? services_.gate->stapled(target_, now) : std::nullopt;
    return held.has_value() && held_->belong_to(*held)
               ? accept({responder_, response, std::nullopt})
               : refuse(response, {Reason::kNotNewer, "not modified, but what is held is another one by now"},
                        Meaning::kStaleCopy);
  }
  const net::HttpHead& head = response.http.head;
  const Seconds skew = services_.settings.policy.clock_skew;
  const auto date = head.time();
  const bool confirmed = date.has_value() && *date <= saturating_add(now, skew) && now <= saturating_add(*date, skew);
  Verified verified = verify(target_, response.http.body, {store::Source::kNetwork, confirmed_at(head, now)},
                             {now, confirmed}, services_.settings.policy);
  const crypto::Verdict& verdict = verified.verdict;
  if (services_.trace) {
    services_.trace(fmt::format("{} bytes from {} in {} ms by {}: {}{}{}", response.http.body.size(),
                                response.peer.to_string(), response.took, response.get ? "GET" : "POST",
                                token(verdict.reason), verdict.detail.empty() ? "" : ", ", verdict.detail));
  }
  if (!is_acceptable(verdict)) {
    failure_.verdict = verdict;
    return refuse(response, {verdict.reason, verdict.detail}, meaning_of(verdict.reason));
  }
  if (services_.gate != nullptr && !services_.gate->would_leave_staple(target_, verified)) {
    return refuse(response,
                  {Reason::kNotNewer, "the response held cannot be stapled any more, and this one is no newer"},
                  Meaning::kHostWorks);
  }
  accept({responder_, response, std::move(verified)});
}

void Exchange::accept(Accepted accepted) {
  record_method(true);
  call_->answered();
  services_.health.accepted(call_->host());
  services_.health.remember_hash(call_->host(), variant_.hash);
  if (copy_.has_value()) {
    const bool same = accepted.response.not_modified() || accepted.response.http.body == copy_->response.http.body;
    services_.health.answered_past_caches(call_->host(), same, services_.clock.monotonic());
  } else if (is_old(accepted.response)) {
    copy_ = std::move(accepted);
    return ask({variant_.hash, variant_.method, true});
  }
  end(std::move(accepted));
}

// Whether a cache has held the answer for too long, and may be passed.
bool Exchange::is_old(const net::FetchResponse& response) const {
  const UnixSeconds now = services_.clock.now();
  return oldest_ != 0 && age_of(response.http.head, now) > oldest_ && variant_.method == net::Method::kGet &&
         !variant_.past_caches && may_ask_again() &&
         services_.health.worth_past_caches(call_->host(), services_.clock.monotonic());
}

// Takes the copy of the cache, since the answer past it is of no use. That says nothing about the host, which has
// answered before.
void Exchange::take_copy() {
  call_->cancelled();
  end(std::move(*copy_));
}

void Exchange::refuse(const net::FetchResponse& response, Error why, Meaning meaning) {
  if (copy_.has_value()) {
    return take_copy();
  }
  net::Fetch::Failure& error = failure_.error;
  error = std::move(why);
  error.status = response.status();
  if (response.under_error()) {
    error.detail = fmt::format("HTTP {}{}{}", response.status(), error.detail.empty() ? "" : ": ", error.detail);
  }
  error.date = response.http.head.time();
  error.retry_after = response.http.head.retry_after;
  record_method(has_read_request(error.reason));
  if (error.reason == Reason::kMalformedRequest) {
    said_ = failure_;
  }
  if (ask_by_other_method() ||
      ask_by_other_hash(refuses_hash(error.reason), error.reason != Reason::kMalformedResponse)) {
    return;
  }
  if (error.reason == Reason::kMalformedResponse && said_.has_value()) {
    call_->answered();
    failure_ = std::move(*said_);
    return ask_next_or_end();
  }
  if (meaning == Meaning::kHostTrouble) {
    call_->failed(error);
    return ask_next_or_end();
  }
  call_->answered();
  if (meaning == Meaning::kStaleCopy && !asked_past_caches_ && may_ask_again()) {
    asked_past_caches_ = true;
    return ask({variant_.hash, variant_.method, true});
  }
  services_.health.refused(call_->host());
  ask_next_or_end();
}

// Asks again by the other method, if that may help. true: it did. An answer that is no OCSP response says nothing
// about the host's health.
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
  call_->cancelled();
  asked_by_other_method_ = true;
  ask({variant_.hash, was_get ? net::Method::kPost : net::Method::kGet, variant_.past_caches});
  return true;
}

// Asks again under the other hash, by the method that brought a response, else by the first. true: it did. A
// responder does not say that the hash is why it refuses, so any refusal counts. `answered`: with an OCSP response.
bool Exchange::ask_by_other_hash(bool refused, bool answered) {
  hash_refused_ = hash_refused_ || refused;
  if (!hash_refused_ || !services_.settings.certid_auto || asked_by_other_hash_ || !may_ask_again()) {
    return false;
  }
  if (answered) {
    call_->answered();
  } else {
    call_->cancelled();
  }
  asked_by_other_hash_ = true;
  const bool sha1 = variant_.hash == crypto::CertIdHash::kSha1;
  ask({sha1 ? crypto::CertIdHash::kSha256 : crypto::CertIdHash::kSha1, answered ? variant_.method : first_method_,
       false});
  return true;
}

void Exchange::ask_next_or_end() {
  const Choice next = choose(services_.health, target_, asked_, services_.clock);
  // A busy host is asked all the same: this exchange already holds a slot, so the total stays within bounds.
  if (!asked_[next.responder] && next.permit != ResponderHealth::Permit::kFailing &&
      services_.clock.monotonic() < deadline_) {
    return ask(next.responder);
  }
  end(tl::unexpected(std::move(failure_)));
}

void Exchange::end(tl::expected<Accepted, Failure> result) {
  // `done` may destroy this object, and done_ with it.
  const Done done = std::move(done_);
  done(End{std::move(result), copy_.has_value(), std::move(hosts_asked_)});
}

}  // namespace ocsp_plus::engine
