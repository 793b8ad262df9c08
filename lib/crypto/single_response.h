// Chooses the deciding one among the single responses for a certificate. Private to lib/crypto.
#pragma once

#include <string>

#include "base/result.h"
#include "crypto/ossl.h"
#include "crypto/verify.h"

namespace ocsp_plus::crypto {

// One single response (RFC 6960 section 4.2.1), unverified.
struct SingleResponse {
  Reason time_reason = Reason::kNotChecked;  // kOk, or the time rule that it breaks
  std::string detail;                        // for people, if it breaks a rule
  CertStatus status = CertStatus::kNone;
  UnixSeconds this_update = 0;
  UnixSeconds next_update = 0;  // 0: none
  UnixSeconds end = 0;          // nextUpdate, or thisUpdate plus the policy's age
  UnixSeconds revoked_at = 0;   // 0: not revoked, or a malformed revocationTime
};

struct SingleChoice {
  SingleResponse single;
  bool sha256_only = false;  // no SHA-1 CertID matched
};

// Finds the status of `certificate` in `basic`. A CertID matches if its hash algorithm is SHA-1 or SHA-256 and its
// three other fields equal ours octet for octet.
//
// Several may match, and a client may read any of them, so the strictest decides: revoked before unknown before good.
// Among revoked ones a current one decides, because a broken duplicate must not hide a true revocation; among good
// ones a non-current one, else the one that ends first.
//
// OpenSSL must be able to compute the hash of the very first CertID, whatever certificate it is for: OpenSSL 3.6 and
// newer fetches that digest when it sends a staple, and a failure leaves an error in its queue, which aborts the
// handshake. The check applies to every version, because files and shared memory outlive an upgrade. SHA-1 and
// SHA-256, which we compute ourselves, always pass.
//
// Fails with no_single_response, other_serial, other_issuer or unsupported_hash.
Result<SingleChoice> choose_single(OCSP_BASICRESP* basic, const Certificate& certificate, const Issuer& issuer,
                                   UnixSeconds now, const VerifyPolicy& policy);

}  // namespace ocsp_plus::crypto
