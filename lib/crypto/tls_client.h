// TLS with responders, by OpenSSL: TLS 1.2 or later, the certificate checked against anchors and the host's name,
// which has to be in its subjectAltName (RFC 9525).
// Whether that certificate is revoked is not asked: it would take an OCSP request to make an OCSP request, and the
// response that is fetched is signed in any case.
#pragma once

#include <memory>

#include "base/tls.h"
#include "crypto/trust_anchors.h"

namespace ocsp_plus::crypto {

// `anchors` is shared with the client. Sessions are kept for up to 64 hosts, one each. kInternal where OpenSSL cannot
// be set up. OpenSSL's error queue is after each call to the client and its sessions as it was before.
Result<std::unique_ptr<TlsClient>> make_tls_client(const TrustAnchors& anchors);

}  // namespace ocsp_plus::crypto
