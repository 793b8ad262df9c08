#include "admin/runway.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "admin/document.h"
#include "engine/admit.h"
#include "net/names.h"

namespace ocsp_plus::admin {
namespace {

// Returns when a client would miss the staple. Nothing: never, as its certificate is revoked or ends before it.
std::optional<UnixSeconds> missed_at(const store::BlobHeader& staple, const crypto::Certificate& certificate) {
  const bool revoked = static_cast<crypto::CertStatus>(staple.cert_status) == crypto::CertStatus::kRevoked;
  return revoked || staple.expires >= certificate.not_after ? std::nullopt : std::optional(staple.expires);
}

std::string servers_of(const net::ResolverOptions& options) {
  std::string all;
  for (const std::string& server : options.servers) {
    all += (all.empty() ? "" : ", ") + server;
  }
  return all.empty() ? "system" : all;
}

bool more_urgent(const Runway& a, const Runway& b) {
  const auto key = [](const Runway& runway) {
    return std::tuple(runway.expires.value_or(INT64_MAX), SIZE_MAX - runway.certificates, runway.part,
                      std::string_view(runway.name));
  };
  return key(a) < key(b);
}

}  // namespace

std::string_view token(Part part) {
  constexpr std::array<std::string_view, 5> kTokens = {"responder", "issuer", "resolver", "proxy", "cache"};
  return kTokens[static_cast<std::size_t>(part)];
}

bool RunwayWalk::next() {
  const auto& targets = view_.catalog.targets();
  if (!view_.zone.has_value()) {
    return false;
  }
  const std::size_t end = std::min(targets.size(), next_ + kPieceCertificates);
  for (; next_ < end; ++next_) {
    look(*targets[next_]);
  }
  return next_ < targets.size();
}

void RunwayWalk::look(const engine::Target& target) {
  if (!target.files.empty() || target.ended(view_.now)) {
    return;
  }
  const auto held = view_.zone->peek(target.entry, target.certificate.id);
  const bool stapled = held.has_value() && engine::is_staplable(*held, view_.now, view_.settings.policy.clock_skew);
  cached_ += stapled ? 1 : 0;
  if (target.stapleable()) {
    look_at_ways(target, stapled ? missed_at(*held, target.certificate) : std::nullopt);
  }
}

// A certificate with responders on two hosts needs neither of them.
void RunwayWalk::look_at_ways(const engine::Target& target, std::optional<UnixSeconds> expires) {
  const auto needs = [expires](Needs* part) {
    ++part->certificates;
    if (expires.has_value()) {
      part->expires = std::min(*expires, part->expires.value_or(*expires));
    }
  };
  const std::string first = target.responders.front()->host_key();
  bool one_host = true;
  for (const net::Url* url : target.responders) {
    const std::string host = url->host_key();
    responders_[host];
    one_host = one_host && host == first;
  }
  if (one_host) {
    needs(&responders_[first]);
  }
  needs(&issuers_[target.certificate.issuer]);
  if (needs_resolver(target)) {
    needs(&resolver_);
  }
  if (view_.settings.proxy.has_value()) {
    needs(&proxy_);
  }
}

// A proxy resolves the names of responders, and we its own.
bool RunwayWalk::needs_resolver(const engine::Target& target) const {
  if (view_.settings.proxy.has_value()) {
    return net::is_looked_up(view_.settings.proxy->url);
  }
  return std::all_of(target.responders.begin(), target.responders.end(),
                     [](const net::Url* url) { return net::is_looked_up(*url); });
}

std::vector<Runway> RunwayWalk::result() const {
  std::vector<Runway> all;
  const auto add = [&all](Part part, std::string name, const Needs& needs) {
    all.push_back({part, std::move(name), needs.certificates, needs.expires});
  };
  for (const auto& [host, needs] : responders_) {
    add(Part::kResponder, host, needs);
  }
  for (const auto& [subject, needs] : issuers_) {
    add(Part::kIssuer, subject, needs);
  }
  if (resolver_.certificates > 0) {
    add(Part::kResolver, servers_of(view_.settings.resolver), resolver_);
  }
  if (proxy_.certificates > 0) {
    add(Part::kProxy, view_.settings.proxy->url.host_key(), proxy_);
  }
  if (view_.zone.has_value() && !view_.settings.cache.empty()) {
    add(Part::kCache, view_.settings.cache, {cached_, std::nullopt});
  }
  std::sort(all.begin(), all.end(), more_urgent);
  return all;
}

}  // namespace ocsp_plus::admin
