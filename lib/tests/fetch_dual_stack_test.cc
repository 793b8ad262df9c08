#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <list>
#include <memory>
#include <string>

#include "net/connection_tally.h"
#include "net/family_memory.h"
#include "net/fetch.h"
#include "tests/fakes/fetch_fixture.h"

using namespace ocsp_plus;
using namespace ocsp_plus::testing;

namespace {

// An address that swallows everything: a listening socket whose queue is full drops what comes.
class BlackHole {
 public:
  BlackHole(const std::string& address, std::uint16_t port)
      : listening_(::socket(net::Address::literal(address, port).family(), SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const net::Address here = net::Address::literal(address, port);
    const int on = 1;
    ::setsockopt(listening_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    REQUIRE(::bind(listening_.get(), here.get(), here.length) == 0);
    REQUIRE(::listen(listening_.get(), 0) == 0);
    for (int i = 0; i < 3; ++i) {
      fillers_.emplace_back(::socket(here.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      (void)::connect(fillers_.back().get(), here.get(), here.length);
    }
  }

 private:
  Socket listening_;
  std::list<Socket> fillers_;
};

struct Fixture : FetchFixture {
  Fixture() {
    DnsRecord record;
    record.a = {"127.0.0.1"};
    record.aaaa = {"::1"};
    dns.set("both.example", record);
  }
  // Starts a fetch; the steps are in `told`.
  void go() {
    outcome.reset();
    calls = 0;
    told.clear();
    net::FetchRequest made = request(base("both.example"));
    made.trace = [this](const std::string& step) { told += step + "\n"; };
    start(std::move(made));
  }
  // IPv4 ok, failed, IPv6 ok, failed.
  std::string tally() const {
    const net::ConnectionTally& all = transport->tally;
    return fmt::format("{} {} {} {}", all.ipv4.ok, all.ipv4.failed, all.ipv6.ok, all.ipv6.failed);
  }
  std::string told;
};

}  // namespace

TEST_CASE("fetch: a family that is swallowed costs a moment, and only once", "[fetch][rfc8305]") {
  Fixture fixture;
  const BlackHole hole("::1", fixture.server.port());
  fixture.server.play(kOk);
  fixture.go();
  REQUIRE(fixture.loop.run_until([&] { return contains(fixture.told, "connecting to [::1]"); }, kPatience));
  fixture.turns(5);
  CHECK(fixture.server.accepted() == 0);
  fixture.clock.advance(260);
  fixture.turns(5);
  fixture.wait();
  CHECK(body_of(*fixture.outcome) == kBody);
  CHECK(fixture.outcome.value()->peer.family() == AF_INET);
  CHECK(fixture.tally() == "1 0 0 1");

  fixture.server.play(kOk);
  fixture.go();
  fixture.wait();
  CHECK(body_of(*fixture.outcome) == kBody);
  CHECK_FALSE(contains(fixture.told, "connecting to [::1]"));

  // What worked once need not work for ever, however often the host is asked.
  fixture.clock.advance(net::FamilyMemory::kKept / 2);
  fixture.server.play(kOk);
  fixture.go();
  fixture.wait();
  CHECK_FALSE(contains(fixture.told, "connecting to [::1]"));
  fixture.clock.advance(net::FamilyMemory::kKept / 2 + 1000);
  fixture.server.play(kOk);
  fixture.go();
  REQUIRE(fixture.loop.run_until([&] { return contains(fixture.told, "connecting to [::1]"); }, kPatience));
  fixture.clock.advance(260);
  fixture.wait();
  CHECK(body_of(*fixture.outcome) == kBody);
}

TEST_CASE("fetch: the family that worked, until it does not", "[fetch][rfc8305]") {
  Fixture fixture;
  {
    TcpServer six(fixture.loop, "::1", fixture.server.port());
    six.play(kOk);
    fixture.go();
    fixture.wait();
    CHECK(fixture.outcome.value()->peer.family() == AF_INET6);
    CHECK(fixture.server.accepted() == 0);
    CHECK(fixture.tally() == "0 0 1 0");
  }
  fixture.server.play(kOk);
  fixture.go();
  fixture.wait();
  CHECK(fixture.outcome.value()->peer.family() == AF_INET);
  CHECK(fixture.tally() == "1 0 1 1");  // refused
}

TEST_CASE("fetch: all addresses swallow everything", "[fetch][rfc8305]") {
  Fixture fixture;
  const std::uint16_t port = fixture.server.port();
  const BlackHole six("::1", port);
  const BlackHole four("127.0.0.2", port);
  DnsRecord record;
  record.a = {"127.0.0.2"};
  record.aaaa = {"::1"};
  fixture.dns.set("both.example", record);
  fixture.go();
  REQUIRE(fixture.loop.run_until([&] { return contains(fixture.told, "connecting to [::1]"); }, kPatience));
  fixture.clock.advance(260);
  REQUIRE(fixture.loop.run_until([&] { return contains(fixture.told, "connecting to 127.0.0.2"); }, kPatience));
  fixture.clock.advance(10000);
  fixture.wait();
  CHECK(fixture.outcome->error().reason == Reason::kTimeout);
  CHECK(contains(fixture.outcome->error().detail, "connecting to both.example"));
  CHECK(fixture.tally() == "0 1 0 1");
}

TEST_CASE("fetch: IPv6 only, where there is no IPv6", "[fetch][rfc8305]") {
  Fixture fixture;
  DnsRecord record;
  record.aaaa = {"100::1", "100::2"};  // RFC 6666: discarded, if there is a route at all
  fixture.dns.set("six.example", record);
  net::FetchRequest request = fixture.request(fixture.base("six.example"));
  request.timeout = 1500;
  const auto& outcome = fixture.run(request);
  REQUIRE_FALSE(outcome.has_value());
  if (outcome.error().reason != Reason::kTimeout) {  // this machine has a route
    CHECK(outcome.error().reason == Reason::kConnectUnreachable);
    CHECK(contains(outcome.error().detail, "six.example has IPv6 addresses only"));
  }
}
