// The refresher while responders are dead, slow to come back, or choke on single certificates.
#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "engine/refresher.h"
#include "tests/fakes/refresher_house.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;
using House = RefresherHouse;

const std::string kTryLater = ocsp_reply(error_response(3));
const std::string kHttp404 = "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n";

TEST_CASE("refresher: a dead host with many certificates sees probes only, and all are fetched once it is back",
          "[refresher]") {
  House house;
  OcspServer& server = house.server(EngineHouse::hang());
  for (std::size_t i = 0; i < 200; ++i) {
    house.add(i, {&server});
  }
  house.begin();
  house.pass(3600, 1000);
  CHECK(server.most_open == 4);  // the first might have been a certificate that it chokes on
  CHECK(server.asked.size() < 30);
  CHECK(house.log.count("no response, nothing is stapled") < 30);
  server.most_open = 0;
  house.pass(3600, 1000);
  CHECK(server.most_open == 1);
  house.pass_until(60, [&] { return server.open() == 0; });  // a probe that hangs at this moment would go on doing so
  server.answer = house.good_answers(kDay);
  const UnixSeconds probe = house.refresher->hosts().next_probe(server.host());
  house.pass_until(3700, [&] { return house.stapled() == 200; });
  CHECK(house.loop.clock.now() <= probe + 5);
}

// Certificates of these numbers are never answered.
OcspServer::Answer chokes_on(House& house, const std::set<std::string>& numbers) {
  return [&house, numbers](const std::string& head) {
    return numbers.count(OcspServer::path_of(head)) != 0 ? "" : house.good_answers(kDay)(head);
  };
}

TEST_CASE("refresher: certificates that hang do not hold up the others of a host that was not heard of yet",
          "[refresher]") {
  House house;
  OcspServer& server = house.server();
  server.answer = chokes_on(house, {"0", "1", "2"});
  for (std::size_t i = 0; i < 50; ++i) {
    house.add(i, {&server});
  }
  house.begin();
  house.refresher->tick();
  house.loop.pass(299, 299);
  CHECK(server.asked.size() == 1);
  house.loop.pass(400, 400);
  CHECK(house.stapled() == 47);
  CHECK(server.most_open <= 8);
}

TEST_CASE("refresher: where the process before was left without an answer is not asked for first", "[refresher]") {
  House house;
  OcspServer& server = house.server();
  server.answer = chokes_on(house, {"0", "1", "2", "3", "4"});
  for (std::size_t i = 0; i < 9; ++i) {
    house.add(i, {&server});
  }
  house.begin();
  house.pass(3);
  CHECK(house.stapled() == 0);  // four hang, and no more are let go
  CHECK(house.attempt(0).began != 0);
  CHECK(house.attempt(3).began != 0);
  CHECK(house.attempt(4).began == 0);
  const bool new_configuration = GENERATE(true, false);
  house.begin(new_configuration);  // that process has ended
  house.refresher->tick();
  house.loop.settle();
  CHECK(server.asked.back().path == "4");
  house.loop.pass(400, 400);
  CHECK(house.stapled() == 4);
  CHECK(house.attempt(8).began == 0);
  house.pass(30);
  CHECK(house.attempt(0).failures > 0);
  CHECK(house.stapled() == 4);
}

TEST_CASE("refresher: a host that refuses everybody is slowed as one", "[refresher][flood]") {
  House house;
  const std::string unauthorized = ocsp_reply(error_response(6));
  OcspServer& server = house.server(EngineHouse::always(unauthorized));
  for (std::size_t i = 0; i < 400; ++i) {
    house.add(i, {&server});
  }
  house.begin();
  house.pass(60);
  CHECK(server.asked.size() >= 400);
  CHECK(server.asked.size() < 650);  // 1,900 where each is slowed for itself
  const auto loud = [&house] {
    return std::count_if(house.log.lines.begin(), house.log.lines.end(),
                         [](const auto& line) { return line.first < LogLevel::kInfo; });
  };
  CHECK(loud() <= 3);
  CHECK(house.log.count("no responses for several certificates, nothing is stapled for them: ") >= 1);
  const std::size_t before = server.asked.size();
  house.pass(600);
  CHECK(server.asked.size() - before < 1500);
  server.answer = house.good_answers(kDay);
  house.pass(3700, 1000);
  CHECK(house.stapled() == 400);
}

TEST_CASE("refresher: a clock that goes to and fro has nobody asked each time", "[refresher][flood]") {
  House house;
  OcspServer& dead = house.server(EngineHouse::always("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"));
  OcspServer& refusing = house.server(EngineHouse::always(ocsp_reply(error_response(6))));
  for (std::size_t i = 0; i < 20; ++i) {
    house.add(i, {i < 10 ? &dead : &refusing});
  }
  house.begin();
  house.pass(600);
  const std::size_t before = dead.asked.size() + refusing.asked.size();
  house.log.lines.clear();
  for (int i = 0; i < 600; ++i) {
    house.loop.clock.jump(i % 2 == 0 ? 7200 : -7200);
    house.pass(1);
  }
  CHECK(dead.asked.size() + refusing.asked.size() - before < 250);
  CHECK(house.log.count("the wall clock jumped, everything is planned anew") <= 10 * 11);
  CHECK(house.log.count("the wall clock jumped again and again") >= 9);
}

TEST_CASE("refresher: a proxy that fails is probed, and no responder is held to fail because of it",
          "[refresher][proxy]") {
  House house;
  OcspServer& proxy = house.server(EngineHouse::always("HTTP/1.1 407 Who?\r\nContent-Length: 0\r\n\r\n"));
  house.settings.proxy = net::Proxy::parse(proxy.url()).value();
  for (std::size_t i = 0; i < 60; ++i) {
    house.add(i, {&house.server()});
  }
  house.begin();
  house.pass(3600, 1000);
  CHECK(proxy.asked.size() < 30);
  for (const auto& [name, host] : house.refresher->hosts().all()) {
    CHECK(host.state != Hosts::State::kFailing);
  }
  CHECK(house.attempt(0).reason != Reason::kOk);
  // "GET http://127.0.0.1:1234/NUMBER/..."
  proxy.answer = [&house](const std::string& head) {
    const std::size_t number = std::stoul(head.substr(head.find('/', head.find("//") + 2) + 1));
    const UnixSeconds now = house.loop.clock.now();
    return ocsp_reply(good_response(test_leaf(number), test_ca(), now, now + kDay));
  };
  const std::string any = house.catalog.hosts().front();
  const UnixSeconds probe = house.refresher->hosts().next_probe(any);
  CHECK(probe > house.loop.clock.now());
  house.pass_until(3700, [&] { return house.stapled() == 60; });
  CHECK(house.loop.clock.now() <= probe + 10);
  CHECK_FALSE(house.refresher->hosts().failing(any));
}

TEST_CASE("refresher: a host that dies while many are asked backs off once, not many times", "[refresher]") {
  House house;
  OcspServer& server = house.server(house.good_answers(100));
  for (std::size_t i = 0; i < 40; ++i) {
    house.add(i, {&server});
  }
  house.begin();
  house.pass(5);
  REQUIRE(house.stapled() == 40);
  server.answer = EngineHouse::always(kHttp404);
  house.loop.clock.jump(kDay);
  house.pass(10);
  CHECK(house.stapled() == 0);
  server.answer = house.good_answers(kDay);
  house.pass_until(6, [&] { return house.stapled() == 40; });
}

TEST_CASE("refresher: a copy out of a cache is as old as its Age says, so its Date is not taken for the time",
          "[refresher][rfc9111-5.1]") {
  House house;
  const bool aged = GENERATE(true, false);
  OcspServer& server = house.server([&](const std::string&) {
    return ocsp_reply(good_response(test_leaf(1), test_ca(), kNow - kHour, kNow + kDay),
                      std::string("Date: Sat, 01 Jun 2030 11:00:00 GMT\r\n") + (aged ? "Age: 3600\r\n" : ""));
  });
  house.add(1, {&server});
  house.begin();
  house.pass(1);
  CHECK(house.stapled() == 1);
  CHECK(house.log.count("our clock and a responder's disagree") == (aged ? 0 : 1));
}

TEST_CASE("refresher: tries get denser towards the end of what is held, and recovery is picked up", "[refresher]") {
  House house;
  OcspServer& server = house.server(house.good_answers(4 * kHour));
  house.add(1, {&server});
  house.begin();
  house.pass(1);
  server.answer = EngineHouse::always(kTryLater);
  server.asked.clear();
  house.pass(4 * kHour - 10, 1000);
  CHECK(house.stapled(0));
  CHECK(server.asked.size() < 40);
  CHECK(house.loop.clock.now() - server.asked.back().at <= 15);
  CHECK(house.log.count("no new response, the one held goes on") == static_cast<int>(server.asked.size()));
  server.answer = house.good_answers(4 * kHour);
  house.pass(9);
  CHECK(house.stapled(0));
  CHECK(house.attempt(0).failures == 0);
  CHECK(house.held(0)->expires > house.loop.clock.now() + kHour);
}

TEST_CASE("refresher: one whose response ends soon has the dead host probed in time", "[refresher]") {
  House house;
  OcspServer& server = house.server();
  const auto minutes = house.good_answers(600);
  bool up = true;
  server.answer = [&](const std::string& head) {
    return up && OcspServer::path_of(head) == "2" ? minutes(head) : kHttp404;
  };
  house.add(1, {&server});  // nothing is ever held for it
  house.add(2, {&server});
  house.begin();
  house.pass_until(20, [&] { return house.stapled(1); });
  const UnixSeconds ends = house.held(1)->expires;
  // An hour of silence is asked for in the other's exchange, long before the one that has ten minutes is due.
  up = false;
  const std::string leave_alone = "HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n";
  server.answer = EngineHouse::always(leave_alone);
  house.pass_until(200, [&] { return house.refresher->hosts().failing(server.host()); });
  REQUIRE(house.loop.clock.now() < ends - 300);
  up = true;
  server.answer = minutes;
  house.pass(ends - house.loop.clock.now());
  CHECK(house.stapled(1));
  CHECK(house.held(1)->expires > ends);
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
    House house;
    OcspServer& server = house.server(EngineHouse::always(c.reply));
    for (std::size_t i = 0; i < 3; ++i) {
      const auto index = house.add(i, {&server});
      house.catalog.target(index).required = static_cast<int>(i) == c.urgent;
    }
    house.begin();
    house.pass(kDay, 1000);
    const Seconds longest = longest_pause(server);
    CHECK((longest >= c.from && longest <= c.to));
  }
}

// Others hold something yet: they alone would leave the host alone for longer.
TEST_CASE("refresher: one that needs a response speaks for the host on which all wait", "[refresher]") {
  House house;
  OcspServer& server = house.server(house.good_answers(90 * kDay));
  for (std::size_t i = 0; i < 5; ++i) {
    house.add(i, {&server});
  }
  house.catalog.target(4).required = true;
  const auto good = house.good_answers(90 * kDay);
  server.answer = [&](const std::string& head) { return OcspServer::path_of(head) == "4" ? kTryLater : good(head); };
  house.begin();
  house.pass(60);
  REQUIRE(house.stapled() == 4);
  server.answer = EngineHouse::always(kTryLater);
  house.refresher->refresh_all();
  server.asked.clear();
  house.pass(6 * kHour, 1000);
  CHECK(longest_pause(server) <= 122);
}

TEST_CASE("refresher: what a responder refuses for good is asked for as seldom as ever", "[refresher]") {
  House house;
  OcspServer& server = house.server(EngineHouse::always(ocsp_reply(error_response(6))));
  house.add(1, {&server});
  house.catalog.target(0).required = true;
  house.begin();
  house.pass(kDay, 1000);
  CHECK(longest_pause(server) > 1500);
}

// Dead and back at any part of a second, in which the ticks fall as well.
TEST_CASE("refresher: a responder that is dead at a start and back after ten seconds is used by fifteen",
          "[refresher]") {
  const std::size_t certificates = GENERATE(1, 40);
  const bool urgent = GENERATE(false, true);
  for (int seed = 0; seed < 40; ++seed) {
    INFO("seed " << seed);
    House house;
    house.loop.pass(seed * 25, 25);
    for (int i = 0; i < seed; ++i) {
      house.random.next();
    }
    const Millis start = house.loop.clock.monotonic();
    OcspServer& server = house.server();
    const auto good = house.good_answers(kDay);
    server.answer = [&](const std::string& head) {
      return house.loop.clock.monotonic() - start < 10000 ? std::string("hello\r\n\r\n") : good(head);
    };
    for (std::size_t i = 0; i < certificates; ++i) {
      house.catalog.target(house.add(i, {&server})).required = urgent;
    }
    house.begin();
    house.pass(15);
    CHECK(house.stapled() == certificates);
  }
}

TEST_CASE("refresher: an answer to anybody ends the back-off of all who wait for the host", "[refresher]") {
  House house;
  OcspServer& server = house.server();
  const auto good = house.good_answers(kDay);
  server.answer = [&](const std::string& head) { return OcspServer::path_of(head) == "0" ? good(head) : kHttp404; };
  for (std::size_t i = 0; i < 6; ++i) {
    house.add(i, {&server});
  }
  house.begin();
  house.pass_until(120, [&] { return house.stapled(0); });
  server.answer = EngineHouse::always(kHttp404);
  house.pass(kDay - 600, 5000);  // probes have become frequent for its sake, all others have failed many times
  REQUIRE(house.attempt(5).failures > 5);
  server.answer = good;
  house.pass_until(300, [&] { return house.stapled() > 1; });
  house.pass(1);
  CHECK(house.stapled() == 6);
}

TEST_CASE("refresher: a certificate the host chokes on does not speak for the others", "[refresher]") {
  House house;
  OcspServer& server = house.server();
  const auto good = house.good_answers(1200);
  server.answer = [&](const std::string& head) { return OcspServer::path_of(head) == "0" ? kTryLater : good(head); };
  for (std::size_t i = 0; i < 10; ++i) {
    house.add(i, {&server});
  }
  house.begin();
  house.pass_until(30, [&] { return house.stapled() == 9; });
  int gaps = 0;
  for (int i = 0; i < 2 * 3600; i += 5) {
    house.pass(5);
    gaps += house.stapled() == 9 ? 0 : 1;
  }
  CHECK(gaps == 0);
}

TEST_CASE("refresher: a second responder takes all over at once when the first is dead", "[refresher]") {
  House house;
  OcspServer& dead = house.server(EngineHouse::hang());
  OcspServer& other = house.server(EngineHouse::hang());
  for (std::size_t i = 0; i < 100; ++i) {
    house.add(i, {&dead, &other});
  }
  house.begin();
  house.pass(120, 1000);
  CHECK(house.stapled() == 0);
  house.pass_until(60, [&] { return other.open() == 0; });
  other.answer = house.good_answers(kDay);
  dead.asked.clear();
  const UnixSeconds probe = house.refresher->hosts().next_probe(other.host());
  house.pass_until(600, [&] { return house.stapled() == 100; });
  CHECK(house.loop.clock.now() <= probe + 15);  // a probe of the dead one may go first
  CHECK(dead.asked.size() < 10);
}

}  // namespace
}  // namespace ocsp_plus::engine
