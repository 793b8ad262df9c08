// Decides which keys and signature algorithms are strong enough. Private to lib/crypto.
//
//   refused as weak_key        RSA below 1024 bits, elliptic curves below 224 bits
//   refused as weak_signature  MD2, MD4, MD5; SHA-1 with RSA below 2048 bits; SHA-1 with anything but RSA
//   accepted                   RSA (PKCS #1 v1.5, PSS) and ECDSA with SHA-2, Ed25519, Ed448; SHA-1 with RSA of
//                              2048 bits and more, which private CAs still use and every TLS client still accepts
//   unsupported_signature      all else, DSA among it
#pragma once

#include "base/reason.h"
#include "crypto/ossl.h"

namespace ocsp_plus::crypto {

// Returns kOk, kWeakKey, kWeakSignature or kUnsupportedSignature. The verification itself checks that algorithm and
// key match.
Reason check_signature_strength(const X509_ALGOR* algorithm, EVP_PKEY* key);

// Returns the algorithm's name for messages, such as "sha1WithRSAEncryption", or its dotted OID.
std::string algorithm_name(const X509_ALGOR* algorithm);

}  // namespace ocsp_plus::crypto
