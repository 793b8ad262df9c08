// Finds the signer of an OCSP response and checks its authority and its signature (RFC 6960 section 4.2.2.2). Private
// to lib/crypto.
#pragma once

#include <string>

#include "base/reason.h"
#include "crypto/ossl.h"
#include "crypto/verify.h"

namespace ocsp_plus::crypto {

struct SignatureCheck {
  Reason reason = Reason::kNotChecked;  // kOk: an authorised signer's signature verified
  std::string detail;
  UnixSeconds signer_end = kNever;  // notAfter of a delegated signer; kNever if the issuer itself signed
};

// Tries the issuer, then the embedded certificates that the ResponderID names, at most 10. The first that passes
// decides; if none does, the one that passed the most checks determines the reason.
SignatureCheck check_signature(OCSP_BASICRESP* basic, const Issuer& issuer, UnixSeconds produced_at, UnixSeconds now);

}  // namespace ocsp_plus::crypto
