#include "engine/findings.h"

#include <catch2/catch.hpp>

#include "tests/pki.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;

const Identity& ca() {
  static const Identity one = make_ca("Findings CA");
  return one;
}

// Of the same name, with another key.
const Identity& namesake() {
  static const Identity one = [] {
    CertificateSpec spec;
    spec.subject = "Findings CA";
    spec.ca = true;
    return make_certificate(spec, key(KeyType::kP256, "namesake"), nullptr);
  }();
  return one;
}

struct Leaf {
  const char* name = "a.example";
  std::vector<std::string> ocsp = {"http://ocsp.example/"};
  std::vector<std::string> ca_issuers = {};
  bool must_staple = false;
  const char* not_after = nullptr;
  std::string issuer_printable = {};
};

Identity make(const Leaf& leaf) {
  CertificateSpec spec;
  spec.subject = leaf.name;
  spec.dns_names = {leaf.name};
  spec.ocsp_urls = leaf.ocsp;
  spec.ca_issuers_urls = leaf.ca_issuers;
  spec.must_staple = leaf.must_staple;
  spec.issuer_printable = leaf.issuer_printable;
  if (leaf.not_after != nullptr) {
    spec.raw_not_after = leaf.not_after;
  }
  return make_certificate(spec, key(KeyType::kP256, "findings"), &ca());
}

struct Said {
  std::vector<x509_st*> issuers = {ca().get()};
  std::vector<x509_st*> chain = {};
  std::vector<std::string_view> responders = {};
  std::vector<std::string_view> files = {};
  std::vector<x509_st*> anchors = {};
  Require require = Require::kOff;
};

using Lines = std::vector<std::string>;

std::string line(const Finding& finding) {
  const char* level = finding.severity == Severity::kEmergency ? "emerg"
                      : finding.severity == Severity::kError   ? "error"
                      : finding.severity == Severity::kWarning ? "warn"
                                                               : "notice";
  return std::string(level) + ": " + finding.text;
}

// Of one certificate that servers name, the first in conf:1.
Lines found(const Leaf& leaf, const std::vector<Said>& servers, bool issuer_fetch = true, bool selects = false) {
  Settings settings;
  settings.issuer_fetch = issuer_fetch;
  settings.policy.must_be_sendable = selects;
  Catalog catalog;
  const Identity made = make(leaf);
  std::size_t number = 0;
  for (const Said& said : servers) {
    const std::string place = "conf:" + std::to_string(++number);
    ServerCertificate named;
    named.leaf = made.get();
    named.file = "a.pem";
    named.issuers = said.issuers;
    named.chain = said.chain;
    named.responders = said.responders;
    named.files = said.files;
    named.responder_anchors = said.anchors;
    named.place = place;
    named.require = said.require;
    REQUIRE(catalog.add(named));
  }
  Lines lines;
  for (const Finding& finding : findings(catalog, settings, "")) {
    lines.push_back(line(finding));
  }
  return lines;
}

Said without_issuer() {
  Said said;
  said.issuers = {};
  return said;
}
Said with(std::vector<x509_st*> issuers) {
  Said said;
  said.issuers = std::move(issuers);
  return said;
}
Said requiring(Require require, Said said = {}) {
  said.require = require;
  return said;
}
Said asking(std::string_view url) {
  Said said;
  said.responders = {url};
  return said;
}

constexpr const char* kHonour =
    " although it demands one (Must-Staple), so that clients that honour it will refuse to connect";

TEST_CASE("findings: nothing is said of what is complete", "[findings]") {
  CHECK(found({}, {{}}).empty());
  CHECK(found({}, {requiring(Require::kOn)}).empty());
  // Whichever server comes first.
  CHECK(found({}, {without_issuer(), {}}).empty());
  CHECK(found({}, {{}, without_issuer()}).empty());
  CHECK(found({}, {requiring(Require::kOn, without_issuer()), {}}).empty());
  CHECK(found({}, {{}, requiring(Require::kOn, without_issuer())}).empty());
}

TEST_CASE("findings: no issuer", "[findings]") {
  const std::string begin = "error: ocsp_plus: no issuer found for certificate \"a.example\" of \"a.pem\", ";
  const std::string append =
      ": append the issuer's certificate to that file or name it in \"ocsp_plus_trusted_certificate\" in conf:1";
  const std::string wrong =
      ": a certificate with its issuer's name was found, but its key identifier is not the one that the certificate "
      "names; put the right one in its place or name it in \"ocsp_plus_trusted_certificate\" in conf:1";
  Leaf leaf;
  CHECK(found(leaf, {without_issuer()}) == Lines{begin + "it gets no staple" + append});
  CHECK(found(leaf, {without_issuer(), without_issuer()}) == Lines{begin + "it gets no staple" + append});
  CHECK(found(leaf, {with({namesake().get()})}) == Lines{begin + "it gets no staple" + wrong});
  CHECK(found(leaf, {with({namesake().get()}), without_issuer()}) == Lines{begin + "it gets no staple" + wrong});
  leaf.must_staple = true;
  CHECK(found(leaf, {without_issuer()}) == Lines{begin + "it gets no staple" + kHonour + append});
  leaf.ca_issuers = {"http://ca.example/ca.der"};
  const std::string may_come = "warn" + begin.substr(begin.find(':'));
  const std::string fetched = "it is fetched from where the certificate says, but the chain sent to clients is ";
  CHECK(found(leaf, {without_issuer()}) == Lines{may_come + fetched + "incomplete" + append});
  CHECK(found(leaf, {with({namesake().get()})}) == Lines{may_come + fetched + "wrong" + wrong});
  CHECK(found(leaf, {without_issuer()}, false) == Lines{begin + "it gets no staple" + kHonour + append});
  leaf.ca_issuers = {"ldap://ca.example/"};
  CHECK(found(leaf, {without_issuer()}) == Lines{begin + "it gets no staple" + kHonour + append});
  leaf.ca_issuers = {"http://ca.example/ca.der"};
  leaf.ocsp = {};
  Said with_file = without_issuer();
  with_file.files = {"a.der"};  // the issuer is fetched on the way to a responder only
  CHECK(found(leaf, {with_file}) == Lines{begin + "it gets no staple" + kHonour + append});
}

TEST_CASE("findings: an issuer that cannot be used", "[findings]") {
  CertificateSpec spec;
  spec.subject = "Findings CA";
  spec.ca = true;
  spec.key_identifiers = false;
  spec.extensions = {{"2.5.29.14", false, der::octet_string(key_sha1(ca().key))}};
  const Identity odd = make_certificate(spec, key(KeyType::kRsaWithoutBits, "odd"), &ca());
  const Lines lines = found({}, {with({odd.get()}), without_issuer()});
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find("error: ocsp_plus: the issuer found for certificate \"a.example\" of \"a.pem\" cannot "
                      "be used, it gets no staple: the public key of ") == 0);
  CHECK(lines[0].substr(lines[0].size() - 10) == " in conf:1");
  const Lines refused = found({}, {requiring(Require::kOn, with({odd.get()}))});
  REQUIRE(refused.size() == 1);
  CHECK(refused[0].find("emerg: \"ocsp_plus_require\" would refuse every handshake that asks for the status of "
                        "certificate \"a.example\": the issuer that was found cannot be used: the public key") == 0);
}

TEST_CASE("findings: no responder", "[findings]") {
  Leaf leaf;
  leaf.ocsp = {};
  const std::string notice =
      "notice: ocsp_plus: 1 of 1 certificates name no OCSP responder and get no staple, the first is \"a.example\"; "
      "\"ocsp_plus_responder\" can name one";
  CHECK(found(leaf, {{}, {}}) == Lines{notice});
  CHECK(found(leaf, {without_issuer()}) == Lines{notice});  // nor does it matter
  leaf.must_staple = true;
  CHECK(
      found(leaf, {{}, {}}) ==
      Lines{"error: ocsp_plus: certificate \"a.example\" demands a staple (Must-Staple) but names no OCSP responder: "
            "clients that honour it will refuse to connect; reissue it or name one with \"ocsp_plus_responder\" in "
            "conf:1",
            notice});
  Said with_file;
  with_file.files = {"a.der"};
  CHECK(found(leaf, {with_file}).empty());
  CHECK(found(leaf, {{}, with_file}).empty());
}

TEST_CASE("findings: a responder that cannot be used", "[findings]") {
  Leaf leaf;
  leaf.ocsp = {"ldap://a.example/", "gopher://b.example/", "http://ocsp.example/"};
  const Lines lines = found(leaf, {{}, {}});
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find("warn: ocsp_plus: certificate \"a.example\" names a responder that cannot be used: "
                      "\"ldap://a.example/\": ") == 0);
}

TEST_CASE("findings: no responder that can be used", "[findings]") {
  Leaf leaf;
  leaf.ocsp = {"ldap://a.example/"};
  const std::string begin =
      "error: ocsp_plus: certificate \"a.example\" names a responder that cannot be used, and gets no staple";
  const std::string end = "; name one with \"ocsp_plus_responder\" in conf:1";
  for (const bool must_staple : {false, true}) {
    leaf.must_staple = must_staple;
    const Lines lines = found(leaf, {{}, {}});
    REQUIRE(lines.size() == 1);  // it is none of those without OCSP
    CHECK(lines[0].find(begin + (must_staple ? kHonour : "") + ": \"ldap://a.example/\": ") == 0);
    CHECK(lines[0].substr(lines[0].size() - end.size()) == end);
  }
  CHECK(found(leaf, {asking("http://b.example/")}).empty());
  const Lines refused = found(leaf, {requiring(Require::kOn)});
  REQUIRE(refused.size() == 1);
  CHECK(refused[0].find("certificate \"a.example\": the responder that it names cannot be used, "
                        "\"ldap://a.example/\": ") != std::string::npos);
}

TEST_CASE("findings: servers that differ are told of once, with the first that does", "[findings]") {
  const std::string responders =
      "notice: ocsp_plus: servers name different responders for certificate \"a.example\", all are used in the order "
      "of the configuration; the second is in conf:";
  CHECK(found({}, {{}, asking("http://b.example/"), asking("http://c.example/")}) == Lines{responders + "2"});
  CHECK(found({}, {asking("http://b.example/"), asking("http://b.example/"), {}}) == Lines{responders + "3"});
  const std::string anchors =
      "notice: ocsp_plus: servers differ in \"ocsp_plus_responder_trusted_certificate\" for certificate "
      "\"a.example\", the certificates of all are trusted, for a server without it those of the system; the second "
      "is in conf:";
  Said anchored;
  anchored.anchors = {ca().get()};
  CHECK(found({}, {anchored, anchored, {}, anchored}) == Lines{anchors + "3"});
}

TEST_CASE("findings: a required staple that can never be had refuses the configuration", "[findings]") {
  const std::string begin =
      "emerg: \"ocsp_plus_require\" would refuse every handshake that asks for the status of certificate "
      "\"a.example\": ";
  const std::string no_issuer =
      "no issuer was found, append it to \"ssl_certificate\" or name it in \"ocsp_plus_trusted_certificate\" in ";
  const std::string no_responder = "it names no OCSP responder, name one with \"ocsp_plus_responder\" in ";
  Leaf leaf;
  CHECK(found(leaf, {requiring(Require::kOn, without_issuer())}) == Lines{begin + no_issuer + "conf:1"});
  CHECK(found(leaf, {without_issuer(), requiring(Require::kOn, without_issuer())}) ==
        Lines{begin + no_issuer + "conf:2"});
  CHECK(
      found(leaf, {requiring(Require::kOn, with({namesake().get()}))}) ==
      Lines{begin +
            "no issuer was found: a certificate with its issuer's name was found, but its key identifier is not the "
            "one that the certificate names; put the right one in its place or name it in "
            "\"ocsp_plus_trusted_certificate\" in conf:1"});
  CHECK(found(leaf, {requiring(Require::kMustStaple, without_issuer())}).front().find("error") == 0);
  leaf.must_staple = true;
  CHECK(found(leaf, {requiring(Require::kMustStaple, without_issuer())}) == Lines{begin + no_issuer + "conf:1"});
  leaf.ca_issuers = {"http://ca.example/ca.der"};
  CHECK(found(leaf, {requiring(Require::kOn, without_issuer())}).front().find("warn") == 0);
  CHECK(found(leaf, {requiring(Require::kOn, without_issuer())}, false) == Lines{begin + no_issuer + "conf:1"});
  leaf.ocsp = {};
  CHECK(found(leaf, {requiring(Require::kOn)}) == Lines{begin + no_responder + "conf:1"});
  Said with_file = requiring(Require::kOn, without_issuer());
  with_file.files = {"a.der"};
  // The issuer is fetched on the way to a responder only.
  CHECK(found(leaf, {with_file}) == Lines{begin + no_issuer + "conf:1"});
}

TEST_CASE("findings: a certificate that cannot be read", "[findings]") {
  Leaf leaf;
  leaf.not_after = "290229000000Z";
  const std::string why = ": notAfter of CN=a.example,O=ocsp_plus tests is malformed in conf:";
  const std::string warning =
      "error: ocsp_plus: certificate \"a.example\" of \"a.pem\" cannot be read and gets no staple";
  const std::string refused =
      "emerg: \"ocsp_plus_require\" would refuse every handshake that asks for the status of certificate "
      "\"a.example\" of \"a.pem\", which gets no staple";
  CHECK(found(leaf, {{}, {}}) == Lines{warning + why + "1"});
  CHECK(found(leaf, {{}, requiring(Require::kOn), {}}) == Lines{warning + why + "1", refused + why + "2"});
  leaf.must_staple = true;
  CHECK(found(leaf, {{}, requiring(Require::kOff)}) == Lines{warning + kHonour + why + "1"});
  CHECK(found(leaf, {requiring(Require::kMustStaple)}) == Lines{refused + why + "1"});
}

TEST_CASE("findings: servers themselves", "[findings]") {
  Catalog catalog;
  const auto say = [&catalog](const std::string& nothing_stapled) {
    Lines lines;
    for (const Finding& finding : findings(catalog, Settings(), nothing_stapled)) {
      lines.push_back(line(finding));
    }
    return lines;
  };
  CHECK(say("that OpenSSL").empty());  // there is no server
  ServerCertificate server;
  server.place = "conf:1";
  REQUIRE(catalog.add_profile(server));
  CHECK(say("").empty());
  CHECK(say("that OpenSSL") == Lines{"error: ocsp_plus: nothing is stapled at all: that OpenSSL"});
  server.place = "conf:2";
  server.require = Require::kMustStaple;
  const crypto::X509Ptr nameless = unhashable_certificate();
  server.issuers = {nameless.get()};
  REQUIRE(catalog.add_profile(server));
  server.place = "conf:3";
  REQUIRE(catalog.add_profile(server));
  const Lines ignored = say("");
  REQUIRE(ignored.size() == 1);
  CHECK(ignored[0].find("warn: ocsp_plus: a trusted certificate is ignored, it cannot be used as an issuer: the "
                        "certificate cannot be hashed") == 0);
  CHECK(ignored[0].substr(ignored[0].size() - 17) == ", first in conf:2");
  server.place = "conf:4";
  server.require = Require::kOn;
  REQUIRE(catalog.add_profile(server));
  server.place = "conf:5";
  REQUIRE(catalog.add_profile(server));
  CHECK(
      say("that OpenSSL").back() ==
      "emerg: \"ocsp_plus_require on\" would refuse every handshake that asks for a status: that OpenSSL in conf:4");
}

TEST_CASE("findings: names of issuers in another spelling, where OpenSSL selects", "[findings]") {
  const std::string what =
      ": ocsp_plus: 1 of 1 certificates write their issuer's name in other string types than the issuer itself and "
      "get no staple: OpenSSL 3.6 and newer send no usual response with them, and no response suits all clients; "
      "have them reissued, the first is \"a.example\"";
  Leaf other;
  other.issuer_printable = "Findings CA";
  CHECK(found(other, {{}}, true, true) == Lines{"notice" + what});
  CHECK(found(other, {requiring(Require::kOn)}, true, true) == Lines{"warn" + what});
  CHECK(found(other, {{}}).empty());
  CHECK(found({}, {{}}, true, true).empty());
  other.must_staple = true;
  CHECK(found(other, {{}}, true, true) == Lines{"warn" + what});
  other.ocsp = {};
  for (const std::string& line : found(other, {{}}, true, true)) {
    CHECK(line.find("string types") == std::string::npos);  // it gets none in any case
  }
}

TEST_CASE("findings: a chain that leaves little room for a staple, or none", "[findings]") {
  const auto said = [](std::size_t length, bool must_staple, bool again) {
    CertificateSpec spec;
    spec.subject = "padding";
    spec.extensions = {{"1.2.3.4", false, Bytes(length)}};
    const Identity padding = make_certificate(spec, key(KeyType::kP256, "namesake"), nullptr);
    Leaf leaf;
    leaf.must_staple = must_staple;
    Said large;
    large.chain = {padding.get()};
    const Lines lines = found(leaf, again ? std::vector<Said>{{}, large, {}} : std::vector<Said>{large});
    CHECK(lines.size() <= 1);
    return lines.empty() ? std::string() : lines[0];
  };
  CHECK(said(20000, false, false).empty());
  CHECK(said(40000, false, false).empty());  // Java refuses it in any case
  const std::string line = said(30000, false, false);
  const std::string begin = "warn: ocsp_plus: certificate \"a.example\" and its chain are ";
  CHECK(line.substr(0, begin.size()) == begin);
  const std::size_t size = std::stoul(line.substr(begin.size()));
  const auto rest = [&](const std::string& what, const char* where) {
    return begin + std::to_string(size) +
           " bytes of a Certificate message, of which Java accepts 32768: a staple of " + "more than " +
           std::to_string(32768 - size - 8) + " bytes " + what + "; shorten the chain in conf:" + where;
  };
  CHECK(line == rest("is left out on TLS 1.3", "1"));
  CHECK(said(30000, false, true).find("; shorten the chain in conf:2") != std::string::npos);
  CHECK(said(30000, true, false).find(" bytes is demanded, so it is sent, and Java refuses to connect; shorten") !=
        std::string::npos);
}

TEST_CASE("findings: one notice where a chain is not stapled", "[findings]") {
  const Identity root = make_ca("Chain root"), other = make_ca("Other root");
  const Identity inner = make_intermediate(root, "Inner");
  const Identity leaf = make_leaf(inner, "chain.example", "http://ocsp.example/");
  const auto said = [&](const std::vector<x509_st*>& chain, bool sends, std::string nothing_stapled = "") {
    Settings settings;
    settings.sends_chain = sends;
    Catalog catalog;
    for (const char* place : {"conf:1", "conf:2"}) {
      ServerCertificate server;
      server.leaf = leaf.get();
      server.file = "chain.pem";
      server.place = place;
      server.chain = chain;
      server.staple_chain = true;
      REQUIRE(catalog.add_profile(server));
      REQUIRE(catalog.add(server));
    }
    Lines lines;
    for (const Finding& finding : findings(catalog, settings, nothing_stapled)) {
      lines.push_back(line(finding));
    }
    return lines;
  };
  // A CA without a responder of its own is nobody's fault.
  CHECK(said({inner.get(), root.get()}, true).empty());
  const Lines loose = {
      "notice: ocsp_plus: \"ocsp_plus_chain on\" staples nothing but the leaf with 2 certificates, the first is "
      "\"chain.example\": a CA certificate is stapled only where its issuer is sent too; append "
      "\"CN=Chain root,O=ocsp_plus tests\" to \"chain.pem\" in conf:1"};
  CHECK(said({inner.get()}, true) == loose);
  CHECK(said({inner.get(), other.get()}, true) == loose);
  const Lines older = {
      "notice: ocsp_plus: \"ocsp_plus_chain on\" staples nothing but the leaf: this OpenSSL sends no other staples, "
      "3.6.1 and newer do; first in conf:1"};
  CHECK(said({inner.get()}, false) == older);
  CHECK(said({inner.get(), root.get()}, false) == older);
  const Lines nothing = said({inner.get(), root.get()}, false, "3.6.0 breaks clients");
  REQUIRE(nothing.size() == 1);
  CHECK(nothing[0].find("ocsp_plus_chain") == std::string::npos);
}

TEST_CASE("findings: what others wrote is shortened, and nothing hides the place", "[findings]") {
  Leaf leaf;
  leaf.ocsp = {"http://" + std::string(5000, 'a') + " b/"};
  const Lines lines = found(leaf, {{}});
  for (const std::string& one : lines) {
    CHECK(one.size() < 1000);
  }
  CHECK_FALSE(lines.empty());
}

}  // namespace
}  // namespace ocsp_plus::engine
