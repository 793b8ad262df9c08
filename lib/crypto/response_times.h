// Whether a response that OpenSSL does not parse holds malformed times. Private to this room.
//
// OpenSSL 3.5 and newer refuse a GeneralizedTime or UTCTime that is too short while they parse, with errors that look
// like those of any other broken octets. What is told of a response must not depend on that, so its times are read
// here once more, by the headers of its elements alone.
#pragma once

#include "base/bytes.h"

namespace ocsp_plus::crypto {

// Whether some time in `response`, an OCSPResponse, is not YYYYMMDDHHMMSSZ (RFC 5280 section 4.1.2.5.2): producedAt,
// thisUpdate, nextUpdate, revocationTime, or the validity of an embedded certificate, which may be a UTCTime too.
// Reads until something stands there that is not DER; false where no memory is left to look at a time.
bool has_malformed_time(ByteView response);

}  // namespace ocsp_plus::crypto
