#include "crypto/signer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "crypto/signature_policy.h"

namespace ocsp_plus::crypto {
namespace {

// Bounds the work that a malicious response with many embedded signers can cause.
constexpr int kMaxEmbeddedSigners = 10;

struct ResponderId {
  ByteView name;      // byName: the DER of the name; empty for byKey
  ByteView key_sha1;  // byKey: SHA-1 of the BIT STRING's content; empty for byName
};

// Compares names as octets, as NSS does: a responder copies the subject of its own certificate.
bool is_named(const ResponderId& id, ByteView name, ByteView key_sha1) {
  return id.key_sha1.empty() ? !id.name.empty() && id.name == name : id.key_sha1 == key_sha1;
}

bool is_named(const ResponderId& id, X509* certificate) {
  std::array<std::uint8_t, 20> key_sha1 = {};
  if (!id.key_sha1.empty() && X509_pubkey_digest(certificate, EVP_sha1(), key_sha1.data(), nullptr) != 1) {
    return false;
  }
  return is_named(id, name_der(X509_get_subject_name(certificate)), key_sha1);
}

ResponderId responder_id(OCSP_BASICRESP* basic) {
  const ASN1_OCTET_STRING* key_sha1 = nullptr;
  const X509_NAME* name = nullptr;
  OCSP_resp_get0_id(basic, &key_sha1, &name);
  return {name_der(name), key_sha1 == nullptr ? ByteView() : view(key_sha1)};
}

SignatureCheck refuse(Reason reason, std::string detail = {}) {
  return {reason, std::move(detail), kNever};
}

// Verifies the response's signature. parse_response() has made sure that OpenSSL's encoding equals the received
// octets.
SignatureCheck verify_with(OCSP_BASICRESP* basic, EVP_PKEY* key) {
  const ErrorMark mark;
  const X509_ALGOR* algorithm = OCSP_resp_get0_tbs_sigalg(basic);
  const Reason strength = check_signature_strength(algorithm, key);
  if (strength != Reason::kOk) {
    return refuse(strength,
                  fmt::format("{} with a key of {} bits", algorithm_name(algorithm), EVP_PKEY_get_bits(key)));
  }
  if (ASN1_item_verify(ASN1_ITEM_rptr(OCSP_RESPDATA), algorithm, OCSP_resp_get0_signature(basic),
                       OCSP_resp_get0_respdata(basic), key) != 1) {
    return refuse(Reason::kBadSignature, mark.text());
  }
  return {Reason::kOk, {}, kNever};
}

// Checks that the issuer itself signed the certificate, without an intermediate in between (RFC 6960 section 4.2.2.2,
// "issued directly by the CA").
SignatureCheck check_issuance(X509* signer, const Issuer& issuer) {
  const X509_NAME* name = X509_get_issuer_name(signer);
  if (name_der(name) != name_der(X509_get_subject_name(issuer.certificate()))) {
    return refuse(Reason::kSignerNotIssuedByIssuer,
                  fmt::format("it names {} as its issuer, not {}", name_text(name), issuer.subject()));
  }
  const ASN1_BIT_STRING* signature = nullptr;
  const X509_ALGOR* algorithm = nullptr;
  X509_get0_signature(&signature, &algorithm, signer);
  const Reason strength = check_signature_strength(algorithm, issuer.key());
  if (strength != Reason::kOk) {
    return refuse(strength, "the responder's certificate is signed by " + algorithm_name(algorithm));
  }
  if (X509_verify(signer, issuer.key()) != 1) {
    return refuse(Reason::kSignerNotIssuedByIssuer,
                  "its signature does not verify with the key of " + issuer.subject());
  }
  return {Reason::kOk, {}, kNever};
}

bool is_understood(const X509_EXTENSION* extension) {
  static constexpr std::array<int, 8> kUnderstood = {NID_basic_constraints,    NID_key_usage,
                                                     NID_ext_key_usage,        NID_subject_key_identifier,
                                                     NID_subject_alt_name,     NID_id_pkix_OCSP_noCheck,
                                                     NID_certificate_policies, NID_authority_key_identifier};
  // The accessor takes a mutable extension but only reads it.
  const int nid = OBJ_obj2nid(X509_EXTENSION_get_object(const_cast<X509_EXTENSION*>(extension)));
  return std::find(kUnderstood.begin(), kUnderstood.end(), nid) != kUnderstood.end();
}

bool has_unknown_critical_extension(const X509* certificate) {
  for (int i = 0; i < X509_get_ext_count(certificate); ++i) {
    const X509_EXTENSION* extension = X509_get_ext(certificate, i);
    if (X509_EXTENSION_get_critical(extension) != 0 && !is_understood(extension)) {
      return true;
    }
  }
  return false;
}

SignatureCheck check_usage(X509* signer) {
  const std::uint32_t flags = X509_get_extension_flags(signer);
  if ((flags & EXFLAG_INVALID) != 0) {
    return refuse(Reason::kSignerCriticalExtension, "its extensions are malformed");
  }
  // anyExtendedKeyUsage does not include OCSPSigning (RFC 6960 section 4.2.2.2).
  if ((flags & EXFLAG_XKUSAGE) == 0 || (X509_get_extended_key_usage(signer) & XKU_OCSP_SIGN) == 0) {
    return refuse(Reason::kSignerWithoutOcspSigning);
  }
  // A CA certificate with OCSPSigning could vouch for all of its issuer's certificates though the issuer never
  // intended that; Firefox refuses it too.
  if ((flags & EXFLAG_CA) != 0) {
    return refuse(Reason::kSignerIsCa);
  }
  // RFC 5280 section 4.2.1.12 allows both with OCSPSigning; an encipherment-only key signs nothing.
  constexpr std::uint32_t kSigning = KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION;
  if ((flags & EXFLAG_KUSAGE) != 0 && (X509_get_key_usage(signer) & kSigning) == 0) {
    return refuse(Reason::kSignerKeyUsage, "it has neither digitalSignature nor nonRepudiation");
  }
  if (has_unknown_critical_extension(signer)) {
    return refuse(Reason::kSignerCriticalExtension);
  }
  return {Reason::kOk, {}, kNever};
}

// Checks whether `signer` may sign for `issuer`. Depends on the two certificates only, so the result could be cached
// per (issuer, signer) if thousands of responses by one signer ever cost too much.
SignatureCheck check_delegation(X509* signer, const Issuer& issuer) {
  SignatureCheck check = check_issuance(signer, issuer);
  return check.reason == Reason::kOk ? check_usage(signer) : check;
}

SignatureCheck check_period(X509* signer, UnixSeconds produced_at, UnixSeconds now) {
  const auto not_before = parse_certificate_time(X509_get0_notBefore(signer));
  const auto not_after = parse_certificate_time(X509_get0_notAfter(signer));
  if (!not_before || !not_after) {
    return refuse(Reason::kMalformedTime, "the validity of the responder's certificate cannot be read");
  }
  // OpenSSL's clients refuse at notAfter itself.
  if (now >= *not_after) {
    return refuse(Reason::kSignerExpired, "it ended at " + to_rfc3339(*not_after));
  }
  if (now < *not_before) {
    return refuse(Reason::kSignerNotYetValid, "it begins at " + to_rfc3339(*not_before));
  }
  if (produced_at < *not_before || produced_at > *not_after) {
    return refuse(Reason::kProducedAtOutsideSigner,
                  fmt::format("producedAt is {}, the signer's certificate begins at {}", to_rfc3339(produced_at),
                              to_rfc3339(*not_before)));
  }
  return {Reason::kOk, {}, *not_after};
}

SignatureCheck check_embedded(OCSP_BASICRESP* basic, X509* signer, const Issuer& issuer, UnixSeconds produced_at,
                              UnixSeconds now) {
  EVP_PKEY* key = X509_get0_pubkey(signer);
  if (key == nullptr) {
    return refuse(Reason::kUnsupportedSignature, "the key of the responder's certificate cannot be used");
  }
  SignatureCheck delegation = check_delegation(signer, issuer);
  if (delegation.reason != Reason::kOk) {
    return delegation;
  }
  SignatureCheck period = check_period(signer, produced_at, now);
  if (period.reason != Reason::kOk) {
    return period;
  }
  SignatureCheck signature = verify_with(basic, key);
  signature.signer_end = period.signer_end;
  return signature;
}

// Ranks a failed candidate by the checks it passed; the highest determines the reason.
int progress(Reason reason) {
  switch (reason) {
    case Reason::kOk:
      return 4;
    case Reason::kBadSignature:
      return 3;
    case Reason::kSignerNotFound:
      return 0;
    case Reason::kSignerNotIssuedByIssuer:
      return 1;
    default:
      return 2;
  }
}

void keep_better(SignatureCheck& best, SignatureCheck candidate, const std::string& name) {
  if (progress(candidate.reason) > progress(best.reason)) {
    best = std::move(candidate);
    if (best.reason != Reason::kOk) {
      best.detail = fmt::format("signer {}{}{}", name, best.detail.empty() ? "" : ": ", best.detail);
    }
  }
}

std::string describe(const ResponderId& id) {
  return id.key_sha1.empty() ? "by its name" : "by the SHA-1 of its key, " + to_hex(id.key_sha1);
}

}  // namespace

SignatureCheck check_signature(OCSP_BASICRESP* basic, const Issuer& issuer, UnixSeconds produced_at,
                               UnixSeconds now) {
  const ResponderId id = responder_id(basic);
  const STACK_OF(X509)* embedded = OCSP_resp_get0_certs(basic);
  SignatureCheck best =
      refuse(Reason::kSignerNotFound, fmt::format("the response names its signer {}; {} certificates are embedded",
                                                  describe(id), std::max(0, sk_X509_num(embedded))));
  const ByteView issuer_name = name_der(X509_get_subject_name(issuer.certificate()));
  if (is_named(id, issuer_name, issuer.key_sha1())) {
    keep_better(best, verify_with(basic, issuer.key()), issuer.subject());
  }
  int tried = 0;
  for (int i = 0; i < sk_X509_num(embedded) && best.reason != Reason::kOk && tried < kMaxEmbeddedSigners; ++i) {
    X509* signer = sk_X509_value(embedded, i);
    if (is_named(id, signer)) {
      ++tried;
      keep_better(best, check_embedded(basic, signer, issuer, produced_at, now),
                  name_text(X509_get_subject_name(signer)));
    }
  }
  return best;
}

}  // namespace ocsp_plus::crypto
