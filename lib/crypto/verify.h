// Judges an OCSP response as the strictest client would (RFC 6960 sections 3.2 and 4.2, RFC 9919).
//
// Trust: the bytes come from anywhere (network, disk, shared memory of an older process) and are believed in
// nothing. Pure: the time is a parameter, nothing is kept, no socket or file is touched. OpenSSL's error queue is
// empty afterwards.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/reason.h"
#include "base/time.h"
#include "crypto/certificate.h"

namespace ocsp_plus::crypto {

enum class CertStatus : std::uint8_t { kNone = 0, kGood = 1, kRevoked = 2, kUnknown = 3 };

// "good", "revoked", "unknown"; empty for kNone.
std::string_view token(CertStatus status) noexcept;

struct VerifyPolicy {
  Seconds clock_skew = 300;                     // how far thisUpdate and producedAt may lie in the future
  Seconds max_age_without_next_update = 86400;  // validity of a response without nextUpdate, from thisUpdate
  bool accept_sha256_only = false;              // CONTRACT "SHA-256": only under ocsp_plus_certid auto
};

// The outcome. Everything but `reason` and `detail` is meaningful only once `authentic()`.
struct Verdict {
  // kOk: authentic, in time and good. kRevoked, kUnknown: authentic and in time, but says so. Else: not to be used.
  Reason reason = Reason::kNotChecked;
  CertStatus cert_status = CertStatus::kNone;
  UnixSeconds produced_at = 0;
  UnixSeconds this_update = 0;
  UnixSeconds next_update = 0;  // 0: the response has none
  // When it ends: the earliest of nextUpdate (or thisUpdate + max_age_without_next_update), the delegated signer's
  // end and the certificate's end. Valid while now < expires: OpenSSL's clients refuse at nextUpdate itself.
  UnixSeconds expires = 0;
  UnixSeconds revoked_at = 0;  // only for kRevoked
  std::string detail;          // for people: what was found and what was expected

  bool authentic() const { return reason == Reason::kOk || reason == Reason::kRevoked || reason == Reason::kUnknown; }
};

// `response` is the DER of an OCSPResponse. Of several matching single responses the strictest wins: revoked,
// unknown, good; its times are the ones reported.
Verdict verify(ByteView response, const Certificate& certificate, const Issuer& issuer, UnixSeconds now,
               const VerifyPolicy& policy);

}  // namespace ocsp_plus::crypto
