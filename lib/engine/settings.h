// The engine's settings: the engine-wide directives, with their defaults (ocsp_plus/defaults.h).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "crypto/tls_client.h"
#include "crypto/verify.h"
#include "engine/schedule.h"
#include "net/proxy.h"
#include "net/redis_place.h"
#include "net/resolver.h"
#include "ocsp_plus/defaults.h"

namespace ocsp_plus::engine {

// The store where the nodes of a fleet share responses (ocsp_plus_share).
struct ShareSettings {
  std::vector<net::RedisPlace> places;  // at least one
  std::string sentinel;                 // the name that sentinels at these places know; empty: they are servers
  std::string prefix = OP_DEFAULT_SHARE_PREFIX;
  std::string user, password;  // must never be shown
  Millis timeout = OP_DEFAULT_SHARE_TIMEOUT_MS;
  std::vector<crypto::X509Ptr> trusted;                  // for places with TLS; empty: the system's trust store
  std::optional<crypto::ClientCertificate> certificate;  // shown to servers that ask for one
};

struct Settings {
  net::ResolverOptions resolver;
  std::optional<net::Proxy> proxy;     // nothing: responders are asked directly
  std::optional<ShareSettings> share;  // nothing: nothing is shared
  bool issuer_fetch = true;            // fetch missing issuers from caIssuers URLs
  bool certid_auto = false;            // SHA-256 if a responder refuses SHA-1; policy agrees
  // One exchange: all its URLs, redirects and addresses.
  Millis timeout = OP_DEFAULT_TIMEOUT_MS;
  std::size_t concurrency = OP_DEFAULT_CONCURRENCY;
  RetryBounds retry = {OP_DEFAULT_RETRY_MIN_S, OP_DEFAULT_RETRY_MAX_S};
  std::size_t max_response = OP_DEFAULT_MAX_RESPONSE_BYTES;  // bytes
  std::string cache;                                         // path of the cache directory; empty: none
  bool cache_read_only = false;                              // nothing in it is written, removed or tested
  std::string zone_name;                                     // for people
  crypto::VerifyPolicy policy;
  bool sends_chain = false;  // this OpenSSL sends the staples of certificates after the leaf
};

}  // namespace ocsp_plus::engine
