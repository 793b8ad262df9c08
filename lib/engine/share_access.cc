#include "engine/share_access.h"

#include <algorithm>
#include <string>
#include <utility>

#include "crypto/tls_client.h"
#include "crypto/trust_anchors.h"
#include "net/redis_place.h"

namespace ocsp_plus::engine {

Result<void> check_share_prefix(std::string_view prefix) {
  if (net::SharedStore::is_prefix(prefix)) {
    return {};
  }
  return fail(Reason::kInvalidArgument,
              "a prefix has letters, digits, \"_\", \"-\" and \".\", and 64 of them at most");
}

Result<ShareSettings> read_share(ShareTexts&& texts) {
  ShareSettings settings;
  settings.sentinel = std::string(texts.sentinel);
  const auto role = settings.sentinel.empty() ? net::RedisPlace::Role::kServer : net::RedisPlace::Role::kSentinel;
  for (const std::string_view text : texts.places) {
    auto place = net::RedisPlace::parse(text, role);
    RETURN_IF_ERROR(place);
    settings.places.push_back(std::move(*place));
  }
  if (!texts.prefix.empty()) {
    settings.prefix = std::string(texts.prefix);
  }
  RETURN_IF_ERROR(check_share_prefix(settings.prefix));
  settings.user = std::string(texts.user);
  settings.password = std::string(texts.password);
  if (texts.timeout != 0) {
    settings.timeout = texts.timeout;
  }
  settings.trusted = std::move(texts.trusted);
  if (!texts.certificate.empty()) {
    auto certificate = crypto::ClientCertificate::parse(texts.certificate, texts.key);
    if (!certificate) {
      return fail(certificate.error().reason,
                  "certificate and key to show cannot be used: " + certificate.error().detail);
    }
    settings.certificate = std::move(*certificate);
  }
  return settings;
}

Result<std::unique_ptr<ShareAccess>> ShareAccess::open(EventLoop& loop, const Clock& clock,
                                                       const ShareSettings& settings, std::size_t max_response) {
  auto access = std::make_unique<ShareAccess>();
  auto resolver = net::Resolver::create(loop, clock, net::ResolverOptions());
  RETURN_IF_ERROR(resolver);
  const bool needs_tls = std::any_of(settings.places.begin(), settings.places.end(),
                                     [](const net::RedisPlace& place) { return place.tls; });
  if (needs_tls) {
    auto anchors =
        settings.trusted.empty() ? crypto::TrustAnchors::of_system() : crypto::TrustAnchors::of(settings.trusted);
    RETURN_IF_ERROR(anchors);
    auto tls = crypto::make_tls_client(*anchors, settings.certificate ? &*settings.certificate : nullptr);
    RETURN_IF_ERROR(tls);
    access->tls = std::move(*tls);
  }
  access->resolver = std::move(*resolver);
  access->options.places = settings.places;
  access->options.sentinel = settings.sentinel;
  access->options.prefix = settings.prefix;
  access->options.user = settings.user;
  access->options.password = settings.password;
  access->options.tls = access->tls.get();
  access->options.timeout = settings.timeout;
  access->options.most_response = std::min(max_response, net::SharedStore::kMostResponse);
  return access;
}

}  // namespace ocsp_plus::engine
