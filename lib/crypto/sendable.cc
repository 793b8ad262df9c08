#include "crypto/sendable.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <array>

#include "crypto/cert_id.h"
#include "crypto/ossl.h"

namespace ocsp_plus::crypto {
namespace {

// Returns the octets' hash; empty if OpenSSL lacks the algorithm.
Bytes hash(const CertId& under, ByteView octets) {
  const DigestPtr fetched(EVP_MD_fetch(nullptr, under.hash_name.c_str(), nullptr));
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> out = {};
  unsigned size = 0;
  if (fetched == nullptr ||
      EVP_Digest(octets.data(), octets.size(), out.data(), &size, fetched.get(), nullptr) != 1) {
    return {};
  }
  return ByteView(out.data(), size).copy();
}

}  // namespace

bool openssl_selects() noexcept {
  return OpenSSL_version_num() >= 0x30600000UL;
}

bool openssl_sends_chain() noexcept {
  return sends_chain(OpenSSL_version_num());
}

bool openssl_would_send(const Certificate& certificate, ByteView response) {
  const ErrorMark mark;
  const unsigned char* in = response.data();
  const OcspResponsePtr parsed(d2i_OCSP_RESPONSE(nullptr, &in, static_cast<long>(response.size())));
  if (parsed == nullptr || certificate.is_root) {
    return false;
  }
  if (OCSP_response_status(parsed.get()) != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
    return true;
  }
  const OcspBasicPtr basic(OCSP_response_get1_basic(parsed.get()));
  return basic == nullptr || openssl_would_send(certificate, basic.get());
}

bool openssl_would_send(const Certificate& certificate, OCSP_BASICRESP* response) {
  const ErrorMark mark;
  const int count = OCSP_resp_count(response);
  if (certificate.is_root) {
    return false;
  }
  if (count <= 0) {
    return true;
  }
  const CertId first = read_cert_id(OCSP_SINGLERESP_get0_id(OCSP_resp_get0(response, 0)));
  const Bytes name_hash = hash(first, certificate.issuer_name);
  bool found = false;
  for (int i = 0; !found && !name_hash.empty() && i < count; ++i) {
    const CertId id = i == 0 ? first : read_cert_id(OCSP_SINGLERESP_get0_id(OCSP_resp_get0(response, i)));
    found = id.serial == certificate.serial && id.issuer_name_hash == name_hash;
  }
  return found;
}

}  // namespace ocsp_plus::crypto
