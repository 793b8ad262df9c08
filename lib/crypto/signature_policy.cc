#include "crypto/signature_policy.h"

#include <openssl/objects.h>

#include <array>

namespace ocsp_plus::crypto {
namespace {

constexpr int kMinimumRsaBits = 1024;
constexpr int kMinimumRsaBitsForSha1 = 2048;
constexpr int kMinimumCurveBits = 224;

Reason judge_key(EVP_PKEY* key) {
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS:
      return EVP_PKEY_get_bits(key) < kMinimumRsaBits ? Reason::kWeakKey : Reason::kOk;
    case EVP_PKEY_EC:
      return EVP_PKEY_get_bits(key) < kMinimumCurveBits ? Reason::kWeakKey : Reason::kOk;
    case EVP_PKEY_ED25519:
    case EVP_PKEY_ED448:
      return Reason::kOk;
    default:
      return Reason::kUnsupportedSignature;
  }
}

// Returns the hash in the parameters of RSASSA-PSS (RFC 4055 section 3.1); NID_undef if they do not parse.
int pss_hash(const X509_ALGOR* algorithm) {
  int type = V_ASN1_UNDEF;
  const void* value = nullptr;
  X509_ALGOR_get0(nullptr, &type, &value, algorithm);
  if (type != V_ASN1_SEQUENCE) {
    return NID_undef;
  }
  const ByteView der = view(static_cast<const ASN1_STRING*>(value));
  const unsigned char* in = der.data();
  const PssParametersPtr parameters(d2i_RSA_PSS_PARAMS(nullptr, &in, static_cast<long>(der.size())));
  if (parameters == nullptr) {
    return NID_undef;
  }
  return parameters->hashAlgorithm == nullptr ? NID_sha1 : OBJ_obj2nid(parameters->hashAlgorithm->algorithm);
}

Reason judge_hash(int hash_nid, EVP_PKEY* key) {
  switch (hash_nid) {
    case NID_md2:
    case NID_md4:
    case NID_md5:
      return Reason::kWeakSignature;
    case NID_sha1: {
      const int type = EVP_PKEY_get_base_id(key);
      const bool is_rsa = type == EVP_PKEY_RSA || type == EVP_PKEY_RSA_PSS;
      return is_rsa && EVP_PKEY_get_bits(key) >= kMinimumRsaBitsForSha1 ? Reason::kOk : Reason::kWeakSignature;
    }
    case NID_sha224:
    case NID_sha256:
    case NID_sha384:
    case NID_sha512:
      return Reason::kOk;
    default:
      return Reason::kUnsupportedSignature;
  }
}

}  // namespace

Reason check_signature_strength(const X509_ALGOR* algorithm, EVP_PKEY* key) {
  const Reason of_key = judge_key(key);
  if (of_key != Reason::kOk) {
    return of_key;
  }
  const ASN1_OBJECT* object = nullptr;
  X509_ALGOR_get0(&object, nullptr, nullptr, algorithm);
  const int nid = OBJ_obj2nid(object);
  if (nid == NID_ED25519 || nid == NID_ED448) {
    return Reason::kOk;
  }
  if (nid == NID_rsassaPss) {
    return judge_hash(pss_hash(algorithm), key);
  }
  int hash_nid = NID_undef;
  if (OBJ_find_sigid_algs(nid, &hash_nid, nullptr) != 1) {
    return Reason::kUnsupportedSignature;
  }
  return judge_hash(hash_nid, key);
}

std::string algorithm_name(const X509_ALGOR* algorithm) {
  const ASN1_OBJECT* object = nullptr;
  X509_ALGOR_get0(&object, nullptr, nullptr, algorithm);
  std::array<char, 80> text = {};
  OBJ_obj2txt(text.data(), static_cast<int>(text.size()), object, 0);
  return text.data();
}

}  // namespace ocsp_plus::crypto
