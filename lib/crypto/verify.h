// Verifies an OCSP response as the strictest client would (RFC 6960 sections 3.2 and 4.2, RFC 9919).
//
// The bytes are untrusted, wherever they come from (network, disk, shared memory of an older process). Pure: the time
// is a parameter; no state, sockets or files. Leaves OpenSSL's error queue unchanged.
//
// Decisions where the RFC leaves a choice or clients differ:
// - The encoding must be DER throughout: a signature covers octets.
// - No critical extension is understood, not even a nonce: we ask for none (section 4.4).
// - CertIDs, names and serials are compared octet for octet, as NSS does.
// - OpenSSL must provide the hash of the first CertID, whatever certificate it is for: newer versions cannot send the
//   response otherwise. This check precedes even a revocation.
// - The signer is the issuer, identified by its name or key, or a delegate: a certificate with exactly the issuer's
//   name as issuer and signed by its key, with OCSPSigning among its usages (anyExtendedKeyUsage does not count),
//   digitalSignature or nonRepudiation if it has a keyUsage (RFC 5280 section 4.2.1.12), not a CA, and valid now
//   (section 4.2.2.2). A delegate may lack id-pkix-ocsp-nocheck: CA and client decide how to learn its own status
//   (section 4.2.2.2.1), and OpenSSL, GnuTLS and NSS accept it without.
// - The issuer's validity and basicConstraints are ignored: clients check the chain, which may use another
//   certificate of the same key.
// - producedAt may precede thisUpdate (no client objects), but must not be in the future or outside the delegated
//   signer's validity.
// - crypto/signature_policy.h defines which keys and algorithms are too weak.
// docs/trust.md explains these decisions and where OpenSSL differs.
#pragma once

#include <cstdint>
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
  Seconds clock_skew = 300;                     // tolerance for thisUpdate and producedAt in the future
  Seconds max_age_without_next_update = 86400;  // from thisUpdate, if there is no nextUpdate
  bool accept_sha256_only = false;              // true only under ocsp_plus_certid auto
  bool must_be_sendable = false;                // crypto/sendable.h; true where the running OpenSSL selects
};

// The outcome. `cert_status` and `revoked_at` are set only if `authentic()`. The times are set as soon as they are
// read, to explain a refusal; unless `authentic()` they are unverified.
struct Verdict {
  // kOk: authentic, current and good. kRevoked, kUnknown: authentic and current with that status. Else: unusable.
  Reason reason = Reason::kNotChecked;
  CertStatus cert_status = CertStatus::kNone;
  UnixSeconds produced_at = 0;
  UnixSeconds this_update = 0;
  UnixSeconds next_update = 0;  // 0: the response has none
  // The earliest of nextUpdate (or thisUpdate + max_age_without_next_update), the delegated signer's notAfter and the
  // certificate's. Valid while now < expires: OpenSSL's clients refuse at nextUpdate itself.
  UnixSeconds expires = 0;
  UnixSeconds revoked_at = 0;  // only for kRevoked; 0 if revocationTime is malformed
  bool sendable = true;        // false: the policy wants it to be, and OpenSSL would not send it; then never kOk
  std::string detail;          // for people: found and expected values

  bool authentic() const { return reason == Reason::kOk || reason == Reason::kRevoked || reason == Reason::kUnknown; }
};

// Returns the OCSPResponse at the start of `octets`, without the bytes after its outer SEQUENCE, which no signature
// covers (a script's line end, a file's padding). Callers that receive octets cut them before verify() and keep only
// the result. Returns `octets` unchanged if they do not begin with a complete SEQUENCE of definite length. Borrowed.
ByteView cut_trailing(ByteView octets);

// Verifies `response`, the DER of an OCSPResponse and nothing else (kTrailingData if more follows). The strictest of
// several matching single responses decides and provides the times: revoked, unknown, good. All good ones must be
// current, since a client may read any. A good response with only a SHA-256 CertID is refused unless the policy
// accepts it, and so is a good one that OpenSSL would not send; a revocation in either is always reported. An
// allocation failure appears as the check that could not be made, never as acceptance.
Verdict verify(ByteView response, const Certificate& certificate, const Issuer& issuer, UnixSeconds now,
               const VerifyPolicy& policy);

}  // namespace ocsp_plus::crypto
