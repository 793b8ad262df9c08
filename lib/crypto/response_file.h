// Reads OCSP responses from files that other programs wrote, in DER or PEM.
#pragma once

#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace ocsp_plus::crypto {

// Returns the DER in `file`: the content of its "-----BEGIN OCSP RESPONSE-----" block, else `file` unchanged. The
// result is neither parsed nor verified. Fails with kUnreadable if the PEM is broken. Leaves OpenSSL's error queue
// unchanged.
Result<Bytes> response_from_file(std::string_view file);

}  // namespace ocsp_plus::crypto
