#include "crypto/certificate.h"

#include <catch2/catch.hpp>

#include "tests/fakes/verifications.h"
#include "tests/pki.h"

namespace ocsp_plus::testing {
namespace {

using crypto::Certificate;

struct Family {
  Identity ca = make_ca("CA");
  Identity other = make_ca("Other CA");

  Identity leaf(const CertificateSpec& spec) const {
    return make_certificate(spec, key(KeyType::kP256, "leaf.example"), &ca);
  }
};

CertificateSpec named(const std::string& subject) {
  CertificateSpec spec;
  spec.subject = subject;
  return spec;
}

// A CA of the same name with another key: what is left after a CA has renewed its key.
Identity make_twin(const std::string& name, const std::string& key_name, bool key_identifiers) {
  CertificateSpec spec = named(name);
  spec.ca = true;
  spec.key_identifiers = key_identifiers;
  return make_certificate(spec, key(KeyType::kP256, key_name), nullptr);
}

}  // namespace

TEST_CASE("describe: the plain fields", "[certificate]") {
  const Family family;
  const Identity leaf = make_leaf(family.ca, "leaf.example", "http://ocsp.example/", Bytes{0x12, 0x34});
  const Certificate c = leaf.described();
  CHECK(c.subject == "CN=leaf.example,O=ocsp_plus tests");
  CHECK(c.issuer == "CN=CA,O=ocsp_plus tests");
  CHECK(c.serial == Bytes{0x12, 0x34});
  CHECK(c.not_before == kNow - 365 * kDay);
  CHECK(c.not_after == kNow + 365 * kDay);
  CHECK(c.names == std::vector<std::string>{"leaf.example"});
  CHECK(c.ocsp_urls == std::vector<std::string>{"http://ocsp.example/"});
  CHECK(c.ca_issuers_urls.empty());
  CHECK_FALSE(c.must_staple);
  CHECK(c.label() == "leaf.example");
  CHECK(to_hex(c.id).size() == 64);
  CHECK(family.ca.described().label() == "CN=CA,O=ocsp_plus tests");
}

TEST_CASE("describe: type and size of the key", "[certificate]") {
  const Family family;
  const std::vector<std::pair<KeyType, std::string>> cases = {
      {KeyType::kP256, "ECDSA P-256"}, {KeyType::kP384, "ECDSA P-384"}, {KeyType::kP192, "ECDSA P-192"},
      {KeyType::kRsa1024, "RSA 1024"}, {KeyType::kRsa2048, "RSA 2048"}, {KeyType::kEd25519, "ED25519"},
      {KeyType::kDsa, "DSA"},
  };
  for (const auto& [type, text] : cases) {
    CAPTURE(text);
    CHECK(make_certificate(named("leaf.example"), key(type, "described"), &family.ca).described().key == text);
  }
}

TEST_CASE("describe: serial numbers are kept as in the DER", "[certificate][rfc5280-4.1.2.2]") {
  const Family family;
  const std::vector<Bytes> serials = {{0x00},       {0x7f},          {0x00, 0x80},    {0x80},          {0xff},
                                      {0xff, 0x00}, Bytes(20, 0x5a), Bytes(20, 0xa5), Bytes(200, 0x11)};
  for (const Bytes& serial : serials) {
    INFO(to_hex(serial));
    CHECK(make_leaf(family.ca, "leaf.example", "", serial).described().serial == serial);
  }
}

TEST_CASE("describe: access URLs in order", "[certificate][rfc5280-4.2.2.1]") {
  const Family family;
  CertificateSpec spec = named("leaf.example");
  spec.ocsp_urls = {"http://b.example/", "https://a.example:8443/x?y", "ftp://c.example"};
  spec.ca_issuers_urls = {"http://ca.example/ca.der"};
  const Certificate c = family.leaf(spec).described();
  CHECK(c.ocsp_urls == spec.ocsp_urls);
  CHECK(c.ca_issuers_urls == spec.ca_issuers_urls);
}

TEST_CASE("describe: URLs are kept as they are, names with octets that do not belong there are dropped",
          "[certificate]") {
  const Family family;
  CertificateSpec spec = named("leaf.example");
  spec.ocsp_urls = {std::string("http://a.example/\0evil", 22),
                    "http://b.example/\r\nX-Evil: 1",
                    "http://c.example/ d",
                    "http://\xc3\xa9.example/",
                    "",
                    "http://good.example/"};
  spec.dns_names = {std::string("bank.example\0.evil.example", 26), "new\nline.example", "good.example"};
  const Certificate c = family.leaf(spec).described();
  CHECK(c.ocsp_urls == spec.ocsp_urls);
  CHECK(c.names == std::vector<std::string>{"good.example"});
}

TEST_CASE("describe: addresses", "[certificate][rfc5280-4.2.1.6]") {
  const Family family;
  CertificateSpec spec = named("leaf.example");
  spec.dns_names = {"a.example"};
  Bytes v6(16, 0);
  v6[0] = 0x20;
  v6[1] = 0x01;
  v6[15] = 0x01;
  spec.ip_addresses = {{192, 0, 2, 1}, v6, {1, 2, 3}};
  CHECK(family.leaf(spec).described().names == std::vector<std::string>{"a.example", "192.0.2.1", "2001::1"});
}

TEST_CASE("describe: must-staple", "[certificate][rfc7633]") {
  const Family family;
  CertificateSpec spec = named("leaf.example");
  const auto with_feature = [&](const Bytes& value) {
    spec.extensions = {{"1.3.6.1.5.5.7.1.24", false, value}};
    return family.leaf(spec).described().must_staple;
  };
  CHECK(with_feature(der::sequence({der::integer(Bytes{5})})));
  CHECK(with_feature(der::sequence({der::integer(Bytes{17}), der::integer(Bytes{5})})));
  CHECK_FALSE(with_feature(der::sequence({der::integer(Bytes{17})})));
  CHECK_FALSE(with_feature(der::sequence({})));
  CHECK_FALSE(with_feature(Bytes{0x04, 0x00}));
  CHECK(queued_openssl_errors() == 0);
}

TEST_CASE("describe: subjects hold any octet on one line", "[certificate]") {
  const Family family;
  const Certificate c = family.leaf(named("caf\xc3\xa9 \x01, inc.")).described();
  CHECK(c.subject == "CN=caf\xc3\xa9 \\01\\, inc.,O=ocsp_plus tests");
}

TEST_CASE("describe: validity past 2050", "[certificate][rfc5280-4.1.2.5]") {
  const Family family;
  CertificateSpec spec = named("leaf.example");
  spec.not_before = unix_seconds(1950, 1, 1, 0, 0, 0);
  spec.not_after = unix_seconds(9999, 12, 31, 23, 59, 59);
  const Certificate c = family.leaf(spec).described();
  CHECK(c.not_before == spec.not_before);
  CHECK(c.not_after == spec.not_after);
}

TEST_CASE("describe: dates that are none", "[certificate][rfc5280-4.1.2.5]") {
  const Family family;
  const std::string good = "290228235959Z";
  struct Case {
    const char* name;
    std::string from, until;
    const char* field;  // nullptr: it is fine
  };
  for (const Case& c : {Case{"both right", "280101000000Z", good, nullptr},
                        Case{"29 February", "280101000000Z", "290229000000Z", "notAfter"},
                        Case{"hour 24", "280101000000Z", "290228240000Z", "notAfter"},
                        Case{"month 13", "281301000000Z", good, "notBefore"},
                        Case{"no digits", "280101000000Z", "29x228235959Z", "notAfter"}}) {
    INFO(c.name);
    CertificateSpec spec = named("leaf.example");
    spec.dns_names = {"www.leaf.example"};
    spec.raw_not_before = c.from;
    spec.raw_not_after = c.until;
    const Identity leaf = family.leaf(spec);
    const auto described = crypto::describe(leaf.get());
    CHECK(described.has_value() == (c.field == nullptr));
    if (!described && c.field != nullptr) {
      CHECK(described.error().reason == Reason::kUnreadable);
      CHECK(described.error().detail == std::string(c.field) + " of CN=leaf.example,O=ocsp_plus tests is malformed");
    }
    CHECK(crypto::label_of(leaf.get()) == "www.leaf.example");
    CHECK(crypto::certificate_id(leaf.get()).has_value());
  }
  CHECK(queued_openssl_errors() == 0);
}

TEST_CASE("label_of: a name, else the subject", "[certificate]") {
  const Family family;
  CHECK(crypto::label_of(make_leaf(family.ca, "leaf.example", "").get()) == "leaf.example");
  CHECK(crypto::label_of(family.ca.get()) == "CN=CA,O=ocsp_plus tests");
}

TEST_CASE("Issuer: a key that nobody knows", "[certificate]") {
  const Family family;
  const auto issuer = crypto::Issuer::create(with_unknown_key(family.ca).get());
  REQUIRE_FALSE(issuer);
  CHECK(issuer.error().reason == Reason::kUnreadable);
  CHECK(issuer.error().detail.find("the public key of CN=CA,O=ocsp_plus tests cannot be used") == 0);
  CHECK(queued_openssl_errors() == 0);
}

TEST_CASE("certificate_id: what cannot be encoded", "[certificate]") {
  const auto id = crypto::certificate_id(unhashable_certificate().get());
  REQUIRE_FALSE(id);
  CHECK(id.error().reason == Reason::kUnreadable);
}

TEST_CASE("Issuer: owns its certificate and hashes its own name and key", "[certificate][rfc6960-4.1.1]") {
  std::unique_ptr<crypto::Issuer> issuer;
  CertificateId id = {};
  {
    const Identity ca = make_ca("CA");
    id = ca.described().id;
    issuer = ca.issuer();
  }
  CHECK(issuer->id() == id);
  CHECK(issuer->subject() == "CN=CA,O=ocsp_plus tests");
  CHECK(ByteView(issuer->key_sha1()) == ByteView(key_sha1(key(KeyType::kP256, "CA"))));
  CHECK(ByteView(issuer->name_sha1()) != ByteView(issuer->key_sha1()));
  CHECK(ByteView(issuer->name_sha256()) != ByteView(issuer->key_sha256()));
}

TEST_CASE("find_issuer", "[certificate][rfc5280-4.2.1.1]") {
  const Family family;
  const Identity leaf = make_leaf(family.ca, "leaf.example", "");
  SECTION("among others") {
    CHECK(crypto::find_issuer(leaf.get(), {family.other.get(), leaf.get(), family.ca.get()}) == family.ca.get());
  }
  SECTION("none") {
    CHECK(crypto::find_issuer(leaf.get(), {}) == nullptr);
    CHECK(crypto::find_issuer(leaf.get(), {family.other.get(), leaf.get(), nullptr}) == nullptr);
  }
  SECTION("the same certificate twice") {
    const Identity again = make_ca("CA");
    CHECK(crypto::find_issuer(leaf.get(), {family.ca.get(), family.ca.get()}) == family.ca.get());
    CHECK(crypto::find_issuer(leaf.get(), {again.get(), family.ca.get()}) == again.get());
  }
  SECTION("same name, another key, told apart by key identifiers") {
    const Identity twin = make_twin("CA", "twin", true);
    CHECK(crypto::find_issuer(leaf.get(), {twin.get(), family.ca.get()}) == family.ca.get());
    CHECK(crypto::find_issuer(leaf.get(), {twin.get()}) == nullptr);
  }
  SECTION("same name, another key, told apart by the signature") {
    const Identity twin = make_twin("CA", "twin", false);
    const Identity plain = make_twin("CA", "CA", false);
    CHECK(crypto::find_issuer(leaf.get(), {twin.get(), plain.get()}) == plain.get());
    CHECK(crypto::find_issuer(leaf.get(), {twin.get()}) == nullptr);
  }
  SECTION("a leaf without key identifier") {
    CertificateSpec spec = named("leaf.example");
    spec.key_identifiers = false;
    const Identity bare = family.leaf(spec);
    const Identity twin = make_twin("CA", "twin", true);
    CHECK(crypto::find_issuer(bare.get(), {twin.get(), family.ca.get()}) == family.ca.get());
    CHECK(crypto::find_issuer(bare.get(), {twin.get()}) == nullptr);
  }
  SECTION("cross-signed: same name and key under another root") {
    CertificateSpec spec = named("CA");
    spec.ca = true;
    const Identity cross = make_certificate(spec, family.ca.key, &family.other);
    CHECK(crypto::find_issuer(leaf.get(), {cross.get(), family.ca.get()}) == cross.get());
  }
  SECTION("renewed with its key: leaves name the serial number of the old one") {
    const auto authority = [&](const Bytes& identifier) {
      const Bytes name = der::tlv(0xa4, Bytes(der::sequence({})));  // directoryName, whatever it is
      CertificateSpec spec = named("leaf.example");
      spec.key_identifiers = false;
      std::vector<Bytes> fields;
      if (!identifier.empty()) {
        fields.push_back(der::tlv(0x80, identifier));
      }
      fields.push_back(der::tlv(0xa1, name));
      fields.push_back(der::tlv(0x82, Bytes{0x2a}));  // of the old one
      spec.extensions = {{"authorityKeyIdentifier", false, der::sequence(fields)}};
      return family.leaf(spec);
    };
    CertificateSpec spec = named("CA");
    spec.ca = true;
    spec.serial = {0x77};
    const Identity renewed = make_certificate(spec, family.ca.key, nullptr);
    const Identity twin = make_twin("CA", "twin", true);
    for (const Bytes& identifier : {key_sha1(family.ca.key), Bytes(), Bytes{1, 2, 3}}) {
      const Identity old = authority(identifier);
      CHECK(crypto::find_issuer(old.get(), {renewed.get()}) == renewed.get());
      CHECK(crypto::find_issuer(old.get(), {twin.get(), renewed.get()}) == renewed.get());
      CHECK(crypto::find_issuer(old.get(), {twin.get()}) == nullptr);
    }
  }
  CHECK(queued_openssl_errors() == 0);
}

TEST_CASE("find_issuer: so many are tried, whatever others have put together", "[certificate]") {
  const Family family;
  CertificateSpec spec = named("leaf.example");
  spec.key_identifiers = false;
  const Identity leaf = family.leaf(spec);
  std::vector<Identity> crowd;
  std::vector<x509_st*> candidates;
  for (std::size_t i = 0; i < 200; ++i) {
    CertificateSpec ca = named("CA");
    ca.serial = {0x60, static_cast<std::uint8_t>(i)};
    ca.ca = true;
    ca.key_identifiers = false;
    crowd.push_back(make_certificate(ca, key(KeyType::kP256, "crowd"), nullptr));
    candidates.push_back(crowd.back().get());
  }
  const std::size_t before = verifications();
  CHECK(crypto::find_issuer(leaf.get(), candidates) == nullptr);
  CHECK(verifications() - before == crypto::kMostIssuersTried);
  candidates.insert(candidates.begin(), family.ca.get());
  CHECK(crypto::find_issuer(leaf.get(), candidates) == family.ca.get());
}

TEST_CASE("rank_issuers: by key identifier, each once", "[certificate][rfc5280-4.2.1.1]") {
  const Family family;
  const Identity leaf = make_leaf(family.ca, "leaf.example", "");
  const Identity other_key = make_twin("CA", "twin", true);
  const Identity quiet = make_twin("CA", "twin", false);
  CertificateSpec spec = named("CA");
  spec.key_usage = "critical,digitalSignature";
  const Identity no_signer = make_certificate(spec, family.ca.key, nullptr);
  CHECK(crypto::rank_issuers(leaf.get(), {other_key.get(), nullptr, quiet.get(), family.other.get(), no_signer.get(),
                                          family.ca.get(), quiet.get(), leaf.get()}) ==
        std::vector<x509_st*>{family.ca.get(), quiet.get(), other_key.get()});
  CHECK(crypto::rank_issuers(leaf.get(), {}).empty());
}

TEST_CASE("why_no_issuer: what comes closest", "[certificate][rfc5280-4.2.1.1]") {
  using crypto::IssuerFault;
  const Family family;
  const auto why = [](const Identity& leaf, const std::vector<x509_st*>& candidates) {
    REQUIRE(crypto::find_issuer(leaf.get(), candidates) == nullptr);
    return crypto::why_no_issuer(leaf.get(), candidates);
  };
  const Identity leaf = make_leaf(family.ca, "leaf.example", "");
  const Identity renewed = make_twin("CA", "twin", true);
  const Identity quiet = make_twin("CA", "twin", false);
  CertificateSpec spec = named("CA");
  spec.key_usage = "critical,digitalSignature";
  const Identity no_signer = make_certificate(spec, family.ca.key, nullptr);
  spec.key_usage.clear();
  const Identity rsa = make_certificate(spec, key(KeyType::kRsa2048, "twin"), nullptr);
  spec = named("leaf.example");
  spec.key_identifiers = false;
  const Identity bare = family.leaf(spec);

  CHECK(why(leaf, {}) == IssuerFault::kAbsent);
  CHECK(why(leaf, {family.other.get(), nullptr, leaf.get()}) == IssuerFault::kAbsent);
  CHECK(why(leaf, {family.other.get(), renewed.get()}) == IssuerFault::kKeyIdentifier);
  CHECK(why(leaf, {no_signer.get()}) == IssuerFault::kKeyUsage);
  CHECK(why(leaf, {quiet.get()}) == IssuerFault::kSignature);
  CHECK(why(bare, {renewed.get()}) == IssuerFault::kSignature);
  CHECK(why(bare, {rsa.get()}) == IssuerFault::kSignature);
  CHECK(why(leaf, {quiet.get(), renewed.get(), no_signer.get(), family.other.get()}) == IssuerFault::kSignature);
  CHECK(why(leaf, {renewed.get(), no_signer.get(), renewed.get()}) == IssuerFault::kKeyUsage);
  CHECK(crypto::describe(IssuerFault::kAbsent).empty());
  CHECK(crypto::describe(IssuerFault::kSignature).find("does not verify") != std::string_view::npos);
  CHECK(crypto::describe(IssuerFault::kKeyIdentifier).find("key identifier") != std::string_view::npos);
  CHECK(queued_openssl_errors() == 0);
}

TEST_CASE("parse_pem_certificates", "[certificate]") {
  const Family family;
  const std::string chain = make_leaf(family.ca, "leaf.example", "").pem() + "some text\n" + family.ca.pem();
  SECTION("a chain with text between") {
    const auto parsed = crypto::parse_pem_certificates(chain);
    REQUIRE(parsed);
    REQUIRE(parsed->size() == 2);
    CHECK(crypto::describe(parsed->front().get())->label() == "leaf.example");
  }
  SECTION("a private key between is skipped") {
    const auto parsed = crypto::parse_pem_certificates(
        "-----BEGIN PRIVATE KEY-----\nMAMKAQM=\n-----END PRIVATE KEY-----\n" + family.ca.pem());
    REQUIRE(parsed);
    CHECK(parsed->size() == 1);
  }
  SECTION("errors") {
    const std::string broken = "-----BEGIN CERTIFICATE-----\nMAMKAQM=\n-----END CERTIFICATE-----\n";
    for (const std::string& text : {std::string(), std::string("nothing"), broken, chain + broken,
                                    chain + "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
                                    chain.substr(0, chain.size() - 60)}) {
      const auto parsed = crypto::parse_pem_certificates(text);
      REQUIRE_FALSE(parsed);
      CHECK(parsed.error().reason == Reason::kUnreadable);
      CHECK_FALSE(parsed.error().detail.empty());
    }
  }
  CHECK(queued_openssl_errors() == 0);
}

}  // namespace ocsp_plus::testing
