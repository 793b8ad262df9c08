// Issuers that are in no file: what a document may hold, what is taken from it, and how a lease holder gets, keeps
// and forgets them.
#include "engine/missing_issuers.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "crypto/issuer_document.h"
#include "store/entry_state.h"
#include "store/zone_registry.h"
#include "tests/fakes/lease_fixture.h"
#include "tests/fakes/verifications.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;

// A certs-only message, by hand: ContentInfo of SignedData without signers (RFC 5652 section 5).
Bytes certs_only(const std::vector<Bytes>& certificates) {
  const Bytes signed_data = der::sequence({der::integer(Bytes{1}), der::tlv(0x31, Bytes()),
                                           der::sequence({der::oid("1.2.840.113549.1.7.1")}),
                                           der::tlv(0xa0, der::join(certificates)), der::tlv(0x31, Bytes())});
  return der::sequence({der::oid("1.2.840.113549.1.7.2"), der::tlv(0xa0, signed_data)});
}

Bytes bytes_of(const std::string& text) {
  return ByteView(text).copy();
}

// What a document is good for as the source of the leaf's issuer.
Result<IssuerPtr> issuer_from(ByteView document, const Identity& leaf) {
  const auto certificates = crypto::read_issuer_document(document);
  if (!certificates) {
    return tl::unexpected<Error>(certificates.error());
  }
  Target target;
  target.certificate = leaf.described();
  target.issuer_lookup = std::make_unique<IssuerLookup>();
  target.issuer_lookup->leaf = crypto::up_ref(leaf.get());
  IssuerPool pool;
  IssuerSearch search = search_document(pool, target, *certificates);
  if (search.finish() == IssuerSearch::Step::kNone) {
    return tl::unexpected<Error>(crypto::issuer_mismatch(*certificates));
  }
  return search.found();
}

TEST_CASE("issuer document: DER, PEM and PKCS#7, and what is none", "[issuer][rfc5280-4.2.2.1]") {
  const Identity& ca = test_ca();
  const Identity other = make_ca("Another CA");
  const Bytes trailed = der::join({ca.der(), Bytes(5, 0)});
  struct Case {
    const char* name;
    Bytes document;
    Reason reason;
  };
  const std::vector<Case> cases = {
      {"DER", ca.der(), Reason::kOk},
      {"DER and more", trailed, Reason::kOk},
      {"PEM", bytes_of("for you:\n" + ca.pem()), Reason::kOk},
      {"the second in PEM", bytes_of(other.pem() + ca.pem()), Reason::kOk},
      {"PKCS#7", certs_only({ca.der()}), Reason::kOk},
      {"the last in PKCS#7", certs_only({other.der(), test_leaf(1).der(), ca.der()}), Reason::kOk},
      {"another CA", other.der(), Reason::kIssuerMismatch},
      {"the certificate itself", test_leaf(0).der(), Reason::kIssuerMismatch},
      {"a message with others", certs_only({other.der()}), Reason::kIssuerMismatch},
      {"a message with none", certs_only({}), Reason::kIssuerMalformed},
      {"a message with garbage", certs_only({Bytes(40, 0x30)}), Reason::kIssuerMalformed},
      {"nothing", Bytes(), Reason::kIssuerMalformed},
      {"half", Bytes(trailed.begin(), trailed.begin() + 200), Reason::kIssuerMalformed},
      {"a page", bytes_of("<html>-----BEGIN "), Reason::kIssuerMalformed},
      {"a key", bytes_of("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), Reason::kIssuerMalformed},
  };
  for (const Case& c : cases) {
    INFO(c.name);
    const auto issuer = issuer_from(c.document, test_leaf(0));
    CHECK(token(issuer ? Reason::kOk : issuer.error().reason) == token(c.reason));
    if (issuer) {
      CHECK(crypto::der_of((*issuer)->certificate()) == ca.der());
    }
  }
}

TEST_CASE("issuer document: only the key that signed the certificate will do", "[issuer]") {
  CertificateSpec spec;
  spec.subject = "Engine CA";
  spec.ca = true;
  spec.key_identifiers = false;
  const Identity lookalike = make_certificate(spec, key(KeyType::kP256, "lookalike"), nullptr);
  spec.subject = "quiet leaf";
  spec.ca = false;
  const Identity quiet = make_certificate(spec, key(KeyType::kP256, "leaf"), &test_ca());

  const auto refused = issuer_from(lookalike.der(), quiet);
  REQUIRE_FALSE(refused);
  CHECK(token(refused.error().reason) == "issuer_mismatch");
  CHECK(issuer_from(certs_only({lookalike.der(), test_ca().der()}), quiet));
  // Names of issuers are compared, not believed.
  CHECK(*crypto::issuer_reference(quiet.get()) != *crypto::issuer_reference(test_leaf(0).get()));
  CHECK(*crypto::issuer_reference(test_leaf(1).get()) == *crypto::issuer_reference(test_leaf(0).get()));
}

TEST_CASE("issuer document: no more certificates are looked at than it takes", "[issuer]") {
  std::vector<Bytes> many(crypto::kMaxIssuerCandidates, make_ca("Another CA").der());
  many.push_back(test_ca().der());
  CHECK(crypto::read_issuer_document(certs_only(many))->size() == crypto::kMaxIssuerCandidates);
  CHECK_FALSE(issuer_from(certs_only(many), test_leaf(0)));
}

// Certificates without an issuer, and a host that has it.
struct Fixture : LeaseFixture {
  Fixture() { settings.retry = {1, 60}; }
  Identity leaf(const std::string& name, std::vector<std::string> urls, std::uint8_t serial = 1) {
    CertificateSpec spec;
    spec.subject = name;
    spec.serial = {0x11, serial};
    spec.ca_issuers_urls = std::move(urls);
    return make_certificate(spec, key(KeyType::kP256, "leaf"), &test_ca());
  }
  std::size_t add_without(const Identity& certificate) {
    const std::string url = responder.url("0");
    ServerCertificate server_certificate;
    server_certificate.leaf = certificate.get();
    server_certificate.responders = {url};
    leaves.push_back(certificate.der());
    (void)catalog.add(server_certificate).value();
    return catalog.targets().size() - 1;
  }
  void open(bool fetch = true) {
    catalog.settle_issuers(fetch);
    std::vector<store::Registration> registrations;
    for (const auto& target : catalog.targets()) {
      registrations.push_back({target->certificate.id, store::kUnknownIssuer});
    }
    std::vector<store::EntryIndex> entries;
    generation = store::register_all(zone, lock, registrations, &entries).value();
    for (std::size_t i = 0; i < entries.size(); ++i) {
      catalog.targets()[i]->entry = entries[i];
    }
  }

  OcspServer& host = server(always(ocsp_reply(test_ca().der())));
  OcspServer& spare = server(always(ocsp_reply(test_ca().der())));
  // Answers for whatever leaf it is asked for: they differ in their serial number only.
  OcspServer& responder = server([this](const std::string&) {
    const UnixSeconds now = loop.clock.now();
    return ocsp_reply(good_response(*answered, test_ca(), now, now + 3 * kDay));
  });
  const Identity* answered = nullptr;
  std::vector<Bytes> leaves;
};

TEST_CASE("missing issuers: fetched, used, and kept for the next holder", "[issuer]") {
  Fixture f;
  const Identity leaf = f.leaf("one", {"ldap://nobody/", f.host.url("ca.der")});
  f.answered = &leaf;
  f.add_without(leaf);
  f.open();
  Target& target = *f.catalog.targets()[0];
  REQUIRE(target.stapleable());
  REQUIRE(target.issuer == nullptr);
  f.take_lease();
  f.pass(2);
  CHECK(f.stapled(0));
  CHECK(f.host.asked.size() == 1);
  REQUIRE(target.issuer != nullptr);
  CHECK(f.zone.entry(target.entry).issuer_key == test_ca().issuer()->key_sha256());
  CHECK(f.log.count("issuer fetched") == 1);
  CHECK(store::CacheFiles::open(f.directory.string(), 65536)
            ->load(target.issuer_lookup->reference, store::FileKind::kIssuer)
            ->bytes == test_ca().der());

  f.holder.reset();
  CHECK(f.stapled(0));

  SECTION("the next holder in this process still knows it") {
    f.host.answer = EngineFixture::hang();
    f.take_lease();
    f.loop.clock.advance(2 * kDay * 1000);
    f.pass(5);
    CHECK(f.responder.asked.size() == 2);
    CHECK(f.host.asked.size() == 1);
  }
  // As another process would find it, which never had the issuer.
  target.issuer = nullptr;
  f.catalog.issuers().sweep(100);
  REQUIRE(f.catalog.issuers().size() == 0);
  SECTION("the next holder has it from the directory") {
    f.host.answer = EngineFixture::hang();
    f.take_lease();
    f.pass(1);
    CHECK(target.issuer != nullptr);
    f.loop.clock.advance(2 * kDay * 1000);
    f.pass(5);
    CHECK(f.responder.asked.size() == 2);
    CHECK(f.host.asked.size() == 1);
    CHECK(f.log.count("issuer fetched") == 1);
  }
  SECTION("what was planted there is not used, and replaced") {
    auto disk = store::CacheFiles::open(f.directory.string(), 65536);
    REQUIRE(disk->save(target.issuer_lookup->reference, {make_ca("Another CA").der(), 0}, store::FileKind::kIssuer));
    f.take_lease();
    f.loop.clock.advance(2 * kDay * 1000);
    f.pass(5);
    CHECK(f.host.asked.size() == 2);
    CHECK(disk->load(target.issuer_lookup->reference, store::FileKind::kIssuer)->bytes == test_ca().der());
  }
  f.holder.reset();
}

TEST_CASE("missing issuers: the next URL, and the reason of the last", "[issuer]") {
  Fixture f;
  const Identity leaf = f.leaf("one", {f.host.url("a"), f.spare.url("b")});
  f.answered = &leaf;
  f.add_without(leaf);
  f.open();
  f.host.answer = EngineFixture::always("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
  SECTION("has it") {
    f.take_lease();
    f.pass(2);
    CHECK(f.stapled(0));
  }
  SECTION("hangs: the first gets half of the time") {
    f.host.answer = EngineFixture::hang();
    f.take_lease();
    f.pass(f.settings.timeout / 1000);
    CHECK(f.stapled(0));
  }
  SECTION("sends us on, to another port of this machine") {
    OcspServer& inside = f.server(EngineFixture::always(ocsp_reply(test_ca().der())));
    f.host.answer = EngineFixture::always("HTTP/1.1 302 Found\r\nLocation: " + inside.url("ca") +
                                          "\r\nContent-Length: 0\r\n\r\n");
    f.spare.answer = f.host.answer;
    f.take_lease();
    f.pass(2);
    CHECK_FALSE(f.stapled(0));
    CHECK(token(store::read_attempt(f.zone, f.catalog.targets()[0]->entry).reason) == "redirect_forbidden");
    CHECK(inside.asked.empty());
  }
  SECTION("sends us on, to a host that is named") {
    f.host.answer = EngineFixture::always("HTTP/1.1 302 Found\r\nLocation: " + f.responder.url("ca") +
                                          "\r\nContent-Length: 0\r\n\r\n");
    f.spare.answer = f.host.answer;
    const auto answer = f.responder.answer;
    f.responder.answer = [answer](const std::string& head) {
      return OcspServer::path_of(head) == "ca" ? ocsp_reply(test_ca().der()) : answer(head);
    };
    f.take_lease();
    f.pass(2);
    CHECK(f.stapled(0));
  }
  SECTION("has another") {
    f.spare.answer = EngineFixture::always(ocsp_reply(make_ca("Another CA").der()));
    f.take_lease();
    f.pass(2);
    CHECK_FALSE(f.stapled(0));
    CHECK(token(store::read_attempt(f.zone, f.catalog.targets()[0]->entry).reason) == "issuer_mismatch");
    CHECK(store::read_detail(f.zone, f.catalog.targets()[0]->entry).find(f.spare.url("b")) != std::string::npos);
    CHECK(f.responder.asked.empty());
  }
  SECTION("nothing but a page: the host fails, and is left alone; it mends itself") {
    f.spare.answer = EngineFixture::always(ocsp_reply(bytes_of("<html>")));
    f.take_lease();
    f.pass(20);
    CHECK(token(store::read_attempt(f.zone, f.catalog.targets()[0]->entry).reason) == "issuer_malformed");
    CHECK(f.spare.asked.size() < 8);
    CHECK(f.log.count("no response") >= 1);
    f.spare.answer = EngineFixture::always(ocsp_reply(test_ca().der()));
    f.pass(120);
    CHECK(f.stapled(0));
  }
  f.holder.reset();
}

TEST_CASE("missing issuers: while nothing is held, the host that has it is tried often enough", "[issuer]") {
  struct Case {
    const char* reply;
    Seconds from, to;
  };
  for (const Case& c : {Case{"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 80, 122},
                        Case{"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", 1500, 7205}}) {
    INFO(c.reply);
    Fixture f;
    f.settings.retry = {5, 3600};
    const Identity leaf = f.leaf("one", {f.host.url("a")});
    f.answered = &leaf;
    f.catalog.targets()[f.add_without(leaf)]->required = true;
    f.open();
    f.host.answer = EngineFixture::always(c.reply);
    f.take_lease();
    f.pass(12 * kHour);
    Seconds longest = 0;
    for (std::size_t i = 1; i < f.host.asked.size(); ++i) {
      longest = std::max(longest, f.host.asked[i].at - f.host.asked[i - 1].at);
    }
    CHECK((longest >= c.from && longest <= c.to));
    f.holder.reset();
  }
}

TEST_CASE("missing issuers: who waits for the same one gets it as well", "[issuer]") {
  Fixture f;
  std::vector<Identity> leaves;
  for (std::uint8_t i = 0; i < 40; ++i) {
    leaves.push_back(f.leaf("leaf" + std::to_string(i), {f.host.url("ca.der")}, i));
    f.add_without(leaves.back());
  }
  f.answered = &leaves[0];
  f.settings.retry = {1, 3600};
  f.host.answer = EngineFixture::always("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
  f.open();
  f.take_lease();
  f.pass(600);
  const std::size_t before = f.host.asked.size();
  CHECK(before < 60);  // probes of one host, not tries of forty certificates
  f.host.answer = EngineFixture::always(ocsp_reply(test_ca().der()));
  f.pass(3600);
  CHECK(f.host.asked.size() <= before + 2);
  for (const auto& target : f.catalog.targets()) {
    CHECK(target->issuer != nullptr);
  }
  CHECK(f.log.count("issuer fetched") == 1);
  f.holder.reset();
}

TEST_CASE("missing issuers: one that another certificate's chain has brought is not fetched", "[issuer]") {
  Fixture f;
  const Identity leaf = f.leaf("one", {f.host.url("ca.der")});
  f.answered = &leaf;
  f.add_without(leaf);
  ServerCertificate other;
  other.leaf = test_leaf(0).get();
  other.issuers = {test_ca().get()};
  REQUIRE(f.catalog.add(other));
  f.open();
  f.take_lease();
  f.pass(2);
  CHECK(f.stapled(0));
  CHECK(f.host.asked.empty());
  CHECK(f.log.count("issuer fetched") == 0);
  f.holder.reset();
}

// A CA of test_ca()'s name.
Identity impostor(std::size_t number) {
  CertificateSpec spec;
  spec.subject = "Engine CA";
  spec.serial = {0x51, static_cast<std::uint8_t>(number)};
  spec.ca = true;
  spec.key_identifiers = false;
  return make_certificate(spec, key(KeyType::kP256, "impostor"), nullptr);
}

TEST_CASE("missing issuers: of a certificate that ends while it waits nobody is asked", "[issuer]") {
  Fixture f;
  std::vector<IssuerPtr> tenants;
  for (std::size_t i = 0; i < 200; ++i) {
    tenants.push_back(*f.catalog.issuers().intern(impostor(i).get()));
  }
  CertificateSpec spec;
  spec.subject = "nearly over";
  spec.ca_issuers_urls = {f.host.url("ca.der")};
  spec.not_after = f.loop.clock.now() + 1;
  f.add_without(make_certificate(spec, key(KeyType::kP256, "leaf"), &test_ca()));
  f.open();
  f.take_lease();
  f.pass(120);
  CHECK(f.host.asked.empty());
  f.holder.reset();
}

TEST_CASE("missing issuers: a crowd of one name is looked through a verification in a turn", "[issuer]") {
  Fixture f;
  std::vector<IssuerPtr> tenants;
  for (std::size_t i = 0; i < 200; ++i) {
    tenants.push_back(*f.catalog.issuers().intern(impostor(i).get()));
  }
  std::vector<Bytes> document;
  for (std::size_t i = 200; i < 231; ++i) {
    document.push_back(impostor(i).der());
  }
  document.push_back(test_ca().der());
  f.host.answer = EngineFixture::always(ocsp_reply(certs_only(document)));
  CertificateSpec spec;
  spec.subject = "without key identifier";
  spec.key_identifiers = false;
  spec.ca_issuers_urls = {f.host.url("ca.p7c")};
  const Identity leaf = make_certificate(spec, key(KeyType::kP256, "leaf"), &test_ca());
  f.answered = &leaf;
  f.add_without(leaf);
  f.open();
  f.take_lease();
  std::size_t before = verifications();
  const std::size_t began = before;
  std::size_t most = 0;
  f.loop.each_turn = [&] {
    most = std::max(most, verifications() - before);
    before = verifications();
  };
  f.pass(60);
  f.loop.each_turn = nullptr;
  CHECK(f.stapled(0));
  CHECK(most == 1);
  // Some of those that are known, all of the document.
  CHECK(verifications() - began >= 32);
  CHECK(verifications() - began < 100);
  f.holder.reset();
}

TEST_CASE("missing issuers: not fetched where that is off, or another server names it", "[issuer]") {
  Fixture f;
  const Identity leaf = f.leaf("one", {f.host.url("ca.der")});
  f.add_without(leaf);
  SECTION("off") {
    f.open(false);
    CHECK_FALSE(f.catalog.targets()[0]->stapleable());
  }
  SECTION("named") {
    ServerCertificate server_certificate;
    server_certificate.leaf = leaf.get();
    server_certificate.issuers = {test_ca().get()};
    const auto added = f.catalog.add(server_certificate);
    REQUIRE(added);
    CHECK(added->target->issuer_reference == CertificateId());
    f.open();
    CHECK(f.catalog.targets()[0]->issuer_lookup == nullptr);
    CHECK(f.catalog.targets()[0]->stapleable());
  }
  CHECK(f.catalog.hosts() == std::vector<std::string>{f.responder.host()});
}

TEST_CASE("missing issuers: the certificate's URLs are bounded, and of schemes we speak", "[issuer]") {
  Fixture f;
  const Identity leaf = f.leaf("one", {"ldap://a/", "http://b/", "http://b/", "ftp://c/", "https://d/", "http://e/",
                                       "http://f/", "http://g/", "http://h/"});
  CHECK(f.catalog.targets()[f.add_without(leaf)]->leaf != nullptr);
  f.catalog.settle_issuers(true);
  std::vector<std::string> urls;
  for (const net::Url* url : f.catalog.targets()[0]->issuer_lookup->urls) {
    urls.push_back(url->to_string());
  }
  CHECK(urls == std::vector<std::string>{"http://b/", "https://d/", "http://e/", "http://f/"});
  CHECK(f.catalog.targets()[0]->leaf == nullptr);
}

}  // namespace
}  // namespace ocsp_plus::engine
