#include "store/arena_map.h"

#include <catch2/catch.hpp>

#include "tests/fakes/mmap_zone.h"

namespace ocsp_plus::store {
namespace {

using Range = ArenaMap::Range;

TEST_CASE("arena map: the smallest range that suffices is taken", "[zone][arena]") {
  ArenaMap map(100);
  map.rebuild({{10, 10}, {40, 10}, {55, 5}});  // free: 0+10, 20+20, 50+5, 60+40
  CHECK(map.free_units() == 75);
  CHECK(map.allocate(5).offset == 50);
  CHECK(map.allocate(8).offset == 0);
  CHECK(map.allocate(11).offset == 20);
  CHECK(map.allocate(40).offset == 60);
  CHECK_FALSE(map.allocate(10));
  CHECK(map.free_units() == 11);
}

TEST_CASE("arena map: neighbours are joined", "[zone][arena]") {
  struct Case {
    const char* name;
    std::vector<std::size_t> order;
  };
  for (const Case& c : {Case{"upwards", {0, 1, 2}}, Case{"downwards", {2, 1, 0}}, Case{"the gap last", {0, 2, 1}}}) {
    DYNAMIC_SECTION(c.name) {
      ArenaMap map(30);
      const std::vector<Range> ranges = {map.allocate(10), map.allocate(10), map.allocate(10)};
      CHECK(map.free_units() == 0);
      CHECK_FALSE(map.allocate(1));
      for (const std::size_t i : c.order) {
        map.release(ranges[i]);
      }
      CHECK(map.allocate(30).offset == 0);
    }
  }
}

TEST_CASE("arena map: an empty range is ignored", "[zone][arena]") {
  ArenaMap map(10);
  map.release({});
  CHECK(map.free_units() == 10);
  CHECK(map.allocate(10).units == 10);
  CHECK_FALSE(map.allocate(1));
}

TEST_CASE("arena map: ranges never overlap and never get lost", "[zone][arena]") {
  testing::TestRandom random(7);
  constexpr std::uint32_t kUnits = 2000;
  ArenaMap map(kUnits);
  std::vector<bool> taken(kUnits, false);
  std::vector<Range> ranges;
  const auto mark = [&](Range range, bool value) {
    for (std::uint32_t i = range.offset; i < range.offset + range.units; ++i) {
      REQUIRE(taken[i] != value);
      taken[i] = value;
    }
  };
  for (int step = 0; step < 20000; ++step) {
    if (random.below(2) == 0 || ranges.empty()) {
      const Range range = map.allocate(static_cast<std::uint32_t>(1 + random.below(60)));
      if (range) {
        mark(range, true);
        ranges.push_back(range);
      }
    } else {
      const std::size_t victim = random.below(ranges.size());
      mark(ranges[victim], false);
      map.release(ranges[victim]);
      ranges[victim] = ranges.back();
      ranges.pop_back();
    }
  }
  for (const Range range : ranges) {
    map.release(range);
  }
  CHECK(map.free_units() == kUnits);
  CHECK(map.allocate(kUnits).units == kUnits);
}

}  // namespace
}  // namespace ocsp_plus::store
