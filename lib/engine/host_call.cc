#include "engine/host_call.h"

#include <utility>

namespace ocsp_plus::engine {

net::FetchRequest request_for(const ExchangeServices& services, const Target& target, const net::Url& url,
                              bool public_only) {
  net::FetchRequest request;
  request.url = url;
  request.limits.body = services.settings.max_response;
  request.tls = services.tls.find(target);
  request.named = target.named_hosts();
  request.trace = services.trace;
  if (public_only) {
    request.permits = [](const net::Address& address) { return address.is_public(); };
  }
  return request;
}

HostCall::HostCall(const ExchangeServices& services, std::string host)
    : services_(services),
      host_(std::move(host)),
      token_(services.health.started(host_, services.clock.monotonic())) {}

void HostCall::answered() {
  if (!std::exchange(settled_, true)) {
    services_.health.answered(host_);
  }
}

void HostCall::cancelled() {
  if (!std::exchange(settled_, true)) {
    services_.health.cancelled(host_);
  }
}

void HostCall::failed(const net::Fetch::Failure& error) {
  if (std::exchange(settled_, true)) {
    return;
  }
  ResponderHealth& health = services_.health;
  const UnixSeconds now = services_.clock.now();
  Failure failure;
  failure.failures = error.of_proxy() ? health.proxy_failed(host_, now)
                                      : health.failed(host_, token_, error.retry_after.has_value());
  failure.retry_after = error.retry_after;
  health.remember_failure(host_, error.of_proxy(), error.reason, now);
  if (failure.failures == 0) {
    return;
  }
  const TryTimes probes = next_tries(now, failure, may_pass(error.reason, error.status), services_.settings.retry,
                                     services_.random.next());
  if (error.of_proxy()) {
    health.plan_proxy_probe(probes);
  } else {
    health.plan_probe(host_, probes);
  }
}

}  // namespace ocsp_plus::engine
