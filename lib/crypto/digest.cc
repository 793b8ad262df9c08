#include "crypto/digest.h"

#include <openssl/evp.h>

#include "crypto/ossl.h"

namespace ocsp_plus::crypto {

std::optional<std::array<std::uint8_t, 20>> sha1(ByteView bytes) {
  const ErrorMark mark;
  std::array<std::uint8_t, 20> digest = {};
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha1(), nullptr) != 1) {
    return std::nullopt;
  }
  return digest;
}

}  // namespace ocsp_plus::crypto
