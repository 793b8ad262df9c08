// Real processes that offer certificates as fast as they can and are killed at any instruction: what comes out is
// whole, and no slot is lost for good.
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <cstring>
#include <vector>

#include "store/discovery_queue.h"
#include "store/lease.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/mmap_zone.h"

namespace ocsp_plus::store {
namespace {

using testing::MmapZone;
using testing::test_id;
using testing::TestRandom;

constexpr std::size_t kWriters = 3;
constexpr std::size_t kEnough = 2000;  // offers that came out whole
constexpr int kKills = 40;
constexpr Millis kDeadline = 60000;

// Some are large. Everything in it follows from the number, so that a mixture of two is noticed.
Bytes leaf_of(std::uint64_t number) {
  return TestRandom(number).bytes(number % 4 == 0 ? 20000 + number % 30000 : 1000 + number % 3000);
}
Bytes chain_of(std::uint64_t number) {
  return TestRandom(number + 1).bytes(500 + number % 1500);
}

[[noreturn]] void offer_without_end(const StapleZone& zone, std::uint64_t seed) {
  TestRandom random(seed);
  for (;;) {
    const std::uint64_t number = random.below(1000);
    offer(zone, getpid(), number, test_id(number), leaf_of(number), {chain_of(number)});
  }
}

pid_t start(const StapleZone& zone, std::uint64_t seed) {
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent) {
      offer_without_end(zone, seed);
    }
    _exit(0);
  }
  return pid;
}

void end(pid_t pid) {
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
}

TEST_CASE("processes: offers of writers that are killed", "[zone][offers][processes]") {
  MmapZone memory(1 << 20);
  const StapleZone zone = memory.format();
  const SystemClock clock;
  DiscoveryQueue offers(zone, clock);
  std::vector<pid_t> writers;
  std::uint64_t seed = 0;
  for (std::size_t i = 0; i < kWriters; ++i) {
    writers.push_back(start(zone, ++seed));
  }
  const Millis until = clock.monotonic() + kDeadline;
  std::size_t whole = 0, wrong = 0, large = 0;
  int kills = 0;
  while ((whole < kEnough || kills < kKills) && clock.monotonic() < until) {
    const auto taken = offers.take();
    if (!taken) {
      offers.free_abandoned(&process_alive);
      sched_yield();
      continue;
    }
    const std::uint64_t number = taken->profile;
    const bool right =
        taken->id == test_id(number) && taken->leaf == leaf_of(number) && taken->chain == chain_of(number);
    ++(right ? whole : wrong);
    large += taken->leaf.size() > kOfferBytes ? 1 : 0;
    if (whole % (kEnough / kKills) == 0) {
      pid_t& writer = writers[static_cast<std::size_t>(kills) % kWriters];
      end(writer);
      writer = start(zone, ++seed);
      ++kills;
    }
  }
  for (const pid_t writer : writers) {
    end(writer);
  }
  INFO(whole << " whole, " << counted(zone, Counter::kTorn) << " torn, " << kills << " kills");
  CHECK(wrong == 0);
  CHECK(whole >= kEnough);
  CHECK(kills >= kKills);
  // Whatever they left behind is free again after two beats.
  while (offers.take()) {
  }
  offers.free_abandoned(&process_alive);
  offers.free_abandoned(&process_alive);
  CHECK(large > kEnough / 20);
  for (std::uint32_t i = 0; i < zone.geometry().offer_slots + zone.geometry().large_offer_slots; ++i) {
    CHECK(zone.offer_slot(i).state == 0);
  }
}

}  // namespace
}  // namespace ocsp_plus::store
