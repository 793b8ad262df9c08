// Who signed an OCSP response, whether they may, and whether they did (RFC 6960 section 4.2.2.2). Private to this
// room.
#pragma once

#include <string>

#include "base/reason.h"
#include "crypto/ossl.h"
#include "crypto/verify.h"

namespace ocsp_plus::crypto {

struct SignatureCheck {
  Reason reason = Reason::kNotChecked;  // kOk: an authorised signer's signature verified
  std::string detail;
  UnixSeconds signer_end = kNever;  // notAfter of a delegated signer; kNever where the issuer itself signed
};

// Tries the issuer, then every embedded certificate that the ResponderID names (at most 10 of them): the first that
// passes wins, else the one that came furthest tells the reason.
SignatureCheck check_signature(OCSP_BASICRESP* basic, const Issuer& issuer, UnixSeconds produced_at, UnixSeconds now);

}  // namespace ocsp_plus::crypto
