#include "crypto/response_content.h"

#include <array>
#include <utility>

#include "crypto/cert_id.h"
#include "crypto/ossl.h"
#include "crypto/response.h"
#include "crypto/signature_policy.h"

namespace ocsp_plus::crypto {
namespace {

CertStatus status_from(int openssl_status) {
  return openssl_status == V_OCSP_CERTSTATUS_GOOD      ? CertStatus::kGood
         : openssl_status == V_OCSP_CERTSTATUS_REVOKED ? CertStatus::kRevoked
                                                       : CertStatus::kUnknown;
}

std::string responder_id(OCSP_BASICRESP* basic) {
  const ASN1_OCTET_STRING* key = nullptr;
  const X509_NAME* name = nullptr;
  if (OCSP_resp_get0_id(basic, &key, &name) != 1) {
    return {};
  }
  return name != nullptr ? name_text(name) : to_hex(view(key));
}

ResponseContent::Single read(OCSP_SINGLERESP* response) {
  ResponseContent::Single single;
  CertId id = read_cert_id(OCSP_SINGLERESP_get0_id(response));
  single.serial = std::move(id.serial);
  single.hash = id.hash_nid == NID_sha1 ? "sha1" : id.hash_nid == NID_sha256 ? "sha256" : std::move(id.hash_name);
  single.issuer_name_hash = std::move(id.issuer_name_hash);
  single.issuer_key_hash = std::move(id.issuer_key_hash);

  int reason = OCSP_REVOKED_STATUS_NOSTATUS;
  ASN1_GENERALIZEDTIME* revoked_at = nullptr;
  ASN1_GENERALIZEDTIME* this_update = nullptr;
  ASN1_GENERALIZEDTIME* next_update = nullptr;
  single.status = status_from(OCSP_single_get0_status(response, &reason, &revoked_at, &this_update, &next_update));
  single.this_update = parse_generalized_time(this_update).value_or(0);
  single.next_update = parse_generalized_time(next_update).value_or(0);
  if (single.status == CertStatus::kRevoked) {
    single.revoked_at = parse_generalized_time(revoked_at).value_or(0);
    single.revocation_reason = reason == OCSP_REVOKED_STATUS_NOSTATUS ? "" : OCSP_crl_reason_str(reason);
  }
  return single;
}

bool has_issuer_name(const ResponseContent::Single& single, ByteView name) {
  const EVP_MD* hash = EVP_get_digestbyname(single.hash.c_str());
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest = {};
  unsigned size = 0;
  return hash != nullptr && EVP_Digest(name.data(), name.size(), digest.data(), &size, hash, nullptr) == 1 &&
         ByteView(digest.data(), size) == ByteView(single.issuer_name_hash);
}

// All names in the response that may be the issuer's.
std::vector<const X509_NAME*> names_in(OCSP_BASICRESP* basic) {
  std::vector<const X509_NAME*> names;
  const ASN1_OCTET_STRING* key = nullptr;
  const X509_NAME* name = nullptr;
  if (OCSP_resp_get0_id(basic, &key, &name) == 1 && name != nullptr) {
    names.push_back(name);
  }
  const STACK_OF(X509)* certificates = OCSP_resp_get0_certs(basic);
  for (int i = 0; i < sk_X509_num(certificates); ++i) {
    names.push_back(X509_get_subject_name(sk_X509_value(certificates, i)));
    names.push_back(X509_get_issuer_name(sk_X509_value(certificates, i)));
  }
  return names;
}

std::string issuer_of(const ResponseContent::Single& single, const std::vector<const X509_NAME*>& names) {
  for (const X509_NAME* name : names) {
    const unsigned char* der = nullptr;
    std::size_t size = 0;
    if (X509_NAME_get0_der(name, &der, &size) == 1 && has_issuer_name(single, {der, size})) {
      return name_text(name);
    }
  }
  return {};
}

}  // namespace

Result<ResponseContent> read_response_content(ByteView der) {
  const ErrorMark mark;
  const auto basic = parse_response(cut_trailing(der));
  RETURN_IF_ERROR(basic);
  ResponseContent content;
  content.produced_at = parse_generalized_time(OCSP_resp_get0_produced_at(basic->get())).value_or(0);
  content.responder = responder_id(basic->get());
  content.signature = algorithm_name(OCSP_resp_get0_tbs_sigalg(basic->get()));
  const STACK_OF(X509)* certificates = OCSP_resp_get0_certs(basic->get());
  for (int i = 0; i < sk_X509_num(certificates); ++i) {
    content.certificates.push_back(name_text(X509_get_subject_name(sk_X509_value(certificates, i))));
  }
  const auto names = names_in(basic->get());
  for (int i = 0; i < OCSP_resp_count(basic->get()); ++i) {
    content.singles.push_back(read(OCSP_resp_get0(basic->get(), i)));
    content.singles.back().issuer = issuer_of(content.singles.back(), names);
  }
  return content;
}

bool is_about(const ResponseContent::Single& single, const Certificate& certificate) {
  const ErrorMark mark;
  return single.serial == certificate.serial && has_issuer_name(single, certificate.issuer_name);
}

}  // namespace ocsp_plus::crypto
