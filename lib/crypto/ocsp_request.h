// OCSP requests that HTTP caches can answer: one CertID, no nonce, no extensions, unsigned (RFC 9919 section 2.1).
#pragma once

#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "crypto/certificate.h"

namespace ocsp_plus::crypto {

enum class CertIdHash { kSha1, kSha256 };

struct OcspRequest {
  Bytes der;             // the body of a POST
  std::string get_path;  // the same in base64 (RFC 4648 section 4), percent-encoded, which a GET appends after "/"
};

// Hashes the issuer's own name and key (RFC 6960 section 4.1.1), which responders compare as octets. Fails with
// kInternal if `certificate.serial` is not the content of a DER INTEGER or memory runs out. Leaves OpenSSL's error
// queue unchanged.
Result<OcspRequest> make_request(const Certificate& certificate, const Issuer& issuer, CertIdHash hash);

}  // namespace ocsp_plus::crypto
