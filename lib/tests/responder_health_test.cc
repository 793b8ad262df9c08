#include "engine/responder_health.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

#include "tests/fakes/mmap_zone.h"

namespace ocsp_plus::engine {
namespace {

using testing::TestRandom;
using Permit = ResponderHealth::Permit;
using State = ResponderHealth::State;

constexpr UnixSeconds kNow = 1000;

void fail(ResponderHealth& hosts, const std::string& name, UnixSeconds next_probe = kNow + 5) {
  if (hosts.failed(name, hosts.started(name, 0), false) > 0) {
    hosts.plan_probe(name, {next_probe});
  }
}

void answer(ResponderHealth& hosts, const std::string& name) {
  hosts.started(name, 0);
  hosts.answered(name);
}

TEST_CASE("hosts: one that never answered gets one at a time", "[hosts]") {
  ResponderHealth hosts(16);
  CHECK(hosts.may_start("a", kNow, 0) == Permit::kAllowed);
  hosts.started("a", 0);
  CHECK(hosts.may_start("a", kNow, 0) == Permit::kBusy);
  CHECK(hosts.may_start("b", kNow, 0) == Permit::kAllowed);
  hosts.cancelled("a");
  CHECK(hosts.may_start("a", kNow, 0) == Permit::kAllowed);
  CHECK(hosts.all().at("a").state == State::kUnproven);
}

TEST_CASE("hosts: three more are let go where the first one hangs", "[hosts]") {
  struct Case {
    State state;
    Millis oldest;
    std::size_t concurrency;
    std::uint32_t most;
  };
  for (const Case& c : {
           Case{State::kUnproven, 0, 16, 1},
           {State::kUnproven, 299, 16, 1},
           {State::kUnproven, 300, 16, 4},
           {State::kUnproven, 100000, 16, 4},
           {State::kUnproven, 300, 4, 2},
           {State::kUnproven, 300, 1, 1},
           {State::kFailing, 100000, 16, 1},
           {State::kUp, 0, 16, 8},
           {State::kUp, 100000, 16, 8},
       }) {
    INFO(c.oldest << " " << c.concurrency);
    CHECK(ResponderHealth::most_at_once(c.state, c.oldest, c.concurrency) == c.most);
  }

  ResponderHealth hosts(16);
  hosts.started("a", 1000);
  CHECK(hosts.may_start("a", kNow, 1299) == Permit::kBusy);
  for (int i = 0; i < 3; ++i) {
    CHECK(hosts.may_start("a", kNow, 1300) == Permit::kAllowed);
    hosts.started("a", 1300);
  }
  CHECK(hosts.may_start("a", kNow, 9000) == Permit::kBusy);
  SECTION("one answers") {
    hosts.answered("a");
    CHECK(hosts.answers("a"));
    CHECK(hosts.may_start("a", kNow, 1301) == Permit::kAllowed);
  }
  SECTION("one fails: one at a time, however long it hangs") {
    REQUIRE(hosts.failed("a", 0, false) == 1);
    hosts.plan_probe("a", {kNow + 5});
    for (int i = 0; i < 3; ++i) {
      CHECK(hosts.failed("a", 0, false) == 0);
    }
    CHECK(hosts.may_start("a", kNow + 5, 6000) == Permit::kAllowed);
    hosts.started("a", 6000);
    CHECK(hosts.may_start("a", kNow + 5, 9000) == Permit::kFailing);
    CHECK_FALSE(hosts.answers("a"));
  }
  SECTION("the next one that hangs is measured from its own beginning") {
    for (int i = 0; i < 4; ++i) {
      hosts.cancelled("a");
    }
    hosts.started("a", 5000);
    CHECK(hosts.may_start("a", kNow, 5299) == Permit::kBusy);
    CHECK(hosts.may_start("a", kNow, 5300) == Permit::kAllowed);
  }
}

TEST_CASE("hosts: twenty refusals in a row are everybody's, until one is accepted", "[hosts]") {
  ResponderHealth hosts(16);
  CHECK(hosts.consecutive_refusals("a") == 0);
  for (int i = 0; i < 19; ++i) {
    hosts.refused("a");
  }
  CHECK(hosts.consecutive_refusals("a") == 0);
  hosts.refused("a");
  CHECK(hosts.consecutive_refusals("a") == 20);
  CHECK(hosts.consecutive_refusals("b") == 0);
  hosts.accepted("a");
  CHECK(hosts.consecutive_refusals("a") == 0);
  for (int i = 0; i < 200000; ++i) {
    hosts.refused("a");
  }
  CHECK(hosts.consecutive_refusals("a") == 100000);
}

TEST_CASE("hosts: probes move with the clock where that is wanted", "[hosts]") {
  ResponderHealth hosts(16);
  fail(hosts, "a", kNow + 100);
  hosts.shift_probe_times(-1000);
  CHECK(hosts.next_probe("a") == kNow - 900);
  CHECK(hosts.may_start("a", kNow - 901, 0) == Permit::kFailing);
  CHECK(hosts.may_start("a", kNow - 900, 0) == Permit::kAllowed);
  for (int i = 0; i < 3; ++i) {
    hosts.started("p", 0);
    hosts.proxy_failed("p", kNow);
  }
  hosts.plan_proxy_probe({kNow + 7});
  hosts.shift_probe_times(50);
  CHECK(hosts.next_probe("never seen") == kNow + 57);
}

TEST_CASE("hosts: a failing proxy is probed for one host at a time", "[hosts][proxy]") {
  ResponderHealth hosts(16);
  answer(hosts, "a");
  for (int i = 0; i < 2; ++i) {
    hosts.started("a", 0);
    CHECK(hosts.proxy_failed("a", kNow) == 0);  // it has answered before
  }
  hosts.started("a", 0);
  hosts.started("b", 0);
  CHECK(hosts.proxy_failed("a", kNow) == 1);
  hosts.plan_proxy_probe({kNow + 5});
  CHECK(hosts.failing("a"));
  CHECK(hosts.failing("never seen"));
  CHECK(hosts.proxy_failed("b", kNow + 1) == 0);  // begun before
  CHECK(hosts.may_start("a", kNow + 4, 0) == Permit::kFailing);
  CHECK(hosts.next_probe("never seen") == kNow + 5);
  CHECK(hosts.may_start("c", kNow + 5, 0) == Permit::kAllowed);
  hosts.started("c", 0);
  CHECK(hosts.may_start("a", kNow + 5, 0) == Permit::kFailing);
  SECTION("again in vain") {
    CHECK(hosts.proxy_failed("c", kNow + 6) == 2);
    hosts.plan_proxy_probe({kNow + 15});
    CHECK(hosts.may_start("a", kNow + 14, 0) == Permit::kFailing);
    CHECK(hosts.may_start("a", kNow + 15, 0) == Permit::kAllowed);
  }
  SECTION("it is back, and leads to an answer") {
    hosts.answered("c");
  }
  SECTION("it is back, and its answer is that the host is dead") {
    CHECK(hosts.failed("c", 0, false) == 1);
    CHECK(hosts.failing("c"));
  }
  SECTION("an operator wants it now") {
    hosts.cancelled("c");
    hosts.bring_probe_forward("a", kNow);
    CHECK(hosts.may_start("a", kNow, 0) == Permit::kAllowed);
    answer(hosts, "a");
  }
  if (hosts.may_start("a", kNow + 6, 0) == Permit::kAllowed) {
    CHECK_FALSE(hosts.failing("a"));
    CHECK(hosts.all().at("a").state == State::kUp);
    CHECK(hosts.all().at("a").in_flight == 0);
  }
  CHECK(hosts.all().at("b").state == State::kUnproven);
}

TEST_CASE("hosts: one that answers gets half of the slots", "[hosts]") {
  struct Case {
    std::size_t concurrency;
    int cap;
  };
  for (const Case& c : {Case{16, 8}, {3, 1}, {2, 1}, {1, 1}, {0, 1}, {512, 256}}) {
    INFO(c.concurrency);
    ResponderHealth hosts(c.concurrency);
    answer(hosts, "a");
    int started = 0;
    while (hosts.may_start("a", kNow, 0) == Permit::kAllowed) {
      hosts.started("a", 0);
      ++started;
    }
    CHECK(started == c.cap);
    CHECK(hosts.may_start("a", kNow, 0) == Permit::kBusy);
  }
}

TEST_CASE("hosts: a failing one is probed by one, when its time comes", "[hosts]") {
  ResponderHealth hosts(16);
  fail(hosts, "a", kNow + 5);
  CHECK(hosts.failing("a"));
  CHECK(hosts.may_start("a", kNow + 4, 0) == Permit::kFailing);
  CHECK(hosts.may_start("a", kNow + 5, 0) == Permit::kAllowed);
  hosts.started("a", 0);
  CHECK(hosts.may_start("a", kNow + 5, 0) == Permit::kFailing);

  SECTION("it answers") {
    hosts.answered("a");
    CHECK_FALSE(hosts.failing("a"));
    CHECK(hosts.may_start("a", kNow, 0) == Permit::kAllowed);
  }
  SECTION("it is cancelled: the next one may probe") {
    hosts.cancelled("a");
    CHECK(hosts.may_start("a", kNow + 5, 0) == Permit::kAllowed);
  }
}

TEST_CASE("hosts: the failing ones together get half of the slots", "[hosts]") {
  ResponderHealth hosts(4);
  const std::vector<std::string> names = {"a", "b", "c"};
  for (const std::string& name : names) {
    fail(hosts, name);
  }
  hosts.started("a", 0);
  hosts.started("b", 0);
  CHECK(hosts.may_start("c", kNow + 5, 0) == Permit::kBusy);
  CHECK(hosts.may_start("good", kNow, 0) == Permit::kAllowed);
  SECTION("one answers") {
    hosts.answered("a");
  }
  SECTION("one fails") {
    hosts.failed("a", 1, false);
  }
  SECTION("one is cancelled") {
    hosts.cancelled("a");
  }
  CHECK(hosts.may_start("c", kNow + 5, 0) == Permit::kAllowed);
}

TEST_CASE("hosts: patience with one that has answered, none with one that has not", "[hosts]") {
  ResponderHealth hosts(16);
  fail(hosts, "new");
  CHECK(hosts.failing("new"));

  answer(hosts, "old");
  fail(hosts, "old");
  fail(hosts, "old");
  CHECK_FALSE(hosts.failing("old"));
  SECTION("an answer forgives") {
    answer(hosts, "old");
    fail(hosts, "old");
    fail(hosts, "old");
    CHECK_FALSE(hosts.failing("old"));
  }
  SECTION("the third in a row is enough") {
    fail(hosts, "old");
    CHECK(hosts.failing("old"));
  }
}

TEST_CASE("hosts: one that asks to be left alone is, however well it did", "[hosts]") {
  ResponderHealth hosts(16);
  answer(hosts, "a");
  const std::uint32_t first = hosts.started("a", 0);
  const std::uint32_t second = hosts.started("a", 0);
  CHECK(hosts.failed("a", first, true) == 1);
  CHECK(hosts.failing("a"));
  CHECK(hosts.failed("a", second, true) == 1);  // it says so again: planned anew, but no failure more
}

TEST_CASE("hosts: those that fail side by side are one failure", "[hosts]") {
  ResponderHealth hosts(16);
  answer(hosts, "a");
  std::vector<std::uint32_t> started;
  for (int i = 0; i < 8; ++i) {
    started.push_back(hosts.started("a", 0));
  }
  for (std::size_t i = 0; i < 8; ++i) {
    CHECK(hosts.failed("a", started[i], false) == (i == 2 ? 1 : 0));
    CHECK(hosts.failing("a") == (i >= 2));
  }
  CHECK(hosts.failed("a", hosts.started("a", 0), false) == 2);  // a probe

  SECTION("a straggler that ends after an answer is forgiven") {
    const std::uint32_t straggler = hosts.started("a", 0);
    answer(hosts, "a");
    CHECK(hosts.failed("a", straggler, false) == 0);
    CHECK_FALSE(hosts.failing("a"));
  }
}

TEST_CASE("hosts: the count of failures ends somewhere", "[hosts]") {
  ResponderHealth hosts(16);
  std::uint32_t last = 0;
  for (int i = 0; i < 1500; ++i) {
    last = hosts.failed("a", hosts.started("a", 0), false);
  }
  CHECK(last == 1000);
}

TEST_CASE("hosts: probes are brought forward, never put off, and forgotten", "[hosts]") {
  ResponderHealth hosts(16);
  fail(hosts, "a", kNow + 100);
  hosts.bring_probe_forward("a", kNow + 200);
  CHECK(hosts.next_probe("a") == kNow + 100);
  hosts.bring_probe_forward("a", kNow + 20);
  CHECK(hosts.next_probe("a") == kNow + 20);
  hosts.forget_probe_times();
  CHECK(hosts.may_start("a", 0, 0) == Permit::kAllowed);
  CHECK(hosts.next_probe("unheard of") == 0);
  CHECK_FALSE(hosts.failing("unheard of"));
}

TEST_CASE("hosts: a probe is brought forward for whoever needs it, of the proxy as well", "[hosts]") {
  ResponderHealth hosts(16);
  hosts.failed("a", hosts.started("a", 0), false);
  const TryTimes times = {kNow + 3000, kNow + 500, kNow + 90};
  hosts.plan_probe("a", times);
  hosts.bring_probe_forward("a", Need::kNone);
  CHECK(hosts.next_probe("a") == kNow + 3000);
  hosts.bring_probe_forward("a", Need::kStaple);
  CHECK(hosts.next_probe("a") == kNow + 500);
  hosts.bring_probe_forward("a", Need::kRequiredStaple);
  CHECK(hosts.next_probe("a") == kNow + 90);
  hosts.bring_probe_forward("a", Need::kStaple);
  CHECK(hosts.next_probe("a") == kNow + 90);
  hosts.plan_probe("a", {kNow + 3000});  // a failure for which needs do not count
  hosts.bring_probe_forward("a", Need::kRequiredStaple);
  CHECK(hosts.next_probe("a") == kNow + 3000);

  hosts.bring_probe_forward("unheard of", Need::kRequiredStaple);
  CHECK(hosts.all().count("unheard of") == 0);

  ResponderHealth behind(16);
  behind.started("b", 0);
  REQUIRE(behind.proxy_failed("b", kNow) == 1);
  behind.plan_proxy_probe(times);
  CHECK(behind.next_probe("b") == kNow + 3000);
  behind.bring_probe_forward("b", Need::kStaple);
  CHECK(behind.next_probe("b") == kNow + 500);
}

// Against the plainest model: all that runs, in a list.
TEST_CASE("hosts: caches are believed once a host gives their answers ten times running", "[hosts]") {
  ResponderHealth health(8);
  const std::string host = "a:80";
  for (std::uint32_t round = 0; round < 3 * ResponderHealth::kMostSame; ++round) {
    CHECK(health.worth_past_caches(host, 0));
    health.answered_past_caches(host, round % ResponderHealth::kMostSame != 0, 0);
  }
  health.answered_past_caches(host, true, 0);
  CHECK_FALSE(health.worth_past_caches(host, ResponderHealth::kCachesBelieved - 1));
  CHECK(health.worth_past_caches(host, ResponderHealth::kCachesBelieved));
  CHECK(health.worth_past_caches("b:80", 0));
}

TEST_CASE("hosts: the books balance, whatever happens in whatever order", "[hosts]") {
  struct Running {
    std::string host;
    std::uint32_t started;
  };
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    TestRandom random(seed);
    const std::size_t concurrency = 1 + random.below(12);
    ResponderHealth hosts(concurrency);
    std::vector<Running> running;
    for (int step = 0; step < 2000; ++step) {
      const std::string name(1, static_cast<char>('a' + random.below(5)));
      // Sometimes a second responder is asked although it is busy.
      if (hosts.may_start(name, kNow, 0) == Permit::kAllowed || random.below(10) == 0) {
        running.push_back({name, hosts.started(name, 0)});
      }
      if (!running.empty() && random.below(2) == 0) {
        const auto which = running.begin() + static_cast<std::ptrdiff_t>(random.below(running.size()));
        const Running ended = *which;
        running.erase(which);
        switch (random.below(4)) {
          case 0:
            hosts.cancelled(ended.host);
            break;
          case 1:
            hosts.answered(ended.host);
            break;
          default:
            if (hosts.failed(ended.host, ended.started, random.below(8) == 0) > 0) {
              hosts.plan_probe(ended.host, {kNow + static_cast<UnixSeconds>(random.below(2))});
            }
        }
      }
      std::size_t with_failing = 0;
      for (const auto& [host, state] : hosts.all()) {
        std::size_t expected = 0;
        for (const Running& each : running) {
          expected += each.host == host ? 1u : 0u;
        }
        REQUIRE(state.in_flight == expected);
        with_failing += state.state == State::kFailing ? expected : 0;
      }
      const bool room = with_failing < std::max<std::size_t>(concurrency / 2, 1);
      for (const auto& [host, state] : hosts.all()) {
        if (state.state == State::kFailing && state.in_flight == 0 && state.next_probe <= kNow) {
          REQUIRE(hosts.may_start(host, kNow, 0) == (room ? Permit::kAllowed : Permit::kBusy));
        }
      }
    }
  }
}

}  // namespace
}  // namespace ocsp_plus::engine
