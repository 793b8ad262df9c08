#include "engine/issuer_exchange.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "crypto/issuer_document.h"

namespace ocsp_plus::engine {
namespace {

// Servers that read Accept at all know one of these (RFC 2585 section 4, RFC 8551 section 3.2.2).
constexpr const char* kAccept =
    "application/pkix-cert, application/pkcs7-mime, application/x-x509-ca-cert, */*;q=0.1";

}  // namespace

IssuerExchange::IssuerExchange(const ExchangeServices& services, Target& target, std::vector<std::string>* hosts,
                               Done done)
    : services_(services),
      target_(target),
      hosts_(hosts),
      done_(std::move(done)),
      ticket_(services.issuers->searches().begin(services.issuers->search(target),
                                                 [this](const IssuerSearch& search) { search_ended(search); })) {}

IssuerExchange::~IssuerExchange() = default;

void IssuerExchange::search_ended(const IssuerSearch& search) {
  if (!document_.has_value()) {
    if (search.found() != nullptr) {
      services_.issuers->give(target_, search);
      return end(std::nullopt);
    }
    if (target_.ended(services_.clock.now())) {  // it ended while it waited, or the clock was corrected
      return end(Error{Reason::kNoIssuer, "the certificate has ended"});
    }
    deadline_ = services_.clock.monotonic() + services_.settings.timeout;
    return ask_next();
  }
  const std::vector<crypto::X509Ptr> document = *std::exchange(document_, std::nullopt);
  if (search.found() != nullptr) {
    services_.issuers->give_fetched(target_, search, url());
    if (services_.trace) {
      services_.trace("the issuer is " + target_.issuer->subject());
    }
    return end(std::nullopt);
  }
  net::Fetch::Failure failure = crypto::issuer_mismatch(document);
  failure.date = date_;
  fail_with(std::move(failure));
}

void IssuerExchange::ask_next() {
  const auto& urls = target_.issuer_lookup->urls;
  while (next_ < urls.size() && services_.clock.monotonic() < deadline_) {
    const net::Url& url = *urls[next_++];
    // A busy host is asked all the same: this exchange already holds a slot.
    const Clock& clock = services_.clock;
    if (services_.health.may_start(host(), clock.now(), clock.monotonic()) != ResponderHealth::Permit::kFailing) {
      return ask(url);
    }
    leave_out(url);
  }
  end(std::move(failure_));
}

// Repeats the host's last error, so that the certificate's log line does not change while the host is skipped.
void IssuerExchange::leave_out(const net::Url& url) {
  failure_ = Error{Reason::kNoIssuer, fmt::format("the issuer is at {}, whose host fails", url.to_string())};
  if (const net::Fetch::Failure* last = services_.issuers->last_failure(host())) {
    failure_ = static_cast<const Error&>(*last);
    failure_->status = last->status;
  }
}

void IssuerExchange::ask(const net::Url& url) {
  hosts_->push_back(host());
  call_.emplace(services_, host());
  const Millis left = std::max<Millis>(deadline_ - services_.clock.monotonic(), 1);
  net::FetchRequest request = request_for(services_, target_, url, target_.per_connection);
  request.accept = kAccept;
  request.timeout = next_ < target_.issuer_lookup->urls.size() ? std::max<Millis>(left / 2, 1) : left;
  if (services_.trace) {
    services_.trace("no issuer is known, fetching it from " + url.to_string());
  }
  fetch_ = net::Fetch::start(services_.transport, std::move(request),
                             [this](net::Fetch::Outcome outcome) { on_outcome(std::move(outcome)); });
}

void IssuerExchange::on_outcome(net::Fetch::Outcome outcome) {
  if (!outcome && outcome.error().reason == Reason::kAddressForbidden) {
    call_->cancelled();  // we refused, not the host
    return fail_with(std::move(outcome.error()));
  }
  if (!outcome) {
    call_->failed(outcome.error());
    return fail_with(std::move(outcome.error()));
  }
  auto certificates = crypto::read_issuer_document(outcome->http.body);
  // A wrong certificate is the fault of the leaf's URL or of the file there; what is no certificate may be a portal's
  // page, and counts against the host.
  if (!certificates && certificates.error().reason == Reason::kIssuerMalformed) {
    call_->failed({});
  } else {
    call_->answered();
  }
  date_ = outcome->http.head.time();
  if (!certificates) {
    net::Fetch::Failure failure = certificates.error();
    failure.date = date_;
    return fail_with(std::move(failure));
  }
  ticket_ = services_.issuers->searches().begin(search_document(services_.issuers->pool(), target_, *certificates),
                                                [this](const IssuerSearch& search) { search_ended(search); });
  document_ = std::move(*certificates);
}

void IssuerExchange::fail_with(net::Fetch::Failure failure) {
  failure.detail = fmt::format("fetching the issuer from {}: {}", url().to_string(), failure.detail);
  if (!target_.per_connection) {
    services_.issuers->remember_failure(host(), failure);
  }
  failure_ = std::move(failure);
  ask_next();
}

void IssuerExchange::end(std::optional<net::Fetch::Failure> failure) {
  // `done` may destroy this object, and done_ with it.
  const Done done = std::move(done_);
  done(std::move(failure));
}

}  // namespace ocsp_plus::engine
