#include "engine/tls_clients.h"

#include <utility>

#include "crypto/tls_client.h"

namespace ocsp_plus::engine {
namespace {

Result<std::unique_ptr<TlsClient>> make(const crypto::TrustAnchors* anchors) {
  if (anchors != nullptr) {
    return crypto::make_tls_client(*anchors);
  }
  const auto of_system = crypto::TrustAnchors::of_system();
  return of_system ? crypto::make_tls_client(*of_system) : tl::unexpected<Error>(of_system.error());
}

}  // namespace

TlsClient* TlsClients::find(const Target& target) {
  const auto found = clients_.find(target.responder_anchors);
  if (found != clients_.end()) {
    return found->second.get();
  }
  auto made = make(target.responder_anchors);
  return made ? (clients_[target.responder_anchors] = std::move(*made)).get() : nullptr;
}

}  // namespace ocsp_plus::engine
