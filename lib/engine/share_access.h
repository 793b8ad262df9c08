// How the shared store is reached: what ocsp_plus_share and the command line's options for it say, and what a
// connection needs because of that.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/ports.h"
#include "base/result.h"
#include "base/tls.h"
#include "crypto/certificate.h"
#include "engine/settings.h"
#include "net/resolver.h"
#include "net/shared_store.h"

namespace ocsp_plus::engine {

// ShareSettings as an operator writes them. Empty: not given, the default counts.
struct ShareTexts {
  std::vector<std::string_view> places;
  std::string_view sentinel;
  std::string_view prefix;
  std::string_view user;
  std::string_view password;
  Millis timeout = 0;  // 0: ShareSettings' own
  std::vector<crypto::X509Ptr> trusted;
  std::string_view certificate;  // PEM
  std::string_view key;          // PEM
};

// Checks ShareSettings::prefix. kInvalidArgument says what a prefix may have.
Result<void> check_share_prefix(std::string_view prefix);

// Errors: kInvalidArgument for a place or a prefix, kUnreadable for certificate and key; no text shows a secret.
Result<ShareSettings> read_share(ShareTexts&& texts);

// Resources that the connections to a store share. Must outlive them.
struct ShareAccess {
  // Names are resolved by the system's configuration: ocsp_plus_resolver is for responders. `max_response`: bytes,
  // as ocsp_plus_max_response. Fails if the resolver or TLS cannot be set up.
  static Result<std::unique_ptr<ShareAccess>> open(EventLoop& loop, const Clock& clock, const ShareSettings& settings,
                                                   std::size_t max_response);

  std::unique_ptr<net::Resolver> resolver;
  std::unique_ptr<TlsClient> tls;   // nullptr: no place needs it; the system's trust store takes long to load
  net::SharedStoreOptions options;  // with `tls`
};

}  // namespace ocsp_plus::engine
