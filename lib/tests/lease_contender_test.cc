#include "engine/lease_contender.h"

#include <unistd.h>

#include <catch2/catch.hpp>

#include "store/zone_registry.h"
#include "tests/fakes/engine_fixture.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;

// Several workers in one process; each goes by the id of a process that really lives, or of one that does not.
struct Fixture : EngineFixture {
  Fixture() {
    responder = &server();
    for (std::size_t i = 0; i < 5; ++i) {
      add(i, {responder});
    }
    generation = register_all();
  }
  std::unique_ptr<LeaseContender> contender(std::int32_t pid, std::uint32_t slot) {
    return std::make_unique<LeaseContender>(Context{loop, loop.clock, random, log, lock, zone, catalog, settings},
                                            store::ProcessIdentity{pid, slot, generation});
  }
  std::int32_t holder() const { return store::lease_holder(zone).pid; }

  OcspServer* responder = nullptr;
  std::uint32_t generation = 0;
};

const std::int32_t kSelf = getpid();
constexpr std::int32_t kInit = 1;

TEST_CASE("lease contender: slot 0 takes the lease at once, the other keeps away", "[worker]") {
  Fixture f;
  const auto other = f.contender(kInit, 1);
  const auto first = f.contender(kSelf, 0);
  f.loop.pass(0);
  CHECK(f.holder() == kSelf);
  CHECK(f.stapled() == 5);
  f.loop.pass(60000);
  CHECK(f.holder() == kSelf);
  CHECK(f.responder->asked.size() == 5);
  CHECK(f.log.count("this is the designated worker now: slot=0 generation=1 certificates=5") == 1);
}

TEST_CASE("lease contender: another takes over when it leaves", "[worker]") {
  Fixture f;
  auto first = f.contender(kSelf, 0);
  const auto other = f.contender(kInit, 1);
  f.loop.pass(2000);
  REQUIRE(f.holder() == kSelf);
  SECTION("destroyed") {
    first.reset();
  }
  SECTION("retired") {
    first->retire();
    CHECK(f.holder() == 0);
    first->retire();  // twice is once
  }
  CHECK(f.holder() == 0);
  f.loop.pass(store::kHeartbeatInterval);
  CHECK(f.holder() == kInit);
  f.loop.pass(10000);
  CHECK(f.holder() == kInit);
  CHECK(f.responder->asked.size() == 5);  // the plans were taken over
}

TEST_CASE("lease contender: retiring cancels what is in flight and leaves nothing behind", "[worker]") {
  Fixture f;
  f.responder->answer = EngineFixture::hang();
  const auto first = f.contender(kSelf, 0);
  f.loop.pass(1000);
  REQUIRE(f.responder->open() == 4);
  first->retire();
  f.loop.settle();
  CHECK(f.responder->open() == 0);
}

TEST_CASE("lease contender: a stale heartbeat", "[worker]") {
  Fixture f;
  // Its holder lives and holds the lease, but has stopped to beat.
  REQUIRE(store::acquire_lease(f.zone, f.lock, {kInit, 0, f.generation}, f.loop.clock, &store::process_alive));
  const auto other = f.contender(kSelf, 1);
  f.loop.pass(store::kStale - 1000);
  CHECK(f.holder() == kInit);
  f.loop.pass(2000);
  CHECK(f.holder() == kSelf);
  CHECK(f.stapled() == 5);
}

TEST_CASE("lease contender: one that was overtaken notices and stops", "[worker]") {
  Fixture f;
  const auto old = f.contender(kSelf, 0);
  f.loop.pass(2000);
  REQUIRE(f.holder() == kSelf);
  f.generation = f.register_all();  // a reload
  const auto young = f.contender(kInit, 0);
  f.loop.pass(store::kHeartbeatInterval);
  CHECK(f.holder() == kInit);
  CHECK(f.log.count("another worker is now the designated worker") == 1);
  f.loop.pass(20000);
  CHECK(f.holder() == kInit);
  CHECK(f.responder->asked.size() == 5);
}

TEST_CASE("lease contender: without a resolver the lease stays free for a while", "[worker]") {
  Fixture f;
  f.settings.resolver.servers = {"no address"};
  const auto contender = f.contender(kSelf, 0);
  f.loop.pass(20000);
  CHECK(f.holder() == 0);
  CHECK(f.log.count("the resolver cannot be set up") == 1);
  f.settings.resolver.servers = {"127.0.0.1:1"};
  CHECK(f.log.count("the resolver is set up again") == 0);
  f.loop.pass(20000);
  CHECK(f.holder() == kSelf);
  CHECK(f.log.count("the resolver is set up again, responders are asked") == 1);
}

TEST_CASE("lease contender: entries of configurations without workers are swept", "[worker]") {
  Fixture f;
  std::vector<store::EntryIndex> entries;
  const auto with_one_more = [&] {
    std::vector<store::Registration> all = {{test_id(1), test_id(2)}};
    REQUIRE(store::register_all(f.zone, f.lock, all, &entries));
  };
  with_one_more();
  f.generation = f.register_all();
  const auto contender = f.contender(kSelf, 0);
  f.loop.pass(1000);
  CHECK(f.zone.find(test_id(1)) == store::kNoEntry);
  CHECK(f.stapled() == 5);
}

}  // namespace
}  // namespace ocsp_plus::engine
