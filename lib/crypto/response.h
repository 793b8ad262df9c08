// Parses a basic OCSP response. Private to lib/crypto.
#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "crypto/ossl.h"

namespace ocsp_plus::crypto {

// Accepts strict DER only, without bytes after the response or after the last field of a structure in it (RFC 6960
// section 4.2.1). Errors: kMalformedResponse, kTrailingData, kNotBasicResponse; the responder's error status:
// kMalformedRequest, kInternalError, kTryLater, kSigRequired, kUnauthorized, kUnknownResponseStatus; kMalformedTime
// if the response does not parse and contains a time that RFC 5280 does not allow (OpenSSL 3.5 and newer refuse short
// times here, older versions leave them to verify()).
Result<OcspBasicPtr> parse_response(ByteView response);

}  // namespace ocsp_plus::crypto
