#include "crypto/peer_certificate.h"

#include "crypto/ossl.h"

namespace ocsp_plus::crypto {

KeyKind key_kind(x509_st* certificate) {
  const ErrorMark mark;
  const EVP_PKEY* key = X509_get0_pubkey(certificate);
  const int type = key == nullptr ? EVP_PKEY_NONE : EVP_PKEY_get_base_id(key);
  switch (type) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS:
      return KeyKind::kRsa;
    case EVP_PKEY_EC:
    case EVP_PKEY_ED25519:
    case EVP_PKEY_ED448:
      return KeyKind::kEc;
    default:
      return KeyKind::kOther;
  }
}

bool is_for(x509_st* certificate, const std::string& name) {
  const ErrorMark mark;
  return X509_check_ip_asc(certificate, name.c_str(), 0) == 1 ||
         X509_check_host(certificate, name.c_str(), name.size(), 0, nullptr) == 1;
}

}  // namespace ocsp_plus::crypto
