// From octets to a basic OCSP response. Private to this room.
#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "crypto/ossl.h"

namespace ocsp_plus::crypto {

// Strictly DER, nothing behind it and nothing behind the last field of what it holds (RFC 6960 section 4.2.1).
// kMalformedResponse, kTrailingData, kNotBasicResponse, or what a responder says instead of an answer:
// kMalformedRequest, kInternalError, kTryLater, kSigRequired, kUnauthorized, kUnknownResponseStatus. kMalformedTime
// where it does not parse and a time in it has another form than RFC 5280 allows: OpenSSL 3.5 and newer refuse times
// that are too short here, older versions leave them to verify().
Result<OcspBasicPtr> parse_response(ByteView response);

}  // namespace ocsp_plus::crypto
