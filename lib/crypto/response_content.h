// The content of an OCSP response, unverified, for people who inspect files. Only verify() decides whether a response
// may be stapled.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"
#include "crypto/certificate.h"
#include "crypto/verify.h"

namespace ocsp_plus::crypto {

struct ResponseContent {
  // One single response (RFC 6960 section 4.2.1).
  struct Single {
    Bytes serial;
    std::string hash;  // algorithm of the CertID, "sha1", "sha256", …
    Bytes issuer_name_hash;
    Bytes issuer_key_hash;
    std::string issuer;  // its name, if the response has one with that hash, as its signer's or the signer's issuer's
    CertStatus status = CertStatus::kNone;
    UnixSeconds this_update = 0;    // 0: malformed
    UnixSeconds next_update = 0;    // 0: none, or malformed
    UnixSeconds revoked_at = 0;     // 0: not revoked, or malformed
    std::string revocation_reason;  // empty: none is given
  };

  UnixSeconds produced_at = 0;            // 0: malformed
  std::string responder;                  // ResponderID: a name, or the hash of a key in hex
  std::string signature;                  // algorithm
  std::vector<std::string> certificates;  // subjects of the embedded ones
  std::vector<Single> singles;
};

// Ignores bytes after the response, as cut_trailing() does. Errors: kMalformedResponse, kTrailingData,
// kNotBasicResponse, and the responders' error statuses (kTryLater, kUnauthorized, …). Leaves OpenSSL's error queue
// unchanged.
Result<ResponseContent> read_response_content(ByteView der);

// Returns whether a single response names the certificate: its serial number, and the hash of its issuer's name.
bool is_about(const ResponseContent::Single& single, const Certificate& certificate);

}  // namespace ocsp_plus::crypto
