// What a certificate's caIssuers URL leads to (RFC 5280 section 4.2.2.1): the issuer's certificate in DER, or several
// in a "certs-only" PKCS#7 message; PEM of either, as some servers have it.
//
// The document is anybody's: it travels over http, unsigned. What is taken from it has to be what signed the leaf
// (engine/issuer_search.h).
//
// OpenSSL's error queue is after each function as it was before.
#pragma once

#include <cstddef>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "crypto/certificate.h"

namespace ocsp_plus::crypto {

constexpr std::size_t kMaxIssuerCandidates = 32;  // certificates of a document that are looked at

// The first certificates of a document, at least one. kIssuerMalformed where there is none, kOutOfMemory.
Result<std::vector<X509Ptr>> read_issuer_document(ByteView document);

// What is wrong with a document none of whose certificates has issued the one in question.
Error issuer_mismatch(const std::vector<X509Ptr>& certificates);

// By what certificates of one issuer know it, whatever their own names: SHA-256 over the issuer's name and the
// authority key identifier. It proves nothing: it is a name to keep things under. kInternal, kOutOfMemory.
Result<CertificateId> issuer_reference(x509_st* leaf);

}  // namespace ocsp_plus::crypto
