#include "engine/refresher.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/fakes/refresher_house.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;
using House = RefresherHouse;

const std::string kTryLater = ocsp_reply(error_response(3));
const std::string kHttp404 = "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n";

TEST_CASE("refresher: a fetch, and the next one in its window", "[refresher]") {
  House house;
  OcspServer& server = house.server(house.good_answers(kDay));
  house.add(1, {&server});
  house.begin();
  house.pass(1);
  CHECK(house.stapled(0));
  REQUIRE(server.asked.size() == 1);
  const store::Attempt attempt = house.attempt(0);
  CHECK(attempt.failures == 0);
  CHECK(attempt.reason == Reason::kOk);
  CHECK(attempt.succeeded_at == kNow);
  CHECK((attempt.next >= kNow + kDay * 40 / 100 && attempt.next <= kNow + kDay / 2));
  CHECK(house.log.count("response published") == 1);

  house.pass(kDay, 60000);
  REQUIRE(server.asked.size() == 3);
  CHECK(server.asked[1].at >= attempt.next);
  CHECK(server.asked[1].at <= attempt.next + 60);
}

TEST_CASE("refresher: a response of a minute never leaves a gap", "[refresher]") {
  House house;
  OcspServer& server = house.server(house.good_answers(60));
  house.add(1, {&server});
  house.begin();
  house.pass(1);
  int gaps = 0;
  for (int i = 0; i < 600; ++i) {
    house.pass(1);
    gaps += house.stapled(0) ? 0 : 1;
  }
  CHECK(gaps == 0);
  CHECK(server.asked.size() <= 600 / 24 + 1);
}

TEST_CASE("refresher: certificates that cannot be stapled are left alone", "[refresher]") {
  House house;
  OcspServer& server = house.server();
  house.add(1, {});
  house.add(2, {&server});
  house.begin();
  house.pass(10);
  CHECK(house.stapled() == 1);
  CHECK(server.asked.size() == 1);
}

// --- bounds ------------------------------------------------------------------------------------------------------

TEST_CASE("refresher: concurrency and the hosts' caps hold", "[refresher]") {
  House house;
  house.settings.concurrency = 6;
  OcspServer& a = house.server();
  OcspServer& b = house.server();
  OcspServer& c = house.server();
  for (std::size_t i = 0; i < 60; ++i) {
    house.add(i, {i % 3 == 0 ? &a : i % 3 == 1 ? &b : &c});
  }
  house.begin();
  house.pass(5);
  CHECK(house.stapled() == 60);
  for (const OcspServer* server : {&a, &b, &c}) {
    CHECK(server->asked.size() == 20);
    CHECK(server->most_open <= 3);
  }
}

TEST_CASE("refresher: eight hosts that hang do not delay a good one", "[refresher]") {
  House house;
  std::size_t number = 0;
  for (int i = 0; i < 8; ++i) {
    OcspServer& hanging = house.server(EngineHouse::hang());
    for (int j = 0; j < 5; ++j) {
      house.add(number++, {&hanging});
    }
  }
  OcspServer& good = house.server();
  for (int j = 0; j < 20; ++j) {
    house.add(number++, {&good});
  }
  house.begin();
  house.pass(1);
  CHECK(house.stapled() == 20);
}

TEST_CASE("refresher: two slow hosts with a backlog leave a slot to the third", "[refresher]") {
  House house;
  house.settings.concurrency = 4;
  std::vector<OcspServer*> servers = {&house.server(), &house.server(), &house.server()};
  // The third is the last in the order of hosts, too.
  std::sort(servers.begin(), servers.end(), [](const auto* a, const auto* b) { return a->host() < b->host(); });
  servers[0]->answer = servers[1]->answer = house.good_answers(600);
  servers[2]->answer = house.good_answers(60);
  for (std::size_t i = 0; i < 80; ++i) {
    house.add(i, {servers[i % 2]});
  }
  house.add(80, {servers[2]});
  house.begin();
  house.pass(1);  // all have answered once
  REQUIRE(house.stapled() == 81);
  servers[0]->delay = 8000;
  servers[1]->delay = 8050;
  house.pass(230, 1000);
  int gaps = 0;
  for (int i = 0; i < 120; ++i) {  // all become due in the first of these two minutes
    house.pass(1, 100);
    gaps += house.stapled(80) ? 0 : 1;
  }
  CHECK(gaps == 0);
  CHECK(house.refresher->in_flight() == 4);  // the backlog is still there
}

// --- the clock ---------------------------------------------------------------------------------------------------

TEST_CASE("refresher: a jump of the clock replans everything", "[refresher]") {
  struct Case {
    const char* name;
    Seconds jump;
    int fetches;
    int lines;
  };
  for (const Case& c : {
           Case{"a second: nothing", 1, 0, 0},
           Case{"within the validity, before the window", kHour, 0, 1},
           Case{"beyond the end", 2 * kDay, 1, 1},
           Case{"back, before what is held begins", -kDay, 1, 1},
           Case{"back, by less than clocks may differ", -200, 0, 1},
       }) {
    INFO(c.name);
    House house;
    OcspServer& server = house.server(house.good_answers(kDay));
    house.add(1, {&server});
    house.begin();
    house.pass(1);
    house.loop.clock.jump(c.jump);
    house.pass(2);
    CHECK(static_cast<int>(server.asked.size()) == 1 + c.fetches);
    CHECK(house.log.count("the wall clock jumped") == c.lines);
    // Not later than the validity demands, nor in a past that does not come again.
    CHECK(house.attempt(0).next <= house.loop.clock.now() + 7 * kDay / 2);
  }
}

TEST_CASE("refresher: a jump lets failing hosts be asked at once", "[refresher]") {
  House house;
  OcspServer& server = house.server(EngineHouse::always(kHttp404));
  house.add(1, {&server});
  house.add(2, {&server});
  house.begin();
  house.pass(3600, 1000);
  server.answer = house.good_answers(kDay);
  house.loop.clock.jump(-kDay);
  house.pass(1);
  CHECK(house.stapled() == 2);
}

// --- the zone ----------------------------------------------------------------------------------------------------

TEST_CASE("refresher: while the zone is busy responses keep their slots and are offered again", "[refresher]") {
  House house;
  house.settings.concurrency = 4;
  OcspServer& server = house.server();
  for (std::size_t i = 0; i < 20; ++i) {
    house.add(i, {&server});
  }
  house.begin();
  house.lock.busy = true;
  house.pass(5);
  CHECK(house.stapled() == 0);
  CHECK(server.asked.size() == 4);
  house.lock.busy = false;
  house.pass(2);
  CHECK(house.stapled() == 20);
  CHECK(server.asked.size() == 20);
}

TEST_CASE("refresher: a response that ends while it waits for the zone is a failure", "[refresher]") {
  House house;
  OcspServer& server = house.server(house.good_answers(3));
  house.add(1, {&server});
  house.begin();
  house.lock.busy = true;
  house.pass(2);
  server.answer = EngineHouse::hang();
  house.pass(4);
  CHECK(house.attempt(0).failures >= 1);
  CHECK(house.log.count("reason=expired") == 1);
}

TEST_CASE("refresher: a full zone is an error, and tried again by the back-off", "[refresher]") {
  House house(64 << 10);
  OcspServer& server = house.server();
  ResponseSpec large;
  for (std::size_t size = 0; size < 60 << 10; size += test_leaf(1).der().size()) {
    large.certificates.push_back(test_leaf(1).der());
  }
  house.settings.max_response = 1 << 20;
  server.answer = EngineHouse::always(ocsp_reply(make_response(large, test_leaf(1), test_ca(), test_ca())));
  house.add(1, {&server});
  house.begin();
  house.pass(60);
  CHECK_FALSE(house.stapled(0));
  CHECK((server.asked.size() >= 3 && server.asked.size() <= 8));
  CHECK(house.attempt(0).reason == Reason::kZoneFull);
  CHECK(house.log.count("reason=zone_full detail=\"enlarge ocsp_plus_zone\"") ==
        static_cast<int>(server.asked.size()));
  server.answer = house.good_answers(kDay);
  house.pass_until(120, [&] { return house.stapled(0); });
}

TEST_CASE("refresher: after the lease is lost nothing more is done", "[refresher]") {
  House house;
  OcspServer& server = house.server(house.good_answers(60));
  for (std::size_t i = 0; i < 5; ++i) {
    house.add(i, {&server});
  }
  house.begin();
  house.pass(2);
  CHECK(house.stapled() == 5);
  house.zone.header().lease.word = std::uint64_t{7} << 32 | 4711;
  house.pass(60);
  CHECK(house.refresher->lease_lost());
  const std::size_t asked = server.asked.size();
  CHECK(asked > 5);  // how else would it know
  house.pass(120);
  CHECK(server.asked.size() == asked);
  CHECK(house.stapled() == 0);
}

TEST_CASE("refresher: an ended response and one that is no newer: back off, no polling", "[refresher]") {
  House house;
  OcspServer& server = house.server();
  house.add(1, {&server});
  // The first: short but young. Then only older ones that last longer.
  server.answer = EngineHouse::always(ocsp_reply(good_response(test_leaf(1), test_ca(), kNow - 10, kNow + 60)));
  house.begin();
  house.pass(1);
  server.answer = EngineHouse::always(ocsp_reply(good_response(test_leaf(1), test_ca(), kNow - 20, kNow + kDay)));
  house.pass(60);
  server.asked.clear();
  house.pass(3600, 1000);
  CHECK_FALSE(house.stapled(0));
  CHECK(server.asked.size() < 20);
  CHECK(house.attempt(0).reason == Reason::kNotNewer);
}

TEST_CASE("refresher: what a registration takes away at this moment does no harm", "[refresher]") {
  House house;
  OcspServer& server = house.server();
  house.add(1, {&server});
  house.begin();
  house.refresher->tick();
  std::vector<store::EntryIndex> entries;
  REQUIRE(house.zone.register_all(house.lock, {{house.catalog.target(0).certificate.id, test_id(3)}}, &entries));
  house.pass(10);
  CHECK_FALSE(house.stapled(0));
  CHECK(house.log.count("a newer configuration has taken the entry over") >= 1);
}

// --- handing over ------------------------------------------------------------------------------------------------

TEST_CASE("refresher: who takes over keeps the plan", "[refresher]") {
  House house;
  OcspServer& good = house.server();
  OcspServer& bad = house.server(EngineHouse::always(ocsp_reply(error_response(6))));
  house.add(1, {&good});
  house.add(2, {&bad});
  house.begin();
  house.pass(300);
  const store::Attempt good_plan = house.attempt(0);
  const store::Attempt bad_plan = house.attempt(1);
  REQUIRE(bad_plan.next > house.loop.clock.now() + 1);
  const std::size_t asked = bad.asked.size();

  SECTION("of the same configuration") {
    house.begin(false);
    house.pass(1);
    CHECK(house.attempt(0).next == good_plan.next);
    CHECK(house.attempt(1).next == bad_plan.next);
    CHECK(bad.asked.size() == asked);
    house.pass(bad_plan.next - house.loop.clock.now() + 1);
    CHECK(bad.asked.size() == asked + 1);
    CHECK(house.attempt(1).failures == bad_plan.failures + 1);
  }
  SECTION("a new configuration: what had failed is tried at once") {
    house.begin(true);
    house.pass(1);
    CHECK(bad.asked.size() == asked + 1);
  }
  SECTION("nonsense in the zone delays nothing beyond its bound") {
    for (const Catalog::Index index : {0u, 1u}) {
      store::Attempt nonsense = house.attempt(index);
      nonsense.next = INT64_MAX;
      house.zone.set_attempt(house.catalog.target(index).entry, nonsense);
    }
    house.begin(false);
    house.pass(house.settings.retry.max + 1, 1000);
    CHECK(bad.asked.size() == asked + 1);
    house.pass(3 * kDay / 2, 60000);
    CHECK(good.asked.size() == 2);
  }
  CHECK(good.asked.size() <= 2);
}

TEST_CASE("refresher: all was well by the plan, but nothing valid is held", "[refresher]") {
  House house;
  OcspServer& server = house.server();
  house.add(1, {&server});
  house.begin();
  house.pass(1);
  REQUIRE(house.writer->drop(house.catalog.target(0).entry));
  house.begin(false);
  house.pass(1);
  CHECK(house.stapled(0));
}

TEST_CASE("refresher: destroyed in the middle of anything", "[refresher]") {
  House house;
  OcspServer& hanging = house.server(EngineHouse::hang());
  OcspServer& good = house.server();
  house.add(1, {&hanging});
  house.add(2, {&good});
  house.begin();
  for (int turns = 0; turns < 30; ++turns) {
    house.begin();
    house.refresher->tick();
    for (int i = 0; i < turns; ++i) {
      house.loop.turn();
    }
    house.refresher.reset();
    house.loop.settle();
    CHECK(hanging.open() == 0);
  }
}

TEST_CASE("refresher: what is held and not modified goes on", "[refresher][rfc9110-13.1]") {
  House house;
  std::vector<std::string> heads;
  bool changed = false;
  OcspServer& server = house.server();
  server.answer = [&](const std::string& head) {
    heads.push_back(head);
    if (!changed && head.find("If-None-Match: \"one\"") != std::string::npos) {
      return std::string("HTTP/1.1 304 Not Modified\r\n\r\n");
    }
    const UnixSeconds now = house.loop.clock.now();
    return ocsp_reply(good_response(test_leaf(1), test_ca(), now, now + kDay), "ETag: \"one\"\r\n");
  };
  house.add(1, {&server});
  house.begin();
  house.pass(1);
  REQUIRE(house.stapled(0));
  const auto held = house.held(0);
  CHECK(heads.size() == 1);
  CHECK(heads[0].find("If-None-Match") == std::string::npos);

  house.pass(kDay * 55 / 100, 10000);
  REQUIRE(heads.size() >= 2);
  for (std::size_t i = 1; i < heads.size(); ++i) {
    CHECK(heads[i].find("If-None-Match: \"one\"") != std::string::npos);
  }
  CHECK(house.held(0)->this_update == held->this_update);
  CHECK(house.attempt(0).reason == Reason::kNotNewer);
  CHECK(house.attempt(0).failures == 0);
  CHECK(house.attempt(0).next > house.loop.clock.now());
  CHECK(house.attempt(0).next < held->expires);

  SECTION("until there is another") {
    changed = true;
    house.pass(kHour * 4, 10000);
    CHECK(house.held(0)->this_update > held->this_update);
  }
  SECTION("until its last quarter: then nobody is asked whether it has changed") {
    house.pass(kDay * 40 / 100, 10000);
    CHECK(house.held(0)->this_update > held->this_update);
    CHECK(house.held(0)->this_update < held->expires);
    CHECK(std::count_if(heads.begin(), heads.end(), [](const std::string& head) {
            return head.find("If-None-Match") == std::string::npos;
          }) == 2);
  }
  SECTION("not for one that has come from elsewhere meanwhile") {
    const UnixSeconds now = house.loop.clock.now();
    const auto other = good_response(test_leaf(1), test_ca(), now, now + kDay);
    REQUIRE(house.gate->admit(house.catalog.target(0), other, store::Source::kFile, {now}).action ==
            Action::kPublish);
    const std::size_t before = heads.size();
    house.pass(kDay * 3 / 4, 10000);
    REQUIRE(heads.size() > before);
    CHECK(heads[before].find("If-None-Match") == std::string::npos);
  }
}

TEST_CASE("refresher: any mixture of troubles loses no certificate", "[refresher]") {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    INFO("seed " << seed);
    TestRandom random(seed);
    House house;
    house.settings.concurrency = 1 + random.below(8);
    std::vector<OcspServer*> servers;
    for (int i = 0; i < 4; ++i) {
      servers.push_back(&house.server());
    }
    for (std::size_t i = 0; i < 30; ++i) {
      const std::size_t first = random.below(4);
      std::vector<const OcspServer*> responders = {servers[first]};
      if (random.below(2) == 0) {
        responders.push_back(servers[(first + 1) % 4]);
      }
      house.add(i, responders);
    }
    house.begin();
    for (int step = 0; step < 60; ++step) {
      OcspServer& server = *servers[random.below(4)];
      switch (random.below(8)) {
        case 0:
          server.answer = EngineHouse::hang();
          break;
        case 1:
          server.answer = EngineHouse::always(kHttp404);
          break;
        case 2:
          server.answer = EngineHouse::always(kTryLater);
          break;
        case 3:
          house.loop.clock.jump(static_cast<Seconds>(random.below(7200)) - 3600);
          break;
        case 4:
          house.lock.busy = !house.lock.busy;
          break;
        case 5:
          house.begin(random.below(2) == 0);
          break;
        default:
          server.answer = house.good_answers(static_cast<Seconds>(30 + random.below(600)));
      }
      house.pass(static_cast<Seconds>(1 + random.below(30)));
    }
    house.lock.busy = false;
    for (OcspServer* server : servers) {
      server->answer = house.good_answers(kDay);
    }
    house.pass(house.settings.retry.max + 30, 1000);
    CHECK(house.stapled() == 30);
  }
}

// Each start helper plans what it has read from the cache directory; what was planned before must not move.
TEST_CASE("refresher: reloads again and again do not put a refresh off", "[refresher]") {
  House house;
  house.add(0, {&house.server(house.good_answers(kDay))});
  house.begin();
  house.pass(5);
  REQUIRE(house.stapled(0));
  const UnixSeconds planned = house.attempt(0).next;
  for (int reloads = 0; reloads < 30; ++reloads) {
    house.begin();
    house.refresher->plan_what_was_kept();
    house.pass(2);
    CHECK(house.attempt(0).next == planned);
  }
}

}  // namespace
}  // namespace ocsp_plus::engine
