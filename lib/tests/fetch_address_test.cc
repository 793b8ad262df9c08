#include <catch2/catch.hpp>
#include <optional>
#include <string>

#include "net/fetch.h"
#include "tests/fakes/fetch_fixture.h"

using namespace ocsp_plus;
using namespace ocsp_plus::testing;
using net::FetchRequest;

TEST_CASE("fetch: nobody listens", "[fetch]") {
  FetchFixture fixture;
  const std::string address = "127.0.0.2:" + std::to_string(fixture.server.port());
  const auto& outcome = fixture.run("http://" + address);
  REQUIRE_FALSE(outcome.has_value());
  CHECK(outcome.error().reason == Reason::kConnectRefused);
  CHECK(outcome.error().detail == "connect to " + address + ": Connection refused");
}

TEST_CASE("fetch: an address without a way to it", "[fetch]") {
  FetchFixture fixture;
  const auto& outcome = fixture.run("http://255.255.255.255:1/");  // no TCP to a broadcast address
  REQUIRE_FALSE(outcome.has_value());
  CHECK(outcome.error().reason == Reason::kConnectUnreachable);
}

TEST_CASE("fetch: IPv6 literals", "[fetch]") {
  FetchFixture fixture;
  TcpServer six(fixture.loop, "::1");
  six.play(kOk);
  const std::string authority = "[::1]:" + std::to_string(six.port());
  CHECK(body_of(fixture.run("http://" + authority)) == kBody);
  CHECK(contains(six.requests().at(0), "\r\nHost: " + authority + "\r\n"));
}

TEST_CASE("fetch: the next address is tried", "[fetch]") {
  using End = Script::End;
  struct Case {
    const char* name;
    const char* first;  // nobody listens there, or `other` does
    bool other;         // a responder at 127.0.0.2 that behaves badly
    std::string reply;
    End end;
    bool found;  // the good one was asked
  };
  const Case cases[] = {
      {"refused", "127.0.0.2", false, "", End::kHold, true},
      {"closed without an answer", "127.0.0.2", true, "", End::kClose, true},
      {"reset without an answer", "127.0.0.2", true, "", End::kReset, true},
      {"refused in the other family", "::1", false, "", End::kHold, true},
      {"unreachable at once", "255.255.255.255", false, "", End::kHold, true},
      {"truncated", "127.0.0.2", true, "HTTP/1.1 200 OK\r\n", End::kClose, false},
      {"an answer of its own", "127.0.0.2", true, "HTTP/1.1 500 Oh\r\n\r\n", End::kClose, false},
  };
  for (const Case& c : cases) {
    DYNAMIC_SECTION(c.name) {
      FetchFixture fixture;
      std::optional<TcpServer> other;
      if (c.other) {
        other.emplace(fixture.loop, "127.0.0.2", fixture.server.port());
        other->play(c.reply, c.end);
      }
      DnsRecord record;
      record.a = {"127.0.0.1"};
      if (std::string(c.first) == "::1") {
        record.aaaa = {c.first};
      } else {
        record.a.insert(record.a.begin(), c.first);
      }
      fixture.dns.set("two.example", record);
      fixture.server.play(kOk);
      const auto& outcome = fixture.run(fixture.base("two.example"));
      INFO(body_of(outcome));
      CHECK(outcome.has_value() == c.found);
      if (c.found) {
        CHECK(outcome->peer.to_string() == fixture.loopback(1));
      }
      CHECK(fixture.server.accepted() == (c.found ? 1 : 0));
    }
  }
}

TEST_CASE("fetch: the error of the last address is told, unless it only says unreachable", "[fetch]") {
  FetchFixture fixture;
  DnsRecord record;
  record.a = {"127.0.0.2", "127.0.0.3"};
  fixture.dns.set("two.example", record);
  record.a = {"127.0.0.2", "255.255.255.255"};
  fixture.dns.set("broken.example", record);
  fixture.run(fixture.base("two.example"));
  CHECK(contains(fixture.outcome->error().detail, fixture.loopback(3)));
  fixture.outcome.reset();
  fixture.calls = 0;
  fixture.run(fixture.base("broken.example"));
  CHECK(fixture.outcome->error().reason == Reason::kConnectRefused);
  CHECK(contains(fixture.outcome->error().detail, fixture.loopback(2)));
}

TEST_CASE("fetch: a silent address gets half of the time", "[fetch]") {
  FetchFixture fixture;
  TcpServer silent(fixture.loop, "127.0.0.2", fixture.server.port());
  DnsRecord record;
  record.a = {"127.0.0.2", "127.0.0.1"};
  fixture.dns.set("two.example", record);
  fixture.server.play(kOk);
  FetchRequest request = fixture.request(fixture.base("two.example"));
  request.timeout = 60000;
  fixture.start(request);
  REQUIRE(fixture.loop.run_until([&] { return silent.requests().size() == 1; }, kPatience));
  fixture.clock.advance(29000 - 5000);
  fixture.turns(5);
  CHECK(fixture.server.accepted() == 0);
  fixture.clock.advance(6000);
  fixture.wait();
  CHECK(body_of(*fixture.outcome) == kBody);
  CHECK(silent.open_connections() == 0);
}

TEST_CASE("fetch: an address that has begun to answer keeps its time", "[fetch]") {
  FetchFixture fixture;
  TcpServer slow(fixture.loop, "127.0.0.2", fixture.server.port());
  Script script;
  script.reply = kOk;
  script.piece = kOk.size() / 2;
  script.pause = 40000;
  slow.play(script);
  DnsRecord record;
  record.a = {"127.0.0.2", "127.0.0.1"};
  fixture.dns.set("two.example", record);
  FetchRequest request = fixture.request(fixture.base("two.example"));
  request.timeout = 60000;
  fixture.start(request);
  REQUIRE(fixture.loop.run_until([&] { return slow.requests().size() == 1; }, kPatience));
  fixture.turns(10);
  fixture.clock.advance(35000);
  fixture.turns(5);
  fixture.clock.advance(6000);
  fixture.wait();
  CHECK(body_of(*fixture.outcome) == kBody);
  CHECK(fixture.server.accepted() == 0);
}
