#include <catch2/catch.hpp>
#include <string>

#include "net/fetch.h"
#include "tests/fakes/fetch_fixture.h"

using namespace ocsp_plus;
using namespace ocsp_plus::testing;
using net::Address;

namespace {

bool is_public(const Address& address) {
  return address.is_public();
}

// As if the first address of loopback were the internet.
bool only_the_first(const Address& address) {
  return address.to_string().rfind("127.0.0.1:", 0) == 0;
}

Reason reason_of(const net::Fetch::Outcome& outcome) {
  return outcome ? Reason::kOk : outcome.error().reason;
}

}  // namespace

TEST_CASE("fetch: an address that is not permitted", "[fetch][permits]") {
  FetchFixture fixture;
  for (const char* host : {"127.0.0.1", "ocsp.example", "[::1]"}) {
    DYNAMIC_SECTION(host) {
      auto request = fixture.request(fixture.base(host));
      request.permits = &is_public;
      const auto& outcome = fixture.run(std::move(request));
      CHECK(reason_of(outcome) == Reason::kAddressForbidden);
      CHECK(contains(outcome.error().detail, "no public address"));
      CHECK(fixture.server.requests().empty());
    }
  }
}

TEST_CASE("fetch: of several addresses those that are permitted", "[fetch][permits]") {
  FetchFixture fixture;
  DnsRecord record;
  record.a = {"127.0.0.3", "127.0.0.1", "127.0.0.4"};
  fixture.dns.set("mixed.example", record);
  fixture.server.play(kOk);
  auto request = fixture.request(fixture.base("mixed.example"));
  request.permits = &only_the_first;
  const auto& outcome = fixture.run(std::move(request));
  REQUIRE(body_of(outcome) == kBody);
  CHECK(outcome->peer.to_string() == fixture.loopback(1));
}

TEST_CASE("fetch: a redirect to an address that is not permitted", "[fetch][permits]") {
  FetchFixture fixture;
  TcpServer other(fixture.loop, "127.0.0.2");
  DnsRecord record;
  record.a = {"127.0.0.2"};
  fixture.dns.set("inside.example", record);
  const std::string name = GENERATE("127.0.0.2", "inside.example");
  fixture.server.play(
      http_reply("302 Found", "Location: http://" + name + ":" + std::to_string(other.port()) + "/\r\n", ""));
  other.play(kOk);
  auto request = fixture.request(fixture.base());
  request.permits = &only_the_first;
  request.named = {name + ":" + std::to_string(other.port())};
  CHECK(reason_of(fixture.run(std::move(request))) == Reason::kAddressForbidden);
  CHECK(fixture.server.requests().size() == 1);
  CHECK(other.requests().empty());
}

TEST_CASE("fetch: an idle connection of somebody who was permitted more", "[fetch][permits]") {
  FetchFixture fixture;
  fixture.server.play(kOk, Script::End::kNext);
  fixture.server.play(kOk, Script::End::kNext);
  REQUIRE(body_of(fixture.run(fixture.base())) == kBody);
  fixture.outcome.reset();
  fixture.calls = 0;
  auto request = fixture.request(fixture.base());
  request.permits = &is_public;
  CHECK(reason_of(fixture.run(std::move(request))) == Reason::kAddressForbidden);
  CHECK(fixture.server.requests().size() == 1);
}

TEST_CASE("fetch: behind a proxy only addresses in the URL are looked at", "[fetch][permits][proxy]") {
  FetchFixture fixture;
  auto proxy = net::Proxy::parse(fixture.base());
  REQUIRE(proxy);
  fixture.transport = std::make_unique<net::Transport>(fixture.loop, fixture.clock, *fixture.resolver, *proxy);
  fixture.server.play(kOk);
  const auto ask = [&fixture](const std::string& url) -> Reason {
    fixture.outcome.reset();
    fixture.calls = 0;
    auto request = fixture.request(url);
    request.permits = &is_public;
    return reason_of(fixture.run(std::move(request)));
  };
  CHECK(ask("http://10.0.0.1/") == Reason::kAddressForbidden);
  CHECK(ask("http://[::ffff:10.0.0.1]/") == Reason::kAddressForbidden);
  CHECK(fixture.server.requests().empty());
  CHECK(ask("http://ocsp.example/") == Reason::kOk);
}
