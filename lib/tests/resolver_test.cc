#include "net/resolver.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "tests/fakes/resolver_fixture.h"
#include "tests/fakes/scratch_directory.h"

using namespace ocsp_plus;
using namespace ocsp_plus::testing;
using net::Addresses;
using net::Resolver;
using net::ResolverOptions;

TEST_CASE("resolver: addresses", "[resolver]") {
  ResolverFixture fixture;
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
  ResolverFixture fixture(options);
  DnsRecord both;
  both.a = {"192.0.2.1"};
  both.aaaa = {"2001:db8::1"};
  fixture.dns.set("both.example", both);
  CHECK(texts(fixture.ask("both.example")) == Texts{options.ipv4 ? "192.0.2.1:80" : "[2001:db8::1]:80"});
  CHECK(fixture.dns.asked(kDnsA) == (options.ipv4 ? 1 : 0));
  CHECK(fixture.dns.asked(kDnsAaaa) == (options.ipv6 ? 1 : 0));
}

TEST_CASE("resolver: at most 16 addresses", "[resolver]") {
  ResolverFixture fixture;
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
      ResolverFixture fixture(impatient());
      DnsRecord record;
      record.rcode = c.rcode;
      record.silent = c.silent;
      fixture.dns.set(c.name, record);
      const Addresses answer = fixture.ask(c.name);
      REQUIRE_FALSE(answer.has_value());
      CHECK(answer.error().reason == c.reason);
      // The name, what is wrong, who was asked and who named those.
      const std::string& detail = answer.error().detail;
      const std::string asked = "; asked " + fixture.dns.address() + " (ocsp_plus_resolver)";
      CHECK(detail.find(std::string(c.name) + ": ") == 0);
      REQUIRE(detail.size() > std::string(c.name).size() + 2 + asked.size());
      CHECK(detail.substr(detail.size() - asked.size()) == asked);
      CHECK(detail.size() < 128);
    }
  }
}

// c-ares 1.34 gives up a socket with every question that was asked through it when one answer makes no sense.
TEST_CASE("resolver: an answer that makes no sense fails no other question", "[resolver]") {
  ResolverFixture fixture(impatient());
  DnsRecord broken = with_a({"192.0.2.1"});
  broken.cut_short = true;
  fixture.dns.set("broken.example", broken);
  DnsRecord silent;
  silent.silent = true;
  fixture.dns.set("silent.example", silent);
  const auto waits = fixture.start("silent.example");
  const auto fails = fixture.start("broken.example");
  REQUIRE(fixture.loop.run_until([&] { return waits->answer && fails->answer; }, kDnsPatience));
  REQUIRE_FALSE(fails->answer->has_value());
  CHECK(fails->answer->error().reason == Reason::kDnsFailed);
  REQUIRE_FALSE(waits->answer->has_value());
  CHECK(waits->answer->error().reason == Reason::kDnsTimeout);
}

TEST_CASE("resolver: which servers are asked, and who named them", "[resolver]") {
  ShiftedClock clock;
  PollLoop loop{clock};
  ResolverOptions options;
  options.servers = {"192.0.2.1", "192.0.2.2:5353", "[2001:db8::1]:54", "192.0.2.3"};
  CHECK(Resolver::create(loop, clock, options).value()->asked() ==
        "192.0.2.1, 192.0.2.2:5353, [2001:db8::1]:54, ... (ocsp_plus_resolver)");
  options.servers = {"2001:db8::1"};
  options.servers_from = "--resolver";
  CHECK(Resolver::create(loop, clock, options).value()->asked() == "2001:db8::1 (--resolver)");
  const ScratchDirectory directory;
  options.servers.clear();
  options.system = directory.string() + "/resolv.conf";
  std::ofstream(options.system) << "nameserver 192.0.2.9\nnameserver 192.0.2.10\n";
  CHECK(Resolver::create(loop, clock, options).value()->asked() == "192.0.2.9, 192.0.2.10 (" + options.system + ")");
}

TEST_CASE("resolver: two tries", "[resolver]") {
  ResolverOptions options = impatient();
  options.ipv6 = false;
  ResolverFixture fixture(options);
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
  ResolverFixture fixture(options);
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
  REQUIRE(loop.run_until([&] { return answer.has_value(); }, kDnsPatience));
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
  REQUIRE(loop.run_until([&] { return answer.has_value(); }, kDnsPatience));
  CHECK(texts(*answer) == Texts{"192.0.2.1:80"});
}

TEST_CASE("resolver: a truncated answer is asked for by TCP", "[resolver]") {
  ResolverFixture fixture;
  DnsRecord record = with_a({"192.0.2.1"});
  record.truncate = true;
  fixture.dns.set("big.example", record);
  CHECK(texts(fixture.ask("big.example")) == Texts{"192.0.2.1:80"});
  CHECK(fixture.dns.asked_by_tcp() == 2);
}

TEST_CASE("resolver: a server that never answers AAAA costs half a second", "[resolver]") {
  ResolverFixture fixture;  // five seconds per try
  DnsRecord record = with_a({"192.0.2.1"});
  record.silent_aaaa = true;
  fixture.dns.set("half.example", record);
  const auto asked = fixture.start("half.example");
  REQUIRE_FALSE(fixture.loop.run_until([&] { return asked->answer.has_value(); }, 100));
  fixture.clock.advance(500);
  REQUIRE(fixture.loop.run_until([&] { return asked->answer.has_value(); }, 2000));
  CHECK(texts(*asked->answer) == Texts{"192.0.2.1:80"});
}

TEST_CASE("resolver: localhost is loopback and nobody is asked", "[resolver][rfc6761-6.3]") {
  ResolverFixture fixture;
  const Texts both{"[::1]:80", "127.0.0.1:80"};
  for (const char* name : {"localhost", "LocalHost.", "responder.localhost"}) {
    CHECK(texts(fixture.ask(name)) == both);
  }
  CHECK(fixture.dns.asked() == 0);
  CHECK(fixture.ask("notlocalhost").error().reason == Reason::kDnsNotFound);
  ResolverOptions options;
  options.ipv6 = false;
  CHECK(texts(ResolverFixture(options).ask("localhost")) == Texts{"127.0.0.1:80"});
}

TEST_CASE("resolver: names nobody can have", "[resolver]") {
  ResolverFixture fixture(impatient());
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
  REQUIRE(loop.run_until([&] { return answer.has_value(); }, kDnsPatience));
  REQUIRE(answer->has_value());
}

// resolv.conf knows no ports, so this takes the one that is everybody's.
TEST_CASE("resolver: the system's configuration is read again when it changes", "[resolver]") {
  ShiftedClock clock;
  PollLoop loop(clock);
  std::unique_ptr<DnsServer> dns;
  try {
    dns = std::make_unique<DnsServer>(loop, "127.0.0.53", std::uint16_t{53});
  } catch (const std::system_error&) {
    WARN("port 53 of 127.0.0.53 cannot be had here");
    return;
  }
  DnsRecord record;
  record.a = {"192.0.2.7"};
  dns->set("one.example", record);
  dns->set("two.example", record);
  const ScratchDirectory directory;
  const std::string path = directory.string() + "/resolv.conf";
  const auto write = [&path](const std::string& server) { std::ofstream(path) << "nameserver " << server << "\n"; };
  write("127.0.0.54");
  ResolverOptions options;
  options.system = path;
  options.timeout = 60000;
  const auto resolver = Resolver::create(loop, clock, options).value();
  std::map<std::string, std::optional<Addresses>> answers;
  std::vector<std::unique_ptr<Resolver::Query>> queries;
  const auto ask = [&](const std::string& name) {
    queries.push_back(
        resolver->resolve(name, 80, [&answers, name](Addresses addresses) { answers[name] = std::move(addresses); }));
  };
  // A socket that is bound there and never read makes the server one that never answers.
  const Socket silent = bound_socket(SOCK_DGRAM, net::Address::literal("127.0.0.54", 53));
  ask("one.example");
  loop.run_until([] { return true; }, 0);
  write("127.0.0.53");
  ask("two.example");  // too soon to look again
  loop.run_until([] { return true; }, 0);
  CHECK(dns->asked() == 0);
  clock.advance(3100);
  ask("two.example");
  REQUIRE(loop.run_until([&] { return answers["one.example"] && answers["two.example"]; }, kDnsPatience));
  CHECK(answers["one.example"]->value().size() == 1);
  CHECK(answers["two.example"]->value().size() == 1);
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
