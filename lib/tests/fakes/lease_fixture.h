// An engine fixture with a cache directory and a lease, whose holders come and go.
#pragma once

#include <unistd.h>

#include <catch2/catch.hpp>
#include <memory>
#include <utility>

#include "engine/lease_holder.h"
#include "tests/fakes/engine_fixture.h"
#include "tests/fakes/scratch_directory.h"

namespace ocsp_plus::testing {

struct LeaseFixture : EngineFixture {
  explicit LeaseFixture(std::size_t zone_size = 1 << 20) : EngineFixture(zone_size) {
    settings.cache = directory.string();
  }

  // The holder gives the lease up and another takes it, as after a reload. Registers the certificates first, unless
  // `generation` says that they are.
  void take_lease() {
    if (generation == 0) {
      generation = register_all();
    }
    holder.reset();
    auto taken = engine::LeaseHolder::take({loop, loop.clock, random, log, lock, zone, catalog, settings},
                                           store::ProcessIdentity{getpid(), 0, generation});
    REQUIRE(taken);
    holder = std::move(*taken);
  }

  // The loop settles, then the holder ticks, and again every `step` ms; a longer step makes long spans pass quickly.
  void pass(Seconds span, Millis step = 500) {
    const auto tick = [this] {
      REQUIRE(holder->tick());
      loop.settle();
    };
    loop.settle();
    tick();
    loop.pass(span * 1000, step, tick);
  }

  ScratchDirectory directory;
  std::uint32_t generation = 0;
  std::unique_ptr<engine::LeaseHolder> holder;
};

}  // namespace ocsp_plus::testing
