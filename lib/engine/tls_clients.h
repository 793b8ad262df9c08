// The TLS clients of a process: one for each set of anchors by which responders are verified.
#pragma once

#include <map>
#include <memory>

#include "base/tls.h"
#include "engine/catalog.h"

namespace ocsp_plus::engine {

class TlsClients {
 public:
  // The client costs nothing until it opens its first session: most responders are asked by http and only a redirect
  // leads to https, and the system's anchors are many. It lives as long as this object. If OpenSSL cannot be set up,
  // its sessions fail with kTlsFailed.
  TlsClient* find(const Target& target);

 private:
  std::map<const crypto::TrustAnchors*, std::unique_ptr<TlsClient>> clients_;  // nullptr: the system's
};

}  // namespace ocsp_plus::engine
