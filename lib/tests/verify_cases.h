// The table of verify cases: each changes one thing in a good response (or in the world around it) and names the
// token that must come out. A case that changes nothing harmful must be accepted.
//
// One table, three users: the unit test, `verify_fixtures` (which writes each case into a directory, for ocsp-plus
// and openssl to judge side by side) and the seeds of the fuzz target.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "crypto/verify.h"
#include "tests/pki.h"

namespace ocsp_plus::testing {

// What most cases need; made once.
struct VerifyWorld {
  Identity ca = make_ca("CA");
  Identity other_ca = make_ca("Other CA");
  Identity leaf = make_leaf(ca, "leaf.example", "http://ocsp.example/");
  Identity responder = make_responder(ca);
};

const VerifyWorld& world();

// One verification; a case's `change` turns the good one into its own.
struct VerifySetup {
  ResponseSpec spec;
  const Identity* leaf = &world().leaf;
  const Identity* issuer = &world().ca;
  const Identity* signer = &world().ca;
  Identity owned_issuer;  // for cases that need their own
  Identity owned_leaf;
  Identity owned_signer;
  std::vector<Identity> decoys;  // other candidates for the issuer, which are looked at first
  UnixSeconds now = kNow;
  crypto::VerifyPolicy policy;
  std::function<void(Bytes&)> damage;  // to the finished bytes

  SingleSpec& single() { return spec.singles.front(); }

  // Another CA takes the place of the issuer, and signs.
  void use_issuer(Identity ca);
  // Another certificate of the issuer's.
  void use_leaf(const CertificateSpec& changed);
  void use_leaf_with_serial(Bytes serial);
  // A delegated signer that is embedded.
  void use_signer(Identity responder);

  Bytes response() const;
  crypto::Verdict verify() const;
  bool sendable() const;  // by OpenSSL 3.6 and newer
};

struct VerifyCase {
  const char* name;
  Reason expected;
  std::function<void(VerifySetup&)> change;
};

using CaseTable = std::vector<VerifyCase>;

CaseTable accepted_cases();
CaseTable accepted_signer_cases();
CaseTable accepted_edge_cases();
CaseTable status_cases();
CaseTable structure_cases();
CaseTable matching_cases();
CaseTable status_of_certificate_cases();
CaseTable time_cases();
CaseTable signer_cases();
CaseTable signature_cases();

// All of them.
struct CaseGroup {
  const char* name;
  CaseTable cases;
};
std::vector<CaseGroup> verify_cases();

// A case's name as that of a file: "Serial -1" is "serial_-1".
std::string file_name(const std::string& name);

// --- for the tables ----------------------------------------------------------------------------------------------

CertificateSpec leaf_spec();
CertificateSpec responder_spec();

// A delegated signer of the world's CA, by default a right one.
Identity delegate(const std::function<void(CertificateSpec&)>& change = {}, KeyType type = KeyType::kP256,
                  const Identity* ca = nullptr);

Extension some_extension(bool critical);
SingleSpec single_with(Status status, const std::string& hash = "SHA1");
// One of another serial, under a hash of that name or number, whether there is such a hash or not.
SingleSpec other_single_under(const std::string& hash_oid);
constexpr const char* kNoHash = "1.3.14.3.2.122";  // beside SHA-1, which is 1.3.14.3.2.26

}  // namespace ocsp_plus::testing
