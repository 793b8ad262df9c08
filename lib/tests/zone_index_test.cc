#include "store/zone_index.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "store/zone_registry.h"
#include "store/zone_writer.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/mmap_zone.h"

namespace ocsp_plus::store {
namespace {

using testing::FakeClock;
using testing::LocalLock;
using testing::MmapZone;
using testing::test_id;
using testing::test_registrations;

// Ids that all begin their search at the last slot.
std::vector<Registration> colliding(std::size_t count, std::uint64_t first = 0) {
  auto registrations = test_registrations(count, first);
  for (Registration& registration : registrations) {
    std::fill_n(registration.id.begin(), 4, std::uint8_t{0xff});
  }
  return registrations;
}

struct Fixture {
  std::vector<EntryIndex> add(const std::vector<Registration>& registrations) {
    std::vector<EntryIndex> entries;
    REQUIRE(store::register_all(zone, lock, registrations, &entries));
    return entries;
  }
  // Everything that is not named goes at once.
  std::vector<EntryIndex> replace_all(const std::vector<Registration>& registrations) {
    auto entries = add(registrations);
    ZoneWriter writer(zone, lock, clock, 0, 0);
    REQUIRE(writer.remove_stale(zone.generation()));
    return entries;
  }
  void require_found(const std::vector<Registration>& registrations, const std::vector<EntryIndex>& entries) {
    for (std::size_t i = 0; i < registrations.size(); ++i) {
      REQUIRE(zone.find(registrations[i].id) == entries[i]);
    }
  }
  std::size_t count(std::uint32_t value) {
    std::size_t slots = 0;
    for (std::uint32_t i = 0; i < zone.geometry().index_slots; ++i) {
      slots += zone.index_slot(i) == value ? 1 : 0;
    }
    return slots;
  }

  MmapZone memory{256 << 10};
  StapleZone zone = memory.format();
  LocalLock lock;
  FakeClock clock;
};

TEST_CASE("index: certificates that collide are all found", "[zone][index]") {
  Fixture f;
  const auto registrations = colliding(f.zone.capacity());
  f.require_found(registrations, f.add(registrations));
  CHECK(f.zone.find(colliding(1, 5000)[0].id) == kNoEntry);
}

TEST_CASE("index: a search passes over what was removed in its way", "[zone][index]") {
  Fixture f;
  const auto registrations = colliding(10);
  const auto entries = f.add(registrations);
  const std::vector<Registration> kept = {registrations[0], registrations[4], registrations[9]};
  const auto again = f.replace_all(kept);
  CHECK(again == std::vector<EntryIndex>{entries[0], entries[4], entries[9]});
  f.require_found(kept, again);
  CHECK(f.zone.find(registrations[1].id) == kNoEntry);
  CHECK(f.count(kTombstone) == 7);

  SECTION("tombstones are used again") {
    f.require_found(registrations, f.add(registrations));
    CHECK(f.count(kTombstone) == 0);
    CHECK(f.zone.entries_used() == 10);
  }
  SECTION("tombstones at the end of a run disappear") {
    f.replace_all({registrations[0]});
    CHECK(f.count(kTombstone) == 0);
    CHECK(f.count(kEmptySlot) == f.zone.geometry().index_slots - 1);
  }
}

TEST_CASE("index: years of renewals leave no trail", "[zone][index]") {
  Fixture f;
  const std::size_t half = f.zone.capacity() / 2;
  for (std::size_t round = 0; round < 300; ++round) {
    const auto registrations = test_registrations(half, round * half / 2);
    f.require_found(registrations, f.replace_all(registrations));
    REQUIRE(f.zone.entries_used() <= f.zone.capacity());
    REQUIRE(f.count(kTombstone) < f.zone.geometry().index_slots / 2);
  }
}

TEST_CASE("index: an index full of tombstones works", "[zone][index]") {
  Fixture f;
  for (std::uint32_t i = 0; i < f.zone.geometry().index_slots; ++i) {
    f.zone.index_slot(i) = kTombstone;
  }
  CHECK(f.zone.find(test_id(1)) == kNoEntry);
  const auto registrations = test_registrations(f.zone.capacity());
  f.require_found(registrations, f.add(registrations));
  CHECK(f.zone.find(test_id(100000)) == kNoEntry);
  f.require_found({registrations[3]}, f.replace_all({registrations[3]}));
}

TEST_CASE("index: an index that somebody filled with names is built anew", "[zone][index]") {
  Fixture f;
  auto registrations = test_registrations(3);
  const auto entries = f.add(registrations);
  for (std::uint32_t i = 0; i < f.zone.geometry().index_slots; ++i) {
    f.zone.index_slot(i) = entries[i % 2] + 1;
  }
  registrations.push_back(testing::test_registration(77));
  f.require_found(registrations, f.add(registrations));
  CHECK(f.count(kEmptySlot) >= f.zone.geometry().index_slots - 5);
}

TEST_CASE("index: a search has an end in an index that somebody filled with names", "[zone][index]") {
  MmapZone memory(16 << 20);
  StapleZone zone = memory.format();
  LocalLock lock;
  const auto registrations = colliding(2);
  std::vector<EntryIndex> entries;
  REQUIRE(store::register_all(zone, lock, {registrations[0]}, &entries));
  // Ours begins its search at the last slot.
  const std::uint32_t slots = zone.geometry().index_slots;
  REQUIRE(slots > 2 * ZoneIndex::kMaxProbes);
  REQUIRE(store::register_all(zone, lock, {test_registrations(1)[0]}, &entries));
  for (std::uint32_t i = 0; i < ZoneIndex::kMaxProbes; ++i) {
    zone.index_slot((slots - 1 + i) % slots) = entries[0] + 1;
  }
  zone.index_slot(ZoneIndex::kMaxProbes - 1) = 1;  // the slot after those
  CHECK(zone.find(registrations[0].id) == kNoEntry);
  // And nothing is lost by it: the index is built anew.
  REQUIRE(store::register_all(zone, lock, registrations, &entries));
  CHECK(zone.find(registrations[0].id) == entries[0]);
  CHECK(zone.find(registrations[1].id) == entries[1]);
}

TEST_CASE("index: more certificates than a search reaches, all of one hash", "[zone][index]") {
  MmapZone memory(16 << 20);
  StapleZone zone = memory.format();
  LocalLock lock;
  const auto registrations = colliding(ZoneIndex::kMaxProbes + 10);
  std::vector<EntryIndex> entries;
  REQUIRE(store::register_all(zone, lock, registrations, &entries));
  CHECK(zone.find(registrations[0].id) == entries[0]);
  // Those that no slot names have an entry of their own all the same.
  std::sort(entries.begin(), entries.end());
  CHECK(std::unique(entries.begin(), entries.end()) == entries.end());
}

TEST_CASE("index: an entry whose registration was killed half-way is picked up", "[zone][index]") {
  Fixture f;
  const auto entries = f.add(test_registrations(3));
  // As a kill between the entry and its slot leaves it.
  for (std::uint32_t i = 0; i < f.zone.geometry().index_slots; ++i) {
    if (f.zone.index_slot(i) == entries[1] + 1) {
      f.zone.index_slot(i) = kEmptySlot;
    }
  }
  const auto again = f.replace_all(test_registrations(3));
  CHECK(again[1] != entries[1]);
  CHECK(f.zone.entry(entries[1]).generation == 0);
  CHECK(f.zone.find(test_id(1)) == again[1]);
  CHECK(f.add(test_registrations(4))[3] == entries[1]);
}

}  // namespace
}  // namespace ocsp_plus::store
