#include <catch2/catch.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "net/fetch.h"
#include "tests/fakes/fetch_fixture.h"

using namespace ocsp_plus;
using namespace ocsp_plus::testing;
using net::Fetch;
using net::FetchRequest;

TEST_CASE("fetch: the deadline ends every stage", "[fetch]") {
  struct Case {
    const char* name;
    bool silent_dns;
    std::string reply;
    Reason reason;
    const char* detail;
  };
  const Case cases[] = {
      {"DNS", true, "", Reason::kDnsTimeout, "ocsp.example: no answer within"},
      {"no answer", false, "", Reason::kTimeout, "waiting for 127.0.0.1:"},
      {"half a header", false, "HTTP/1.1 200 OK\r\nX", Reason::kTimeout, "receiving from 127.0.0.1:"},
      {"half a body", false, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", Reason::kTimeout, "receiving from"},
  };
  for (const Case& c : cases) {
    DYNAMIC_SECTION(c.name) {
      FetchFixture fixture;
      if (c.silent_dns) {
        DnsRecord silent;
        silent.silent = true;
        fixture.dns.set("ocsp.example", silent);
      }
      fixture.server.play(c.reply, Script::End::kHold);
      fixture.start(fixture.request(fixture.base("ocsp.example")));
      REQUIRE(fixture.loop.run_until(
          [&] { return c.silent_dns ? fixture.dns.asked() == 2 : fixture.server.requests().size() == 1; },
          kPatience));
      fixture.turns(10);
      fixture.clock.advance(8000);
      fixture.turns(10);
      CHECK(fixture.calls == 0);
      fixture.clock.advance(2000);
      fixture.wait();
      REQUIRE_FALSE(fixture.outcome->has_value());
      const Fetch::Failure& failure = fixture.outcome->error();
      INFO(failure.detail);
      CHECK(failure.reason == c.reason);
      CHECK(contains(failure.detail, c.detail));
      CHECK(contains(failure.detail, "within 10000 ms"));
    }
  }
}

TEST_CASE("fetch: a drip does not stretch the deadline", "[fetch]") {
  FetchFixture fixture;
  Script script;
  script.reply = "HTTP/1.1 200 OK\r\n\r\n" + std::string(60000, 'x');
  script.piece = 1;
  script.pause = 5;
  fixture.server.play(script);
  FetchRequest request = fixture.request(fixture.base());
  request.timeout = 150;
  const Millis before = fixture.clock.monotonic();
  CHECK(fixture.run(request).error().reason == Reason::kTimeout);
  CHECK(fixture.clock.monotonic() - before < 5000);
}

TEST_CASE("fetch: a deadline of nothing", "[fetch]") {
  FetchFixture fixture;
  FetchRequest request = fixture.request(fixture.base());
  request.timeout = 0;
  CHECK(fixture.run(request).error().reason == Reason::kTimeout);
}

TEST_CASE("fetch: cancelled at any turn", "[fetch]") {
  struct Case {
    const char* name;
    std::string url_host;
    Script script;
  };
  Script drip;
  drip.reply = kOk;
  drip.piece = 20;
  Script redirect;
  redirect.reply = http_reply("302 Found", "Location: http://ocsp.example:1/\r\n", "");
  Script hang;
  hang.end = Script::End::kHold;
  const Case cases[] = {{"good", "ocsp.example", drip},
                        {"redirect", "127.0.0.1", redirect},
                        {"hang", "ocsp.example", hang},
                        {"refused", "127.0.0.2", hang}};
  for (const Case& c : cases) {
    DYNAMIC_SECTION(c.name) {
      const long before = open_descriptors();
      for (int turns = 0; turns < 25; ++turns) {
        FetchFixture fixture;
        fixture.server.play(c.script);
        const long idle = open_descriptors();
        FetchRequest request = fixture.request(fixture.base(c.url_host));
        request.named = {"ocsp.example:1"};
        fixture.start(std::move(request));
        fixture.turns(turns);
        const int calls = fixture.calls;
        fixture.fetch.reset();
        REQUIRE(
            fixture.eventually([&] { return fixture.server.open_connections() == 0 && open_descriptors() == idle; }));
        fixture.clock.advance(60000);
        fixture.turns(5);
        CHECK(fixture.calls == calls);
      }
      CHECK(open_descriptors() == before);
    }
  }
}

TEST_CASE("fetch: the callback may destroy the fetch, and start another", "[fetch]") {
  FetchFixture fixture;
  const bool good = GENERATE(true, false);
  fixture.server.play(good ? kOk : "nonsense");
  fixture.server.play(kOk);
  std::optional<Fetch::Outcome> second;
  std::unique_ptr<Fetch> fetch;
  fetch = Fetch::start(*fixture.transport, fixture.request(fixture.base("ocsp.example")),
                       [&](const Fetch::Outcome& first) {
                         CHECK(first.has_value() == good);
                         fetch = Fetch::start(*fixture.transport, fixture.request(fixture.base()),
                                              [&](Fetch::Outcome outcome) { second = std::move(outcome); });
                       });
  REQUIRE(fixture.loop.run_until([&] { return second.has_value(); }, kPatience));
  CHECK(body_of(*second) == kBody);
}

TEST_CASE("fetch: nothing stays open after the end", "[fetch]") {
  for (const std::string& reply : {kOk, std::string("nonsense"), std::string("HTTP/1.1 404 No\r\n\r\n")}) {
    DYNAMIC_SECTION(reply.substr(0, 12)) {
      FetchFixture fixture;
      fixture.server.play(reply, Script::End::kHold);
      const long before = open_descriptors();
      fixture.run(fixture.base("ocsp.example"));
      REQUIRE(fixture.eventually([&] { return fixture.server.open_connections() == 0; }));
      CHECK(open_descriptors() == before);
    }
  }
}

TEST_CASE("fetch: a loop without a free slot", "[fetch]") {
  struct FullLoop : EventLoop {
    explicit FullLoop(EventLoop& the_inner) : inner(the_inner) {}
    std::unique_ptr<IoWatch> watch(int, IoCallback) override { return nullptr; }
    std::unique_ptr<Timer> timer(TimerCallback callback) override { return inner.timer(std::move(callback)); }
    EventLoop& inner;
  };
  FetchFixture fixture;
  FullLoop full(fixture.loop);
  net::Transport transport(full, fixture.clock, *fixture.resolver);
  const long before = open_descriptors();
  fixture.fetch = Fetch::start(transport, fixture.request(fixture.base()), [&](Fetch::Outcome result) {
    fixture.outcome = std::move(result);
    ++fixture.calls;
  });
  fixture.wait();
  REQUIRE_FALSE(fixture.outcome->has_value());
  CHECK(fixture.outcome->error().reason == Reason::kNetworkError);
  CHECK(open_descriptors() == before);
}

TEST_CASE("fetch: many at once", "[fetch]") {
  FetchFixture fixture;
  int ended = 0;
  std::vector<std::unique_ptr<Fetch>> fetches;
  for (int i = 0; i < 50; ++i) {
    fixture.server.play(kOk);
    fetches.push_back(Fetch::start(*fixture.transport, fixture.request(fixture.base("ocsp.example")),
                                   [&](const Fetch::Outcome& outcome) {
                                     CHECK(body_of(outcome) == kBody);
                                     ++ended;
                                   }));
  }
  REQUIRE(fixture.loop.run_until([&] { return ended == 50; }, kPatience));
  CHECK(fixture.dns.asked() == 2);
}
