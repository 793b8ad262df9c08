#include "engine/catalog.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>

#include "tests/fakes/scratch_directory.h"
#include "tests/pki.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;

ServerCertificate named_by(const Identity& leaf, const Identity* issuer,
                           std::vector<std::string_view> responders = {}) {
  ServerCertificate named;
  named.leaf = leaf.get();
  if (issuer != nullptr) {
    named.issuers = {issuer->get()};
  }
  named.responders = std::move(responders);
  return named;
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

// Its key cannot be used. It is told by its key identifier; no signature is looked at.
Identity odd_ca() {
  CertificateSpec spec;
  spec.subject = "Odd CA";
  spec.ca = true;
  const Identity signer = make_ca("Odd CA", KeyType::kRsa2048);
  spec.key_identifiers = false;
  spec.extensions = {{"2.5.29.14", false, der::octet_string(key_sha1(signer.key))}};
  Identity odd = make_certificate(spec, key(KeyType::kRsaWithoutBits, "Odd CA"), &signer);
  odd.key = signer.key;
  return odd;
}

struct Fixture {
  Identity ca = make_ca("Catalog CA");
  Identity leaf = make_leaf(ca, "www.example", "http://ocsp.example/");
  Catalog catalog;
};

TEST_CASE("catalog: a certificate named twice has one entry", "[catalog]") {
  Fixture f;
  const auto first = f.catalog.add(named_by(f.leaf, &f.ca));
  REQUIRE(first);
  const auto again = f.catalog.add(named_by(f.leaf, &f.ca));
  REQUIRE(again);
  CHECK(again->target == first->target);

  const Identity other = make_leaf(f.ca, "other.example", "http://ocsp.example/", {0x2b});
  const auto second = f.catalog.add(named_by(other, &f.ca));
  REQUIRE(second);
  CHECK(second->target == f.catalog.targets()[1].get());
  REQUIRE(f.catalog.targets().size() == 2);
  const Target& a = *f.catalog.targets()[0];
  const Target& b = *f.catalog.targets()[1];
  CHECK(a.stapleable());
  CHECK(a.issuer == b.issuer);          // interned
  CHECK(a.responders == b.responders);  // likewise
  CHECK(a.certificate.label() == "www.example");
  CHECK(a.entry == store::kNoEntry);
}

TEST_CASE("catalog: of several servers the shortest bound holds", "[catalog]") {
  Fixture f;
  for (const auto& [refresh, joined] :
       std::vector<std::pair<Seconds, Seconds>>{{0, 0}, {900, 900}, {0, 900}, {60, 60}, {3600, 60}}) {
    ServerCertificate named = named_by(f.leaf, &f.ca);
    named.refresh = refresh;
    CHECK(f.catalog.add(named)->target->refresh == joined);
  }
  // Of a certificate loaded per connection its profile's holds.
  ServerCertificate server;
  server.refresh = 30;
  Target loaded;
  std::vector<std::unique_ptr<net::Url>> urls;
  set_responders(f.catalog.add_profile(server).value(), &loaded, &urls);
  CHECK(loaded.refresh == 30);
}

TEST_CASE("catalog: the rule for requiring a staple", "[catalog]") {
  CHECK_FALSE(requires_staple(Require::kOff, false));
  CHECK_FALSE(requires_staple(Require::kOff, true));
  CHECK_FALSE(requires_staple(Require::kMustStaple, false));
  CHECK(requires_staple(Require::kMustStaple, true));
  CHECK(requires_staple(Require::kOn, false));
  CHECK(requires_staple(Require::kOn, true));
}

TEST_CASE("catalog: a certificate that cannot be described is no error, and has no entry", "[catalog]") {
  Fixture f;
  CertificateSpec spec;
  spec.subject = "29 February";
  spec.raw_not_after = "290229000000Z";
  spec.must_staple = true;
  const Identity leaf = make_certificate(spec, key(KeyType::kP256, "29 February"), &f.ca);
  ServerCertificate named = named_by(leaf, &f.ca);
  for (int server = 0; server < 2; ++server) {
    const auto added = f.catalog.add(named);
    REQUIRE(added);
    CHECK(added->target == nullptr);
  }
  REQUIRE(f.catalog.unusable().size() == 1);  // told of once
  CHECK(f.catalog.unusable()[0].why == "notAfter of CN=29 February,O=ocsp_plus tests is malformed");
  CHECK_FALSE(f.catalog.unusable()[0].required);
  named.require = Require::kMustStaple;
  REQUIRE(f.catalog.add(named));
  REQUIRE(f.catalog.unusable().size() == 2);
  CHECK(f.catalog.unusable()[1].required);
  CHECK(f.catalog.targets().empty());
  CHECK(f.catalog.by_id().empty());

  const crypto::X509Ptr nameless = unhashable_certificate();
  named = named_by(f.leaf, &f.ca);
  named.leaf = nameless.get();
  REQUIRE(f.catalog.add(named));
  CHECK(f.catalog.unusable().size() == 3);

  // Those after it are numbered as if it were not there.
  const auto good = f.catalog.add(named_by(f.leaf, &f.ca));
  REQUIRE(good);
  CHECK(good->target == f.catalog.targets()[0].get());
  CHECK(good->target == f.catalog.targets()[0].get());
}

TEST_CASE("catalog: an issuer that cannot be used counts as not found", "[catalog]") {
  Fixture f;
  const Identity odd = odd_ca();
  const Identity leaf = make_leaf(odd, "odd.example", "http://ocsp.example/");
  REQUIRE(f.catalog.add(named_by(leaf, &odd)));
  CHECK(f.catalog.targets()[0]->remarks->issuer_unusable.find(
            "the public key of CN=Odd CA,O=ocsp_plus tests cannot be used") == 0);
  CHECK_FALSE(f.catalog.targets()[0]->verifiable());
  REQUIRE(f.catalog.add(named_by(f.leaf, &f.ca)));
  CHECK(f.catalog.targets()[1]->remarks->issuer_unusable.empty());
}

TEST_CASE("catalog: a trusted certificate that cannot be used is left out of a profile", "[catalog]") {
  Fixture f;
  const crypto::X509Ptr nameless = unhashable_certificate();
  ServerCertificate named;
  named.issuers = {f.ca.get()};
  REQUIRE(f.catalog.add_profile(named));
  CHECK_FALSE(f.catalog.ignored_trusted().has_value());
  named.issuers = {nameless.get(), f.ca.get()};
  const auto added = f.catalog.add_profile(named);
  REQUIRE(added);
  REQUIRE(f.catalog.ignored_trusted().has_value());
  CHECK(f.catalog.ignored_trusted()->why.find("the certificate cannot be hashed") == 0);
  CHECK(f.catalog.profile((*added)->key) == *added);
  CHECK((*added)->trusted.size() == 1);
  CHECK((*added)->vouches_for(f.ca.issuer()->id()));
}

TEST_CASE("catalog: CA certificates loaded per connection have a profile of their own", "[catalog]") {
  Fixture f;
  ServerCertificate server;
  server.servers = {"www.example"};
  server.issuers = {f.ca.get()};
  server.responders = {"http://responder.example/"};
  server.require = Require::kOn;
  server.refresh = 900;
  CHECK(f.catalog.add_profile(server).value()->chain_key == 0);
  server.staple_chain = true;
  const Profile& leaves = *f.catalog.add_profile(server).value();
  const Profile* const cas = f.catalog.profile(leaves.chain_key);
  REQUIRE(cas != nullptr);
  const auto profiles = f.catalog.profiles().size();
  CHECK(profiles == 3);
  Target loaded;
  std::vector<std::unique_ptr<net::Url>> urls;
  loaded.certificate.ocsp_urls = {"http://own.example/"};
  loaded.certificate.must_staple = true;
  loaded.issuer = f.catalog.issuers().intern(f.ca.get()).value();
  set_responders(cas, &loaded, &urls);
  CHECK(loaded.ca);
  CHECK_FALSE(loaded.staple_required());
  CHECK(loaded.refresh == 900);
  CHECK(urls_of(loaded) == Urls{"http://own.example/"});
  CHECK_FALSE(loaded.public_only);  // the operator trusts its issuer
  set_responders(&leaves, &loaded, &urls);
  CHECK_FALSE(loaded.ca);
  CHECK(leaves.precedes(*cas));
  CHECK_FALSE(cas->precedes(leaves));
  CHECK_FALSE(cas->precedes(*cas));
}

TEST_CASE("catalog: responders of the configuration replace the certificate's own", "[catalog]") {
  Fixture f;
  REQUIRE(f.catalog.add(named_by(f.leaf, &f.ca, {"http://a.example/x", "http://b.example", "http://a.example/x"})));
  CHECK(urls_of(*f.catalog.targets()[0]) == Urls{"http://a.example/x", "http://b.example/"});
  CHECK(f.catalog.targets()[0]->named_hosts() == Urls{"a.example:80", "b.example:80"});
}

TEST_CASE("catalog: only what ocsp_plus_responder names is named, whoever else is asked", "[catalog]") {
  Fixture f;
  REQUIRE(f.catalog.add(named_by(f.leaf, &f.ca)));
  CHECK(f.catalog.targets()[0]->named_hosts().empty());
  REQUIRE(f.catalog.add(named_by(f.leaf, &f.ca, {"https://a.example"})));
  CHECK(urls_of(*f.catalog.targets()[0]) == Urls{"http://ocsp.example/", "https://a.example/"});
  CHECK(f.catalog.targets()[0]->named_hosts() == Urls{"a.example:443"});
}

TEST_CASE("catalog: why there is no issuer", "[catalog]") {
  Fixture f;
  const Identity other = make_ca("Another CA");
  CertificateSpec spec;
  spec.subject = "Catalog CA";
  spec.ca = true;
  const Identity renewed = make_certificate(spec, key(KeyType::kP256, "renewed"), nullptr);
  const auto fault_with = [&f](const Identity& issuer) {
    REQUIRE(f.catalog.add(named_by(f.leaf, &issuer)));
    return f.catalog.targets()[0]->remarks->issuer_fault;
  };
  CHECK(fault_with(other) == crypto::IssuerFault::kAbsent);
  CHECK(fault_with(renewed) == crypto::IssuerFault::kKeyIdentifier);
  CHECK(fault_with(other) == crypto::IssuerFault::kKeyIdentifier);  // what came closest
  CHECK(f.catalog.targets()[0]->issuer == nullptr);
}

TEST_CASE("catalog: two servers that name other responders", "[catalog]") {
  const auto after = [](const std::vector<std::vector<std::string_view>>& servers) {
    Fixture f;
    for (const auto& responders : servers) {
      REQUIRE(f.catalog.add(named_by(f.leaf, &f.ca, responders)));
    }
    return std::pair(f.catalog.targets()[0]->remarks->other_responders.has_value(), urls_of(*f.catalog.targets()[0]));
  };
  const Urls both = {"http://ocsp.example/", "http://b.example/"};
  CHECK(after({{}, {"http://b.example/", "http://ocsp.example/"}}) == std::pair(true, both));
  CHECK(after({{"http://ocsp.example/", "http://b.example/"}, {"http://b.example/"}}) == std::pair(true, both));
  CHECK(after({{"http://ocsp.example/", "http://b.example/"}, {"http://ocsp.example/", "http://b.example/"}}) ==
        std::pair(false, both));
}

TEST_CASE("catalog: the certificate's own URLs, and those that cannot be used", "[catalog]") {
  struct Case {
    const char* name;
    Urls own, used;
    const char* ignored;  // the first
  };
  const Identity ca = make_ca("Catalog CA");
  for (const Case& c : {
           Case{"none", {}, {}, ""},
           Case{"two", {"http://a.example/", "http://b.example/"}, {"http://a.example/", "http://b.example/"}, ""},
           Case{"twice the same", {"http://a.example/", "http://a.example/"}, {"http://a.example/"}, ""},
           Case{"LDAP beside HTTP",
                {"ldap://a.example/", "http://b.example/"},
                {"http://b.example/"},
                "\"ldap://a.example/\""},
           Case{"nothing but nonsense", {"http://", "gopher://a.example/"}, {}, "\"http://\""},
       }) {
    INFO(c.name);
    Catalog catalog;
    const auto added = catalog.add(named_by(leaf_with_urls(ca, c.own), &ca));
    REQUIRE(added);
    const std::string& ignored = catalog.targets()[0]->remarks->ignored_url;
    CHECK(ignored.substr(0, ignored.find(": ", 8)) == c.ignored);
    CHECK(urls_of(*catalog.targets()[0]) == c.used);
    CHECK(catalog.targets()[0]->stapleable() == !c.used.empty());
  }
}

TEST_CASE("catalog: an unusable responder of the configuration is an error and leaves nothing behind", "[catalog]") {
  Fixture f;
  CHECK(f.catalog.add(named_by(f.leaf, &f.ca, {"ftp://a.example/"})).error().reason == Reason::kUrlScheme);
  CHECK(f.catalog.add(named_by(f.leaf, &f.ca, {"http://a example/"})).error().reason == Reason::kUrlMalformed);
  CHECK(f.catalog.targets().empty());
}

TEST_CASE("catalog: no issuer, until a later server brings it", "[catalog]") {
  Fixture f;
  const Identity stranger = make_ca("Stranger");
  REQUIRE(f.catalog.add(named_by(f.leaf, nullptr)));
  CHECK(f.catalog.targets()[0]->issuer == nullptr);
  CHECK_FALSE(f.catalog.targets()[0]->stapleable());
  REQUIRE(f.catalog.add(named_by(f.leaf, &stranger)));
  CHECK(f.catalog.targets()[0]->issuer == nullptr);
  const auto added = f.catalog.add(named_by(f.leaf, &f.ca));
  REQUIRE(added);
  CHECK(added->target == f.catalog.targets()[0].get());
  CHECK_FALSE(f.catalog.targets()[0]->remarks->other_responders.has_value());
  REQUIRE(f.catalog.targets()[0]->stapleable());
  CHECK(f.catalog.targets()[0]->issuer->subject() == f.ca.issuer()->subject());
}

TEST_CASE("catalog: anchors of several servers are joined, those of the system for one that names none",
          "[catalog]") {
  Fixture f;
  const Identity one = make_ca("Anchor one"), two = make_ca("Anchor two");
  const auto add = [&f](std::vector<x509_st*> anchors) {
    ServerCertificate named = named_by(f.leaf, &f.ca);
    named.responder_anchors = std::move(anchors);
    REQUIRE(f.catalog.add(named));
    return f.catalog.targets()[0]->remarks->other_anchors.has_value();
  };
  const auto trusted = [&f](const Identity& anchor) {
    const crypto::TrustAnchors* anchors = f.catalog.targets()[0]->responder_anchors;
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
    CHECK(f.catalog.targets()[0]->responder_anchors == nullptr);
  }
}

// --- certificates sent after the leaf ---

struct ChainFixture {
  Identity root = make_ca("Chain root");
  Identity outer = intermediate(root, "Outer"), inner = intermediate(outer, "Inner");
  Identity leaf = make_leaf(inner, "chain.example", "http://ocsp.example/");
  Catalog catalog;

  static Identity intermediate(const Identity& issuer, const std::string& name, bool must_staple = false) {
    CertificateSpec spec;
    spec.subject = name;
    spec.ca = true;
    spec.must_staple = must_staple;
    spec.ocsp_urls = {"http://" + name + ".example/"};
    return make_certificate(spec, key(KeyType::kP256, name), &issuer);
  }
  ServerCertificate server(std::vector<x509_st*> chain) const {
    ServerCertificate made;
    made.leaf = leaf.get();
    made.file = "chain.pem";
    made.place = "conf:1";
    made.servers = {"chain.example"};
    made.files = {"/offline.der"};
    made.chain = std::move(chain);
    made.staple_chain = true;
    return made;
  }
  // The names of those that may be stapled with the leaf.
  std::vector<std::string> links(const std::vector<x509_st*>& chain) {
    const auto added = catalog.add(server(chain));
    REQUIRE(added);
    std::vector<std::string> names;
    for (const Target* link : added->links) {
      CHECK(link->ca);
      names.push_back(link->certificate.subject.substr(3, link->certificate.subject.find(',') - 3));
    }
    return names;
  }
};
using Names = std::vector<std::string>;

TEST_CASE("catalog: what may be stapled of a chain ends where an issuer is not sent later", "[catalog]") {
  ChainFixture f;
  const auto [leaf, inner, outer, root] = std::array{f.leaf.get(), f.inner.get(), f.outer.get(), f.root.get()};
  CHECK(f.links({inner, outer, root}) == Names{"Inner", "Outer"});
  CHECK(f.links({inner, outer}) == Names{"Inner"});
  CHECK(f.links({inner}).empty());
  CHECK(f.links({}).empty());
  CHECK(f.links({root, inner, outer}).empty());
  CHECK(f.links({outer, inner, root}) == Names{"Outer"});
  CHECK(f.links({inner, root, outer}) == Names{"Inner"});
  CHECK(f.links({inner, inner, outer, root}) == Names{"Inner", "Inner", "Outer"});
  // Another root has signed the same CA.
  const Identity other = make_ca("Other root");
  const Identity cross = ChainFixture::intermediate(other, "Outer");
  CHECK(f.links({inner, cross.get(), root}) == Names{"Inner"});
  CHECK(f.links({inner, cross.get(), other.get()}) == Names{"Inner", "Outer"});
  CHECK(f.catalog.by_id().count(crypto::certificate_id(root).value()) == 0);
  CHECK(f.catalog.loose_chains().count == 1);  // {inner} alone
  CHECK(f.catalog.by_id().count(crypto::certificate_id(leaf).value()) == 1);
}

TEST_CASE("catalog: at most eight certificates of a chain are stapled", "[catalog]") {
  ChainFixture f;
  std::vector<Identity> all;
  all.push_back(make_ca("Long root"));
  for (int i = 0; i < 11; ++i) {
    all.push_back(make_intermediate(all.back(), "Long " + std::to_string(i)));
  }
  std::vector<x509_st*> chain;
  for (auto one = all.rbegin(); one != all.rend(); ++one) {
    chain.push_back(one->get());
  }
  CHECK(f.links(chain).size() == kMaxLinks);
}

TEST_CASE("catalog: a CA has its own responders, and nothing that a server demands of a leaf", "[catalog]") {
  ChainFixture f;
  f.inner = ChainFixture::intermediate(f.outer, "Inner", true);
  ServerCertificate server = f.server({f.inner.get(), f.outer.get(), f.root.get()});
  server.responders = {"http://named.example/"};
  server.require = Require::kOn;
  const auto added = f.catalog.add(server);
  REQUIRE(added);
  REQUIRE(added->links.size() == 2);
  const Target& inner = *added->links[0];
  CHECK(urls_of(*added->target) == Urls{"http://named.example/"});
  CHECK(urls_of(inner) == Urls{"http://inner.example/"});
  CHECK(inner.named.empty());
  CHECK(inner.files == std::vector<std::string>{"/offline.der"});
  CHECK(inner.servers.count("chain.example") == 1);
  CHECK(inner.certificate.must_staple);
  CHECK_FALSE(inner.staple_required());
  CHECK_FALSE(inner.required);
  CHECK(inner.issuer->subject() == added->links[1]->certificate.subject);
  CHECK_FALSE(added->target->ca);

  Catalog without;
  server.staple_chain = false;
  REQUIRE(without.add(server)->links.empty());
  CHECK(without.targets().size() == 1);
}

TEST_CASE("catalog: a certificate that some server shows as its own is a leaf, whichever server comes first",
          "[catalog]") {
  for (const bool leaf_first : {false, true}) {
    ChainFixture f;
    ServerCertificate own = f.server({f.outer.get(), f.root.get()});
    own.leaf = f.inner.get();
    own.responders = {"http://named.example/"};
    own.staple_chain = false;
    own.require = Require::kOn;
    if (leaf_first) {
      REQUIRE(f.catalog.add(own));
    }
    const auto added = f.catalog.add(f.server({f.inner.get(), f.outer.get(), f.root.get()}));
    REQUIRE(added->links.size() == 2);
    if (!leaf_first) {
      CHECK(added->links[0]->ca);
      REQUIRE(f.catalog.add(own));
    }
    const Target& inner = *added->links[0];
    CHECK_FALSE(inner.ca);
    CHECK(inner.required);
    CHECK(urls_of(inner) == Urls{"http://named.example/"});
    const Remarks& remarks = *f.catalog.by_id().at(inner.certificate.id)->remarks;
    CHECK_FALSE(remarks.other_responders.has_value());
    CHECK(remarks.required_by == "conf:1");
    CHECK(added->links[1]->ca);
  }
}

}  // namespace
}  // namespace ocsp_plus::engine
