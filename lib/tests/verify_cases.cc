#include "tests/verify_cases.h"

#include <utility>

#include "crypto/sendable.h"

namespace ocsp_plus::testing {

const VerifyWorld& world() {
  static const VerifyWorld made;
  return made;
}

void VerifySetup::use_issuer(Identity ca) {
  owned_issuer = std::move(ca);
  owned_leaf = make_leaf(owned_issuer, "leaf.example", "");
  issuer = signer = &owned_issuer;
  leaf = &owned_leaf;
}

void VerifySetup::use_leaf(const CertificateSpec& changed) {
  owned_leaf = make_certificate(changed, world().leaf.key, issuer);
  leaf = &owned_leaf;
}

void VerifySetup::use_leaf_with_serial(Bytes serial) {
  CertificateSpec changed = leaf_spec();
  changed.serial = std::move(serial);
  use_leaf(changed);
}

void VerifySetup::use_signer(Identity responder) {
  owned_signer = std::move(responder);
  signer = &owned_signer;
  spec.certificates = {owned_signer.der()};
}

Bytes VerifySetup::response() const {
  Bytes bytes = make_response(spec, *leaf, *issuer, *signer);
  if (damage) {
    damage(bytes);
  }
  return bytes;
}

bool VerifySetup::sendable() const {
  return crypto::openssl_would_send(leaf->described(), crypto::cut_trailing(response()));
}

crypto::Verdict VerifySetup::verify() const {
  return crypto::verify(response(), leaf->described(), *issuer->issuer(), now, policy);
}

std::vector<CaseGroup> verify_cases() {
  return {
      {"accepted", accepted_cases()},
      {"accepted signers", accepted_signer_cases()},
      {"accepted at the edge", accepted_edge_cases()},
      {"response status", status_cases()},
      {"structure", structure_cases()},
      {"for which certificate", matching_cases()},
      {"certificate status", status_of_certificate_cases()},
      {"times", time_cases()},
      {"who signed", signer_cases()},
      {"signature", signature_cases()},
  };
}

std::string file_name(const std::string& name) {
  std::string text;
  for (const char byte : name) {
    const bool plain = (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-';
    const bool capital = byte >= 'A' && byte <= 'Z';
    if (plain || capital) {
      text += capital ? static_cast<char>(byte - 'A' + 'a') : byte;
    } else if (byte == ' ' || byte == '.') {
      text += '_';
    }
  }
  return text;
}

CertificateSpec leaf_spec() {
  CertificateSpec spec;
  spec.subject = "leaf.example";
  spec.dns_names = {spec.subject};
  return spec;
}

CertificateSpec responder_spec() {
  CertificateSpec spec;
  spec.subject = "Responder";
  spec.serial = {0x03};
  spec.key_usage = "critical,digitalSignature";
  spec.ext_key_usage = "OCSPSigning";
  return spec;
}

Identity delegate(const std::function<void(CertificateSpec&)>& change, KeyType type, const Identity* ca) {
  CertificateSpec spec = responder_spec();
  if (change) {
    change(spec);
  }
  return make_certificate(spec, key(type, "Responder"), ca == nullptr ? &world().ca : ca);
}

Extension some_extension(bool critical) {
  return {"1.3.6.1.4.1.55555.1", critical, der::octet_string(Bytes{1, 2, 3})};
}

SingleSpec other_single_under(const std::string& hash_oid) {
  SingleSpec single;
  single.hash_oid = hash_oid;
  single.serial = Bytes{0x07};
  return single;
}

SingleSpec single_with(Status status, const std::string& hash) {
  SingleSpec single;
  single.status = status;
  single.hash = hash;
  return single;
}

}  // namespace ocsp_plus::testing
