// The single responses of an OCSP response that are about one certificate, and which of them decides. Private to
// this room.
#pragma once

#include <string>

#include "base/result.h"
#include "crypto/ossl.h"
#include "crypto/verify.h"

namespace ocsp_plus::crypto {

// One single response (RFC 6960 section 4.2.1), as it states itself: nothing here is proven.
struct SingleResponse {
  Reason in_time = Reason::kNotChecked;  // kOk, or which rule about times it breaks
  std::string detail;                    // for people, where it breaks one
  CertStatus status = CertStatus::kNone;
  UnixSeconds this_update = 0;
  UnixSeconds next_update = 0;  // 0: none
  UnixSeconds end = 0;          // nextUpdate, or thisUpdate and the policy's age
  UnixSeconds revoked_at = 0;   // 0: not revoked, or a revocationTime that cannot be read
};

struct SingleChoice {
  SingleResponse single;
  bool sha256_only = false;  // no SHA-1 CertID matched
};

// Finds what `basic` says about `certificate`. A CertID matches if its hash algorithm is SHA-1 or SHA-256 and its
// three other fields equal ours octet for octet.
//
// Several may match, and a client may read any of them, so the strictest decides: revoked before unknown before
// good. Among revoked ones one that is in time decides, since a true revocation must not be hidden by a broken twin;
// among good ones one that is not in time, else the one that ends first.
//
// The hash of the very first CertID has to be one that this process's OpenSSL can compute, whatever certificate that
// CertID is for: OpenSSL 3.6 and newer fetches that digest when it sends a staple, and where it cannot it leaves the
// error in its queue, so that the handshake dies. It is no matter which version runs: files and shared memory outlive
// an upgrade. SHA-1 and SHA-256, which we compute ourselves, are taken for granted.
//
// Fails with no_single_response, other_serial, other_issuer or unsupported_hash.
Result<SingleChoice> choose_single(OCSP_BASICRESP* basic, const Certificate& certificate, const Issuer& issuer,
                                   UnixSeconds now, const VerifyPolicy& policy);

}  // namespace ocsp_plus::crypto
