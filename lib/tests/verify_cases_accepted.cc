// Responses that must be accepted, however odd they look.
#include <utility>

#include "tests/verify_cases.h"

namespace ocsp_plus::testing {
namespace {

constexpr UnixSeconds kEnd = kNow + 40 * 365 * kDay;  // of certificates that outlive 2050

void use_long_lived(VerifySetup& s) {
  CertificateSpec ca;
  ca.subject = "Lasting CA";
  ca.ca = true;
  ca.not_after = kEnd;
  s.use_issuer(make_certificate(ca, key(KeyType::kP256, "Lasting CA"), nullptr));
  CertificateSpec leaf = leaf_spec();
  leaf.not_after = kEnd;
  s.use_leaf(leaf);
}

}  // namespace

CaseTable accepted_cases() {
  return {
      {"signed by the issuer, by name", Reason::kOk, [](VerifySetup&) {}},
      {"signed by the issuer, by key", Reason::kOk, [](VerifySetup& s) { s.spec.by_key = true; }},
      {"version written though it is the default", Reason::kOk, [](VerifySetup& s) { s.spec.version = 0; }},
      {"octets after the end", Reason::kOk,
       [](VerifySetup& s) {
         s.spec.trailing = {0x0d, 0x0a};
       }},
      {"another response after the end", Reason::kOk, [](VerifySetup& s) { s.spec.trailing = error_response(3); }},
      {"an empty list of certificates", Reason::kOk, [](VerifySetup& s) { s.spec.empty_certificates = true; }},
      {"the issuer embedded", Reason::kOk, [](VerifySetup& s) { s.spec.certificates = {world().ca.der()}; }},
      {"an unrelated certificate embedded", Reason::kOk,
       [](VerifySetup& s) {
         s.spec.certificates = {world().other_ca.der(), world().leaf.der()};
       }},
      {"a nonce we did not ask for", Reason::kOk,
       [](VerifySetup& s) {
         s.spec.extensions = {{"Nonce", false, der::octet_string(Bytes(16, 7))}};
       }},
      {"an unknown extension that is not critical", Reason::kOk,
       [](VerifySetup& s) { s.spec.extensions = {some_extension(false)}; }},
      {"an unknown single extension that is not critical", Reason::kOk,
       [](VerifySetup& s) { s.single().extensions = {some_extension(false)}; }},
      {"a SHA-1 and a SHA-256 CertID", Reason::kOk,
       [](VerifySetup& s) {
         s.spec.singles = {single_with(Status::kGood), single_with(Status::kGood, "SHA256")};
       }},
      {"a SHA-256 CertID first", Reason::kOk,
       [](VerifySetup& s) {
         s.spec.singles = {single_with(Status::kGood, "SHA256"), single_with(Status::kGood)};
       }},
      {"only a SHA-256 CertID, allowed by policy", Reason::kOk,
       [](VerifySetup& s) {
         s.single().hash = "SHA256";
         s.policy.accept_sha256_only = true;
       }},
      {"a single response for another serial beside ours", Reason::kOk,
       [](VerifySetup& s) {
         SingleSpec other = single_with(Status::kRevoked);
         other.serial = Bytes{0x07};
         s.spec.singles.insert(s.spec.singles.begin(), other);
       }},
      {"a single response with an unsupported hash beside ours", Reason::kOk,
       [](VerifySetup& s) { s.spec.singles.push_back(single_with(Status::kGood, "SHA512")); }},
      {"a SHA-384 CertID of another serial first", Reason::kOk,
       [](VerifySetup& s) {
         SingleSpec other = single_with(Status::kGood, "SHA384");
         other.serial = Bytes{0x07};
         s.spec.singles.insert(s.spec.singles.begin(), other);
       }},
      {"an MD5 CertID first", Reason::kOk,
       [](VerifySetup& s) { s.spec.singles.insert(s.spec.singles.begin(), single_with(Status::kGood, "MD5")); }},
      {"a CertID under an unknown hash second", Reason::kOk,
       [](VerifySetup& s) { s.spec.singles.push_back(other_single_under(kNoHash)); }},
      {"no nextUpdate, an hour old", Reason::kOk, [](VerifySetup& s) { s.single().next_update.reset(); }},
      {"thisUpdate in the future within the skew", Reason::kOk,
       [](VerifySetup& s) { s.single().this_update = s.spec.produced_at = generalized_time(kNow + 300); }},
      {"producedAt before thisUpdate", Reason::kOk,
       [](VerifySetup& s) { s.spec.produced_at = generalized_time(kNow - 5 * kHour); }},
      {"nextUpdate after 2050", Reason::kOk, [](VerifySetup& s) { s.single().next_update = "20600101000000Z"; }},
      {"nextUpdate at the end of time", Reason::kOk,
       [](VerifySetup& s) { s.single().next_update = "99991231235959Z"; }},
      {"the last second", Reason::kOk, [](VerifySetup& s) { s.single().next_update = generalized_time(kNow + 1); }},
      {"delegated", Reason::kOk, [](VerifySetup& s) { s.use_signer(make_responder(world().ca)); }},
      {"delegated, by key", Reason::kOk,
       [](VerifySetup& s) {
         s.use_signer(make_responder(world().ca));
         s.spec.by_key = true;
       }},
      {"delegated without nocheck", Reason::kOk, [](VerifySetup& s) { s.use_signer(delegate()); }},
      {"delegated without key usage", Reason::kOk,
       [](VerifySetup& s) { s.use_signer(delegate([](CertificateSpec& c) { c.key_usage.clear(); })); }},
      {"delegated with several usages", Reason::kOk,
       [](VerifySetup& s) {
         s.use_signer(delegate([](CertificateSpec& c) { c.ext_key_usage = "serverAuth,OCSPSigning"; }));
       }},
      {"delegated with a critical extended key usage", Reason::kOk,
       [](VerifySetup& s) {
         s.use_signer(delegate([](CertificateSpec& c) { c.ext_key_usage = "critical,OCSPSigning"; }));
       }},
      {"delegated, and a wrong certificate of the same name first", Reason::kOk,
       [](VerifySetup& s) {
         s.use_signer(delegate());
         s.spec.certificates.insert(s.spec.certificates.begin(),
                                    delegate({}, KeyType::kP256, &world().other_ca).der());
       }},
      {"delegated under the issuer's own name", Reason::kOk,
       [](VerifySetup& s) { s.use_signer(delegate([](CertificateSpec& c) { c.subject = "CA"; })); }},
      {"delegated, RSA signer of an EC issuer", Reason::kOk,
       [](VerifySetup& s) { s.use_signer(delegate({}, KeyType::kRsa2048)); }},
      {"the issuer is an intermediate", Reason::kOk,
       [](VerifySetup& s) { s.use_issuer(make_intermediate(world().ca, "Intermediate")); }},
      {"the issuer has no basicConstraints", Reason::kOk,
       [](VerifySetup& s) {
         CertificateSpec plain;
         plain.subject = "Plain CA";
         s.use_issuer(make_certificate(plain, key(KeyType::kP256, "Plain CA"), nullptr));
       }},
      {"P-384 with SHA-384", Reason::kOk,
       [](VerifySetup& s) {
         s.use_issuer(make_ca("P-384 CA", KeyType::kP384));
         s.spec.digest = Digest::kSha384;
       }},
      {"RSA with SHA-256", Reason::kOk, [](VerifySetup& s) { s.use_issuer(make_ca("RSA CA", KeyType::kRsa2048)); }},
      {"RSA with SHA-512", Reason::kOk,
       [](VerifySetup& s) {
         s.use_issuer(make_ca("RSA CA", KeyType::kRsa2048));
         s.spec.digest = Digest::kSha512;
       }},
      {"RSA-PSS with SHA-256", Reason::kOk,
       [](VerifySetup& s) {
         s.use_issuer(make_ca("RSA CA", KeyType::kRsa2048));
         s.spec.digest = Digest::kPssSha256;
       }},
      {"RSA of 2048 bits with SHA-1", Reason::kOk,
       [](VerifySetup& s) {
         s.use_issuer(make_ca("RSA CA", KeyType::kRsa2048));
         s.spec.digest = Digest::kSha1;
       }},
      {"RSA of 1024 bits with SHA-256", Reason::kOk,
       [](VerifySetup& s) { s.use_issuer(make_ca("Small RSA CA", KeyType::kRsa1024)); }},
      {"Ed25519", Reason::kOk, [](VerifySetup& s) { s.use_issuer(make_ca("Ed25519 CA", KeyType::kEd25519)); }},
      {"a negative serial", Reason::kOk,
       [](VerifySetup& s) {
         s.use_leaf_with_serial(Bytes{0x80, 0x01});
       }},
      {"a serial of twenty octets with its high bit set", Reason::kOk,
       [](VerifySetup& s) {
         Bytes serial(21, 0xff);
         serial.front() = 0x00;
         s.use_leaf_with_serial(serial);
       }},
      {"serial zero", Reason::kOk, [](VerifySetup& s) { s.use_leaf_with_serial(Bytes{0x00}); }},
  };
}

// Signers and their algorithms.
CaseTable accepted_signer_cases() {
  const auto signed_by = [](KeyType type, Digest digest) {
    return [type, digest](VerifySetup& s) {
      s.use_issuer(make_ca("Another CA", type));
      s.spec.digest = digest;
    };
  };
  const auto delegated_to = [](KeyType type, Digest digest) {
    return [type, digest](VerifySetup& s) {
      s.use_signer(delegate({}, type));
      s.spec.digest = digest;
    };
  };
  const auto signer = [](const std::function<void(CertificateSpec&)>& change) {
    return [change](VerifySetup& s) { s.use_signer(delegate(change)); };
  };
  const auto issuer = [](const std::function<void(CertificateSpec&)>& change) {
    return [change](VerifySetup& s) {
      CertificateSpec spec;
      spec.subject = "Odd CA";
      spec.ca = true;
      change(spec);
      s.use_issuer(make_certificate(spec, key(KeyType::kP256, "Odd CA"), nullptr));
    };
  };
  return {
      {"P-256 with SHA-384", Reason::kOk, signed_by(KeyType::kP256, Digest::kSha384)},
      {"P-256 with SHA-512", Reason::kOk, signed_by(KeyType::kP256, Digest::kSha512)},
      {"P-384 with SHA-256", Reason::kOk, signed_by(KeyType::kP384, Digest::kSha256)},
      {"RSA with SHA-384", Reason::kOk, signed_by(KeyType::kRsa2048, Digest::kSha384)},
      {"RSA-PSS of 2048 bits with SHA-1", Reason::kOk, signed_by(KeyType::kRsa2048, Digest::kPssSha1)},
      {"delegated, P-384", Reason::kOk, delegated_to(KeyType::kP384, Digest::kSha384)},
      {"delegated, Ed25519", Reason::kOk, delegated_to(KeyType::kEd25519, Digest::kDefault)},
      {"delegated, RSA-PSS", Reason::kOk, delegated_to(KeyType::kRsa2048, Digest::kPssSha256)},
      {"delegated, RSA with SHA-1", Reason::kOk, delegated_to(KeyType::kRsa2048, Digest::kSha1)},
      {"delegated, begins this second", Reason::kOk,
       [](VerifySetup& s) {
         s.use_signer(delegate([](CertificateSpec& c) { c.not_before = kNow; }));
         s.spec.produced_at = s.single().this_update = generalized_time(kNow);
       }},
      {"delegated, ends in a second", Reason::kOk, signer([](CertificateSpec& c) { c.not_after = kNow + 1; })},
      {"delegated, began when the response was made", Reason::kOk,
       signer([](CertificateSpec& c) { c.not_before = kNow - kHour; })},
      {"delegated, thisUpdate before the signer began", Reason::kOk,
       [](VerifySetup& s) {
         s.use_signer(delegate([](CertificateSpec& c) { c.not_before = kNow - kHour; }));
         s.single().this_update = generalized_time(kNow - kDay);
       }},
      {"delegated with an unknown extension that is not critical", Reason::kOk,
       signer([](CertificateSpec& c) { c.extensions = {some_extension(false)}; })},
      {"delegated, said to be no CA", Reason::kOk, signer([](CertificateSpec& c) {
         c.extensions = {{"basicConstraints", true, der::sequence({})}};
       })},
      {"delegated with critical policies", Reason::kOk, signer([](CertificateSpec& c) {
         c.extensions = {{"certificatePolicies", true, der::sequence({der::sequence({der::oid("2.5.29.32.0")})})}};
       })},
      {"delegated with nonRepudiation too", Reason::kOk,
       signer([](CertificateSpec& c) { c.key_usage = "digitalSignature,nonRepudiation"; })},
      {"a key usage of nonRepudiation alone", Reason::kOk,
       signer([](CertificateSpec& c) { c.key_usage = "critical,nonRepudiation"; })},
      {"a key usage of nonRepudiation and keyEncipherment", Reason::kOk,
       signer([](CertificateSpec& c) { c.key_usage = "nonRepudiation,keyEncipherment"; })},
      {"delegated without key identifiers", Reason::kOk,
       signer([](CertificateSpec& c) { c.key_identifiers = false; })},
      {"delegated, embedded twice", Reason::kOk,
       [](VerifySetup& s) {
         s.use_signer(delegate());
         s.spec.certificates.push_back(s.spec.certificates.front());
       }},
      {"delegated, embedded last of a chain", Reason::kOk,
       [](VerifySetup& s) {
         s.use_signer(delegate());
         s.spec.certificates.insert(s.spec.certificates.begin(), {world().ca.der(), world().other_ca.der()});
       }},
      {"delegated by an intermediate that is the issuer", Reason::kOk,
       [](VerifySetup& s) {
         s.use_issuer(make_intermediate(world().ca, "Intermediate"));
         s.use_signer(delegate({}, KeyType::kP256, s.issuer));
       }},
      {"the issuer may sign certificates only", Reason::kOk, issuer([](CertificateSpec& c) {
         c.ca = false;
         c.key_usage = "critical,keyCertSign";
         c.extensions = {{"basicConstraints", true, der::sequence({der::boolean(true)})}};
       })},
      {"the issuer's certificate has ended", Reason::kOk,
       issuer([](CertificateSpec& c) { c.not_after = kNow - kDay; })},
      {"the issuer's certificate has not begun", Reason::kOk,
       issuer([](CertificateSpec& c) { c.not_before = kNow + kDay; })},
      {"the issuer is of version 1", Reason::kOk, issuer([](CertificateSpec& c) { c.version1 = true; })},
      {"the issuer has no key identifiers", Reason::kOk,
       issuer([](CertificateSpec& c) { c.key_identifiers = false; })},
      {"a candidate of the issuer's name and another key comes first", Reason::kOk,
       [](VerifySetup& s) {
         CertificateSpec old;
         old.subject = "CA";
         old.ca = true;
         s.decoys.push_back(make_certificate(old, key(KeyType::kP256, "the key before"), nullptr));
       }},
      {"such a candidate, and no key identifiers anywhere", Reason::kOk,
       [](VerifySetup& s) {
         CertificateSpec plain;
         plain.subject = "Plain CA";
         plain.ca = true;
         plain.key_identifiers = false;
         s.decoys.push_back(make_certificate(plain, key(KeyType::kP256, "the key before"), nullptr));
         s.use_issuer(make_certificate(plain, key(KeyType::kP256, "the key now"), nullptr));
         CertificateSpec leaf = leaf_spec();
         leaf.key_identifiers = false;
         s.use_leaf(leaf);
       }},
      {"a cross-certificate of the issuer comes first", Reason::kOk,
       [](VerifySetup& s) {
         CertificateSpec cross;
         cross.subject = "CA";
         cross.ca = true;
         s.decoys.push_back(make_certificate(cross, world().ca.key, &world().other_ca));
       }},
  };
}

// Identities and times at the edge of what is allowed.
CaseTable accepted_edge_cases() {
  const auto serial = [](Bytes octets) {
    return [octets = std::move(octets)](VerifySetup& s) { s.use_leaf_with_serial(octets); };
  };
  return {
      {"serial 127", Reason::kOk, serial({0x7f})},
      {"serial 128, with a zero octet in front", Reason::kOk, serial({0x00, 0x80})},
      {"serial -1", Reason::kOk, serial({0xff})},
      {"a serial of twenty octets", Reason::kOk, serial(Bytes(20, 0x7f))},
      {"a serial of forty octets", Reason::kOk, serial(Bytes(40, 0x55))},
      {"the CertID's hash without parameters", Reason::kOk,
       [](VerifySetup& s) { s.single().hash_parameters = false; }},
      {"the leaf writes the issuer's name in another string type", Reason::kOk,
       [](VerifySetup& s) {
         CertificateSpec leaf = leaf_spec();
         leaf.issuer_printable = "CA";
         s.use_leaf(leaf);
       }},
      {"fifty other certificates first", Reason::kOk,
       [](VerifySetup& s) {
         SingleSpec other = single_with(Status::kRevoked);
         for (std::uint8_t i = 0; i < 50; ++i) {
           other.serial = Bytes{0x11, i};
           s.spec.singles.insert(s.spec.singles.begin(), other);
         }
       }},
      {"good twice", Reason::kOk,
       [](VerifySetup& s) {
         s.spec.singles = {single_with(Status::kGood), single_with(Status::kGood)};
       }},
      {"good twice, one of them for longer", Reason::kOk,
       [](VerifySetup& s) {
         s.spec.singles = {single_with(Status::kGood), single_with(Status::kGood)};
         s.spec.singles[1].next_update = generalized_time(kNow + 9 * kDay);
       }},
      {"an disk_cache cutoff", Reason::kOk,
       [](VerifySetup& s) {
         s.single().extensions = {
             {"1.3.6.1.5.5.7.48.1.6", false, der::tlv(0x18, ByteView(std::string_view("20290601000000Z")))}};
       }},
      {"an extended-revoke extension", Reason::kOk,
       [](VerifySetup& s) {
         s.spec.extensions = {{"1.3.6.1.5.5.7.48.1.9", false, der::null()}};
       }},
      {"thisUpdate now", Reason::kOk, [](VerifySetup& s) { s.single().this_update = generalized_time(kNow); }},
      {"producedAt in the future within the skew", Reason::kOk,
       [](VerifySetup& s) { s.spec.produced_at = generalized_time(kNow + 300); }},
      {"thisUpdate ten years ago", Reason::kOk,
       [](VerifySetup& s) { s.single().this_update = generalized_time(kNow - 3650 * kDay); }},
      {"thisUpdate before 1970", Reason::kOk, [](VerifySetup& s) { s.single().this_update = "19600229000000Z"; }},
      {"thisUpdate on a leap day", Reason::kOk, [](VerifySetup& s) { s.single().this_update = "20280229235959Z"; }},
      {"nextUpdate where 31 bits end", Reason::kOk,
       [](VerifySetup& s) { s.single().next_update = "20380119031408Z"; }},
      {"judged in 2045", Reason::kOk,
       [](VerifySetup& s) {
         use_long_lived(s);
         s.now = kNow + 15 * 365 * kDay;
         s.single().this_update = s.spec.produced_at = generalized_time(s.now - kHour);
         s.single().next_update = generalized_time(s.now + kDay);
       }},
      {"judged in 2061, by a delegated signer", Reason::kOk,
       [](VerifySetup& s) {
         use_long_lived(s);
         s.use_signer(delegate([](CertificateSpec& c) { c.not_after = kEnd; }, KeyType::kP256, s.issuer));
         s.now = kNow + 31 * 365 * kDay;
         s.single().this_update = s.spec.produced_at = generalized_time(s.now - kHour);
         s.single().next_update = generalized_time(s.now + kDay);
       }},
      {"no nextUpdate, a second less than a day old", Reason::kOk,
       [](VerifySetup& s) {
         s.single().this_update = generalized_time(kNow - kDay + 1);
         s.single().next_update.reset();
       }},
  };
}

}  // namespace ocsp_plus::testing
