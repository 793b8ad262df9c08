// The TLS client for https responders: TLS 1.2 or later; the certificate must lead to an anchor and have the host's
// name in its subjectAltName (RFC 9525). Its revocation is not checked: that would take another OCSP request, and the
// fetched response is signed anyway.
#pragma once

#include <memory>

#include "base/tls.h"
#include "crypto/trust_anchors.h"

namespace ocsp_plus::crypto {

// The client shares `anchors`. It keeps one session each for up to 64 hosts. kInternal if OpenSSL cannot be set up.
// Calls to the client and its sessions leave OpenSSL's error queue unchanged.
Result<std::unique_ptr<TlsClient>> make_tls_client(const TrustAnchors& anchors);

}  // namespace ocsp_plus::crypto
