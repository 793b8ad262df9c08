// From octets to a basic OCSP response. Private to this room.
#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "crypto/ossl.h"

namespace ocsp_plus::crypto {

// Strictly DER, nothing behind it and nothing behind the last field of what it holds (RFC 6960 section 4.2.1).
// kMalformedResponse, kTrailingData, kNotBasicResponse, or what a responder says instead of an answer:
// kMalformedRequest, kInternalError, kTryLater, kSigRequired, kUnauthorized, kUnknownResponseStatus.
Result<OcspBasicPtr> parse_response(ByteView response);

}  // namespace ocsp_plus::crypto
