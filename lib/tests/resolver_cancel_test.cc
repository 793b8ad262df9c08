#include <catch2/catch.hpp>
#include <memory>
#include <optional>
#include <utility>

#include "net/resolver.h"
#include "tests/fakes/resolver_fixture.h"

using namespace ocsp_plus;
using namespace ocsp_plus::testing;
using net::Addresses;
using net::Resolver;
using net::ResolverOptions;

// c-ares calls back before ares_getaddrinfo returns: for onion names without asking (RFC 7686).
TEST_CASE("resolver: an answer that c-ares has at once comes from the loop as well", "[resolver]") {
  ResolverFixture fixture;
  CHECK(fixture.ask("a.onion").error().reason == Reason::kDnsNotFound);
  CHECK(fixture.dns.asked() == 0);
}

TEST_CASE("resolver: a callback may destroy its query, others and the resolver", "[resolver]") {
  ResolverFixture fixture;
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
  REQUIRE(fixture.loop.run_until([&] { return calls > 0; }, kDnsPatience));
  fixture.turns(5);
  CHECK(calls == 1);
}

TEST_CASE("resolver: cancelled or destroyed at any turn", "[resolver]") {
  const bool resolver_first = GENERATE(true, false);
  const bool by_tcp = GENERATE(true, false);
  const long before = open_descriptors();
  for (int turns = 0; turns < 12; ++turns) {
    ResolverFixture fixture;
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
  ResolverFixture fixture;
  fixture.dns.set("a.example", with_a({"192.0.2.1"}));
  const long before = open_descriptors();
  (void)fixture.ask("a.example");
  CHECK(open_descriptors() == before);
}

TEST_CASE("resolver: a loop without a free slot is a failure, not a wait", "[resolver]") {
  struct FullLoop : EventLoop {
    explicit FullLoop(EventLoop& the_inner) : inner(the_inner) {}
    std::unique_ptr<IoWatch> watch(int, IoCallback) override { return nullptr; }
    std::unique_ptr<Timer> timer(TimerCallback callback) override { return inner.timer(std::move(callback)); }
    EventLoop& inner;
  };
  ResolverFixture fixture;
  FullLoop full(fixture.loop);
  ResolverOptions options;
  options.servers = {fixture.dns.address()};
  const auto resolver = Resolver::create(full, fixture.clock, options).value();
  std::optional<Addresses> answer;
  const auto query = resolver->resolve("a.example", 80, [&](Addresses addresses) { answer = std::move(addresses); });
  REQUIRE(fixture.loop.run_until([&] { return answer.has_value(); }, 2000));
  CHECK(answer->error().reason == Reason::kDnsFailed);
}
