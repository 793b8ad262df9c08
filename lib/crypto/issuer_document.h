// Documents at a certificate's caIssuers URL (RFC 5280 section 4.2.2.1): the issuer's certificate in DER, or several
// in a "certs-only" PKCS#7 message; some servers send PEM of either.
//
// The document is untrusted: unsigned, over http. A certificate from it is used only if its key signed the leaf
// (engine/issuer_search.h).
//
// Every function leaves OpenSSL's error queue unchanged.
#pragma once

#include <cstddef>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "crypto/certificate.h"

namespace ocsp_plus::crypto {

constexpr std::size_t kMaxIssuerCandidates = 32;  // the rest of a document is ignored

// Returns the first certificates of a document, at least one. Errors: kIssuerMalformed if there is none,
// kOutOfMemory.
Result<std::vector<X509Ptr>> read_issuer_document(ByteView document);

// Returns the error for a document that contains certificates but not the issuer.
Error issuer_mismatch(const std::vector<X509Ptr>& certificates);

// Returns a lookup key that is the same for all certificates of an issuer: SHA-256 over the issuer's name and the
// authority key identifier. It proves nothing. Errors: kInternal, kOutOfMemory.
Result<CertificateId> issuer_reference(x509_st* leaf);

}  // namespace ocsp_plus::crypto
