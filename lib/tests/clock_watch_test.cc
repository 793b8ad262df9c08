#include "engine/clock_watch.h"

#include <catch2/catch.hpp>

#include "tests/fakes/stepped_loop.h"

namespace ocsp_plus::engine {
namespace {

TEST_CASE("clock watch: jumps are seen, once, and drift is none", "[clock]") {
  testing::SteppedClock clock;
  ClockWatch watch(clock);
  CHECK_FALSE(watch.jump().has_value());
  clock.advance(5000);
  CHECK_FALSE(watch.jump().has_value());
  clock.jump(2);
  CHECK_FALSE(watch.jump().has_value());
  clock.jump(3);
  CHECK(watch.jump() == 3);
  CHECK_FALSE(watch.jump().has_value());
  clock.jump(-4000);
  CHECK(watch.jump() == -4000);
  CHECK(watch.jumps() == 2);
}

TEST_CASE("clock watch: everything is planned anew three times an hour at the most", "[clock]") {
  testing::SteppedClock clock;
  ClockWatch watch(clock);
  const auto jumps = [&] {
    clock.jump(100);
    REQUIRE(watch.jump().has_value());
    return watch.permits_fresh_start();
  };
  CHECK((jumps() && jumps() && jumps()));
  CHECK_FALSE(jumps());
  clock.advance(3600 * 1000);
  CHECK(jumps());
}

TEST_CASE("clock watch: the clock is trusted once a responder agrees, or after five minutes", "[clock]") {
  testing::SteppedClock clock;
  ClockWatch watch(clock);
  CHECK_FALSE(watch.trusted());
  SECTION("a responder that agrees") {
    watch.compared(301);
    CHECK_FALSE(watch.trusted());
    watch.compared(-300);
    CHECK(watch.trusted());
    clock.jump(10);
    (void)watch.jump();
    CHECK_FALSE(watch.trusted());
  }
  SECTION("nobody to compare it with") {
    clock.advance(299999);
    CHECK_FALSE(watch.trusted());
    clock.advance(1);
    CHECK(watch.trusted());
  }
}

}  // namespace
}  // namespace ocsp_plus::engine
