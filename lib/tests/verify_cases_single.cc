// Whom the response is about and what it says of them.
#include "tests/verify_cases.h"

namespace ocsp_plus::testing {

CaseTable matching_cases() {
  return {
      {"no single response", Reason::kNoSingleResponse, [](VerifySetup& s) { s.spec.singles.clear(); }},
      {"another serial", Reason::kOtherSerial, [](VerifySetup& s) { s.single().serial = Bytes{0x2b}; }},
      {"the serial with its sign lost", Reason::kOtherSerial,
       [](VerifySetup& s) {
         s.use_leaf_with_serial(Bytes{0x80, 0x01});
         s.single().serial = Bytes{0x00, 0x80, 0x01};
       }},
      {"another serial after another issuer", Reason::kOtherSerial,
       [](VerifySetup& s) {
         SingleSpec first;
         first.key_hash = Bytes(20, 1);
         SingleSpec second;
         second.serial = Bytes{0x2b};
         s.spec.singles = {first, second};
       }},
      {"another issuer's name", Reason::kOtherIssuer, [](VerifySetup& s) { s.single().name_hash = Bytes(20, 1); }},
      {"another issuer's key", Reason::kOtherIssuer, [](VerifySetup& s) { s.single().key_hash = Bytes(20, 1); }},
      {"another issuer's name, SHA-256", Reason::kOtherIssuer,
       [](VerifySetup& s) {
         s.single().hash = "SHA256";
         s.single().name_hash = Bytes(32, 1);
       }},
      {"another issuer's key, SHA-256", Reason::kOtherIssuer,
       [](VerifySetup& s) {
         s.single().hash = "SHA256";
         s.single().key_hash = Bytes(32, 1);
       }},
      {"a hash cut short", Reason::kOtherIssuer,
       [](VerifySetup& s) {
         s.single().key_hash = key_sha1(world().ca.key);
         s.single().key_hash->pop_back();
       }},
      {"empty hashes", Reason::kOtherIssuer,
       [](VerifySetup& s) { s.single().name_hash = s.single().key_hash = Bytes(); }},
      {"SHA-256 hashes cut to the length of SHA-1", Reason::kOtherIssuer,
       [](VerifySetup& s) {
         const auto full = world().ca.issuer()->key_sha256();
         s.single().key_hash = Bytes(full.begin(), full.begin() + 20);
       }},
      {"the hash of the leaf's copy of the issuer's name", Reason::kOtherIssuer,
       [](VerifySetup& s) {
         CertificateSpec leaf = leaf_spec();
         leaf.issuer_printable = "CA";
         s.use_leaf(leaf);
         s.single().name_hash = issuer_name_sha1(*s.leaf);
       }},
      {"the hash of the leaf's own key", Reason::kOtherIssuer,
       [](VerifySetup& s) { s.single().key_hash = key_sha1(world().leaf.key); }},
      {"hashes of SHA-256 under the name of SHA-1", Reason::kOtherIssuer,
       [](VerifySetup& s) {
         const auto issuer = world().ca.issuer();
         s.single().name_hash = ByteView(issuer->name_sha256()).copy();
         s.single().key_hash = ByteView(issuer->key_sha256()).copy();
       }},
      {"a serial of twenty octets, cut by one", Reason::kOtherSerial,
       [](VerifySetup& s) {
         s.use_leaf_with_serial(Bytes(20, 0x7f));
         s.single().serial = Bytes(19, 0x7f);
       }},
      {"serial zero instead of none of ours", Reason::kOtherSerial,
       [](VerifySetup& s) { s.single().serial = Bytes{0x00}; }},
      {"a SHA-512 CertID", Reason::kUnsupportedHash, [](VerifySetup& s) { s.single().hash = "SHA512"; }},
      {"an MD5 CertID", Reason::kUnsupportedHash, [](VerifySetup& s) { s.single().hash = "MD5"; }},
      {"an unknown hash for another serial, then ours", Reason::kUnsupportedHash,
       [](VerifySetup& s) {
         s.spec.singles = {other_single_under(kNoHash), single_with(Status::kGood)};
       }},
      {"ours under an unknown hash, then under SHA-1", Reason::kUnsupportedHash,
       [](VerifySetup& s) {
         s.spec.singles = {single_with(Status::kGood), single_with(Status::kGood)};
         s.spec.singles[0].hash_oid = kNoHash;
       }},
      {"a hash that is none, then ours", Reason::kUnsupportedHash,
       [](VerifySetup& s) {
         s.spec.singles = {other_single_under("rsaEncryption"), single_with(Status::kGood)};
       }},
      {"an unknown hash first, allowed by policy", Reason::kUnsupportedHash,
       [](VerifySetup& s) {
         s.spec.singles = {other_single_under(kNoHash), single_with(Status::kGood, "SHA256")};
         s.policy.accept_sha256_only = true;
       }},
      {"revoked, but an unknown hash first", Reason::kUnsupportedHash,
       [](VerifySetup& s) {
         s.spec.singles = {other_single_under(kNoHash), single_with(Status::kRevoked)};
       }},
      {"a SHA-256 CertID of another serial first, where OpenSSL selects", Reason::kNotSendable,
       [](VerifySetup& s) {
         s.spec.singles = {single_with(Status::kGood, "SHA256"), single_with(Status::kGood)};
         s.spec.singles[0].serial = Bytes{0x07};
         s.policy.must_be_sendable = true;
       }},
      {"only a SHA-256 CertID", Reason::kSha256Only, [](VerifySetup& s) { s.single().hash = "SHA256"; }},
      {"SHA-256 of ours, SHA-1 of another serial", Reason::kSha256Only,
       [](VerifySetup& s) {
         SingleSpec other;
         other.serial = Bytes{0x07};
         s.spec.singles = {single_with(Status::kGood, "SHA256"), other};
       }},
  };
}

CaseTable status_of_certificate_cases() {
  return {
      {"revoked", Reason::kRevoked, [](VerifySetup& s) { s.single().status = Status::kRevoked; }},
      {"unknown", Reason::kUnknown, [](VerifySetup& s) { s.single().status = Status::kUnknown; }},
      {"revoked by a SHA-256 CertID alone is not hidden", Reason::kRevoked,
       [](VerifySetup& s) { s.spec.singles = {single_with(Status::kRevoked, "SHA256")}; }},
      {"good, then revoked", Reason::kRevoked,
       [](VerifySetup& s) {
         s.spec.singles = {single_with(Status::kGood), single_with(Status::kRevoked)};
       }},
      {"revoked, then good", Reason::kRevoked,
       [](VerifySetup& s) {
         s.spec.singles = {single_with(Status::kRevoked), single_with(Status::kGood)};
       }},
      {"good by SHA-1, revoked by SHA-256", Reason::kRevoked,
       [](VerifySetup& s) {
         s.spec.singles = {single_with(Status::kGood), single_with(Status::kRevoked, "SHA256")};
       }},
      {"good and unknown", Reason::kUnknown,
       [](VerifySetup& s) {
         s.spec.singles = {single_with(Status::kGood), single_with(Status::kUnknown)};
       }},
      {"unknown and revoked", Reason::kRevoked,
       [](VerifySetup& s) {
         s.spec.singles = {single_with(Status::kUnknown), single_with(Status::kRevoked)};
       }},
      {"revoked twice, once out of time", Reason::kRevoked,
       [](VerifySetup& s) {
         s.spec.singles = {single_with(Status::kRevoked), single_with(Status::kRevoked)};
         s.spec.singles[0].next_update = generalized_time(kNow - 60);
       }},
      {"revoked with a reason", Reason::kRevoked,
       [](VerifySetup& s) {
         s.single().status = Status::kRevoked;
         s.single().revoked_for = 1;
       }},
      {"on hold", Reason::kRevoked,
       [](VerifySetup& s) {
         s.single().status = Status::kRevoked;
         s.single().revoked_for = 6;
       }},
      {"never issued, as RFC 6960 section 2.2 says it", Reason::kRevoked,
       [](VerifySetup& s) {
         s.single().status = Status::kRevoked;
         s.single().revoked_at = "19700101000000Z";
         s.single().revoked_for = 6;
         s.spec.extensions = {{"1.3.6.1.5.5.7.48.1.9", false, der::null()}};
       }},
      {"revoked in the future", Reason::kRevoked,
       [](VerifySetup& s) {
         s.single().status = Status::kRevoked;
         s.single().revoked_at = generalized_time(kNow + kDay);
       }},
      {"revoked by a delegated signer", Reason::kRevoked,
       [](VerifySetup& s) {
         s.use_signer(delegate());
         s.single().status = Status::kRevoked;
       }},
      {"revoked at a time that is malformed", Reason::kRevoked,
       [](VerifySetup& s) {
         s.single().status = Status::kRevoked;
         s.single().revoked_at = "20300101000000.5Z";
       }},
      {"revoked, but the signature is bad", Reason::kBadSignature,
       [](VerifySetup& s) {
         s.single().status = Status::kRevoked;
         s.spec.break_signature = true;
       }},
      {"revoked, but expired", Reason::kExpired,
       [](VerifySetup& s) {
         s.single().status = Status::kRevoked;
         s.single().next_update = generalized_time(kNow);
       }},
      {"revoked and expired, good and in time", Reason::kExpired,
       [](VerifySetup& s) {
         s.spec.singles = {single_with(Status::kGood), single_with(Status::kRevoked)};
         s.spec.singles[1].next_update = generalized_time(kNow - 60);
       }},
  };
}

}  // namespace ocsp_plus::testing
