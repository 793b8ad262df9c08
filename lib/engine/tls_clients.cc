#include "engine/tls_clients.h"

#include <string>
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

// Creates the client when it is first needed; tries again after a failure.
class LazyTlsClient : public TlsClient {
 public:
  explicit LazyTlsClient(const crypto::TrustAnchors* anchors) : anchors_(anchors) {}

  Result<std::unique_ptr<TlsSession>> open(const std::string& host, unsigned port) override {
    if (client_ == nullptr) {
      auto made = make(anchors_);
      if (!made) {
        return fail(Reason::kTlsFailed, "no TLS client could be set up: " + made.error().detail);
      }
      client_ = std::move(*made);
    }
    return client_->open(host, port);
  }

 private:
  const crypto::TrustAnchors* anchors_;
  std::unique_ptr<TlsClient> client_;
};

}  // namespace

TlsClient* TlsClients::find(const Target& target) {
  std::unique_ptr<TlsClient>& client = clients_[target.responder_anchors];
  if (client == nullptr) {
    client = std::make_unique<LazyTlsClient>(target.responder_anchors);
  }
  return client.get();
}

}  // namespace ocsp_plus::engine
