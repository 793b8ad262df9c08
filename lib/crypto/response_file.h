// Responses as they lie in files that somebody else wrote: DER, or the same in PEM armour.
#pragma once

#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace ocsp_plus::crypto {

// The DER in `file`: what stands between "-----BEGIN OCSP RESPONSE-----" and its end where there is such a line,
// else `file` as it is. What it returns is not verified, not even parsed. Fails with kUnreadable where the armour
// is broken. OpenSSL's error queue is afterwards as it was
// before.
Result<Bytes> response_from_file(std::string_view file);

}  // namespace ocsp_plus::crypto
