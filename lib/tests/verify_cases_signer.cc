// Who signed, and how.
#include <algorithm>

#include "tests/verify_cases.h"

namespace ocsp_plus::testing {

CaseTable signer_cases() {
  const auto signer = [](const std::function<void(CertificateSpec&)>& change) {
    return [change](VerifySetup& s) { s.use_signer(delegate(change)); };
  };
  return {
      {"an unknown name", Reason::kSignerNotFound, [](VerifySetup& s) { s.signer = &world().other_ca; }},
      {"an unknown key", Reason::kSignerNotFound,
       [](VerifySetup& s) {
         s.signer = &world().other_ca;
         s.spec.by_key = true;
       }},
      {"a key hash cut short", Reason::kSignerNotFound,
       [](VerifySetup& s) {
         Bytes hash = key_sha1(world().ca.key);
         hash.pop_back();
         s.spec.responder_id = der::tlv(0xa2, der::octet_string(hash));
       }},
      {"an empty key hash", Reason::kSignerNotFound,
       [](VerifySetup& s) { s.spec.responder_id = der::tlv(0xa2, der::octet_string({})); }},
      {"an empty name", Reason::kSignerNotFound,
       [](VerifySetup& s) { s.spec.responder_id = der::tlv(0xa1, der::sequence({})); }},
      {"delegated, but not embedded", Reason::kSignerNotFound,
       [](VerifySetup& s) {
         s.use_signer(delegate());
         s.spec.certificates.clear();
       }},
      {"delegated by another CA", Reason::kSignerNotIssuedByIssuer,
       [](VerifySetup& s) { s.use_signer(delegate({}, KeyType::kP256, &world().other_ca)); }},
      {"delegated by an impostor of the issuer's name", Reason::kSignerNotIssuedByIssuer,
       [](VerifySetup& s) {
         CertificateSpec spec;
         spec.subject = "CA";
         spec.ca = true;
         const Identity impostor = make_certificate(spec, key(KeyType::kP256, "impostor"), nullptr);
         s.use_signer(delegate({}, KeyType::kP256, &impostor));
       }},
      {"delegated by an intermediate of the issuer", Reason::kSignerNotIssuedByIssuer,
       [](VerifySetup& s) {
         const Identity intermediate = make_intermediate(world().ca, "Intermediate");
         s.use_signer(delegate({}, KeyType::kP256, &intermediate));
         s.spec.certificates.push_back(intermediate.der());
       }},
      {"delegated with the issuer's key, but under another name", Reason::kSignerNotIssuedByIssuer,
       [](VerifySetup& s) {
         CertificateSpec spec;
         spec.subject = "CA by another name";
         spec.ca = true;
         const Identity renamed = make_certificate(spec, world().ca.key, nullptr);
         s.use_signer(delegate({}, KeyType::kP256, &renamed));
       }},
      {"the issuer's key under another name", Reason::kSignerNotIssuedByIssuer,
       [](VerifySetup& s) {
         CertificateSpec cross = responder_spec();
         cross.subject = "CA by another name";
         s.use_signer(make_certificate(cross, world().ca.key, &world().other_ca));
       }},
      {"delegated by itself", Reason::kSignerNotIssuedByIssuer,
       [](VerifySetup& s) {
         s.use_signer(make_certificate(responder_spec(), key(KeyType::kP256, "Responder"), nullptr));
       }},
      {"the signature of the signer's certificate is bad", Reason::kSignerNotIssuedByIssuer,
       signer([](CertificateSpec& c) { c.break_signature = true; })},
      {"the right signer behind too many of its name", Reason::kSignerNotIssuedByIssuer,
       [](VerifySetup& s) {
         s.use_signer(delegate());
         const Bytes wrong = delegate({}, KeyType::kP256, &world().other_ca).der();
         s.spec.certificates.insert(s.spec.certificates.begin(), 10, wrong);
       }},
      {"no extended key usage", Reason::kSignerWithoutOcspSigning,
       signer([](CertificateSpec& c) { c.ext_key_usage.clear(); })},
      {"serverAuth only", Reason::kSignerWithoutOcspSigning,
       signer([](CertificateSpec& c) { c.ext_key_usage = "serverAuth"; })},
      {"anyExtendedKeyUsage only", Reason::kSignerWithoutOcspSigning,
       signer([](CertificateSpec& c) { c.ext_key_usage = "anyExtendedKeyUsage"; })},
      {"the leaf itself signs", Reason::kSignerWithoutOcspSigning,
       [](VerifySetup& s) {
         s.signer = &world().leaf;
         s.spec.certificates = {world().leaf.der()};
       }},
      {"a sibling of the leaf signs", Reason::kSignerWithoutOcspSigning,
       [](VerifySetup& s) { s.use_signer(make_leaf(world().ca, "sibling.example", "", {0x2b})); }},
      {"an intermediate of the issuer signs", Reason::kSignerWithoutOcspSigning,
       [](VerifySetup& s) { s.use_signer(make_intermediate(world().ca, "Intermediate")); }},
      {"the issuer of the issuer signs", Reason::kSignerNotIssuedByIssuer,
       [](VerifySetup& s) {
         s.use_issuer(make_intermediate(world().ca, "Intermediate"));
         s.signer = &world().ca;
         s.spec.certificates = {world().ca.der()};
       }},
      {"delegated by the issuer of the issuer", Reason::kSignerNotIssuedByIssuer,
       [](VerifySetup& s) {
         s.use_issuer(make_intermediate(world().ca, "Intermediate"));
         s.use_signer(delegate());
       }},
      {"a sibling of the issuer signs", Reason::kSignerNotIssuedByIssuer,
       [](VerifySetup& s) {
         s.use_issuer(make_intermediate(world().ca, "Intermediate"));
         s.use_signer(make_intermediate(world().ca, "Sibling"));
       }},
      {"delegated, and the issuer's name in another string type", Reason::kSignerNotIssuedByIssuer,
       signer([](CertificateSpec& c) { c.issuer_printable = "CA"; })},
      {"clientAuth and anyExtendedKeyUsage", Reason::kSignerWithoutOcspSigning,
       signer([](CertificateSpec& c) { c.ext_key_usage = "clientAuth,anyExtendedKeyUsage"; })},
      {"delegated to a CA", Reason::kSignerIsCa, signer([](CertificateSpec& c) { c.ca = true; })},
      {"a key usage of keyEncipherment alone", Reason::kSignerKeyUsage,
       signer([](CertificateSpec& c) { c.key_usage = "critical,keyEncipherment"; })},
      {"a key usage of everything but signing", Reason::kSignerKeyUsage, signer([](CertificateSpec& c) {
         c.key_usage = "critical,keyEncipherment,dataEncipherment,keyAgreement,cRLSign";
       })},
      {"an unknown critical extension of the signer", Reason::kSignerCriticalExtension,
       signer([](CertificateSpec& c) { c.extensions = {some_extension(true)}; })},
      {"malformed extensions of the signer", Reason::kSignerCriticalExtension, signer([](CertificateSpec& c) {
         c.extensions = {{"basicConstraints", true, Bytes{0x04, 0x00}}};
       })},
      {"the signer ends now", Reason::kSignerExpired, signer([](CertificateSpec& c) { c.not_after = kNow; })},
      {"the signer ended long ago", Reason::kSignerExpired,
       signer([](CertificateSpec& c) { c.not_after = kNow - 30 * kDay; })},
      {"the signer ends before it begins", Reason::kSignerExpired, signer([](CertificateSpec& c) {
         c.not_before = kNow + kDay;
         c.not_after = kNow - kDay;
       })},
      {"the signer begins in a second", Reason::kSignerNotYetValid,
       signer([](CertificateSpec& c) { c.not_before = kNow + 1; })},
  };
}

CaseTable signature_cases() {
  return {
      {"a bit of the signature is wrong", Reason::kBadSignature,
       [](VerifySetup& s) { s.spec.break_signature = true; }},
      {"a bit of a delegated signature is wrong", Reason::kBadSignature,
       [](VerifySetup& s) {
         s.use_signer(delegate());
         s.spec.break_signature = true;
       }},
      {"signed by another key under the issuer's name", Reason::kBadSignature,
       [](VerifySetup& s) {
         CertificateSpec spec;
         spec.subject = "CA";
         s.owned_signer = make_certificate(spec, key(KeyType::kP256, "impostor"), nullptr);
         s.signer = &s.owned_signer;
       }},
      {"a status changed after signing", Reason::kBadSignature,
       [](VerifySetup& s) {
         s.single().status = Status::kUnknown;
         s.damage = [](Bytes& b) {
           // [2] NULL becomes [0] NULL: unknown would become good.
           const Bytes unknown = {0x82, 0x00, 0x18};
           *std::search(b.begin(), b.end(), unknown.begin(), unknown.end()) = 0x80;
         };
       }},
      {"an algorithm of another kind of key", Reason::kBadSignature,
       [](VerifySetup& s) {
         s.spec.signature_algorithm = der::sequence({der::oid("RSA-SHA256"), der::tlv(0x05, {})});
       }},
      {"an unknown signature algorithm", Reason::kUnsupportedSignature,
       [](VerifySetup& s) { s.spec.signature_algorithm = der::sequence({der::oid("1.3.6.1.4.1.55555.2")}); }},
      {"RSA-PSS without parameters", Reason::kUnsupportedSignature,
       [](VerifySetup& s) {
         s.use_issuer(make_ca("RSA CA", KeyType::kRsa2048));
         s.spec.signature_algorithm = der::sequence({der::oid("rsassaPss")});
       }},
      {"RSA-PSS with an empty sequence of parameters, SHA-1 implied", Reason::kBadSignature,
       [](VerifySetup& s) {
         s.use_issuer(make_ca("RSA CA", KeyType::kRsa2048));
         s.spec.signature_algorithm = der::sequence({der::oid("rsassaPss"), der::sequence({})});
       }},
      {"DSA", Reason::kUnsupportedSignature, [](VerifySetup& s) { s.use_signer(delegate({}, KeyType::kDsa)); }},
      {"MD5 with RSA", Reason::kWeakSignature,
       [](VerifySetup& s) {
         s.use_issuer(make_ca("RSA CA", KeyType::kRsa2048));
         s.spec.digest = Digest::kMd5;
       }},
      {"SHA-1 with RSA of 1024 bits", Reason::kWeakSignature,
       [](VerifySetup& s) {
         s.use_issuer(make_ca("Small RSA CA", KeyType::kRsa1024));
         s.spec.digest = Digest::kSha1;
       }},
      {"SHA-1 with RSA-PSS of 1024 bits", Reason::kWeakSignature,
       [](VerifySetup& s) {
         s.use_issuer(make_ca("Small RSA CA", KeyType::kRsa1024));
         s.spec.digest = Digest::kPssSha1;
       }},
      {"SHA-1 with ECDSA", Reason::kWeakSignature, [](VerifySetup& s) { s.spec.digest = Digest::kSha1; }},
      {"the signer's certificate is signed with MD5", Reason::kWeakSignature,
       [](VerifySetup& s) {
         s.use_issuer(make_ca("RSA CA", KeyType::kRsa2048));
         s.use_signer(delegate([](CertificateSpec& c) { c.digest = Digest::kMd5; }, KeyType::kP256, &s.owned_issuer));
       }},
      {"RSA of 512 bits", Reason::kWeakKey, [](VerifySetup& s) { s.use_signer(delegate({}, KeyType::kRsa512)); }},
      {"P-192", Reason::kWeakKey, [](VerifySetup& s) { s.use_signer(delegate({}, KeyType::kP192)); }},
  };
}

}  // namespace ocsp_plus::testing
