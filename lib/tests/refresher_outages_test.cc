// The refresher while responders are dead, slow to come back, or choke on single certificates.
#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "engine/refresher.h"
#include "tests/fakes/refresher_fixture.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;
using Fixture = RefresherFixture;

const std::string kTryLater = ocsp_reply(error_response(3));
const std::string kHttp404 = "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n";

TEST_CASE("refresher: a dead host with many certificates sees probes only, and all are fetched once it is back",
          "[refresher]") {
  Fixture fixture;
  OcspServer& server = fixture.server(EngineFixture::hang());
  for (std::size_t i = 0; i < 200; ++i) {
    fixture.add(i, {&server});
  }
  fixture.begin();
  fixture.pass(3600, 1000);
  CHECK(server.most_open == 4);  // the first might have been a certificate that it chokes on
  CHECK(server.asked.size() < 30);
  CHECK(fixture.log.count("no response, nothing is stapled") < 30);
  server.most_open = 0;
  fixture.pass(3600, 1000);
  CHECK(server.most_open == 1);
  fixture.pass_until(60,
                     [&] { return server.open() == 0; });  // a probe that hangs at this moment would go on doing so
  server.answer = fixture.good_answers(kDay);
  const UnixSeconds probe = fixture.refresher->health().next_probe(server.host());
  fixture.pass_until(3700, [&] { return fixture.stapled() == 200; });
  CHECK(fixture.loop.clock.now() <= probe + 5);
}

// Certificates of these numbers are never answered.
OcspServer::Answer chokes_on(Fixture& fixture, const std::set<std::string>& numbers) {
  return [&fixture, numbers](const std::string& head) {
    return numbers.count(OcspServer::path_of(head)) != 0 ? "" : fixture.good_answers(kDay)(head);
  };
}

TEST_CASE("refresher: certificates that hang do not hold up the others of a host that was not heard of yet",
          "[refresher]") {
  Fixture fixture;
  OcspServer& server = fixture.server();
  server.answer = chokes_on(fixture, {"0", "1", "2"});
  for (std::size_t i = 0; i < 50; ++i) {
    fixture.add(i, {&server});
  }
  fixture.begin();
  fixture.refresher->tick();
  fixture.loop.pass(299, 299);
  CHECK(server.asked.size() == 1);
  fixture.loop.pass(400, 400);
  CHECK(fixture.stapled() == 47);
  CHECK(server.most_open <= 8);
}

TEST_CASE("refresher: where the process before was left without an answer is not asked for first", "[refresher]") {
  Fixture fixture;
  OcspServer& server = fixture.server();
  server.answer = chokes_on(fixture, {"0", "1", "2", "3", "4"});
  for (std::size_t i = 0; i < 9; ++i) {
    fixture.add(i, {&server});
  }
  fixture.begin();
  fixture.pass(3);
  CHECK(fixture.stapled() == 0);  // four hang, and no more are let go
  CHECK(fixture.attempt(0).began != 0);
  CHECK(fixture.attempt(3).began != 0);
  CHECK(fixture.attempt(4).began == 0);
  const bool new_configuration = GENERATE(true, false);
  fixture.begin(new_configuration);  // that process has ended
  fixture.refresher->tick();
  fixture.loop.settle();
  CHECK(server.asked.back().path == "4");
  fixture.loop.pass(400, 400);
  CHECK(fixture.stapled() == 4);
  CHECK(fixture.attempt(8).began == 0);
  fixture.pass(30);
  CHECK(fixture.attempt(0).failures > 0);
  CHECK(fixture.stapled() == 4);
}

TEST_CASE("refresher: a host that refuses everybody is slowed as one", "[refresher][flood]") {
  Fixture fixture;
  const std::string unauthorized = ocsp_reply(error_response(6));
  OcspServer& server = fixture.server(EngineFixture::always(unauthorized));
  for (std::size_t i = 0; i < 400; ++i) {
    fixture.add(i, {&server});
  }
  fixture.begin();
  fixture.pass(60);
  CHECK(server.asked.size() >= 400);
  CHECK(server.asked.size() < 650);  // 1,900 where each is slowed for itself
  const auto loud = [&fixture] {
    return std::count_if(fixture.log.lines.begin(), fixture.log.lines.end(),
                         [](const auto& line) { return line.first < LogLevel::kInfo; });
  };
  CHECK(loud() <= 3);
  CHECK(fixture.log.count("no responses for several certificates, nothing is stapled for them: ") >= 1);
  const std::size_t before = server.asked.size();
  fixture.pass(600);
  CHECK(server.asked.size() - before < 1500);
  server.answer = fixture.good_answers(kDay);
  fixture.pass(3700, 1000);
  CHECK(fixture.stapled() == 400);
}

TEST_CASE("refresher: a clock that goes to and fro has nobody asked each time", "[refresher][flood]") {
  Fixture fixture;
  OcspServer& dead = fixture.server(EngineFixture::always("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"));
  OcspServer& refusing = fixture.server(EngineFixture::always(ocsp_reply(error_response(6))));
  for (std::size_t i = 0; i < 20; ++i) {
    fixture.add(i, {i < 10 ? &dead : &refusing});
  }
  fixture.begin();
  fixture.pass(600);
  const std::size_t before = dead.asked.size() + refusing.asked.size();
  fixture.log.lines.clear();
  for (int i = 0; i < 600; ++i) {
    fixture.loop.clock.jump(i % 2 == 0 ? 7200 : -7200);
    fixture.pass(1);
  }
  CHECK(dead.asked.size() + refusing.asked.size() - before < 250);
  CHECK(fixture.log.count("the wall clock jumped, all certificates are rescheduled") <= 10 * 11);
  CHECK(fixture.log.count("the wall clock keeps jumping") >= 9);
}

TEST_CASE("refresher: a proxy that fails is probed, and no responder is held to fail because of it",
          "[refresher][proxy]") {
  Fixture fixture;
  OcspServer& proxy = fixture.server(EngineFixture::always("HTTP/1.1 407 Who?\r\nContent-Length: 0\r\n\r\n"));
  fixture.settings.proxy = net::Proxy::parse(proxy.url()).value();
  for (std::size_t i = 0; i < 60; ++i) {
    fixture.add(i, {&fixture.server()});
  }
  fixture.begin();
  fixture.pass(3600, 1000);
  CHECK(proxy.asked.size() < 30);
  for (const auto& [name, host] : fixture.refresher->health().all()) {
    CHECK(host.state != ResponderHealth::State::kFailing);
  }
  CHECK(fixture.attempt(0).reason != Reason::kOk);
  // "GET http://127.0.0.1:1234/NUMBER/..."
  proxy.answer = [&fixture](const std::string& head) {
    const std::size_t number = std::stoul(head.substr(head.find('/', head.find("//") + 2) + 1));
    const UnixSeconds now = fixture.loop.clock.now();
    return ocsp_reply(good_response(test_leaf(number), test_ca(), now, now + kDay));
  };
  const std::string any = fixture.catalog.hosts().front();
  const UnixSeconds probe = fixture.refresher->health().next_probe(any);
  CHECK(probe > fixture.loop.clock.now());
  fixture.pass_until(3700, [&] { return fixture.stapled() == 60; });
  CHECK(fixture.loop.clock.now() <= probe + 10);
  CHECK_FALSE(fixture.refresher->health().failing(any));
}

TEST_CASE("refresher: a host that dies while many are asked backs off once, not many times", "[refresher]") {
  Fixture fixture;
  OcspServer& server = fixture.server(fixture.good_answers(100));
  for (std::size_t i = 0; i < 40; ++i) {
    fixture.add(i, {&server});
  }
  fixture.begin();
  fixture.pass(5);
  REQUIRE(fixture.stapled() == 40);
  server.answer = EngineFixture::always(kHttp404);
  fixture.loop.clock.jump(kDay);
  fixture.pass(10);
  CHECK(fixture.stapled() == 0);
  server.answer = fixture.good_answers(kDay);
  fixture.pass_until(6, [&] { return fixture.stapled() == 40; });
}

TEST_CASE("refresher: a copy out of a cache is as old as its Age says, so its Date is not taken for the time",
          "[refresher][rfc9111-5.1]") {
  Fixture fixture;
  const bool aged = GENERATE(true, false);
  OcspServer& server = fixture.server([&](const std::string&) {
    return ocsp_reply(good_response(test_leaf(1), test_ca(), kNow - kHour, kNow + kDay),
                      std::string("Date: Sat, 01 Jun 2030 11:00:00 GMT\r\n") + (aged ? "Age: 3600\r\n" : ""));
  });
  fixture.add(1, {&server});
  fixture.begin();
  fixture.pass(1);
  CHECK(fixture.stapled() == 1);
  CHECK(fixture.log.count("the local clock and a responder's differ") == (aged ? 0 : 1));
}

TEST_CASE("refresher: tries get denser towards the end of what is held, and recovery is picked up", "[refresher]") {
  Fixture fixture;
  OcspServer& server = fixture.server(fixture.good_answers(4 * kHour));
  fixture.add(1, {&server});
  fixture.begin();
  fixture.pass(1);
  server.answer = EngineFixture::always(kTryLater);
  server.asked.clear();
  fixture.pass(4 * kHour - 10, 1000);
  CHECK(fixture.stapled(0));
  CHECK(server.asked.size() < 40);
  CHECK(fixture.loop.clock.now() - server.asked.back().at <= 15);
  CHECK(fixture.log.count("no new response, keeping the current one") == static_cast<int>(server.asked.size()));
  server.answer = fixture.good_answers(4 * kHour);
  fixture.pass(9);
  CHECK(fixture.stapled(0));
  CHECK(fixture.attempt(0).failures == 0);
  CHECK(fixture.held(0)->expires > fixture.loop.clock.now() + kHour);
}

TEST_CASE("refresher: one whose response ends soon has the dead host probed in time", "[refresher]") {
  Fixture fixture;
  OcspServer& server = fixture.server();
  const auto minutes = fixture.good_answers(600);
  bool up = true;
  server.answer = [&](const std::string& head) {
    return up && OcspServer::path_of(head) == "2" ? minutes(head) : kHttp404;
  };
  fixture.add(1, {&server});  // nothing is ever held for it
  fixture.add(2, {&server});
  fixture.begin();
  fixture.pass_until(20, [&] { return fixture.stapled(1); });
  const UnixSeconds ends = fixture.held(1)->expires;
  // An hour of silence is asked for in the other's exchange, long before the one that has ten minutes is due.
  up = false;
  const std::string leave_alone = "HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n";
  server.answer = EngineFixture::always(leave_alone);
  fixture.pass_until(200, [&] { return fixture.refresher->health().failing(server.host()); });
  REQUIRE(fixture.loop.clock.now() < ends - 300);
  up = true;
  server.answer = minutes;
  fixture.pass(ends - fixture.loop.clock.now());
  CHECK(fixture.stapled(1));
  CHECK(fixture.held(1)->expires > ends);
}

// The longest time between two requests, once the back-off has had an hour to grow.
Seconds longest_pause(const OcspServer& server) {
  Seconds longest = 0;
  for (std::size_t i = 1; i < server.asked.size(); ++i) {
    if (server.asked[i - 1].at >= server.asked[0].at + kHour) {
      longest = std::max(longest, server.asked[i].at - server.asked[i - 1].at);
    }
  }
  return longest;
}

TEST_CASE("refresher: while nothing is held, a failing responder is tried often enough", "[refresher]") {
  struct Case {
    const char* name;
    std::string reply;
    int urgent;  // of the three certificates, by its number; -1: none
    Seconds from, to;
  };
  const std::string http503 = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
  const std::string leave_alone = "HTTP/1.1 503 Busy\r\nRetry-After: 1800\r\nContent-Length: 0\r\n\r\n";
  for (const Case& c : {
           Case{"tryLater", kTryLater, -1, 400, 602},
           Case{"tryLater, one of them is urgent", kTryLater, 1, 80, 122},
           Case{"internalError", ocsp_reply(error_response(2)), 2, 80, 122},
           Case{"503", http503, -1, 400, 602},
           Case{"503, urgent", http503, 0, 80, 122},
           Case{"no HTTP", "hello\r\n\r\n", 0, 80, 122},
           Case{"404: as configured", kHttp404, 0, 1500, 3602},
           Case{"Retry-After holds", leave_alone, 0, 1800, 1802},
       }) {
    INFO(c.name);
    Fixture fixture;
    OcspServer& server = fixture.server(EngineFixture::always(c.reply));
    for (std::size_t i = 0; i < 3; ++i) {
      const auto index = fixture.add(i, {&server});
      fixture.catalog.targets()[index]->required = static_cast<int>(i) == c.urgent;
    }
    fixture.begin();
    fixture.pass(kDay, 1000);
    const Seconds longest = longest_pause(server);
    CHECK((longest >= c.from && longest <= c.to));
  }
}

// Others hold something yet: they alone would leave the host alone for longer.
TEST_CASE("refresher: one that needs a response speaks for the host on which all wait", "[refresher]") {
  Fixture fixture;
  OcspServer& server = fixture.server(fixture.good_answers(90 * kDay));
  for (std::size_t i = 0; i < 5; ++i) {
    fixture.add(i, {&server});
  }
  fixture.catalog.targets()[4]->required = true;
  const auto good = fixture.good_answers(90 * kDay);
  server.answer = [&](const std::string& head) { return OcspServer::path_of(head) == "4" ? kTryLater : good(head); };
  fixture.begin();
  fixture.pass(60);
  REQUIRE(fixture.stapled() == 4);
  server.answer = EngineFixture::always(kTryLater);
  fixture.refresher->refresh_all();
  server.asked.clear();
  fixture.pass(6 * kHour, 1000);
  CHECK(longest_pause(server) <= 122);
}

TEST_CASE("refresher: what a responder refuses for good is asked for as seldom as ever", "[refresher]") {
  Fixture fixture;
  OcspServer& server = fixture.server(EngineFixture::always(ocsp_reply(error_response(6))));
  fixture.add(1, {&server});
  fixture.catalog.targets()[0]->required = true;
  fixture.begin();
  fixture.pass(kDay, 1000);
  CHECK(longest_pause(server) > 1500);
}

// Dead and back at any part of a second, in which the ticks fall as well.
TEST_CASE("refresher: a responder that is dead at a start and back after ten seconds is used by fifteen",
          "[refresher]") {
  const std::size_t certificates = GENERATE(1, 40);
  const bool urgent = GENERATE(false, true);
  for (int seed = 0; seed < 40; ++seed) {
    INFO("seed " << seed);
    Fixture fixture;
    fixture.loop.pass(seed * 25, 25);
    for (int i = 0; i < seed; ++i) {
      fixture.random.next();
    }
    const Millis start = fixture.loop.clock.monotonic();
    OcspServer& server = fixture.server();
    const auto good = fixture.good_answers(kDay);
    server.answer = [&](const std::string& head) {
      return fixture.loop.clock.monotonic() - start < 10000 ? std::string("hello\r\n\r\n") : good(head);
    };
    for (std::size_t i = 0; i < certificates; ++i) {
      fixture.catalog.targets()[fixture.add(i, {&server})]->required = urgent;
    }
    fixture.begin();
    fixture.pass(15);
    CHECK(fixture.stapled() == certificates);
  }
}

TEST_CASE("refresher: an answer to anybody ends the back-off of all who wait for the host", "[refresher]") {
  Fixture fixture;
  OcspServer& server = fixture.server();
  const auto good = fixture.good_answers(kDay);
  server.answer = [&](const std::string& head) { return OcspServer::path_of(head) == "0" ? good(head) : kHttp404; };
  for (std::size_t i = 0; i < 6; ++i) {
    fixture.add(i, {&server});
  }
  fixture.begin();
  fixture.pass_until(120, [&] { return fixture.stapled(0); });
  server.answer = EngineFixture::always(kHttp404);
  fixture.pass(kDay - 600, 5000);  // probes have become frequent for its sake, all others have failed many times
  REQUIRE(fixture.attempt(5).failures > 5);
  server.answer = good;
  fixture.pass_until(300, [&] { return fixture.stapled() > 1; });
  fixture.pass(1);
  CHECK(fixture.stapled() == 6);
}

TEST_CASE("refresher: a certificate the host chokes on does not speak for the others", "[refresher]") {
  Fixture fixture;
  OcspServer& server = fixture.server();
  const auto good = fixture.good_answers(1200);
  server.answer = [&](const std::string& head) { return OcspServer::path_of(head) == "0" ? kTryLater : good(head); };
  for (std::size_t i = 0; i < 10; ++i) {
    fixture.add(i, {&server});
  }
  fixture.begin();
  fixture.pass_until(30, [&] { return fixture.stapled() == 9; });
  int gaps = 0;
  for (int i = 0; i < 2 * 3600; i += 5) {
    fixture.pass(5);
    gaps += fixture.stapled() == 9 ? 0 : 1;
  }
  CHECK(gaps == 0);
}

TEST_CASE("refresher: a second responder takes all over at once when the first is dead", "[refresher]") {
  Fixture fixture;
  OcspServer& dead = fixture.server(EngineFixture::hang());
  OcspServer& other = fixture.server(EngineFixture::hang());
  for (std::size_t i = 0; i < 100; ++i) {
    fixture.add(i, {&dead, &other});
  }
  fixture.begin();
  fixture.pass(120, 1000);
  CHECK(fixture.stapled() == 0);
  fixture.pass_until(60, [&] { return other.open() == 0; });
  other.answer = fixture.good_answers(kDay);
  dead.asked.clear();
  const UnixSeconds probe = fixture.refresher->health().next_probe(other.host());
  fixture.pass_until(600, [&] { return fixture.stapled() == 100; });
  CHECK(fixture.loop.clock.now() <= probe + 15);  // a probe of the dead one may go first
  CHECK(dead.asked.size() < 10);
}

}  // namespace
}  // namespace ocsp_plus::engine
