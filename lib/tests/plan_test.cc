#include "engine/plan.h"

#include <catch2/catch.hpp>

namespace ocsp_plus::engine {
namespace {

constexpr UnixSeconds kNow = 1900000000;
constexpr std::size_t kConcurrency = 8;

struct Fixture {
  Plan::Waiting about(std::vector<std::string> hosts, UnixSeconds ends = 0) const {
    Plan::Waiting waiting;
    waiting.hosts = std::move(hosts);
    waiting.ends = ends;
    return waiting;
  }
  void fail(const std::string& host, const TryTimes& probes) {
    health.failed(host, health.started(host, 0), true);
    health.plan_probe(host, probes);
  }
  void answer(const std::string& host) {
    (void)health.started(host, 0);
    health.answered(host);
  }
  // All that may go, each of which occupies its host.
  std::vector<Plan::Entry> taken(const std::string& host, bool per_connection = true) {
    std::vector<Plan::Entry> all;
    while (const auto entry = plan.take_permitted(kNow, 0, per_connection)) {
      all.push_back(*entry);
      (void)health.started(host, 0);
    }
    return all;
  }

  ResponderHealth health{kConcurrency};
  Plan plan{health};
};

using Entries = std::vector<Plan::Entry>;

TEST_CASE("plan: a failing host is probed within the shortest bound of those that wait", "[plan]") {
  Fixture f;
  TryTimes probes;
  probes.planned = kNow + 3600;
  probes.failed = kNow;
  probes.not_before = kNow + 7;
  f.fail("a", probes);
  const auto wait = [&f](Plan::Entry entry, Seconds within) {
    Plan::Waiting waiting = f.about({"a"}, kNow + 86400);
    waiting.within = within;
    f.plan.wait(entry, waiting, kNow + 100);
  };
  wait(1, 0);
  CHECK(f.health.next_probe("a") == kNow + 3600);
  wait(2, 900);
  CHECK(f.health.next_probe("a") == kNow + 900);
  wait(3, 60);
  CHECK(f.health.next_probe("a") == kNow + 60);
  // The probe fails: as often from now on, whoever was asked for.
  f.fail("a", probes);
  f.plan.plan_probe_of("a", kNow);
  CHECK(f.health.next_probe("a") == kNow + 60);
  wait(4, 5);
  CHECK(f.health.next_probe("a") == kNow + 7);
  f.plan.remove(3);
  f.plan.remove(4);
  f.fail("a", probes);
  f.plan.plan_probe_of("a", kNow);
  CHECK(f.health.next_probe("a") == kNow + 900);
}

TEST_CASE("plan: what is due leaves the queue by its time", "[plan]") {
  Fixture f;
  f.plan.enqueue(7, kNow + 1);
  f.plan.enqueue(3, kNow);
  f.plan.enqueue(5, kNow - 10);
  CHECK(f.plan.take_due(kNow) == 5U);
  CHECK(f.plan.take_due(kNow) == 3U);
  CHECK_FALSE(f.plan.take_due(kNow).has_value());
  CHECK(f.plan.queued(7));
  CHECK_FALSE(f.plan.queued(3));
  CHECK(f.plan.requeue(7, kNow + 2));
  CHECK_FALSE(f.plan.requeue(3, kNow));
  CHECK_FALSE(f.plan.queued(3));
  f.plan.reschedule([](Plan::Entry entry, UnixSeconds due) { return due - entry; });
  CHECK(f.plan.take_due(kNow) == 7U);
}

TEST_CASE("plan: a certificate is in one place, and out of both when it is removed", "[plan]") {
  Fixture f;
  CHECK_FALSE(f.plan.remove(1));
  f.plan.enqueue(1, kNow);
  CHECK(f.plan.remove(1));
  f.plan.wait(1, f.about({"a:80", "b:80", "a:80"}), kNow);
  CHECK(f.plan.waits(1));
  CHECK_FALSE(f.plan.queued(1));
  CHECK(f.plan.remove(1));
  CHECK_FALSE(f.plan.waits(1));
  CHECK_FALSE(f.plan.take_permitted(kNow, 0, true).has_value());
  f.plan.wait(1, f.about({"a:80"}), kNow);
  f.plan.enqueue(2, kNow);
  CHECK(f.plan.take_all() == std::set<Plan::Entry>{1, 2});
  CHECK_FALSE(f.plan.take_due(kNow).has_value());
  CHECK_FALSE(f.plan.take_permitted(kNow, 0, true).has_value());
}

TEST_CASE("plan: the host that is taken first has the certificate, the others forget it", "[plan]") {
  Fixture f;
  f.fail("dead:80", {kNow + 60});
  f.plan.wait(1, f.about({"dead:80", "live:80"}), kNow);
  CHECK(f.plan.take_permitted(kNow, 0, true) == 1U);
  f.answer("dead:80");
  CHECK_FALSE(f.plan.take_permitted(kNow, 0, true).has_value());
}

TEST_CASE("plan: hosts have their turns, whatever waits for them", "[plan]") {
  Fixture f;
  for (const char* host : {"a:80", "b:80", "c:80"}) {
    f.answer(host);
  }
  for (Plan::Entry entry = 0; entry < 10; ++entry) {
    f.plan.wait(entry, f.about({"a:80"}, kNow + entry + 1), kNow);
  }
  f.plan.wait(20, f.about({"b:80"}), kNow);
  f.plan.wait(30, f.about({"c:80"}), kNow);
  Entries order;
  for (int i = 0; i < 4; ++i) {
    order.push_back(f.plan.take_permitted(kNow, 0, true).value());
  }
  CHECK(order == Entries{0, 20, 30, 1});
}

TEST_CASE("plan: whom a host is asked for first", "[plan]") {
  struct Case {
    const char* name;
    bool answers, fails;
    Plan::Entry first;
  };
  // 1 ends first and was tried last, 2 was tried longest ago, 3 was left without an answer and has nothing.
  for (const Case& c :
       {Case{"a host that answers: whose response ends first", true, false, 3},
        Case{"a host that fails: who was not tried for longest", false, true, 2},
        Case{"a host that has not answered yet: who was not left without an answer", false, false, 1}}) {
    INFO(c.name);
    Fixture f;
    if (c.answers) {
      f.answer("a:80");
    }
    if (c.fails) {
      f.fail("a:80", {kNow});
    }
    Plan::Waiting one = f.about({"a:80"}, kNow + 10), two = f.about({"a:80"}, kNow + 20), three = f.about({"a:80"});
    one.tried = kNow - 1;
    two.tried = kNow - 100;
    three.tried = kNow - 50;
    three.unanswered = true;
    f.plan.wait(1, one, kNow);
    f.plan.wait(2, two, kNow);
    f.plan.wait(3, three, kNow);
    CHECK(f.plan.take_permitted(kNow, 0, true) == c.first);
  }
}

TEST_CASE("plan: certificates loaded per connection wait where they may not go", "[plan]") {
  Fixture f;
  Plan::Waiting theirs = f.about({"a:80#1"});
  theirs.per_connection = true;
  f.plan.wait(1, theirs, kNow);
  f.plan.wait(2, f.about({"b:80"}), kNow);
  CHECK(f.plan.take_permitted(kNow, 0, false) == 2U);
  CHECK_FALSE(f.plan.take_permitted(kNow, 0, false).has_value());
  CHECK(f.plan.take_permitted(kNow, 0, true) == 1U);
}

TEST_CASE("plan: a host takes no more at a time than its health permits", "[plan]") {
  Fixture f;
  for (Plan::Entry entry = 0; entry < 20; ++entry) {
    f.plan.wait(entry, f.about({"a:80"}), kNow);
  }
  SECTION("unproven: one") {
    CHECK(f.taken("a:80") == Entries{0});
  }
  SECTION("proven: half of all") {
    f.answer("a:80");
    CHECK(f.taken("a:80") == Entries{0, 1, 2, 3});
  }
  SECTION("failing: none before its probe") {
    f.fail("a:80", {kNow + 1});
    CHECK(f.taken("a:80").empty());
  }
}

TEST_CASE("plan: a failing host is probed as early as whoever waits for it needs", "[plan]") {
  struct Case {
    const char* name;
    UnixSeconds ends;
    bool required;
    UnixSeconds probe;
  };
  TryTimes probes;
  probes.planned = kNow + 1000;
  probes.for_staple = kNow + 100;
  probes.for_required_staple = kNow + 10;
  for (const Case& c :
       {Case{"a response for long", kNow + 5000, false, kNow + 1000},
        Case{"a response that ends before the probe", kNow + 600, false, kNow + 300},
        Case{"nothing", 0, false, kNow + 100}, Case{"nothing, and clients refuse it", 0, true, kNow + 10}}) {
    INFO(c.name);
    Fixture f;
    f.fail("a:80", probes);
    Plan::Waiting waiting = f.about({"a:80"}, c.ends);
    waiting.staple_required = c.required;
    SECTION("it begins to wait while the host fails") {
      f.plan.wait(1, waiting, kNow);
      CHECK(f.health.next_probe("a:80") == c.probe);
    }
    SECTION("the host fails once more") {
      f.plan.wait(1, waiting, kNow);
      f.health.plan_probe("a:80", probes);
      f.plan.plan_probe_of("a:80", kNow);
      CHECK(f.health.next_probe("a:80") == c.probe);
    }
  }
  SECTION("nobody waits") {
    Fixture f;
    f.fail("a:80", probes);
    f.plan.plan_probe_of("a:80", kNow);
    CHECK(f.health.next_probe("a:80") == kNow + 1000);
  }
}

}  // namespace
}  // namespace ocsp_plus::engine
