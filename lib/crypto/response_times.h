// Finds malformed times in a response that OpenSSL does not parse. Private to lib/crypto.
//
// OpenSSL 3.5 and newer refuse a short GeneralizedTime or UTCTime while parsing, with the same errors as for any
// other broken octets. The reported reason must not depend on OpenSSL's version, so this code reads the times again.
#pragma once

#include "base/bytes.h"

namespace ocsp_plus::crypto {

// Returns whether a time in `response`, an OCSPResponse, is not YYYYMMDDHHMMSSZ (RFC 5280 section 4.1.2.5.2):
// producedAt, thisUpdate, nextUpdate, revocationTime, or the validity of an embedded certificate, which may be a
// UTCTime too. Stops at the first octets that are not DER. Returns false if memory runs out.
bool has_malformed_time(ByteView response);

}  // namespace ocsp_plus::crypto
