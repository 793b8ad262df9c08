#include "store/lease.h"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>

#include "tests/fakes/fake_clock.h"
#include "tests/fakes/mmap_zone.h"

namespace ocsp_plus::store {
namespace {

using testing::FakeClock;
using testing::LocalLock;
using testing::MmapZone;

bool all_live(std::int32_t) {
  return true;
}
bool none_lives(std::int32_t) {
  return false;
}

struct Fixture {
  MmapZone memory{64 << 10};
  StapleZone zone = memory.format();
  LocalLock lock;
  FakeClock clock;
};

TEST_CASE("lease: nobody holds it at first", "[zone][lease]") {
  Fixture f;
  CHECK(lease_holder(f.zone).pid == 0);
  f.clock.advance(5000);
  CHECK(acquire_lease(f.zone, f.lock, {100, 2, 7}, f.clock, all_live) == 1u);
  const LeaseState holder = lease_holder(f.zone);
  CHECK(holder.epoch == 1);
  CHECK(holder.pid == 100);
  CHECK(holder.slot == 2);
  CHECK(holder.generation == 7);
  CHECK(holder.since == f.clock.now());
  CHECK(holder.heartbeat == f.clock.monotonic());
  CHECK_FALSE(f.lock.held);
}

TEST_CASE("lease: who may take it from whom", "[zone][lease]") {
  struct Case {
    const char* name;
    ProcessIdentity self;  // the holder is pid 100 in slot 3 of generation 5
    Millis later;
    bool (*alive)(std::int32_t);
    bool taken;
  };
  for (const Case& c : {
           Case{"a peer, and the holder beats", {200, 0, 5}, 100, all_live, false},
           Case{"a peer, just before it is stale", {200, 0, 5}, kStale, all_live, false},
           Case{"a peer, and it is stale", {200, 0, 5}, kStale + 1, all_live, true},
           Case{"a peer, and the clock has gone back a little", {200, 0, 5}, -kStale, all_live, false},
           Case{"a peer, and the clock has gone back far", {200, 0, 5}, -kStale - 1, all_live, true},
           Case{"a peer, and the holder is gone", {200, 1, 5}, 0, none_lives, true},
           Case{"a newer generation", {200, 0, 6}, 0, all_live, true},
           Case{"a newer generation's other worker", {200, 4, 9}, 0, all_live, true},
           Case{"an older generation", {200, 0, 4}, 100, all_live, false},
           Case{"an older generation, and the holder is gone", {200, 0, 4}, 0, none_lives, true},
           Case{"an older generation, and it is stale", {200, 0, 4}, kStale + 1, all_live, true},
           Case{"no process", {0, 0, 9}, 0, none_lives, false},
       }) {
    DYNAMIC_SECTION(c.name) {
      Fixture f;
      REQUIRE(acquire_lease(f.zone, f.lock, {100, 3, 5}, f.clock, all_live) == 1u);
      f.clock.advance(c.later);
      const auto epoch = acquire_lease(f.zone, f.lock, c.self, f.clock, c.alive);
      CHECK(epoch.has_value() == c.taken);
      CHECK(lease_holder(f.zone).pid == (c.taken ? c.self.pid : 100));
      CHECK(lease_holder(f.zone).epoch == (c.taken ? 2 : 1));
      CHECK(renew_lease(f.zone, 1, 100, f.clock) == !c.taken);
    }
  }
}

TEST_CASE("lease: the holder that asks again keeps its epoch", "[zone][lease]") {
  Fixture f;
  REQUIRE(acquire_lease(f.zone, f.lock, {100, 3, 5}, f.clock, all_live) == 1u);
  const UnixSeconds since = lease_holder(f.zone).since;
  f.clock.advance(kStale + 5000);
  CHECK(acquire_lease(f.zone, f.lock, {100, 0, 6}, f.clock, none_lives) == 1u);
  CHECK(lease_holder(f.zone).generation == 6);
  CHECK(lease_holder(f.zone).slot == 0);
  CHECK(lease_holder(f.zone).since == since);
  CHECK(lease_holder(f.zone).heartbeat == f.clock.monotonic());
}

TEST_CASE("lease: a refusal needs no lock, a change does", "[zone][lease]") {
  Fixture f;
  f.lock.busy = true;
  CHECK_FALSE(acquire_lease(f.zone, f.lock, {100, 0, 1}, f.clock, all_live));
  CHECK(lease_holder(f.zone).pid == 0);
  f.lock.busy = false;
  REQUIRE(acquire_lease(f.zone, f.lock, {100, 0, 1}, f.clock, all_live));
  const int taken = f.lock.taken;
  CHECK_FALSE(acquire_lease(f.zone, f.lock, {200, 1, 1}, f.clock, all_live));
  CHECK(f.lock.taken == taken);
}

TEST_CASE("lease: beats keep it", "[zone][lease]") {
  Fixture f;
  REQUIRE(acquire_lease(f.zone, f.lock, {100, 0, 1}, f.clock, all_live) == 1u);
  for (int i = 0; i < 100; ++i) {
    f.clock.advance(kHeartbeatInterval);
    REQUIRE(renew_lease(f.zone, 1, 100, f.clock));
    REQUIRE_FALSE(acquire_lease(f.zone, f.lock, {200, 1, 1}, f.clock, all_live));
  }
  CHECK_FALSE(renew_lease(f.zone, 2, 100, f.clock));
  CHECK_FALSE(renew_lease(f.zone, 1, 200, f.clock));
}

TEST_CASE("lease: one that has lost it changes nothing", "[zone][lease]") {
  Fixture f;
  REQUIRE(acquire_lease(f.zone, f.lock, {100, 0, 1}, f.clock, all_live) == 1u);
  f.clock.advance(1000);
  REQUIRE(acquire_lease(f.zone, f.lock, {200, 0, 2}, f.clock, all_live) == 2u);
  f.clock.advance(1000);
  const LeaseState before = lease_holder(f.zone);
  CHECK_FALSE(renew_lease(f.zone, 1, 100, f.clock));
  release_lease(f.zone, 1, 100);
  CHECK_FALSE(acquire_lease(f.zone, f.lock, {100, 0, 1}, f.clock, all_live));
  CHECK(lease_holder(f.zone).pid == 200);
  CHECK(lease_holder(f.zone).heartbeat == before.heartbeat);
}

TEST_CASE("lease: given up, it is free and its epoch goes on", "[zone][lease]") {
  Fixture f;
  REQUIRE(acquire_lease(f.zone, f.lock, {100, 0, 1}, f.clock, all_live) == 1u);
  f.lock.busy = true;
  release_lease(f.zone, 1, 100);
  f.lock.busy = false;
  CHECK(lease_holder(f.zone).pid == 0);
  CHECK_FALSE(renew_lease(f.zone, 1, 100, f.clock));
  CHECK(acquire_lease(f.zone, f.lock, {100, 0, 1}, f.clock, all_live) == 2u);
}

TEST_CASE("lease: given up while another takes it", "[zone][lease]") {
  Fixture f;
  REQUIRE(acquire_lease(f.zone, f.lock, {100, 0, 1}, f.clock, all_live) == 1u);
  // The holder releases between the other's look and its swap.
  static StapleZone* zone = nullptr;
  zone = &f.zone;
  const auto releasing = [](std::int32_t pid) {
    release_lease(*zone, 1, pid);
    return false;
  };
  CHECK(acquire_lease(f.zone, f.lock, {200, 1, 1}, f.clock, releasing) == 2u);
  CHECK(lease_holder(f.zone).pid == 200);
}

TEST_CASE("lease: whether a process lives", "[zone][lease]") {
  CHECK(process_alive(getpid()));
  CHECK(process_alive(1));
  CHECK_FALSE(process_alive(0));
  CHECK_FALSE(process_alive(-1));
  CHECK_FALSE(process_alive(-getpid()));
  CHECK_FALSE(process_alive(INT32_MIN));
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  CHECK(process_alive(child));
  kill(child, SIGKILL);
  CHECK(waitpid(child, nullptr, 0) == child);
  CHECK_FALSE(process_alive(child));
}

}  // namespace
}  // namespace ocsp_plus::store
