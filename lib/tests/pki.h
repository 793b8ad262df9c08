// A small PKI for tests, made in the process: certificates and OCSP responses with any defect a test wants.
//
// Everything happens around one constant time, so nothing here ever expires. Keys are made once per process and
// kept; all else is plain values. A helper that cannot do its work aborts the test by an exception.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"
#include "crypto/certificate.h"

namespace ocsp_plus::testing {

constexpr UnixSeconds kNow = 1906545600;  // 2030-06-01T12:00:00Z
constexpr Seconds kHour = 3600;
constexpr Seconds kDay = 24 * kHour;

// DER, written by hand, since half of what tests need is what no library writes.
namespace der {
Bytes tlv(std::uint8_t tag, ByteView content);
Bytes join(const std::vector<Bytes>& parts);
Bytes sequence(const std::vector<Bytes>& parts);
Bytes integer(ByteView octets);      // content octets as they are
Bytes oid(const std::string& text);  // dotted, or a name that OpenSSL knows
Bytes octet_string(ByteView content);
Bytes boolean(bool value);
Bytes null();
}  // namespace der

// --- keys --------------------------------------------------------------------------------------------------------

enum class KeyType { kP256, kP384, kP192, kRsa512, kRsa1024, kRsa2048, kEd25519, kDsa, kRsaWithoutBits };

// The same key for the same arguments; lives until the process ends. A P-256 key is the same in every process. One
// without bits is a public key only, whose modulus is zero.
evp_pkey_st* key(KeyType type, const std::string& name);

// SHA-1 of the key's BIT STRING, as in a byKey ResponderID.
Bytes key_sha1(evp_pkey_st* key);

enum class Digest { kDefault, kMd5, kSha1, kSha256, kSha384, kSha512, kPssSha256, kPssSha1 };

struct Signed {
  Bytes algorithm;  // DER of the AlgorithmIdentifier
  Bytes signature;
};
Signed sign(ByteView message, evp_pkey_st* key, Digest digest = Digest::kDefault);

// --- certificates ------------------------------------------------------------------------------------------------

struct Extension {
  std::string oid;
  bool critical = false;
  Bytes value;  // what goes inside the extension's OCTET STRING
};

struct CertificateSpec {
  std::string subject;    // becomes CN=
  Bytes serial = {0x2a};  // content octets
  UnixSeconds not_before = kNow - 365 * kDay;
  UnixSeconds not_after = kNow + 365 * kDay;
  std::string raw_not_before;  // the octets of a UTCTime, whatever they are; empty: not_before
  std::string raw_not_after;   // likewise
  std::vector<std::string> dns_names;
  std::vector<Bytes> ip_addresses;
  std::vector<std::string> ocsp_urls;
  std::vector<std::string> ca_issuers_urls;
  bool ca = false;              // basicConstraints and keyCertSign
  bool must_staple = false;     // RFC 7633
  bool key_identifiers = true;  // subject and authority key identifier
  std::string key_usage;        // as in OpenSSL's configuration: "digitalSignature"
  std::string ext_key_usage;    // likewise: "OCSPSigning"
  bool ocsp_nocheck = false;
  std::vector<Extension> extensions;  // further ones
  std::string issuer_printable;       // the issuer's CN, written as PrintableString though it is UTF8String
  bool version1 = false;              // without any extension
  Digest digest = Digest::kDefault;   // of the signature
  bool break_signature = false;
};

// A certificate with its key.
struct Identity {
  crypto::X509Ptr certificate;
  evp_pkey_st* key = nullptr;

  x509_st* get() const { return certificate.get(); }
  Bytes der() const;
  std::string pem() const;
  crypto::Certificate described() const;
  std::unique_ptr<crypto::Issuer> issuer() const;
};

// SHA-1 of the issuer field of a certificate, as it stands there.
Bytes issuer_name_sha1(const Identity& certificate);

Identity make_certificate(const CertificateSpec& spec, evp_pkey_st* key,
                          const Identity* issuer);  // null: self-signed

// The certificate as it is, but its public key of an algorithm that nobody knows. REQUIRES: a P-256 key.
crypto::X509Ptr with_unknown_key(const Identity& identity);
// A certificate that OpenSSL cannot encode, and so nobody can hash.
crypto::X509Ptr unhashable_certificate();

Identity make_ca(const std::string& name, KeyType type = KeyType::kP256);
Identity make_intermediate(const Identity& ca, const std::string& name, KeyType type = KeyType::kP256);
Identity make_leaf(const Identity& ca, const std::string& name, const std::string& ocsp_url, Bytes serial = {0x2a});
Identity make_responder(const Identity& ca, const std::string& name = "Responder");  // OCSPSigning, nocheck

// --- responses ---------------------------------------------------------------------------------------------------

enum class Status { kGood, kRevoked, kUnknown };

std::string generalized_time(UnixSeconds time);  // YYYYMMDDHHMMSSZ

struct SingleSpec {
  std::string hash = "SHA1";    // or "SHA256", or any digest of OpenSSL's
  std::string hash_oid;         // what it is called in its AlgorithmIdentifier; empty: what it is
  bool hash_parameters = true;  // NULL in its AlgorithmIdentifier
  std::optional<Bytes> name_hash;
  std::optional<Bytes> key_hash;
  std::optional<Bytes> serial;
  Status status = Status::kGood;
  std::string revoked_at = generalized_time(kNow - 2 * kDay);
  std::optional<int> revoked_for;  // CRLReason
  std::string this_update = generalized_time(kNow - kHour);
  std::optional<std::string> next_update = generalized_time(kNow + 3 * kDay);
  std::vector<Extension> extensions;
};

struct ResponseSpec {
  int status = 0;                             // OCSPResponseStatus; but for 0 nothing else is written
  std::string type = "1.3.6.1.5.5.7.48.1.1";  // id-pkix-ocsp-basic
  std::optional<int> version;                 // absent: v1 by default
  bool by_key = false;                        // ResponderID: byName else
  std::optional<Bytes> responder_id;          // the whole tagged ResponderID instead
  std::string produced_at = generalized_time(kNow - kHour);
  std::vector<SingleSpec> singles = {SingleSpec{}};
  std::vector<Extension> extensions;
  std::vector<Bytes> certificates;  // DER, embedded in order
  bool empty_certificates = false;  // [0] with an empty SEQUENCE
  Digest digest = Digest::kDefault;
  std::optional<Bytes> signature_algorithm;  // another AlgorithmIdentifier than the one signed with
  bool break_signature = false;
  // What follows the last field, inside of what holds it.
  Bytes basic_trailing;  // in BasicOCSPResponse
  Bytes inner_trailing;  // after BasicOCSPResponse, in its OCTET STRING
  Bytes bytes_trailing;  // in ResponseBytes
  Bytes tag_trailing;    // after ResponseBytes, in their tag
  Bytes outer_trailing;  // in OCSPResponse
  Bytes trailing;        // after the whole
};

// A response about `leaf` of `issuer`, signed by `signer` (the issuer, or anybody).
Bytes make_response(const ResponseSpec& spec, const Identity& leaf, const Identity& issuer, const Identity& signer);

// Draws a single response that may or may not be the leaf's, under any hash and spelling of its issuer's name.
class TestRandom;
SingleSpec draw_single(TestRandom& random, const Identity& leaf);

// The common ones, signed by the issuer itself, SHA-1 CertID.
Bytes simple_response(const Identity& leaf, const Identity& issuer, Status status, UnixSeconds this_update,
                      UnixSeconds next_update);
inline Bytes good_response(const Identity& leaf, const Identity& issuer, UnixSeconds this_update = kNow - kHour,
                           UnixSeconds next_update = kNow + 3 * kDay) {
  return simple_response(leaf, issuer, Status::kGood, this_update, next_update);
}
inline Bytes revoked_response(const Identity& leaf, const Identity& issuer, UnixSeconds this_update = kNow - kHour,
                              UnixSeconds next_update = kNow + 3 * kDay) {
  return simple_response(leaf, issuer, Status::kRevoked, this_update, next_update);
}
inline Bytes unknown_response(const Identity& leaf, const Identity& issuer, UnixSeconds this_update = kNow - kHour,
                              UnixSeconds next_update = kNow + 3 * kDay) {
  return simple_response(leaf, issuer, Status::kUnknown, this_update, next_update);
}

// An unsigned answer such as 3 (tryLater) or 6 (unauthorized).
Bytes error_response(int status);

// The errors waiting in OpenSSL's queue, which this empties; for tests that demand none.
int queued_openssl_errors();

// An error like those of OpenSSL's own, to be left alone by everybody else.
void queue_openssl_error(int reason);
// What OpenSSL keeps of each error in its queue, oldest first, one a line; empties it.
std::string take_openssl_errors();

}  // namespace ocsp_plus::testing
