#include "crypto/verify.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/result.h"
#include "crypto/ossl.h"
#include "crypto/response.h"
#include "crypto/sendable.h"
#include "crypto/signer.h"
#include "crypto/single_response.h"

namespace ocsp_plus::crypto {
namespace {

// Reads the version, the optional first field of ResponseData ([0] EXPLICIT INTEGER), for which OpenSSL has no
// accessor. No other first field has that tag (ResponderID is [1] or [2]).
std::optional<long> version(OCSP_BASICRESP* basic) {
  unsigned char* der = nullptr;
  const auto* data = reinterpret_cast<const ASN1_VALUE*>(OCSP_resp_get0_respdata(basic));
  const int size = ASN1_item_i2d(data, &der, ASN1_ITEM_rptr(OCSP_RESPDATA));
  const BytesPtr owner(der);
  const unsigned char* in = der;
  long length = 0;
  int tag = 0;
  int tag_class = 0;
  if (size <= 0 || (ASN1_get_object(&in, &length, &tag, &tag_class, size) & 0x80) != 0) {
    return std::nullopt;
  }
  if ((ASN1_get_object(&in, &length, &tag, &tag_class, length) & 0x80) != 0) {
    return std::nullopt;
  }
  if (tag != 0 || tag_class != V_ASN1_CONTEXT_SPECIFIC) {
    return 0;  // DEFAULT v1
  }
  const Asn1IntegerPtr number(d2i_ASN1_INTEGER(nullptr, &in, length));
  return number == nullptr ? std::nullopt : std::optional<long>(ASN1_INTEGER_get(number.get()));
}

// RFC 6960 section 4.4: we request no extension, so we understand no critical one, not even the nonce.
bool has_critical_extension(OCSP_BASICRESP* basic) {
  for (int i = 0; i < OCSP_BASICRESP_get_ext_count(basic); ++i) {
    if (X509_EXTENSION_get_critical(OCSP_BASICRESP_get_ext(basic, i)) != 0) {
      return true;
    }
  }
  for (int i = 0; i < OCSP_resp_count(basic); ++i) {
    OCSP_SINGLERESP* single = OCSP_resp_get0(basic, i);
    for (int j = 0; j < OCSP_SINGLERESP_get_ext_count(single); ++j) {
      if (X509_EXTENSION_get_critical(OCSP_SINGLERESP_get_ext(single, j)) != 0) {
        return true;
      }
    }
  }
  return false;
}

Verdict refuse(Verdict verdict, Reason reason, std::string detail = {}) {
  verdict.reason = reason;
  verdict.detail = std::move(detail);
  return verdict;
}

// Checks the times that do not depend on the signer. Returns them, with a reason if a rule is broken.
Verdict check_times(OCSP_BASICRESP* basic, const SingleResponse& single, const Certificate& certificate,
                    UnixSeconds now, const VerifyPolicy& policy) {
  Verdict verdict;
  verdict.this_update = single.this_update;
  verdict.next_update = single.next_update;
  verdict.expires = std::min(single.end, certificate.not_after);
  const auto produced_at = parse_generalized_time(OCSP_resp_get0_produced_at(basic));
  verdict.produced_at = produced_at.value_or(0);
  if (now >= certificate.not_after) {
    return refuse(std::move(verdict), Reason::kCertificateExpired,
                  "it ended at " + to_rfc3339(certificate.not_after));
  }
  if (single.time_reason != Reason::kOk) {
    return refuse(std::move(verdict), single.time_reason, single.detail);
  }
  if (!produced_at) {
    return refuse(std::move(verdict), Reason::kMalformedTime, "producedAt is not of the form YYYYMMDDHHMMSSZ");
  }
  if (*produced_at > saturating_add(now, policy.clock_skew)) {
    return refuse(std::move(verdict), Reason::kProducedAtInFuture,
                  fmt::format("producedAt is {}, now is {}", to_rfc3339(*produced_at), to_rfc3339(now)));
  }
  return verdict;
}

// The only place that returns a certificate status, after the signature has verified.
Verdict report(Verdict verdict, const SingleChoice& choice, const VerifyPolicy& policy) {
  switch (choice.single.status) {
    case CertStatus::kRevoked:
      verdict.revoked_at = choice.single.revoked_at;
      verdict.reason = Reason::kRevoked;
      break;
    case CertStatus::kUnknown:
      verdict.reason = Reason::kUnknown;
      break;
    case CertStatus::kGood:
      if (choice.sha256_only && !policy.accept_sha256_only) {
        return refuse(std::move(verdict), Reason::kSha256Only, "several TLS clients refuse it when it is stapled");
      }
      if (!verdict.sendable) {
        return refuse(std::move(verdict), Reason::kNotSendable,
                      "it names the certificate under another hash, or another spelling of its issuer's name");
      }
      verdict.reason = Reason::kOk;
      break;
    case CertStatus::kNone:
      return refuse(std::move(verdict), Reason::kInternal);
  }
  verdict.cert_status = choice.single.status;
  return verdict;
}

}  // namespace

std::string_view token(CertStatus status) noexcept {
  switch (status) {
    case CertStatus::kNone:
      return "";
    case CertStatus::kGood:
      return "good";
    case CertStatus::kRevoked:
      return "revoked";
    case CertStatus::kUnknown:
      return "unknown";
  }
  return "";
}

// Cheap checks come first: a useless response must not cost a signature verification.
Verdict verify(ByteView response, const Certificate& certificate, const Issuer& issuer, UnixSeconds now,
               const VerifyPolicy& policy) {
  const ErrorMark mark;
  const auto basic = parse_response(response);
  if (!basic) {
    return refuse({}, basic.error().reason, basic.error().detail);
  }
  if (const auto number = version(basic->get()); !number || *number != 0) {
    return refuse({}, Reason::kUnsupportedVersion, "ResponseData has a version other than v1 (0)");
  }
  if (has_critical_extension(basic->get())) {
    return refuse({}, Reason::kUnknownCriticalExtension);
  }
  const auto choice = choose_single(basic->get(), certificate, issuer, now, policy);
  if (!choice) {
    return refuse({}, choice.error().reason, choice.error().detail);
  }
  Verdict verdict = check_times(basic->get(), choice->single, certificate, now, policy);
  if (verdict.reason != Reason::kNotChecked) {
    return verdict;
  }
  SignatureCheck signature = check_signature(basic->get(), issuer, verdict.produced_at, now);
  if (signature.reason != Reason::kOk) {
    return refuse(std::move(verdict), signature.reason, std::move(signature.detail));
  }
  verdict.expires = std::min(verdict.expires, signature.signer_end);
  verdict.sendable = !policy.must_be_sendable || openssl_would_send(certificate, basic->get());
  return report(std::move(verdict), *choice, policy);
}

}  // namespace ocsp_plus::crypto
