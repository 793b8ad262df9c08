#include "engine/catalog.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>

#include "tests/fakes/scratch_directory.h"
#include "tests/pki.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;

Mention mention_of(const Identity& leaf, const Identity* issuer, std::vector<std::string_view> responders = {}) {
  Mention mention;
  mention.leaf = leaf.get();
  if (issuer != nullptr) {
    mention.issuers = {issuer->get()};
  }
  mention.responders = std::move(responders);
  return mention;
}

Identity leaf_with_urls(const Identity& ca, std::vector<std::string> urls) {
  CertificateSpec spec;
  spec.subject = "with urls";
  spec.ocsp_urls = std::move(urls);
  return make_certificate(spec, key(KeyType::kP256, "with urls"), &ca);
}

std::vector<std::string> urls_of(const Target& target) {
  std::vector<std::string> urls;
  for (const net::Url* url : target.responders) {
    urls.push_back(url->to_string());
  }
  return urls;
}

using Urls = std::vector<std::string>;

struct Fixture {
  Identity ca = make_ca("Catalog CA");
  Identity leaf = make_leaf(ca, "www.example", "http://ocsp.example/");
  Catalog catalog;
};

TEST_CASE("catalog: a certificate named twice has one entry", "[catalog]") {
  Fixture f;
  const auto first = f.catalog.add(mention_of(f.leaf, &f.ca));
  REQUIRE(first);
  CHECK_FALSE(first->known);
  const auto again = f.catalog.add(mention_of(f.leaf, &f.ca));
  REQUIRE(again);
  CHECK(again->known);
  CHECK_FALSE(again->differs);
  CHECK(again->index == first->index);

  const Identity other = make_leaf(f.ca, "other.example", "http://ocsp.example/", {0x2b});
  const auto second = f.catalog.add(mention_of(other, &f.ca));
  REQUIRE(second);
  CHECK_FALSE(second->known);
  REQUIRE(f.catalog.targets().size() == 2);
  const Target& a = f.catalog.target(0);
  const Target& b = f.catalog.target(1);
  CHECK(a.stapleable());
  CHECK(a.issuer == b.issuer);          // interned
  CHECK(a.responders == b.responders);  // likewise
  CHECK(a.certificate.label() == "www.example");
  CHECK(a.entry == store::kNoEntry);
}

TEST_CASE("catalog: a certificate that cannot be described is no error, and has no entry", "[catalog]") {
  Fixture f;
  CertificateSpec spec;
  spec.subject = "29 February";
  spec.raw_not_after = "290229000000Z";
  spec.must_staple = true;
  const Identity leaf = make_certificate(spec, key(KeyType::kP256, "29 February"), &f.ca);
  Mention mention = mention_of(leaf, &f.ca);
  const auto first = f.catalog.add(mention);
  REQUIRE(first);
  CHECK(first->unusable == "notAfter of CN=29 February,O=ocsp_plus tests is malformed");
  CHECK_FALSE(first->known);
  CHECK_FALSE(first->required);
  mention.require = Mention::Require::kMustStaple;
  const auto again = f.catalog.add(mention);
  REQUIRE(again);
  CHECK(again->unusable == first->unusable);
  CHECK(again->known);
  CHECK(again->required);
  CHECK(f.catalog.targets().empty());
  CHECK(f.catalog.by_id().empty());

  spec.must_staple = false;
  spec.serial = {0x2b};
  const Identity other = make_certificate(spec, key(KeyType::kP256, "29 February"), &f.ca);
  mention.leaf = other.get();
  CHECK_FALSE(f.catalog.add(mention)->required);
  mention.require = Mention::Require::kOn;
  CHECK(f.catalog.add(mention)->required);
  const crypto::X509Ptr nameless = unhashable_certificate();
  mention.leaf = nameless.get();
  CHECK_FALSE(f.catalog.add(mention)->unusable.empty());

  // Those after it are numbered as if it were not there.
  const auto good = f.catalog.add(mention_of(f.leaf, &f.ca));
  REQUIRE(good);
  CHECK(good->index == 0);
  CHECK(good->unusable.empty());
}

TEST_CASE("catalog: an issuer that cannot be used counts as not found", "[catalog]") {
  Fixture f;
  CertificateSpec spec;
  spec.subject = "Odd CA";
  spec.ca = true;
  // It is told by its key identifier; no signature is looked at.
  const Identity signer = make_ca("Odd CA", KeyType::kRsa2048);
  spec.key_identifiers = false;
  spec.extensions = {{"2.5.29.14", false, der::octet_string(key_sha1(signer.key))}};
  Identity odd = make_certificate(spec, key(KeyType::kRsaWithoutBits, "Odd CA"), &signer);
  odd.key = signer.key;
  const Identity leaf = make_leaf(odd, "odd.example", "http://ocsp.example/");
  const auto added = f.catalog.add(mention_of(leaf, &odd));
  REQUIRE(added);
  CHECK(added->unusable.empty());
  CHECK(added->issuer_unusable.find("the public key of CN=Odd CA,O=ocsp_plus tests cannot be used") == 0);
  CHECK_FALSE(added->issuer_lookup);
  REQUIRE(f.catalog.targets().size() == 1);
  CHECK_FALSE(f.catalog.target(0).verifiable());
  CHECK(f.catalog.add(mention_of(f.leaf, &f.ca))->issuer_unusable.empty());
}

TEST_CASE("catalog: a trusted certificate that cannot be used is left out of a profile", "[catalog]") {
  Fixture f;
  const crypto::X509Ptr nameless = unhashable_certificate();
  Mention mention;
  mention.issuers = {nameless.get(), f.ca.get()};
  const auto added = f.catalog.add_profile(mention);
  REQUIRE(added);
  CHECK(added->ignored.find("the certificate cannot be hashed") == 0);
  REQUIRE(f.catalog.profile(added->key) != nullptr);
  CHECK(f.catalog.profile(added->key)->trusted.size() == 1);
  CHECK(f.catalog.profile(added->key)->vouches_for(f.ca.issuer()->id()));
  mention.issuers = {f.ca.get()};
  CHECK(f.catalog.add_profile(mention)->ignored.empty());
}

TEST_CASE("catalog: responders of the configuration replace the certificate's own", "[catalog]") {
  Fixture f;
  REQUIRE(f.catalog.add(mention_of(f.leaf, &f.ca, {"http://a.example/x", "http://b.example", "http://a.example/x"})));
  CHECK(urls_of(f.catalog.target(0)) == Urls{"http://a.example/x", "http://b.example/"});
  CHECK(f.catalog.target(0).named_hosts() == Urls{"a.example:80", "b.example:80"});
}

TEST_CASE("catalog: only what ocsp_plus_responder names is named, whoever else is asked", "[catalog]") {
  Fixture f;
  REQUIRE(f.catalog.add(mention_of(f.leaf, &f.ca)));
  CHECK(f.catalog.target(0).named_hosts().empty());
  REQUIRE(f.catalog.add(mention_of(f.leaf, &f.ca, {"https://a.example"})));
  CHECK(urls_of(f.catalog.target(0)) == Urls{"http://ocsp.example/", "https://a.example/"});
  CHECK(f.catalog.target(0).named_hosts() == Urls{"a.example:443"});
}

TEST_CASE("catalog: why there is no issuer", "[catalog]") {
  Fixture f;
  const Identity other = make_ca("Another CA");
  CertificateSpec spec;
  spec.subject = "Catalog CA";
  spec.ca = true;
  const Identity renewed = make_certificate(spec, key(KeyType::kP256, "renewed"), nullptr);
  CHECK(f.catalog.add(mention_of(f.leaf, &other))->issuer_fault == crypto::IssuerFault::kAbsent);
  CHECK(f.catalog.add(mention_of(f.leaf, &renewed))->issuer_fault == crypto::IssuerFault::kKeyIdentifier);
  CHECK(f.catalog.add(mention_of(f.leaf, &f.ca))->issuer_fault == crypto::IssuerFault::kAbsent);
}

TEST_CASE("catalog: two servers that name other responders", "[catalog]") {
  Fixture f;
  REQUIRE(f.catalog.add(mention_of(f.leaf, &f.ca)));
  const auto more = f.catalog.add(mention_of(f.leaf, &f.ca, {"http://b.example/", "http://ocsp.example/"}));
  REQUIRE(more);
  CHECK(more->known);
  CHECK(more->differs);
  CHECK(urls_of(f.catalog.target(0)) == Urls{"http://ocsp.example/", "http://b.example/"});
  CHECK(f.catalog.add(mention_of(f.leaf, &f.ca, {"http://b.example/"}))->differs);
  CHECK_FALSE(f.catalog.add(mention_of(f.leaf, &f.ca, {"http://ocsp.example/", "http://b.example/"}))->differs);
}

TEST_CASE("catalog: the certificate's own URLs, and those that cannot be used", "[catalog]") {
  struct Case {
    const char* name;
    Urls own, used;
    std::size_t ignored;
  };
  const Identity ca = make_ca("Catalog CA");
  for (const Case& c : {
           Case{"none", {}, {}, 0},
           Case{"two", {"http://a.example/", "http://b.example/"}, {"http://a.example/", "http://b.example/"}, 0},
           Case{"twice the same", {"http://a.example/", "http://a.example/"}, {"http://a.example/"}, 0},
           Case{"LDAP beside HTTP", {"ldap://a.example/", "http://b.example/"}, {"http://b.example/"}, 1},
           Case{"nothing but nonsense", {"http://", "gopher://a.example/"}, {}, 2},
       }) {
    INFO(c.name);
    Catalog catalog;
    const auto added = catalog.add(mention_of(leaf_with_urls(ca, c.own), &ca));
    REQUIRE(added);
    CHECK(added->ignored.size() == c.ignored);
    CHECK(urls_of(catalog.target(0)) == c.used);
    CHECK(catalog.target(0).stapleable() == !c.used.empty());
  }
}

TEST_CASE("catalog: an unusable responder of the configuration is an error and leaves nothing behind", "[catalog]") {
  Fixture f;
  CHECK(f.catalog.add(mention_of(f.leaf, &f.ca, {"ftp://a.example/"})).error().reason == Reason::kUrlScheme);
  CHECK(f.catalog.add(mention_of(f.leaf, &f.ca, {"http://a example/"})).error().reason == Reason::kUrlMalformed);
  CHECK(f.catalog.targets().empty());
}

TEST_CASE("catalog: no issuer, until a later mention brings it", "[catalog]") {
  Fixture f;
  const Identity stranger = make_ca("Stranger");
  REQUIRE(f.catalog.add(mention_of(f.leaf, nullptr)));
  CHECK(f.catalog.target(0).issuer == nullptr);
  CHECK_FALSE(f.catalog.target(0).stapleable());
  REQUIRE(f.catalog.add(mention_of(f.leaf, &stranger)));
  CHECK(f.catalog.target(0).issuer == nullptr);
  const auto added = f.catalog.add(mention_of(f.leaf, &f.ca));
  REQUIRE(added);
  CHECK(added->known);
  CHECK_FALSE(added->differs);
  REQUIRE(f.catalog.target(0).stapleable());
  CHECK(f.catalog.target(0).issuer->subject() == f.ca.issuer()->subject());
}

TEST_CASE("catalog: anchors of several servers are joined, those of the system for one that names none",
          "[catalog]") {
  Fixture f;
  const Identity one = make_ca("Anchor one"), two = make_ca("Anchor two");
  const auto add = [&f](std::vector<x509_st*> anchors) {
    Mention mention = mention_of(f.leaf, &f.ca);
    mention.responder_anchors = std::move(anchors);
    const auto added = f.catalog.add(mention);
    REQUIRE(added);
    return added->anchors_differ;
  };
  const auto trusted = [&f](const Identity& anchor) {
    const crypto::TrustAnchors* anchors = f.catalog.target(0).responder_anchors;
    return anchors != nullptr && anchors->issuer_of(make_leaf(anchor, "a", "http://a/").get()) != nullptr;
  };
  SECTION("named, and others named") {
    CHECK_FALSE(add({one.get()}));
    CHECK_FALSE(add({one.get()}));
    CHECK_FALSE(trusted(two));
    CHECK(add({two.get()}));
    CHECK(trusted(one));
    CHECK(trusted(two));
  }
  SECTION("named by one, and not by another: either order leads to the same") {
    // OpenSSL's own name for the system's file.
    const ScratchDirectory directory;
    std::ofstream(directory / "system.pem") << two.pem();
    setenv("SSL_CERT_FILE", (directory / "system.pem").c_str(), 1);
    const bool first = GENERATE(true, false);
    CHECK_FALSE((first ? add({one.get()}) : add({})));
    CHECK((first ? add({}) : add({one.get()})));
    unsetenv("SSL_CERT_FILE");
    CHECK(trusted(one));
    CHECK(trusted(two));
  }
  SECTION("named by nobody") {
    CHECK_FALSE(add({}));
    CHECK_FALSE(add({}));
    CHECK(f.catalog.target(0).responder_anchors == nullptr);
  }
}

}  // namespace
}  // namespace ocsp_plus::engine
