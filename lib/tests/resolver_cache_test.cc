#include <catch2/catch.hpp>
#include <memory>
#include <vector>

#include "net/address_cache.h"
#include "tests/fakes/resolver_fixture.h"

using namespace ocsp_plus;
using namespace ocsp_plus::testing;
using net::Address;
using net::Addresses;
using net::ResolverOptions;

TEST_CASE("resolver: an address that nobody could tell is not remembered as none", "[resolver]") {
  ResolverOptions options = impatient();
  ResolverFixture fixture(options);
  DnsRecord record;
  record.silent_aaaa = true;  // and no A
  fixture.dns.set("half.example", record);
  CHECK(fixture.ask("half.example").error().reason == Reason::kDnsTimeout);
  DnsRecord better;
  better.aaaa = {"2001:db8::1"};
  fixture.dns.set("half.example", better);
  CHECK(texts(fixture.ask("half.example")) == Texts{"[2001:db8::1]:80"});
}

TEST_CASE("resolver: answers are kept for their TTL, within bounds", "[resolver]") {
  struct Case {
    const char* name;
    std::uint32_t ttl;
    std::uint32_t alias_ttl;
    Millis kept;
  };
  const Case cases[] = {
      {"usual", 20, 60, 20000},
      {"too short", 0, 60, 5000},
      {"too long", 86400, 86400, 30000},
      {"short alias", 20, 7, 7000},
  };
  for (const Case& c : cases) {
    DYNAMIC_SECTION(c.name) {
      ResolverFixture fixture;
      DnsRecord record = with_a({"192.0.2.1"});
      record.ttl = c.ttl;
      record.alias_of = "real.example";
      record.alias_ttl = c.alias_ttl;
      fixture.dns.set("a.example", record);
      (void)fixture.ask("a.example", 80);
      const int first = fixture.dns.asked();
      CHECK(texts(fixture.ask("A.Example", 81)) == Texts{"192.0.2.1:81"});
      fixture.clock.advance(c.kept - 1000);
      (void)fixture.ask("a.example");
      CHECK(fixture.dns.asked() == first);
      fixture.clock.advance(1000);
      (void)fixture.ask("a.example");
      CHECK(fixture.dns.asked() == 2 * first);
    }
  }
}

TEST_CASE("resolver: negative answers are kept for five seconds, failures are not", "[resolver]") {
  struct Case {
    const char* name;
    int rcode;
    bool kept;
  };
  for (const Case& c : {Case{"nxdomain", 3, true}, Case{"nodata", 0, true}, Case{"servfail", 2, false}}) {
    DYNAMIC_SECTION(c.name) {
      ResolverFixture fixture(impatient());
      DnsRecord record;
      record.rcode = c.rcode;
      fixture.dns.set("a.example", record);
      const Addresses first = fixture.ask("a.example");
      const int asked = fixture.dns.asked();
      const Addresses second = fixture.ask("a.example");
      CHECK(first.error().reason == second.error().reason);
      CHECK((fixture.dns.asked() == asked) == c.kept);
      fixture.clock.advance(5000);
      const int before = fixture.dns.asked();
      (void)fixture.ask("a.example");
      CHECK(fixture.dns.asked() > before);
    }
  }
}

TEST_CASE("address_cache: bounded, the oldest goes", "[resolver]") {
  net::AddressCache cache(30);
  const Addresses one = std::vector<Address>{Address::literal("192.0.2.1", 0)};
  for (std::size_t i = 0; i < net::AddressCache::kMaxNames; ++i) {
    cache.store("n" + std::to_string(i), one, 10, 0);
  }
  cache.store("n0", one, 10, 0);  // is the newest again
  CHECK(cache.size() == net::AddressCache::kMaxNames);
  cache.store("one more", one, 10, 0);
  CHECK(cache.size() == net::AddressCache::kMaxNames);
  CHECK(cache.find("n0", 1) != nullptr);
  CHECK(cache.find("n1", 1) == nullptr);
  CHECK(cache.find("one more", 9999) != nullptr);
  CHECK(cache.find("one more", 10000) == nullptr);
  CHECK(cache.find("unheard of", 1) == nullptr);
  cache.store("n5", fail(Reason::kDnsTimeout), 10, 0);
  CHECK(cache.find("n5", 1) == nullptr);
}

TEST_CASE("resolver: a limit of nothing keeps nothing", "[resolver]") {
  ResolverOptions options;
  options.max_ttl = 0;
  ResolverFixture fixture(options);
  fixture.dns.set("a.example", with_a({"192.0.2.1"}));
  (void)fixture.ask("a.example");
  (void)fixture.ask("a.example");
  CHECK(fixture.dns.asked(kDnsA) == 2);
}

TEST_CASE("resolver: questions for one name are one question", "[resolver]") {
  ResolverFixture fixture;
  fixture.dns.set("a.example", with_a({"192.0.2.1"}));
  std::vector<std::unique_ptr<ResolverFixture::Asked>> all;
  for (std::uint16_t port = 80; port < 90; ++port) {
    all.push_back(fixture.start("a.example", port));
  }
  all[3]->query.reset();
  REQUIRE(fixture.loop.run_until([&] { return all.back()->answer.has_value(); }, kDnsPatience));
  fixture.turns(3);
  CHECK(fixture.dns.asked(kDnsA) == 1);
  for (std::size_t i = 0; i < all.size(); ++i) {
    CHECK(all[i]->calls == (i == 3 ? 0 : 1));
    if (all[i]->answer) {
      CHECK(texts(*all[i]->answer) == Texts{"192.0.2.1:" + std::to_string(80 + i)});
    }
  }
}
