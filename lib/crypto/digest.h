// Digests that identify bytes and prove nothing.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/bytes.h"

namespace ocsp_plus::crypto {

// Nothing if OpenSSL cannot compute it: no memory, or no provider has SHA-1. Leaves OpenSSL's error queue unchanged.
std::optional<std::array<std::uint8_t, 20>> sha1(ByteView bytes);

}  // namespace ocsp_plus::crypto
