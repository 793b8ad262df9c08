// Judges an OCSP response as the strictest client would (RFC 6960 sections 3.2 and 4.2, RFC 9919).
//
// Trust: the bytes come from anywhere (network, disk, shared memory of an older process) and are believed in
// nothing. Pure: the time is a parameter, nothing is kept, no socket or file is touched. OpenSSL's error queue is
// afterwards as it was before.
//
// Where the RFC leaves a choice, or clients differ:
// - The encoding must be DER to the last octet, inside too: a signature covers octets.
// - No critical extension is understood, not even a nonce: we ask for none (section 4.4).
// - CertIDs, names and serials are compared octet for octet, as NSS does.
// - The hash of the first CertID, whosever it is, has to be one that OpenSSL provides: newer OpenSSL cannot send the
//   response otherwise. That comes before a revocation in it.
// - A signer is the issuer, named by its name or key, or a certificate signed by the issuer's very key under its very
//   name, with OCSPSigning among its usages (anyExtendedKeyUsage is not it), digitalSignature or nonRepudiation where
//   it has a keyUsage (RFC 5280 section 4.2.1.12), no CA, and valid now (section 4.2.2.2). It may lack
//   id-pkix-ocsp-nocheck: how its own status is learned is left to CA and client (section 4.2.2.2.1), and OpenSSL,
//   GnuTLS and NSS accept it without.
// - Neither the validity of the issuer nor its basicConstraints count. That is the client's verdict on the chain,
//   and a chain may run over another certificate of the same key.
// - producedAt may lie before thisUpdate (no client objects), but not in the future and not outside the delegated
//   signer's validity.
// - crypto/signature_policy.h has what is too weak.
// docs/trust.md has these decisions with their reasons, and where OpenSSL decides otherwise.
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
  Seconds clock_skew = 300;                     // how far thisUpdate and producedAt may lie in the future
  Seconds max_age_without_next_update = 86400;  // validity of a response without nextUpdate, from thisUpdate
  bool accept_sha256_only = false;              // CONTRACT "SHA-256": only under ocsp_plus_certid auto
};

// The outcome. `cert_status` and `revoked_at` are set only once `authentic()`. The times are set as soon as they are
// read, so that a refusal can be explained; until `authentic()` they are only what the response claims.
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
  UnixSeconds revoked_at = 0;  // only for kRevoked; 0 too where revocationTime is malformed
  std::string detail;          // for people: what was found and what was expected

  bool authentic() const { return reason == Reason::kOk || reason == Reason::kRevoked || reason == Reason::kUnknown; }
};

// The OCSPResponse that `octets` begin with: what follows its outer SEQUENCE belongs to whoever carried it (a line
// end of a script, padding of a file) and is covered by no signature. Whoever takes in octets of others cuts them so
// before verify(), and keeps only what is left. `octets` as they are where they begin with no whole SEQUENCE of
// definite length. Borrowed.
ByteView cut_trailing(ByteView octets);

// `response` is the DER of an OCSPResponse and nothing else (kTrailingData where more follows). Of several matching
// single responses the strictest wins: revoked, unknown, good; its times are the ones reported. Among good ones each
// must be in time, since a client may read any. A response with nothing but a SHA-256 CertID is refused where the
// policy says so and it would be good; a revocation in it is reported all the same, since the truth must not be
// hidden by the shape of its carrier. Allocation failure shows as whichever check could not be made, never as
// acceptance.
Verdict verify(ByteView response, const Certificate& certificate, const Issuer& issuer, UnixSeconds now,
               const VerifyPolicy& policy);

}  // namespace ocsp_plus::crypto
