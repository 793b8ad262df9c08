#include "crypto/single_response.h"

#include <fmt/format.h>

#include <algorithm>

#include "crypto/cert_id.h"

namespace ocsp_plus::crypto {
namespace {

enum class CertIdMatch { kUnsupportedHash, kOtherIssuer, kOtherSerial, kSha1, kSha256 };

// Returns whether OpenSSL can compute the hash: a known algorithm may lack a provider (FIPS).
bool has_digest(const CertId& id) {
  if (id.hash_nid == NID_sha1 || id.hash_nid == NID_sha256) {
    return true;  // nearly every response: saves the fetch
  }
  return DigestPtr(EVP_MD_fetch(nullptr, id.hash_name.c_str(), nullptr)) != nullptr;
}

CertIdMatch match(const CertId& id, const Certificate& certificate, const Issuer& issuer) {
  bool is_issuer = false;
  if (id.hash_nid == NID_sha1) {
    is_issuer = id.issuer_name_hash == issuer.name_sha1() && id.issuer_key_hash == issuer.key_sha1();
  } else if (id.hash_nid == NID_sha256) {
    is_issuer = id.issuer_name_hash == issuer.name_sha256() && id.issuer_key_hash == issuer.key_sha256();
  } else {
    return CertIdMatch::kUnsupportedHash;
  }
  if (!is_issuer) {
    return CertIdMatch::kOtherIssuer;
  }
  if (id.serial.empty() || id.serial != certificate.serial) {
    return CertIdMatch::kOtherSerial;
  }
  return id.hash_nid == NID_sha1 ? CertIdMatch::kSha1 : CertIdMatch::kSha256;
}

CertStatus status_of(int openssl_status) {
  switch (openssl_status) {
    case V_OCSP_CERTSTATUS_GOOD:
      return CertStatus::kGood;
    case V_OCSP_CERTSTATUS_REVOKED:
      return CertStatus::kRevoked;
    default:
      return CertStatus::kUnknown;
  }
}

void break_rule(SingleResponse& out, Reason reason, std::string detail) {
  out.time_reason = reason;
  out.detail = std::move(detail);
}

// RFC 6960 section 3.2, items 5 and 6, and section 4.2.2.1.
void check_times(SingleResponse& out, UnixSeconds now, const VerifyPolicy& policy) {
  const bool has_next = out.next_update != 0;
  if (has_next && out.next_update <= out.this_update) {
    break_rule(
        out, Reason::kNextUpdateBeforeThisUpdate,
        fmt::format("thisUpdate is {}, nextUpdate {}", to_rfc3339(out.this_update), to_rfc3339(out.next_update)));
  } else if (out.this_update > saturating_add(now, policy.clock_skew)) {
    break_rule(out, Reason::kThisUpdateInFuture,
               fmt::format("thisUpdate is {}, now is {}", to_rfc3339(out.this_update), to_rfc3339(now)));
  } else if (now >= out.end && has_next) {
    break_rule(out, Reason::kExpired,
               fmt::format("nextUpdate was {}, now is {}", to_rfc3339(out.next_update), to_rfc3339(now)));
  } else if (now >= out.end) {
    break_rule(out, Reason::kTooOldWithoutNextUpdate,
               fmt::format("thisUpdate is {}, there is no nextUpdate, now is {}", to_rfc3339(out.this_update),
                           to_rfc3339(now)));
  } else {
    out.time_reason = Reason::kOk;
  }
}

SingleResponse read(OCSP_SINGLERESP* single, UnixSeconds now, const VerifyPolicy& policy) {
  ASN1_GENERALIZEDTIME* revoked_at = nullptr;
  ASN1_GENERALIZEDTIME* this_update = nullptr;
  ASN1_GENERALIZEDTIME* next_update = nullptr;
  SingleResponse out;
  out.status = status_of(OCSP_single_get0_status(single, nullptr, &revoked_at, &this_update, &next_update));
  if (out.status == CertStatus::kRevoked) {
    // The time is for people only, so a malformed one must not hide a revocation.
    out.revoked_at = parse_generalized_time(revoked_at).value_or(0);
  }
  const auto from = parse_generalized_time(this_update);
  const auto until = next_update == nullptr ? std::optional<UnixSeconds>(0) : parse_generalized_time(next_update);
  if (!from || !until) {
    break_rule(out, Reason::kMalformedTime,
               fmt::format("{} is not of the form YYYYMMDDHHMMSSZ", !from ? "thisUpdate" : "nextUpdate"));
    return out;
  }
  out.this_update = *from;
  out.next_update = *until;
  out.end = next_update != nullptr ? *until : saturating_add(*from, policy.max_age_without_next_update);
  check_times(out, now, policy);
  return out;
}

// Higher is stricter; see choose_single().
int strictness(const SingleResponse& single) {
  const bool is_current = single.time_reason == Reason::kOk;
  switch (single.status) {
    case CertStatus::kRevoked:
      return is_current ? 6 : 5;
    case CertStatus::kUnknown:
      return is_current ? 4 : 3;
    default:
      return is_current ? 1 : 2;
  }
}

bool is_stricter(const SingleResponse& a, const SingleResponse& b) {
  return strictness(a) != strictness(b) ? strictness(a) > strictness(b) : a.end < b.end;
}

tl::unexpected<Error> no_match(CertIdMatch nearest, const Certificate& certificate, const Issuer& issuer,
                               const Bytes& seen_serial) {
  switch (nearest) {
    case CertIdMatch::kOtherSerial:
      return fail(Reason::kOtherSerial,
                  fmt::format("it is for serial {}, ours is {}", to_hex(seen_serial), to_hex(certificate.serial)));
    case CertIdMatch::kUnsupportedHash:
      return fail(Reason::kUnsupportedHash, "no CertID of it uses SHA-1 or SHA-256 for this issuer");
    default:
      return fail(Reason::kOtherIssuer, "no CertID of it names the issuer " + issuer.subject());
  }
}

// Ranks misses by their use to an operator: the wrong serial of the right issuer, then an unsupported hash.
int nearness(CertIdMatch miss) {
  return miss == CertIdMatch::kOtherSerial ? 2 : miss == CertIdMatch::kUnsupportedHash ? 1 : 0;
}

}  // namespace

Result<SingleChoice> choose_single(OCSP_BASICRESP* basic, const Certificate& certificate, const Issuer& issuer,
                                   UnixSeconds now, const VerifyPolicy& policy) {
  const int count = OCSP_resp_count(basic);
  if (count <= 0) {
    return fail(Reason::kNoSingleResponse);
  }
  std::optional<SingleChoice> choice;
  bool any_sha1 = false;
  CertIdMatch nearest = CertIdMatch::kOtherIssuer;
  Bytes seen_serial;
  for (int i = 0; i < count; ++i) {
    OCSP_SINGLERESP* candidate = OCSP_resp_get0(basic, i);
    CertId id = read_cert_id(OCSP_SINGLERESP_get0_id(candidate));
    if (i == 0 && !has_digest(id)) {
      return fail(
          Reason::kUnsupportedHash,
          fmt::format("its first CertID is under {}, which OpenSSL lacks: TLS 1.2 handshakes with it would fail",
                      id.hash_name));
    }
    const CertIdMatch outcome = match(id, certificate, issuer);
    if (outcome != CertIdMatch::kSha1 && outcome != CertIdMatch::kSha256) {
      if (nearness(outcome) > nearness(nearest)) {
        nearest = outcome;
        seen_serial = std::move(id.serial);
      }
      continue;
    }
    any_sha1 = any_sha1 || outcome == CertIdMatch::kSha1;
    SingleResponse single = read(candidate, now, policy);
    if (!choice || is_stricter(single, choice->single)) {
      choice = SingleChoice{std::move(single), false};
    }
  }
  if (!choice) {
    return no_match(nearest, certificate, issuer, seen_serial);
  }
  choice->sha256_only = !any_sha1;
  return *std::move(choice);
}

}  // namespace ocsp_plus::crypto
