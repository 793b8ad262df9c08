// The TLS client for https responders and for the shared store: TLS 1.2 or later; the certificate must lead to an
// anchor and have the host's name in its subjectAltName (RFC 9525). Its revocation is not checked: that would take
// another OCSP request, and the fetched response is signed anyway.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/tls.h"
#include "crypto/certificate.h"
#include "crypto/trust_anchors.h"

namespace ocsp_plus::crypto {

// The certificate that a client shows to servers that ask for one, with its key.
struct ClientCertificate {
  std::vector<X509Ptr> chain;  // its own first
  PkeyPtr key;

  // Parses PEM. Errors: kUnreadable if there is no certificate or no key, the key has a pass phrase, or it is not the
  // certificate's; the text shows nothing of the key.
  static Result<ClientCertificate> parse(std::string_view certificates, std::string_view key);
};

// The client shares `anchors` and, where it is given one, `shown`. It keeps one session each for up to 64 hosts.
// kInternal if OpenSSL cannot be set up or does not take `shown`. Calls to the client and its sessions leave
// OpenSSL's error queue unchanged.
Result<std::unique_ptr<TlsClient>> make_tls_client(const TrustAnchors& anchors,
                                                   const ClientCertificate* shown = nullptr);

}  // namespace ocsp_plus::crypto
