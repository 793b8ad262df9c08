// The TLS clients of a process: one for each set of anchors that responders are checked against.
#pragma once

#include <map>
#include <memory>

#include "base/tls.h"
#include "engine/catalog.h"

namespace ocsp_plus::engine {

class TlsClients {
 public:
  // Made when it is first asked for: most responders are asked by http, and the system's anchors are many. Lives as
  // long as this object. nullptr: OpenSSL cannot be set up.
  TlsClient* find(const Target& target);

 private:
  std::map<const crypto::TrustAnchors*, std::unique_ptr<TlsClient>> clients_;  // nullptr: the system's
};

}  // namespace ocsp_plus::engine
