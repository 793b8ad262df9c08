// Certificates that are loaded per connection, through the lease as its holders come and go.
#include "engine/discovery.h"

#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "crypto/issuer_document.h"
#include "store/entry_state.h"
#include "store/shared_stats.h"
#include "tests/fakes/lease_fixture.h"
#include "tests/fakes/refresher_fixture.h"
#include "tests/fakes/verifications.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;

// Like test_leaf(), with responders of its own. `url` is no std::string, since g++ 14 warns that the result may refer
// to one that has ended.
const Identity& tenant(std::size_t number, const char* url, const Identity* issuer = nullptr) {
  static std::map<std::string, Identity> made;
  const std::string name = std::to_string(number) + url + (issuer != nullptr ? issuer->described().subject : "");
  auto found = made.find(name);
  if (found == made.end()) {
    CertificateSpec spec;
    spec.subject = "tenant" + std::to_string(number);
    spec.dns_names = {spec.subject + ".example"};
    spec.serial = {0x20, static_cast<std::uint8_t>(number >> 8 & 0xff), static_cast<std::uint8_t>(number & 0xff)};
    spec.ocsp_urls = {url};
    found = made.emplace(name,
                         make_certificate(spec, key(KeyType::kP256, "leaf"), issuer == nullptr ? &test_ca() : issuer))
                .first;
  }
  return found->second;
}

// With so many names of 28 bytes each in the certificate.
Identity large(std::size_t names, const std::string& url, const std::string& ca_issuers = {}) {
  CertificateSpec spec;
  spec.subject = "large";
  for (std::size_t i = 0; i < names; ++i) {
    spec.dns_names.push_back("name" + std::to_string(10000000 + i) + ".large.example");
  }
  spec.serial = {0x30, static_cast<std::uint8_t>(names >> 8 & 0xff), static_cast<std::uint8_t>(names & 0xff),
                 static_cast<std::uint8_t>(ca_issuers.size())};
  spec.ocsp_urls = {url};
  if (!ca_issuers.empty()) {
    spec.ca_issuers_urls = {ca_issuers};
  }
  return make_certificate(spec, key(KeyType::kP256, "leaf"), &test_ca());
}

struct Fixture : LeaseFixture {
  explicit Fixture(std::size_t zone_size = 1 << 20) : LeaseFixture(zone_size) {
    ServerCertificate server_certificate;
    server_certificate.servers = {"trusting.example"};
    server_certificate.issuers = {test_ca().get()};
    trusting = catalog.add_profile(server_certificate).value()->key;
    server_certificate.servers = {"strict.example"};
    server_certificate.issuers = {};
    strict = catalog.add_profile(server_certificate).value()->key;
  }
  bool offer(const Identity& leaf, std::uint64_t profile, const std::vector<const Identity*>& chain) {
    std::vector<Bytes> der;
    for (const Identity* identity : chain) {
      der.push_back(crypto::der_of(identity->get()));
    }
    return store::offer(zone, getpid(), profile, leaf.described().id, crypto::der_of(leaf.get()),
                        {der.begin(), der.end()});
  }
  store::EntryIndex entry(const Identity& leaf) const { return zone.find(leaf.described().id); }
  bool held(const Identity& leaf) const { return zone.peek(entry(leaf), leaf.described().id).has_value(); }
  Reason reason(const Identity& leaf) const { return store::read_attempt(zone, entry(leaf)).reason; }
  OcspServer::Answer answers(const Identity& leaf, const Identity& issuer, Seconds span = 3 * kDay) {
    return [this, &leaf, &issuer, span](const std::string&) {
      const UnixSeconds now = loop.clock.now();
      return ocsp_reply(good_response(leaf, issuer, now, now + span));
    };
  }
  std::uint64_t count(store::Counter::Kind what) const { return store::counted(zone, what); }

  std::uint64_t trusting = 0, strict = 0;
};

TEST_CASE("loaded certificates: offered, fetched, and taken over by the next holder", "[loaded]") {
  Fixture fixture;
  const OcspServer& server = fixture.server();
  const Identity& leaf = tenant(1, server.url("1").c_str());
  fixture.servers[0]->answer = fixture.answers(leaf, test_ca());
  fixture.take_lease();
  REQUIRE(fixture.offer(leaf, fixture.trusting, {&test_ca()}));
  fixture.pass(2);
  REQUIRE(fixture.held(leaf));
  // The table of hosts has no room for those that tenants choose.
  CHECK_FALSE(store::HostTable(fixture.zone).find(server.host()).has_value());
  CHECK(fixture.holder->roster().per_connection() == 1);
  CHECK(fixture.count(store::Counter::kTaken) == 1);
  const auto state = store::per_connection_state(fixture.zone, fixture.entry(leaf));
  REQUIRE(state);
  CHECK(state->profile == fixture.trusting);
  // Offered once more, by another worker: nothing new.
  REQUIRE(fixture.offer(leaf, fixture.strict, {&test_ca()}));
  fixture.pass(1);
  CHECK(fixture.count(store::Counter::kTaken) == 1);
  CHECK(store::per_connection_state(fixture.zone, fixture.entry(leaf))->profile == fixture.trusting);
  fixture.take_lease();
  fixture.pass(2);
  CHECK(fixture.holder->roster().per_connection() == 1);
  const std::size_t before = fixture.servers[0]->asked.size();
  fixture.pass(2 * kDay);
  CHECK(fixture.servers[0]->asked.size() > before);  // goes on
}

TEST_CASE("loaded certificates: an address that is not public", "[loaded]") {
  Fixture fixture;
  const OcspServer& server = fixture.server();
  const Identity& leaf = tenant(2, server.url("2").c_str());
  fixture.servers[0]->answer = fixture.answers(leaf, test_ca());
  fixture.take_lease();
  REQUIRE(fixture.offer(leaf, fixture.strict, {&test_ca()}));
  fixture.pass(2);
  CHECK_FALSE(fixture.held(leaf));
  CHECK(fixture.reason(leaf) == Reason::kAddressForbidden);
  CHECK(fixture.servers[0]->asked.size() == 0);
  // The operator vouches for it in another server that loads it.
  store::record_profile(fixture.zone, fixture.entry(leaf), fixture.trusting);
  fixture.pass(10);
  CHECK(fixture.held(leaf));
}

TEST_CASE("loaded certificates: which can never have a staple is noted for handshakes", "[loaded]") {
  Fixture fixture;
  const OcspServer& server = fixture.server();
  const Identity& silent = tenant(5, "ldap://ldap.example/");
  const Identity& asked = tenant(6, server.url("6").c_str());
  fixture.take_lease();
  for (const Identity* leaf : {&silent, &asked}) {
    REQUIRE(fixture.offer(*leaf, fixture.strict, {&test_ca()}));
    fixture.pass(2);
    CHECK(store::per_connection_state(fixture.zone, fixture.entry(*leaf))->unsupported == (leaf == &silent));
  }
}

TEST_CASE("loaded certificates: whoever is not the issuer", "[loaded]") {
  Fixture fixture;
  const Identity other = make_ca("Engine CA", KeyType::kRsa2048);  // the same name, another key
  const OcspServer& server = fixture.server();
  const Identity& leaf = tenant(3, server.url("3").c_str(), &other);
  fixture.take_lease();
  REQUIRE(fixture.offer(leaf, fixture.trusting, {}));
  fixture.pass(2);
  REQUIRE(fixture.entry(leaf) != store::kNoEntry);
  CHECK_FALSE(store::per_connection_state(fixture.zone, fixture.entry(leaf))->has_issuer);
  CHECK(fixture.servers[0]->asked.size() == 0);
  CHECK(std::any_of(fixture.log.lines.begin(), fixture.log.lines.end(), [](const auto& line) {
    return line.second.find("with its issuer's name was found, but its key identifier is not") != std::string::npos;
  }));
  // The whole chain comes later; the trusted one has not signed it, so nobody vouches.
  REQUIRE(fixture.offer(leaf, fixture.trusting, {&other}));
  fixture.pass(2);
  CHECK(store::per_connection_state(fixture.zone, fixture.entry(leaf))->has_issuer);
  CHECK(fixture.reason(leaf) == Reason::kAddressForbidden);
}

TEST_CASE("loaded certificates: no issuer is an error of a leaf, and a warning of a CA's", "[loaded]") {
  Fixture fixture;
  ServerCertificate chained;
  chained.servers = {"chained.example"};
  chained.staple_chain = true;
  const Profile* const leaves = fixture.catalog.add_profile(chained).value();
  const Identity other = make_ca("Other CA");
  const Identity& leaf = tenant(7, "http://192.0.2.1/", &other);
  const bool ca = GENERATE(false, true);
  fixture.take_lease();
  REQUIRE(fixture.offer(leaf, ca ? leaves->chain_key : leaves->key, {}));
  fixture.pass(2);
  const auto said = [&fixture](const std::string& text) {
    return std::find_if(fixture.log.lines.begin(), fixture.log.lines.end(),
                        [&text](const auto& line) { return line.second.find(text) != std::string::npos; });
  };
  const auto missing = said("no issuer found for a certificate loaded per connection");
  REQUIRE(missing != fixture.log.lines.end());
  CHECK(missing->first == (ca ? LogLevel::kWarn : LogLevel::kError));
  // A later handshake brings it.
  REQUIRE(fixture.offer(leaf, ca ? leaves->chain_key : leaves->key, {&other}));
  fixture.pass(2);
  const auto found = said("the issuer of a certificate loaded per connection was found");
  REQUIRE(found != fixture.log.lines.end());
  CHECK(found->first == (ca ? LogLevel::kWarn : LogLevel::kError));
}

// Like tenant(), of a chain without the issuer.
Identity seeker(std::size_t number, const std::string& ocsp_url, const std::string& issuer_url) {
  CertificateSpec spec;
  spec.subject = "seeker" + std::to_string(number);
  spec.serial = {0x21, static_cast<std::uint8_t>(number >> 8 & 0xff), static_cast<std::uint8_t>(number & 0xff)};
  spec.ocsp_urls = {ocsp_url};
  spec.ca_issuers_urls = {issuer_url};
  return make_certificate(spec, key(KeyType::kP256, "leaf"), &test_ca());
}

TEST_CASE("loaded certificates: a missing issuer is fetched", "[loaded][issuer]") {
  Fixture fixture;
  OcspServer& proxy = fixture.server();
  const Identity leaf = seeker(1, "http://ocsp.test/", "http://ca.test/ca.der");
  const auto responses = fixture.answers(leaf, test_ca());
  std::size_t issuers_asked = 0;
  proxy.answer = [&](const std::string& head) {
    const bool issuer = head.find("http://ca.test/") != std::string::npos;
    issuers_asked += issuer ? 1 : 0;
    return issuer ? ocsp_reply(test_ca().der()) : responses(head);
  };
  fixture.settings.proxy = net::Proxy::parse("http://" + proxy.host()).value();
  fixture.take_lease();
  REQUIRE(fixture.offer(leaf, fixture.strict, {}));
  fixture.pass(3);
  CHECK(fixture.held(leaf));
  CHECK(issuers_asked == 1);
  const store::EntryIndex entry = fixture.entry(leaf);
  REQUIRE(store::per_connection_state(fixture.zone, entry));
  CHECK(store::per_connection_state(fixture.zone, entry)->has_issuer);
  CHECK(fixture.holder->roster().find(entry)->target.issuer_lookup == nullptr);
  CHECK(store::read_attempt(fixture.zone, entry).failures == 0);
  // The next holder has it from the zone.
  fixture.take_lease();
  fixture.pass(2 * kDay);
  CHECK(proxy.asked.size() > 2);
  CHECK(fixture.held(leaf));
  CHECK(issuers_asked == 1);
  CHECK(store::CacheFiles::open(fixture.directory.string(), 65536)
            ->load(crypto::issuer_reference(leaf.get()).value(), store::FileKind::kIssuer)
            ->bytes.empty());
}

TEST_CASE("loaded certificates: a missing issuer at an address that is not public", "[loaded][issuer]") {
  Fixture fixture;
  OcspServer& server = fixture.server(EngineFixture::always(ocsp_reply(test_ca().der())));
  const Identity leaf = seeker(2, server.url("2"), server.url("ca.der"));
  fixture.take_lease();
  // Nor where this server's word is good enough for responders: the issuer is not known yet.
  for (const std::uint64_t profile : {fixture.strict, fixture.trusting}) {
    store::record_profile(fixture.zone, fixture.entry(leaf), profile);
    REQUIRE(fixture.offer(leaf, fixture.strict, {}));
    fixture.pass(2);
    CHECK(fixture.reason(leaf) == Reason::kAddressForbidden);
  }
  CHECK(server.asked.empty());
}

TEST_CASE("loaded certificates: so many issuers are sought at a time, and failing ones make room",
          "[loaded][issuer]") {
  Fixture fixture(8 << 20);
  OcspServer& proxy = fixture.server();
  fixture.settings.proxy = net::Proxy::parse("http://" + proxy.host()).value();
  fixture.settings.retry = {1, 2};
  const Identity last = seeker(9999, "http://ocsp.test/", "http://ca.test/ca.der");
  const auto responses = fixture.answers(last, test_ca());
  proxy.answer = [&](const std::string& head) {
    if (head.find("http://nobody.test/") != std::string::npos) {
      return std::string("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    }
    return head.find("http://ca.test/") != std::string::npos ? ocsp_reply(test_ca().der()) : responses(head);
  };
  fixture.take_lease();
  for (std::size_t i = 0; i < Discovery::kMaxLookups; ++i) {
    REQUIRE(fixture.offer(seeker(i, "http://ocsp.test/", "http://nobody.test/ca.der"), fixture.strict, {}));
    fixture.pass(1);
  }
  fixture.pass(60);
  REQUIRE(fixture.offer(last, fixture.strict, {}));
  fixture.pass(5);
  CHECK(fixture.held(last));
}

// What is kept of each takes several times its size.
TEST_CASE("loaded certificates: so many bytes wait for their issuers", "[loaded][issuer]") {
  Fixture fixture(64 << 20);
  OcspServer& proxy = fixture.server(EngineFixture::hang());
  fixture.settings.proxy = net::Proxy::parse("http://" + proxy.host()).value();
  fixture.take_lease();
  const std::size_t names = 8000, count = Discovery::kMaxLookupBytes / (names * 28) + 5;
  std::vector<Identity> leaves;
  for (std::size_t i = 0; i < count; ++i) {
    leaves.push_back(large(names + i, "http://ocsp.test/", "http://ca.test/ca.der"));
    REQUIRE(fixture.offer(leaves.back(), fixture.strict, {}));
    fixture.pass(1);
  }
  std::size_t bytes = 0;
  std::size_t seeking = 0;
  for (const Identity& leaf : leaves) {
    const Record* const record = fixture.holder->roster().find(fixture.entry(leaf));
    const Target* const target = record != nullptr ? &record->target : nullptr;
    if (target != nullptr && target->issuer_lookup != nullptr) {  // those that fail make room
      bytes += leaf.der().size();
      ++seeking;
    }
  }
  CHECK(seeking > 1);
  CHECK(seeking < count);
  CHECK(bytes < Discovery::kMaxLookupBytes + leaves.back().der().size());
}

TEST_CASE("loaded certificates: a large one is like any other", "[loaded]") {
  Fixture fixture(8 << 20);
  OcspServer& server = fixture.server();
  const std::size_t names = GENERATE(300, 3000, 8500);
  const Identity leaf = large(names, server.url("large"));
  REQUIRE(leaf.der().size() > store::kOfferBytes);
  server.answer = fixture.answers(leaf, test_ca());
  fixture.take_lease();
  REQUIRE(fixture.offer(leaf, fixture.trusting, {&test_ca()}));
  fixture.pass(2);
  REQUIRE(fixture.held(leaf));
  CHECK(store::per_connection_state(fixture.zone, fixture.entry(leaf))->has_issuer);
  CHECK(fixture.count(store::Counter::kTaken) == 1);
  CHECK(fixture.count(store::Counter::kDropped) == 0);
  CHECK(fixture.count(store::Counter::kRefused) == 0);
  fixture.take_lease();
  fixture.pass(2);
  CHECK(fixture.holder->roster().per_connection() == 1);
  server.asked.clear();
  fixture.pass(2 * kDay);
  CHECK(server.asked.size() == 1);
  CHECK(fixture.held(leaf));
}

// Free space lies in pieces, of which none is large enough.
TEST_CASE("loaded certificates: a large one drives out a few others", "[loaded]") {
  Fixture fixture(1 << 20);
  OcspServer& server = fixture.server(EngineFixture::hang());
  const std::string url = server.url("x");
  fixture.take_lease();
  std::size_t count = 0;
  for (; fixture.count(store::Counter::kEvicted) == 0; ++count) {
    REQUIRE(count < 1000);
    const Identity leaf = large(50 + count, url);
    REQUIRE(fixture.offer(leaf, fixture.trusting, {&test_ca()}));
    fixture.pass(1);
    if (count % 2 == 0) {
      store::record_use(fixture.zone, fixture.entry(leaf), fixture.loop.clock.now());
    }
  }
  REQUIRE(count > 50);
  const std::uint64_t before = fixture.count(store::Counter::kEvicted);
  const Identity leaf = large(2100, url);
  REQUIRE(fixture.offer(leaf, fixture.trusting, {&test_ca()}));
  fixture.pass(1);
  CHECK(fixture.entry(leaf) != store::kNoEntry);
  CHECK(fixture.count(store::Counter::kRefused) == 0);
  CHECK(fixture.count(store::Counter::kEvicted) > before);
  CHECK(fixture.holder->roster().per_connection() > count / 3);
}

TEST_CASE("loaded certificates: one that is too large is told", "[loaded]") {
  Fixture fixture(1 << 20);
  fixture.take_lease();
  const CertificateId id = {0xab};
  const std::size_t limit = store::max_offer_bytes(fixture.zone);
  const auto lines = [&](const std::string& text) {
    return std::count_if(fixture.log.lines.begin(), fixture.log.lines.end(),
                         [&](const auto& line) { return line.second.find(text) != std::string::npos; });
  };
  REQUIRE(store::offer_too_large(fixture.zone, getpid(), fixture.strict, id, limit + 1, "a\nb.example"));
  fixture.pass(1);
  CHECK(fixture.count(store::Counter::kRefused) == 1);
  CHECK(fixture.count(store::Counter::kDropped) == 0);
  CHECK(fixture.holder->roster().per_connection() == 0);
  CHECK(lines("too large, it gets no staple: enlarge ocsp_plus_zone, name its file in ssl_certificate without "
              "variables, or spread its names over several: certificate=\"a\\x0ab.example\" id=ab0000") == 1);
  CHECK(lines("server=\"strict.example\" bytes=65473 limit=65472 certificates=1 reason=certificate_too_large") == 1);
  CHECK(lines("left out") == 0);
  // Once an hour; and a zone of any size is too small for that.
  REQUIRE(store::offer_too_large(fixture.zone, getpid(), 4711, id, limit + 1, ""));
  fixture.pass(1);
  CHECK(lines("certificate_too_large") == 1);
  fixture.pass(3600);
  REQUIRE(store::offer_too_large(fixture.zone, getpid(), 4711, id, store::kLargeOfferBytes + 1, ""));
  fixture.pass(1);
  CHECK(lines("too large, it gets no staple: name its file") == 1);
  CHECK(lines("certificates=2 reason=certificate_too_large") == 1);
  CHECK(fixture.count(store::Counter::kRefused) == 3);
}

TEST_CASE("loaded certificates: what makes no sense", "[loaded]") {
  Fixture fixture;
  fixture.take_lease();
  const Bytes garbage(100, 0x30);
  REQUIRE(store::offer(fixture.zone, getpid(), fixture.trusting, {}, garbage, {}));
  const Identity& leaf = tenant(4, "http://127.0.0.1:1/");
  REQUIRE(
      store::offer(fixture.zone, getpid(), fixture.trusting, {}, crypto::der_of(leaf.get()), {}));  // another's id
  fixture.pass(1);
  CHECK(fixture.count(store::Counter::kRefused) == 2);
  CHECK(fixture.holder->roster().per_connection() == 0);
}

TEST_CASE("loaded certificates: a configuration names one", "[loaded]") {
  Fixture fixture;
  const OcspServer& server = fixture.server(fixture.good_answers(3 * kDay));
  fixture.take_lease();
  REQUIRE(fixture.offer(test_leaf(7), fixture.trusting, {&test_ca()}));
  fixture.pass(2);
  const store::EntryIndex entry = fixture.entry(test_leaf(7));
  REQUIRE(fixture.holder->roster().per_connection() == 1);
  fixture.holder.reset();
  fixture.add(7, {&server});
  fixture.generation = fixture.register_all();
  fixture.take_lease();
  fixture.pass(2);
  CHECK(fixture.entry(test_leaf(7)) == entry);
  CHECK_FALSE(store::per_connection_state(fixture.zone, entry));
  CHECK(fixture.holder->roster().per_connection() == 0);
  CHECK(fixture.stapled(0));
}

TEST_CASE("loaded certificates: those not used for longest give way, not those in use", "[loaded]") {
  Fixture fixture(512 << 10);
  OcspServer& server = fixture.server();
  fixture.take_lease();
  std::vector<const Identity*> leaves;
  const std::string url = server.url("x");
  for (std::size_t i = 0; fixture.count(store::Counter::kEvicted) == 0; ++i) {
    REQUIRE(i < 1000);
    leaves.push_back(&tenant(100 + i, url.c_str()));
    server.answer = fixture.answers(*leaves.back(), test_ca());
    REQUIRE(fixture.offer(*leaves.back(), fixture.trusting, {&test_ca()}));
    fixture.pass(6);
    if (i > 0 && fixture.entry(*leaves[0]) != store::kNoEntry) {
      store::record_use(fixture.zone, fixture.entry(*leaves[0]), fixture.loop.clock.now());
    }
  }
  CHECK(leaves.size() > 50);
  CHECK(fixture.held(*leaves[0]));  // in use
  CHECK(fixture.held(*leaves.back()));
  CHECK(fixture.entry(*leaves[1]) == store::kNoEntry);
  CHECK(fixture.holder->roster().per_connection() == leaves.size() - fixture.count(store::Counter::kEvicted));
}

TEST_CASE("loaded certificates: a flood drives out itself", "[loaded]") {
  Fixture fixture(512 << 10);
  OcspServer& server = fixture.server();
  const Identity& used = tenant(300, server.url("used").c_str());
  server.answer = fixture.answers(used, test_ca());
  fixture.take_lease();
  REQUIRE(fixture.offer(used, fixture.trusting, {&test_ca()}));
  fixture.pass(2);
  store::record_use(fixture.zone, fixture.entry(used), fixture.loop.clock.now());
  server.answer = EngineFixture::hang();
  for (std::size_t i = 1; fixture.count(store::Counter::kEvicted) == 0; ++i) {
    REQUIRE(i < 2000);
    REQUIRE(fixture.offer(tenant(300 + i, server.url("flood").c_str()), fixture.trusting, {&test_ca()}));
    REQUIRE(fixture.holder->tick());
    fixture.loop.pass(20);  // in less than a minute, all of them
  }
  CHECK(fixture.held(used));
}

TEST_CASE("loaded certificates: what nobody uses any more ends", "[loaded]") {
  Fixture fixture;
  OcspServer& server = fixture.server();
  const Identity& leaf = tenant(5, server.url("5").c_str());
  server.answer = fixture.answers(leaf, test_ca());
  fixture.take_lease();
  REQUIRE(fixture.offer(leaf, fixture.trusting, {&test_ca()}));
  fixture.pass(2);
  REQUIRE(fixture.held(leaf));
  const UnixSeconds used = fixture.loop.clock.now();
  CHECK(fixture.directory.names().size() == 1);
  std::atomic<std::uint32_t>& noted = fixture.zone.entry(fixture.entry(leaf)).used;
  noted = static_cast<std::uint32_t>(used - Discovery::kUnused + 60);
  fixture.pass(2);
  CHECK(fixture.held(leaf));
  noted = static_cast<std::uint32_t>(used - Discovery::kUnused - 60);
  fixture.pass(2);
  CHECK(fixture.entry(leaf) == store::kNoEntry);
  CHECK(fixture.count(store::Counter::kEnded) == 1);
  CHECK(fixture.directory.names().empty());
}

TEST_CASE("loaded certificates: after a restart the response comes from the cache directory", "[loaded]") {
  Fixture fixture;
  OcspServer& server = fixture.server();
  const Identity& leaf = tenant(6, server.url("6").c_str());
  server.answer = fixture.answers(leaf, test_ca());
  fixture.take_lease();
  REQUIRE(fixture.offer(leaf, fixture.trusting, {&test_ca()}));
  fixture.pass(2);
  REQUIRE(fixture.held(leaf));
  fixture.holder.reset();
  fixture.zone = fixture.memory.format(store::StapleZone::Memory::kUsed);
  fixture.generation = 0;
  const std::size_t before = server.asked.size();
  fixture.take_lease();
  REQUIRE(fixture.offer(leaf, fixture.trusting, {&test_ca()}));
  fixture.pass(2);
  CHECK(fixture.held(leaf));
  CHECK(server.asked.size() == before);
}

// A CA that anybody can make: of the same name as all others, with a key of its own or none that fits.
Identity crowd_ca(std::size_t number) {
  CertificateSpec spec;
  spec.subject = "Crowd CA";
  spec.serial = {0x41, static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number)};
  spec.ca = true;
  spec.key_identifiers = false;
  return make_certificate(spec, key(KeyType::kP256, "crowd" + std::to_string(number % 7)), nullptr);
}

// Says that the Crowd CA has signed it.
Identity crowd_leaf(const std::string& name, const Identity& ca, const std::string& url) {
  CertificateSpec spec;
  spec.subject = name;
  spec.dns_names = {name + ".example"};
  spec.ocsp_urls = {url};
  spec.key_identifiers = false;
  return make_certificate(spec, key(KeyType::kP256, "leaf"), &ca);
}

TEST_CASE("loaded certificates: a thousand issuers of one name hold up nobody", "[loaded][issuer]") {
  constexpr std::size_t kCrowd = 200;
  Fixture fixture(8 << 20);
  OcspServer& server = fixture.server(EngineFixture::hang());
  fixture.take_lease();
  std::vector<Identity> crowd;
  for (std::size_t i = 0; i < kCrowd; ++i) {
    crowd.push_back(crowd_ca(i));
    REQUIRE(fixture.offer(crowd_leaf("tenant" + std::to_string(i), crowd.back(), server.url("c")), fixture.strict,
                          {&crowd.back()}));
    REQUIRE(fixture.holder->tick());
    fixture.loop.pass(20);
  }
  fixture.pass(2);
  REQUIRE(fixture.count(store::Counter::kTaken) == kCrowd);
  REQUIRE(fixture.catalog.issuers().size() >= kCrowd);

  // The same name, another key: none of them has signed these.
  CertificateSpec spec;
  spec.subject = "Crowd CA";
  spec.ca = true;
  spec.key_identifiers = false;
  const Identity nobody = make_certificate(spec, key(KeyType::kP256, "nobody"), nullptr);
  std::vector<Identity> forged;
  for (std::size_t i = 0; i < 8; ++i) {
    forged.push_back(crowd_leaf("forged" + std::to_string(i), nobody, server.url("f")));
    REQUIRE(fixture.offer(forged.back(), fixture.strict, {}));
  }
  std::size_t before = verifications();
  REQUIRE(fixture.holder->tick());
  CHECK(verifications() == before);  // none in a heartbeat
  std::size_t most = 0;
  fixture.loop.each_turn = [&] {
    most = std::max(most, verifications() - before);
    before = verifications();
  };
  // Somebody else comes meanwhile, and does not wait for the end of it.
  const std::size_t began = verifications();
  const Identity& innocent = tenant(400, server.url("i").c_str());
  server.answer = fixture.answers(innocent, test_ca());
  REQUIRE(fixture.offer(innocent, fixture.trusting, {&test_ca()}));
  for (int beats = 0; beats < 4 && !fixture.held(innocent); ++beats) {
    fixture.pass(1);
  }
  CHECK(fixture.held(innocent));
  CHECK(verifications() - began < 8 * kCrowd);
  fixture.pass(300);
  CHECK(most == 1);
  CHECK(verifications() - began >= 8 * kCrowd);
  for (const Identity& leaf : forged) {
    REQUIRE(fixture.entry(leaf) != store::kNoEntry);
    CHECK_FALSE(store::per_connection_state(fixture.zone, fixture.entry(leaf))->has_issuer);
  }
  // Whoever shows them again gains nothing, but once: OpenSSL may have been short of memory.
  std::size_t after = 0;
  for (const Seconds span : {300, 5}) {
    after = verifications();
    for (const Identity& leaf : forged) {
      REQUIRE(fixture.offer(leaf, fixture.strict, {}));
    }
    fixture.pass(span);
  }
  CHECK(verifications() == after);
  fixture.loop.each_turn = nullptr;
}

TEST_CASE("loaded certificates: more searches than there is room for", "[loaded][issuer]") {
  Fixture fixture(8 << 20);
  OcspServer& server = fixture.server(EngineFixture::hang());
  fixture.take_lease();
  std::vector<IssuerPtr> users;
  for (std::size_t i = 0; i < 100; ++i) {
    users.push_back(*fixture.catalog.issuers().intern(crowd_ca(i).get()));
  }
  CertificateSpec spec;
  spec.subject = "Crowd CA";
  spec.ca = true;
  spec.key_identifiers = false;
  const Identity real = make_certificate(spec, key(KeyType::kP256, "nobody"), nullptr);
  // In steps as short as the pauses between searches.
  const auto live = [&](int seconds) {
    for (int beats = 0; beats < 2 * seconds; ++beats) {
      REQUIRE(fixture.holder->tick());
      fixture.loop.pass(500, 10);
    }
  };
  // At each handshake, until there is room.
  const auto offer = [&](const Identity& leaf, std::uint64_t profile, const std::vector<const Identity*>& chain) {
    for (int tries = 0; !fixture.offer(leaf, profile, chain); ++tries) {
      REQUIRE(tries < 60);
      live(1);
    }
  };
  for (std::size_t i = 0; i < 2 * Discovery::kMaxSearching; ++i) {
    offer(crowd_leaf("forged" + std::to_string(i), real, server.url("f")), fixture.strict, {});
    REQUIRE(fixture.holder->tick());
    fixture.loop.pass(20);
  }
  const Identity& innocent = tenant(401, server.url("i").c_str());
  server.answer = fixture.answers(innocent, test_ca());
  offer(innocent, fixture.trusting, {&test_ca()});
  live(10);
  CHECK(fixture.held(innocent));
  live(60);
  CHECK(fixture.count(store::Counter::kTaken) == 2 * Discovery::kMaxSearching + 1);
  // One that was given up goes on where it was: its issuer has come to be known since.
  const Identity late = crowd_leaf("late", real, server.url("l"));
  users.push_back(*fixture.catalog.issuers().intern(real.get()));
  offer(late, fixture.strict, {});
  live(10);
  REQUIRE(fixture.entry(late) != store::kNoEntry);
  CHECK(store::per_connection_state(fixture.zone, fixture.entry(late))->has_issuer);
}

// A worker may write anything into the zone, and discovery may look before the repair does.
TEST_CASE("loaded certificates: a configured certificate's record survives that its entry is written over",
          "[loaded]") {
  RefresherFixture fixture;
  const OcspServer& server = fixture.server();
  fixture.add(0, {&server});
  fixture.register_all();
  const Identity& leaf = tenant(501, server.url("1").c_str());
  const Bytes der = crypto::der_of(leaf.get()), issuer = crypto::der_of(test_ca().get());
  const auto key = test_ca().issuer()->key_sha256();
  Target& target = *fixture.catalog.targets()[0];
  const bool is_loaded = GENERATE(true, false);
  INFO("the entry looks " << (is_loaded ? "loaded" : "free"));
  if (is_loaded) {
    store::ZoneWriter other(fixture.zone, fixture.lock, fixture.loop.clock, 0, 0);
    target.entry =
        other.add_per_connection({leaf.described().id, der, key, test_ca().issuer()->id(), issuer, 0, kNow}).value();
  } else {
    fixture.zone.entry(target.entry).generation = 0;
    REQUIRE(store::offer(fixture.zone, getpid(), 0, leaf.described().id, der, {issuer}));
  }
  fixture.begin();
  DiskCache disk_cache(fixture.loop, fixture.loop.clock, *fixture.report, fixture.zone, fixture.catalog,
                       fixture.settings);
  IssuerSearches searches(fixture.loop, fixture.loop.clock, fixture.work_queue);
  MissingIssuers issuers(fixture.catalog, searches);
  Discovery discovery({fixture.loop, fixture.loop.clock, fixture.random, fixture.log, fixture.lock, fixture.zone,
                       fixture.catalog, fixture.settings},
                      *fixture.report, *fixture.writer, *fixture.gate, disk_cache, *fixture.roster,
                      *fixture.refresher, issuers);
  fixture.loop.pass(1000, 500, [&] { discovery.tick(); });
  const Record* const record = fixture.roster->find(target.entry);
  REQUIRE(record != nullptr);
  CHECK(record->per_connection == nullptr);
  CHECK(&record->target == &target);
  CHECK(fixture.roster->per_connection() == 0);
  CHECK(store::counted(fixture.zone, store::Counter::kRefused) == (is_loaded ? 0 : 1));
}

}  // namespace
}  // namespace ocsp_plus::engine
