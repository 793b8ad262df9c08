#include "net/resolver.h"

#include <catch2/catch.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "net/address_cache.h"
#include "tests/fakes/descriptors.h"
#include "tests/fakes/dns_server.h"
#include "tests/fakes/fake_clock.h"

using namespace ocsp_plus;
using namespace ocsp_plus::testing;
using net::Address;
using net::Addresses;
using net::Resolver;
using net::ResolverOptions;

namespace {

constexpr Millis kPatience = 10000;

// A resolver that asks a fake server.
struct Fixture {
  ShiftedClock clock;
  PollLoop loop{clock};
  DnsServer dns{loop};
  std::unique_ptr<Resolver> resolver;

  explicit Fixture(ResolverOptions options = {}) {
    if (options.servers.empty()) {
      options.servers = {dns.address()};
    }
    resolver = Resolver::create(loop, clock, options).value();
  }

  struct Asked {
    std::unique_ptr<Resolver::Query> query;
    std::optional<Addresses> answer;
    int calls = 0;
  };

  std::unique_ptr<Asked> start(const std::string& host, std::uint16_t port = 80) {
    auto asked = std::make_unique<Asked>();
    asked->query = resolver->resolve(host, port, [raw = asked.get()](Addresses answer) {
      raw->answer = std::move(answer);
      ++raw->calls;
    });
    CHECK(asked->calls == 0);  // never before it returns
    return asked;
  }

  Addresses ask(const std::string& host, std::uint16_t port = 80) {
    const auto asked = start(host, port);
    REQUIRE(loop.run_until([&] { return asked->answer.has_value(); }, kPatience));
    turns(3);
    CHECK(asked->calls == 1);
    return *asked->answer;
  }

  void turns(int count) {
    for (int i = 0; i < count; ++i) {
      loop.run_until([] { return true; }, 0);
    }
  }
};

std::vector<std::string> texts(const Addresses& addresses) {
  std::vector<std::string> result;
  if (addresses) {
    for (const Address& address : *addresses) {
      result.push_back(address.to_string());
    }
  }
  return result;
}

using Texts = std::vector<std::string>;

DnsRecord with_a(std::vector<std::string> a) {
  DnsRecord record;
  record.a = std::move(a);
  return record;
}

ResolverOptions impatient() {
  ResolverOptions options;
  options.timeout = 50;
  return options;
}

}  // namespace

TEST_CASE("address: texts", "[address]") {
  struct Case {
    const char* text;
    const char* result;  // "-": refused
  };
  const Case cases[] = {
      {"127.0.0.1", "127.0.0.1:53"},
      {"127.0.0.1:1", "127.0.0.1:1"},
      {"127.0.0.1:65535", "127.0.0.1:65535"},
      {"::1", "[::1]:53"},
      {"[::1]", "[::1]:53"},
      {"[2001:DB8::1]:54", "[2001:db8::1]:54"},
      {"", "-"},
      {":53", "-"},
      {"localhost", "-"},
      {"127.0.0.1:", "-"},
      {"127.0.0.1:0", "-"},
      {"127.0.0.1:65536", "-"},
      {"127.0.0.1:5x", "-"},
      {"127.0.0.1:-5", "-"},
      {"[127.0.0.1]:53", "-"},
      {"[::1", "-"},
      {"[::1]:", "-"},
      {"[::1]53", "-"},
      {"[]:53", "-"},
      {"127.0.0.1,127.0.0.2", "-"},
  };
  for (const Case& c : cases) {
    DYNAMIC_SECTION(c.text) {
      CHECK(Address::parse(c.text, 53).to_string() == c.result);
    }
  }
  CHECK(Address().family() == AF_UNSPEC);
  CHECK(Address::literal("::1", 80).family() == AF_INET6);
  CHECK(Address::literal("[::1]", 80).length == 0);
  Address address = Address::literal("192.0.2.1", 80);
  address.set_port(81);
  CHECK(address.to_string() == "192.0.2.1:81");
}

TEST_CASE("resolver: addresses", "[resolver]") {
  Fixture fixture;
  DnsRecord both;
  both.a = {"192.0.2.1", "192.0.2.2", "192.0.2.3"};
  both.aaaa = {"2001:db8::1"};
  fixture.dns.set("both.example", both);
  fixture.dns.set("four.example", with_a({"192.0.2.1"}));
  DnsRecord six;
  six.aaaa = {"2001:db8::1", "2001:db8::2"};
  fixture.dns.set("six.example", six);
  DnsRecord alias = both;
  alias.alias_of = "other.example";
  fixture.dns.set("alias.example", alias);

  CHECK(texts(fixture.ask("four.example", 8080)) == Texts{"192.0.2.1:8080"});
  CHECK(texts(fixture.ask("six.example")) == Texts{"[2001:db8::1]:80", "[2001:db8::2]:80"});
  const Texts interleaved{"[2001:db8::1]:80", "192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80"};
  CHECK(texts(fixture.ask("both.example")) == interleaved);
  CHECK(texts(fixture.ask("alias.example")) == interleaved);
}

TEST_CASE("resolver: only the families that are wanted are asked for", "[resolver]") {
  ResolverOptions options;
  options.ipv4 = GENERATE(true, false);
  options.ipv6 = !options.ipv4;
  Fixture fixture(options);
  DnsRecord both;
  both.a = {"192.0.2.1"};
  both.aaaa = {"2001:db8::1"};
  fixture.dns.set("both.example", both);
  CHECK(texts(fixture.ask("both.example")) == Texts{options.ipv4 ? "192.0.2.1:80" : "[2001:db8::1]:80"});
  CHECK(fixture.dns.asked(kDnsA) == (options.ipv4 ? 1 : 0));
  CHECK(fixture.dns.asked(kDnsAaaa) == (options.ipv6 ? 1 : 0));
}

TEST_CASE("resolver: at most 16 addresses", "[resolver]") {
  Fixture fixture;
  DnsRecord many;
  for (int i = 1; i <= 20; ++i) {
    many.a.push_back("192.0.2." + std::to_string(i));
  }
  fixture.dns.set("many.example", many);
  CHECK(texts(fixture.ask("many.example")).size() == 16);
}

TEST_CASE("resolver: failures", "[resolver]") {
  struct Case {
    const char* name;
    int rcode;
    bool silent;
    Reason reason;
  };
  const Case cases[] = {
      {"nxdomain.example", 3, false, Reason::kDnsNotFound}, {"nodata.example", 0, false, Reason::kDnsNoAddress},
      {"servfail.example", 2, false, Reason::kDnsFailed},   {"refused.example", 5, false, Reason::kDnsFailed},
      {"silent.example", 0, true, Reason::kDnsTimeout},
  };
  for (const Case& c : cases) {
    DYNAMIC_SECTION(c.name) {
      Fixture fixture(impatient());
      DnsRecord record;
      record.rcode = c.rcode;
      record.silent = c.silent;
      fixture.dns.set(c.name, record);
      const Addresses answer = fixture.ask(c.name);
      REQUIRE_FALSE(answer.has_value());
      CHECK(answer.error().reason == c.reason);
      CHECK(answer.error().detail.find(c.name) == 0);
      CHECK(answer.error().detail.size() > std::string(c.name).size() + 2);
    }
  }
}

TEST_CASE("resolver: two tries", "[resolver]") {
  ResolverOptions options = impatient();
  options.ipv6 = false;
  Fixture fixture(options);
  DnsRecord record;
  record.silent = true;
  fixture.dns.set("silent.example", record);
  CHECK(fixture.ask("silent.example").error().reason == Reason::kDnsTimeout);
  CHECK(fixture.dns.asked(kDnsA) == 2);
}

TEST_CASE("resolver: a server that is not there", "[resolver]") {
  ShiftedClock clock;
  PollLoop loop(clock);
  ResolverOptions options = impatient();
  {
    DnsServer gone(loop);
    options.servers = {gone.address()};
  }
  Fixture fixture(options);
  const Reason reason = fixture.ask("a.example").error().reason;
  CHECK((reason == Reason::kDnsFailed || reason == Reason::kDnsTimeout));
}

TEST_CASE("resolver: the next server is asked", "[resolver]") {
  ShiftedClock clock;
  PollLoop loop(clock);
  DnsServer second(loop, "127.0.0.2");
  DnsServer first(loop);
  DnsRecord broken;
  broken.rcode = 2;
  first.set("a.example", broken);
  second.set("a.example", with_a({"192.0.2.1"}));
  ResolverOptions options;
  options.servers = {first.address(), second.address()};
  const auto resolver = Resolver::create(loop, clock, options).value();
  std::optional<Addresses> answer;
  const auto query = resolver->resolve("a.example", 80, [&](Addresses addresses) { answer = std::move(addresses); });
  REQUIRE(loop.run_until([&] { return answer.has_value(); }, kPatience));
  CHECK(texts(*answer) == Texts{"192.0.2.1:80"});
}

TEST_CASE("resolver: a server over IPv6", "[resolver]") {
  ShiftedClock clock;
  PollLoop loop(clock);
  DnsServer dns(loop, "::1");
  dns.set("a.example", with_a({"192.0.2.1"}));
  ResolverOptions options;
  options.servers = {dns.address()};
  const auto resolver = Resolver::create(loop, clock, options).value();
  std::optional<Addresses> answer;
  const auto query = resolver->resolve("a.example", 80, [&](Addresses addresses) { answer = std::move(addresses); });
  REQUIRE(loop.run_until([&] { return answer.has_value(); }, kPatience));
  CHECK(texts(*answer) == Texts{"192.0.2.1:80"});
}

TEST_CASE("resolver: a truncated answer is asked for by TCP", "[resolver]") {
  Fixture fixture;
  DnsRecord record = with_a({"192.0.2.1"});
  record.truncate = true;
  fixture.dns.set("big.example", record);
  CHECK(texts(fixture.ask("big.example")) == Texts{"192.0.2.1:80"});
  CHECK(fixture.dns.asked_by_tcp() == 2);
}

TEST_CASE("resolver: a server that never answers AAAA costs half a second", "[resolver]") {
  Fixture fixture;  // five seconds per try
  DnsRecord record = with_a({"192.0.2.1"});
  record.silent_aaaa = true;
  fixture.dns.set("half.example", record);
  const auto asked = fixture.start("half.example");
  REQUIRE_FALSE(fixture.loop.run_until([&] { return asked->answer.has_value(); }, 100));
  fixture.clock.advance(500);
  REQUIRE(fixture.loop.run_until([&] { return asked->answer.has_value(); }, 400));
  CHECK(texts(*asked->answer) == Texts{"192.0.2.1:80"});
}

TEST_CASE("resolver: an address that nobody could tell is not remembered as none", "[resolver]") {
  ResolverOptions options = impatient();
  Fixture fixture(options);
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
      Fixture fixture;
      DnsRecord record = with_a({"192.0.2.1"});
      record.ttl = c.ttl;
      record.alias_of = "real.example";
      record.alias_ttl = c.alias_ttl;
      fixture.dns.set("a.example", record);
      fixture.ask("a.example", 80);
      const int first = fixture.dns.asked();
      CHECK(texts(fixture.ask("A.Example", 81)) == Texts{"192.0.2.1:81"});
      fixture.clock.advance(c.kept - 1000);
      fixture.ask("a.example");
      CHECK(fixture.dns.asked() == first);
      fixture.clock.advance(1000);
      fixture.ask("a.example");
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
      Fixture fixture(impatient());
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
      fixture.ask("a.example");
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
  Fixture fixture(options);
  fixture.dns.set("a.example", with_a({"192.0.2.1"}));
  fixture.ask("a.example");
  fixture.ask("a.example");
  CHECK(fixture.dns.asked(kDnsA) == 2);
}

TEST_CASE("resolver: questions for one name are one question", "[resolver]") {
  Fixture fixture;
  fixture.dns.set("a.example", with_a({"192.0.2.1"}));
  std::vector<std::unique_ptr<Fixture::Asked>> all;
  for (std::uint16_t port = 80; port < 90; ++port) {
    all.push_back(fixture.start("a.example", port));
  }
  all[3]->query.reset();
  REQUIRE(fixture.loop.run_until([&] { return all.back()->answer.has_value(); }, kPatience));
  fixture.turns(3);
  CHECK(fixture.dns.asked(kDnsA) == 1);
  for (std::size_t i = 0; i < all.size(); ++i) {
    CHECK(all[i]->calls == (i == 3 ? 0 : 1));
    if (all[i]->answer) {
      CHECK(texts(*all[i]->answer) == Texts{"192.0.2.1:" + std::to_string(80 + i)});
    }
  }
}

TEST_CASE("resolver: localhost is loopback and nobody is asked", "[resolver][rfc6761-6.3]") {
  Fixture fixture;
  const Texts both{"[::1]:80", "127.0.0.1:80"};
  for (const char* name : {"localhost", "LocalHost.", "responder.localhost"}) {
    CHECK(texts(fixture.ask(name)) == both);
  }
  CHECK(fixture.dns.asked() == 0);
  CHECK(fixture.ask("notlocalhost").error().reason == Reason::kDnsNotFound);
  ResolverOptions options;
  options.ipv6 = false;
  CHECK(texts(Fixture(options).ask("localhost")) == Texts{"127.0.0.1:80"});
}

// c-ares calls back before ares_getaddrinfo returns: for onion names without asking (RFC 7686).
TEST_CASE("resolver: an answer that c-ares has at once comes from the loop as well", "[resolver]") {
  Fixture fixture;
  CHECK(fixture.ask("a.onion").error().reason == Reason::kDnsNotFound);
  CHECK(fixture.dns.asked() == 0);
}

TEST_CASE("resolver: names nobody can have", "[resolver]") {
  Fixture fixture(impatient());
  for (const std::string& name : {std::string(64, 'a') + ".example", std::string("a..example")}) {
    DYNAMIC_SECTION(name) {
      CHECK(fixture.ask(name).error().reason == Reason::kDnsNotFound);
    }
  }
}

TEST_CASE("resolver: the system's configuration", "[resolver]") {
  ShiftedClock clock;
  PollLoop loop(clock);
  const auto resolver = Resolver::create(loop, clock, {}).value();
  std::optional<Addresses> answer;
  const auto query = resolver->resolve("localhost", 80, [&](Addresses addresses) { answer = std::move(addresses); });
  REQUIRE(loop.run_until([&] { return answer.has_value(); }, kPatience));
  REQUIRE(answer->has_value());
}

TEST_CASE("resolver: a callback may destroy its query, others and the resolver", "[resolver]") {
  Fixture fixture;
  fixture.dns.set("a.example", with_a({"192.0.2.1"}));
  int calls = 0;
  std::unique_ptr<Resolver::Query> first;
  std::unique_ptr<Resolver::Query> second;
  const bool all = GENERATE(true, false);
  const auto callback = [&](const Addresses&) {
    ++calls;
    first.reset();
    second.reset();
    if (all) {
      fixture.resolver.reset();
    }
  };
  first = fixture.resolver->resolve("a.example", 80, callback);
  second = fixture.resolver->resolve("a.example", 80, callback);
  REQUIRE(fixture.loop.run_until([&] { return calls > 0; }, kPatience));
  fixture.turns(5);
  CHECK(calls == 1);
}

TEST_CASE("resolver: cancelled or destroyed at any turn", "[resolver]") {
  const bool resolver_first = GENERATE(true, false);
  const bool by_tcp = GENERATE(true, false);
  const long before = open_descriptors();
  for (int turns = 0; turns < 12; ++turns) {
    Fixture fixture;
    DnsRecord record = with_a({"192.0.2.1"});
    record.truncate = by_tcp;
    fixture.dns.set("a.example", record);
    auto asked = fixture.start("a.example");
    fixture.turns(turns);
    const int calls = asked->calls;
    if (resolver_first) {
      fixture.resolver.reset();
      fixture.turns(5);
      asked->query.reset();
    } else {
      asked->query.reset();
    }
    fixture.turns(10);
    CHECK(asked->calls == calls);
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("resolver: no descriptor stays open after an answer", "[resolver]") {
  Fixture fixture;
  fixture.dns.set("a.example", with_a({"192.0.2.1"}));
  const long before = open_descriptors();
  fixture.ask("a.example");
  CHECK(open_descriptors() == before);
}

TEST_CASE("resolver: a loop without a free slot is a failure, not a wait", "[resolver]") {
  struct FullLoop : EventLoop {
    explicit FullLoop(EventLoop& the_inner) : inner(the_inner) {}
    std::unique_ptr<IoWatch> watch(int, IoCallback) override { return nullptr; }
    std::unique_ptr<Timer> timer(TimerCallback callback) override { return inner.timer(std::move(callback)); }
    EventLoop& inner;
  };
  Fixture fixture;
  FullLoop full(fixture.loop);
  ResolverOptions options;
  options.servers = {fixture.dns.address()};
  const auto resolver = Resolver::create(full, fixture.clock, options).value();
  std::optional<Addresses> answer;
  const auto query = resolver->resolve("a.example", 80, [&](Addresses addresses) { answer = std::move(addresses); });
  REQUIRE(fixture.loop.run_until([&] { return answer.has_value(); }, 2000));
  CHECK(answer->error().reason == Reason::kDnsFailed);
}

TEST_CASE("resolver: options that make no sense", "[resolver]") {
  ShiftedClock clock;
  PollLoop loop(clock);
  ResolverOptions none;
  none.ipv4 = none.ipv6 = false;
  CHECK(Resolver::create(loop, clock, none).error().reason == Reason::kInvalidArgument);
  ResolverOptions name;
  name.servers = {"127.0.0.1", "dns.example"};
  const auto refused = Resolver::create(loop, clock, name);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().reason == Reason::kInvalidArgument);
  CHECK(refused.error().detail.find("dns.example") != std::string::npos);
}
