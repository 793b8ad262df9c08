#include "engine/refresher.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>

#include "store/entry_state.h"
#include "store/zone_registry.h"
#include "tests/fakes/refresher_fixture.h"
#include "tests/fakes/verifications.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;
using Fixture = RefresherFixture;

const std::string kTryLater = ocsp_reply(error_response(3));
const std::string kHttp404 = "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n";

TEST_CASE("refresher: a fetch, and the next one in its window", "[refresher]") {
  Fixture fixture;
  OcspServer& server = fixture.server(fixture.good_answers(kDay));
  fixture.add(1, {&server});
  fixture.begin();
  fixture.pass(1);
  CHECK(fixture.stapled(0));
  REQUIRE(server.asked.size() == 1);
  const store::Attempt attempt = fixture.attempt(0);
  CHECK(attempt.failures == 0);
  CHECK(attempt.reason == Reason::kOk);
  CHECK(attempt.succeeded_at == kNow);
  CHECK((attempt.next >= kNow + kDay * 40 / 100 && attempt.next <= kNow + kDay / 2));
  CHECK(fixture.log.count("response published") == 1);

  fixture.pass(kDay, 60000);
  REQUIRE(server.asked.size() == 3);
  CHECK(server.asked[1].at >= attempt.next);
  CHECK(server.asked[1].at <= attempt.next + 60);
}

// --- ocsp_plus_refresh -------------------------------------------------------------------------------------------

TEST_CASE("refresher: a bound of five seconds, one request in each", "[refresher]") {
  Fixture fixture;
  OcspServer& server = fixture.server(fixture.good_answers(kDay));
  fixture.add(1, {&server});
  fixture.catalog.targets()[0]->refresh = 5;
  fixture.begin();
  fixture.pass(100);
  for (std::size_t i = 1; i < server.asked.size(); ++i) {
    CHECK(server.asked[i].at - server.asked[i - 1].at >= 5);
    CHECK(server.asked[i].at - server.asked[i - 1].at <= 6);
  }
  CHECK(server.asked.size() <= 21);
  CHECK(server.asked.size() >= 18);
  CHECK(fixture.log.count("cannot keep up") == 0);
}

TEST_CASE("refresher: a bound and the next lease holder, a shorter bound, none", "[refresher]") {
  Fixture fixture;
  OcspServer& server = fixture.server(fixture.good_answers(kDay));
  for (std::size_t i = 0; i < 60; ++i) {
    fixture.add(i, {&server});
  }
  fixture.begin();
  fixture.pass(1800, 5000);
  REQUIRE(server.asked.size() == 60);
  for (std::size_t i = 0; i < 60; ++i) {
    fixture.catalog.targets()[i]->refresh = 60;
  }
  fixture.begin();  // reloaded: long past their bound, but not all at once
  fixture.pass(5);
  CHECK(server.asked.size() < 60 + 30);
  fixture.pass(56);
  std::map<std::string, int> asked;
  for (std::size_t i = 60; i < server.asked.size(); ++i) {
    ++asked[server.asked[i].path];
  }
  CHECK(asked.size() == 60);
  fixture.begin(false);
  const std::size_t before = server.asked.size();
  fixture.pass(61);
  CHECK(server.asked.size() >= before + 60);
  CHECK(server.asked.size() <= before + 130);
}

TEST_CASE("refresher: a responder that cannot keep up is told of once", "[refresher]") {
  Fixture fixture;
  fixture.settings.concurrency = 2;
  OcspServer& server = fixture.server(fixture.good_answers(kDay));
  server.delay = 1000;
  OcspServer& other = fixture.server(fixture.good_answers(kDay));
  for (std::size_t i = 0; i < 20; ++i) {
    fixture.add(i, {&server});
    fixture.catalog.targets()[i]->refresh = 5;
  }
  fixture.add(20, {&other});
  fixture.catalog.targets()[20]->refresh = 5;
  fixture.begin();
  fixture.pass(120, 100);
  CHECK(fixture.log.count("a responder cannot keep up with ocsp_plus_refresh") == 1);
  CHECK(server.most_open <= 2);
  CHECK(other.asked.size() >= 10);
}

TEST_CASE("refresher: a responder that fails and comes back is not one that cannot keep up", "[refresher]") {
  Fixture fixture;
  OcspServer& server = fixture.server(fixture.good_answers(3 * kDay));
  for (std::size_t i = 0; i < 20; ++i) {
    fixture.add(i, {&server});
    fixture.catalog.targets()[i]->refresh = 60;
  }
  fixture.begin();
  fixture.pass(60);
  const auto good = server.answer;
  server.answer = EngineFixture::always(kTryLater);
  fixture.pass(600);
  server.answer = good;
  fixture.pass(200);
  CHECK(fixture.log.count("cannot keep up") == 0);
}

TEST_CASE("refresher: a failing responder is asked within the bound, not sooner than the back-off allows",
          "[refresher]") {
  Fixture fixture;
  fixture.settings.retry = {7, 3600};
  OcspServer& server = fixture.server(fixture.good_answers(3 * kDay));
  fixture.add(1, {&server});
  fixture.catalog.targets()[0]->refresh = 60;
  fixture.begin();
  fixture.pass(1);
  REQUIRE(fixture.stapled(0));
  const auto good = server.answer;
  server.answer = EngineFixture::always(kTryLater);
  fixture.pass(1800);
  server.asked.clear();
  fixture.pass(1800);
  CHECK(server.asked.size() >= 28);
  for (std::size_t i = 1; i < server.asked.size(); ++i) {
    CHECK(server.asked[i].at - server.asked[i - 1].at >= 7);
    CHECK(server.asked[i].at - server.asked[i - 1].at <= 62);
  }
}

TEST_CASE("refresher: past caches at most once in a bound and certificate", "[refresher]") {
  Fixture fixture;
  OcspServer& server = fixture.server();
  int number = 0;
  server.answer = [&](const std::string& head) {
    const UnixSeconds now = fixture.loop.clock.now();
    std::string reply = ocsp_reply(good_response(test_leaf(1), test_ca(), now - 7200 + ++number, now + 40));
    if (head.find("no-cache") == std::string::npos) {
      reply.insert(reply.find("\r\n") + 2, "Age: 3600\r\n");
    }
    return reply;
  };
  fixture.add(1, {&server});
  fixture.catalog.targets()[0]->refresh = 300;
  fixture.begin();
  fixture.pass(1800);
  std::vector<UnixSeconds> past;
  for (const auto& asked : server.asked) {
    if (asked.no_cache) {
      past.push_back(asked.at);
    }
  }
  CHECK(server.asked.size() > 3 * past.size());  // the responses are short-lived
  CHECK(past.size() >= 5);
  CHECK(past.size() <= 7);
}

TEST_CASE("refresher: a response of a minute never leaves a gap", "[refresher]") {
  Fixture fixture;
  OcspServer& server = fixture.server(fixture.good_answers(60));
  fixture.add(1, {&server});
  fixture.begin();
  fixture.pass(1);
  int gaps = 0;
  for (int i = 0; i < 600; ++i) {
    fixture.pass(1);
    gaps += fixture.stapled(0) ? 0 : 1;
  }
  CHECK(gaps == 0);
  CHECK(server.asked.size() <= 600 / 24 + 1);
}

TEST_CASE("refresher: certificates that cannot be stapled are left alone", "[refresher]") {
  Fixture fixture;
  OcspServer& server = fixture.server();
  fixture.add(1, {});
  fixture.add(2, {&server});
  fixture.begin();
  fixture.pass(10);
  CHECK(fixture.stapled() == 1);
  CHECK(server.asked.size() == 1);
}

// --- bounds ------------------------------------------------------------------------------------------------------

TEST_CASE("refresher: concurrency and the hosts' caps hold", "[refresher]") {
  Fixture fixture;
  fixture.settings.concurrency = 6;
  OcspServer& a = fixture.server();
  OcspServer& b = fixture.server();
  OcspServer& c = fixture.server();
  for (std::size_t i = 0; i < 60; ++i) {
    fixture.add(i, {i % 3 == 0 ? &a : i % 3 == 1 ? &b : &c});
  }
  fixture.begin();
  fixture.pass(5);
  CHECK(fixture.stapled() == 60);
  for (const OcspServer* server : {&a, &b, &c}) {
    CHECK(server->asked.size() == 20);
    CHECK(server->most_open <= 3);
  }
}

TEST_CASE("refresher: eight hosts that hang do not delay a good one", "[refresher]") {
  Fixture fixture;
  std::size_t number = 0;
  for (int i = 0; i < 8; ++i) {
    OcspServer& hanging = fixture.server(EngineFixture::hang());
    for (int j = 0; j < 5; ++j) {
      fixture.add(number++, {&hanging});
    }
  }
  OcspServer& good = fixture.server();
  for (int j = 0; j < 20; ++j) {
    fixture.add(number++, {&good});
  }
  fixture.begin();
  fixture.pass(1);
  CHECK(fixture.stapled() == 20);
}

TEST_CASE("refresher: two slow hosts with a backlog leave a slot to the third", "[refresher]") {
  Fixture fixture;
  fixture.settings.concurrency = 4;
  std::vector<OcspServer*> servers = {&fixture.server(), &fixture.server(), &fixture.server()};
  // The third is the last in the order of hosts, too.
  std::sort(servers.begin(), servers.end(), [](const auto* a, const auto* b) { return a->host() < b->host(); });
  servers[0]->answer = servers[1]->answer = fixture.good_answers(600);
  servers[2]->answer = fixture.good_answers(60);
  for (std::size_t i = 0; i < 80; ++i) {
    fixture.add(i, {servers[i % 2]});
  }
  fixture.add(80, {servers[2]});
  fixture.begin();
  fixture.pass(1);  // all have answered once
  REQUIRE(fixture.stapled() == 81);
  servers[0]->delay = 8000;
  servers[1]->delay = 8050;
  fixture.pass(230, 1000);
  int gaps = 0;
  for (int i = 0; i < 120; ++i) {  // all become due in the first of these two minutes
    fixture.pass(1, 100);
    gaps += fixture.stapled(80) ? 0 : 1;
  }
  CHECK(gaps == 0);
  CHECK(store::number(fixture.zone, store::Number::kInFlight) == 4);  // the backlog is still there
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
    Fixture fixture;
    OcspServer& server = fixture.server(fixture.good_answers(kDay));
    fixture.add(1, {&server});
    fixture.begin();
    fixture.pass(1);
    fixture.loop.clock.jump(c.jump);
    fixture.pass(2);
    CHECK(static_cast<int>(server.asked.size()) == 1 + c.fetches);
    CHECK(fixture.log.count("the wall clock jumped") == c.lines);
    // Not later than the validity demands, nor in a past that does not come again.
    CHECK(fixture.attempt(0).next <= fixture.loop.clock.now() + 7 * kDay / 2);
  }
}

TEST_CASE("refresher: a jump lets failing hosts be asked at once", "[refresher]") {
  Fixture fixture;
  OcspServer& server = fixture.server(EngineFixture::always(kHttp404));
  fixture.add(1, {&server});
  fixture.add(2, {&server});
  fixture.begin();
  fixture.pass(3600, 1000);
  server.answer = fixture.good_answers(kDay);
  fixture.loop.clock.jump(-kDay);
  fixture.pass(1);
  CHECK(fixture.stapled() == 2);
}

// --- the zone ----------------------------------------------------------------------------------------------------

TEST_CASE("refresher: while the zone is busy responses keep their slots and are offered again", "[refresher]") {
  Fixture fixture;
  fixture.settings.concurrency = 4;
  OcspServer& server = fixture.server();
  for (std::size_t i = 0; i < 20; ++i) {
    fixture.add(i, {&server});
  }
  fixture.begin();
  fixture.lock.busy = true;
  const std::size_t verified_before = verified_responses();
  fixture.pass(5);
  CHECK(fixture.stapled() == 0);
  CHECK(server.asked.size() == 4);
  CHECK(verified_responses() - verified_before == 4);  // each once, however often the lock was busy
  fixture.lock.busy = false;
  fixture.pass(2);
  CHECK(fixture.stapled() == 20);
  CHECK(server.asked.size() == 20);
}

TEST_CASE("refresher: a response that ends while it waits for the zone is a failure", "[refresher]") {
  Fixture fixture;
  OcspServer& server = fixture.server(fixture.good_answers(3));
  fixture.add(1, {&server});
  fixture.begin();
  fixture.lock.busy = true;
  fixture.pass(2);
  server.answer = EngineFixture::hang();
  fixture.pass(4);
  CHECK(fixture.attempt(0).failures >= 1);
  CHECK(fixture.log.count("reason=expired") == 1);
}

TEST_CASE("refresher: a full zone is an error, and tried again by the back-off", "[refresher]") {
  Fixture fixture(64 << 10);
  OcspServer& server = fixture.server();
  ResponseSpec large;
  for (std::size_t size = 0; size < 60 << 10; size += test_leaf(1).der().size()) {
    large.certificates.push_back(test_leaf(1).der());
  }
  fixture.settings.max_response = 1 << 20;
  server.answer = EngineFixture::always(ocsp_reply(make_response(large, test_leaf(1), test_ca(), test_ca())));
  fixture.add(1, {&server});
  fixture.begin();
  fixture.pass(60);
  CHECK_FALSE(fixture.stapled(0));
  CHECK((server.asked.size() >= 3 && server.asked.size() <= 8));
  CHECK(fixture.attempt(0).reason == Reason::kZoneFull);
  CHECK(fixture.log.count("reason=zone_full detail=\"enlarge ocsp_plus_zone\"") ==
        static_cast<int>(server.asked.size()));
  server.answer = fixture.good_answers(kDay);
  fixture.pass_until(120, [&] { return fixture.stapled(0); });
}

TEST_CASE("refresher: after the lease is lost nothing more is done", "[refresher]") {
  Fixture fixture;
  OcspServer& server = fixture.server(fixture.good_answers(60));
  for (std::size_t i = 0; i < 5; ++i) {
    fixture.add(i, {&server});
  }
  fixture.begin();
  fixture.pass(2);
  CHECK(fixture.stapled() == 5);
  fixture.zone.header().lease.word = std::uint64_t{7} << 32 | 4711;
  fixture.pass(60);
  CHECK(fixture.refresher->lease_lost());
  const std::size_t asked = server.asked.size();
  CHECK(asked > 5);  // how else would it know
  fixture.pass(120);
  CHECK(server.asked.size() == asked);
  CHECK(fixture.stapled() == 0);
}

TEST_CASE("refresher: an ended response and one that is no newer: back off, no polling", "[refresher]") {
  Fixture fixture;
  OcspServer& server = fixture.server();
  fixture.add(1, {&server});
  // The first: short but young. Then only older ones that last longer.
  server.answer = EngineFixture::always(ocsp_reply(good_response(test_leaf(1), test_ca(), kNow - 10, kNow + 60)));
  fixture.begin();
  fixture.pass(1);
  server.answer = EngineFixture::always(ocsp_reply(good_response(test_leaf(1), test_ca(), kNow - 20, kNow + kDay)));
  fixture.pass(60);
  server.asked.clear();
  fixture.pass(3600, 1000);
  CHECK_FALSE(fixture.stapled(0));
  CHECK(server.asked.size() < 20);
  CHECK(fixture.attempt(0).reason == Reason::kNotNewer);
}

TEST_CASE("refresher: what a registration takes away at this moment does no harm", "[refresher]") {
  Fixture fixture;
  OcspServer& server = fixture.server();
  fixture.add(1, {&server});
  fixture.begin();
  fixture.refresher->tick();
  std::vector<store::EntryIndex> entries;
  REQUIRE(store::register_all(fixture.zone, fixture.lock,
                              {{fixture.catalog.targets()[0]->certificate.id, test_id(3)}}, &entries));
  fixture.pass(10);
  CHECK_FALSE(fixture.stapled(0));
  CHECK(fixture.log.count("a newer configuration has taken the entry over") >= 1);
}

// --- handing over ------------------------------------------------------------------------------------------------

TEST_CASE("refresher: who takes over keeps the plan", "[refresher]") {
  Fixture fixture;
  OcspServer& good = fixture.server();
  OcspServer& bad = fixture.server(EngineFixture::always(ocsp_reply(error_response(6))));
  fixture.add(1, {&good});
  fixture.add(2, {&bad});
  fixture.begin();
  fixture.pass(300);
  const store::Attempt good_plan = fixture.attempt(0);
  const store::Attempt bad_plan = fixture.attempt(1);
  REQUIRE(bad_plan.next > fixture.loop.clock.now() + 1);
  const std::size_t asked = bad.asked.size();

  SECTION("of the same configuration") {
    fixture.begin(false);
    fixture.pass(1);
    CHECK(fixture.attempt(0).next == good_plan.next);
    CHECK(fixture.attempt(1).next == bad_plan.next);
    CHECK(bad.asked.size() == asked);
    fixture.pass(bad_plan.next - fixture.loop.clock.now() + 1);
    CHECK(bad.asked.size() == asked + 1);
    CHECK(fixture.attempt(1).failures == bad_plan.failures + 1);
  }
  SECTION("a new configuration: what had failed is tried at once") {
    fixture.begin(true);
    fixture.pass(1);
    CHECK(bad.asked.size() == asked + 1);
  }
  SECTION("nonsense in the zone delays nothing beyond its bound") {
    for (const std::size_t index : {0u, 1u}) {
      store::Attempt nonsense = fixture.attempt(index);
      nonsense.next = INT64_MAX;
      store::record_attempt(fixture.zone, fixture.catalog.targets()[index]->entry, nonsense);
    }
    fixture.begin(false);
    fixture.pass(fixture.settings.retry.max + 1, 1000);
    CHECK(bad.asked.size() == asked + 1);
    fixture.pass(3 * kDay / 2, 60000);
    CHECK(good.asked.size() == 2);
  }
  CHECK(good.asked.size() <= 2);
}

TEST_CASE("refresher: all was well by the plan, but nothing valid is held", "[refresher]") {
  Fixture fixture;
  OcspServer& server = fixture.server();
  fixture.add(1, {&server});
  fixture.begin();
  fixture.pass(1);
  REQUIRE(fixture.writer->drop(fixture.catalog.targets()[0]->entry));
  fixture.begin(false);
  fixture.pass(1);
  CHECK(fixture.stapled(0));
}

TEST_CASE("refresher: destroyed in the middle of anything", "[refresher]") {
  Fixture fixture;
  OcspServer& hanging = fixture.server(EngineFixture::hang());
  OcspServer& good = fixture.server();
  fixture.add(1, {&hanging});
  fixture.add(2, {&good});
  fixture.begin();
  for (int turns = 0; turns < 30; ++turns) {
    fixture.begin();
    fixture.refresher->tick();
    for (int i = 0; i < turns; ++i) {
      fixture.loop.turn();
    }
    fixture.refresher.reset();
    fixture.loop.settle();
    CHECK(hanging.open() == 0);
  }
}

TEST_CASE("refresher: what is held and not modified goes on", "[refresher][rfc9110-13.1]") {
  Fixture fixture;
  std::vector<std::string> heads;
  bool changed = false;
  OcspServer& server = fixture.server();
  server.answer = [&](const std::string& head) {
    heads.push_back(head);
    if (!changed && head.find("If-None-Match: \"one\"") != std::string::npos) {
      return std::string("HTTP/1.1 304 Not Modified\r\n\r\n");
    }
    const UnixSeconds now = fixture.loop.clock.now();
    return ocsp_reply(good_response(test_leaf(1), test_ca(), now, now + kDay), "ETag: \"one\"\r\n");
  };
  fixture.add(1, {&server});
  fixture.begin();
  fixture.pass(1);
  REQUIRE(fixture.stapled(0));
  const auto held = fixture.held(0);
  CHECK(heads.size() == 1);
  CHECK(heads[0].find("If-None-Match") == std::string::npos);

  fixture.pass(kDay * 55 / 100, 10000);
  REQUIRE(heads.size() >= 2);
  for (std::size_t i = 1; i < heads.size(); ++i) {
    CHECK(heads[i].find("If-None-Match: \"one\"") != std::string::npos);
  }
  CHECK(fixture.held(0)->this_update == held->this_update);
  CHECK(fixture.attempt(0).reason == Reason::kNotNewer);
  CHECK(fixture.attempt(0).failures == 0);
  CHECK(fixture.attempt(0).next > fixture.loop.clock.now());
  CHECK(fixture.attempt(0).next < held->expires);

  SECTION("until there is another") {
    changed = true;
    fixture.pass(kHour * 4, 10000);
    CHECK(fixture.held(0)->this_update > held->this_update);
  }
  SECTION("until its last quarter: then nobody is asked whether it has changed") {
    fixture.pass(kDay * 40 / 100, 10000);
    CHECK(fixture.held(0)->this_update > held->this_update);
    CHECK(fixture.held(0)->this_update < held->expires);
    CHECK(std::count_if(heads.begin(), heads.end(), [](const std::string& head) {
            return head.find("If-None-Match") == std::string::npos;
          }) == 2);
  }
  SECTION("not for one that has come from elsewhere meanwhile") {
    const UnixSeconds now = fixture.loop.clock.now();
    const auto other = good_response(test_leaf(1), test_ca(), now, now + kDay);
    REQUIRE(fixture.gate->admit(*fixture.catalog.targets()[0], other, store::Source::kFile, {now}).action ==
            Action::kPublish);
    const std::size_t before = heads.size();
    fixture.pass(kDay * 3 / 4, 10000);
    REQUIRE(heads.size() > before);
    CHECK(heads[before].find("If-None-Match") == std::string::npos);
  }
}

TEST_CASE("refresher: any mixture of troubles loses no certificate", "[refresher]") {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    INFO("seed " << seed);
    TestRandom random(seed);
    Fixture fixture;
    fixture.settings.concurrency = 1 + random.below(8);
    std::vector<OcspServer*> servers;
    for (int i = 0; i < 4; ++i) {
      servers.push_back(&fixture.server());
    }
    for (std::size_t i = 0; i < 30; ++i) {
      const std::size_t first = random.below(4);
      std::vector<const OcspServer*> responders = {servers[first]};
      if (random.below(2) == 0) {
        responders.push_back(servers[(first + 1) % 4]);
      }
      fixture.add(i, responders);
    }
    fixture.begin();
    for (int step = 0; step < 60; ++step) {
      OcspServer& server = *servers[random.below(4)];
      switch (random.below(8)) {
        case 0:
          server.answer = EngineFixture::hang();
          break;
        case 1:
          server.answer = EngineFixture::always(kHttp404);
          break;
        case 2:
          server.answer = EngineFixture::always(kTryLater);
          break;
        case 3:
          fixture.loop.clock.jump(static_cast<Seconds>(random.below(7200)) - 3600);
          break;
        case 4:
          fixture.lock.busy = !fixture.lock.busy;
          break;
        case 5:
          fixture.begin(random.below(2) == 0);
          break;
        default:
          server.answer = fixture.good_answers(static_cast<Seconds>(30 + random.below(600)));
      }
      fixture.pass(static_cast<Seconds>(1 + random.below(30)));
    }
    fixture.lock.busy = false;
    for (OcspServer* server : servers) {
      server->answer = fixture.good_answers(kDay);
    }
    fixture.pass(fixture.settings.retry.max + 30, 1000);
    CHECK(fixture.stapled() == 30);
  }
}

// Each start helper plans what it has read from the cache directory; what was planned before must not move.
TEST_CASE("refresher: reloads again and again do not put a refresh off", "[refresher]") {
  Fixture fixture;
  fixture.add(0, {&fixture.server(fixture.good_answers(kDay))});
  fixture.begin();
  fixture.pass(5);
  REQUIRE(fixture.stapled(0));
  const UnixSeconds planned = fixture.attempt(0).next;
  for (int reloads = 0; reloads < 30; ++reloads) {
    fixture.begin();
    fixture.refresher->plan_what_was_kept();
    fixture.pass(2);
    CHECK(fixture.attempt(0).next == planned);
  }
}

}  // namespace
}  // namespace ocsp_plus::engine
