#include "store/zone_writer.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <utility>

#include "store/lease.h"
#include "store/zone_index.h"
#include "store/zone_registry.h"
#include "store/zone_repair.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/mmap_zone.h"

namespace ocsp_plus::store {
namespace {

using testing::FakeClock;
using testing::LocalLock;
using testing::MmapZone;
using testing::test_header;
using testing::test_id;
using testing::test_registration;
using testing::test_registrations;
using testing::TestRandom;

bool all_live(std::int32_t) {
  return true;
}

struct Fixture {
  explicit Fixture(std::size_t size = 64 << 10) : memory(size), zone(memory.format()) {
    epoch = acquire_lease(zone, lock, {100, 0, 1}, clock, all_live).value();
  }
  std::vector<EntryIndex> add(const std::vector<Registration>& registrations) {
    std::vector<EntryIndex> entries;
    REQUIRE(store::register_all(zone, lock, registrations, &entries));
    return entries;
  }
  ZoneWriter writer() { return ZoneWriter(zone, lock, clock, epoch, 100); }
  std::uint32_t version(EntryIndex entry) { return static_cast<std::uint32_t>(zone.entry(entry).word >> 32); }
  std::uint32_t place(EntryIndex entry) { return static_cast<std::uint32_t>(zone.entry(entry).word); }

  MmapZone memory;
  StapleZone zone;
  LocalLock lock;
  FakeClock clock;
  std::uint32_t epoch = 0;
};

Result<void> publish(ZoneWriter& writer, EntryIndex entry, std::uint64_t number, std::size_t length,
                     std::uint8_t fill = 1) {
  return writer.publish(entry, test_header(test_registration(number)), Bytes(length, fill));
}

TEST_CASE("writer: each version has a larger generation", "[zone][writer]") {
  Fixture f;
  const auto entries = f.add(test_registrations(2));
  auto writer = f.writer();
  for (std::uint32_t i = 1; i <= 5; ++i) {
    REQUIRE(publish(writer, entries[0], 0, 100 + i));
    CHECK(f.version(entries[0]) == i);
  }
  REQUIRE(writer.drop(entries[0]));
  CHECK(f.zone.entry(entries[0]).word == 0);
  REQUIRE(publish(writer, entries[0], 0, 100));
  CHECK(f.version(entries[0]) == 6);

  SECTION("by another writer") {
    auto next = f.writer();
    REQUIRE(publish(next, entries[0], 0, 100));
    CHECK(f.version(entries[0]) == 7);
  }
  SECTION("under the entry's next owner") {
    f.add({test_registration(1)});
    REQUIRE(writer.remove_stale(2) == 1u);
    CHECK(f.zone.find(test_id(0)) == kNoEntry);
    REQUIRE(f.add({test_registration(1), test_registration(9)})[1] == entries[0]);
    REQUIRE(publish(writer, entries[0], 9, 100));
    CHECK(f.version(entries[0]) == 7);
  }
  SECTION("and 0 is left out") {
    f.zone.entry(entries[0]).versions = UINT32_MAX;
    REQUIRE(publish(writer, entries[0], 0, 100));
    CHECK(f.version(entries[0]) == 1);
  }
}

TEST_CASE("writer: what cannot be published is refused and changes nothing", "[zone][writer]") {
  Fixture f;
  const auto entries = f.add(test_registrations(2));
  auto writer = f.writer();
  REQUIRE(publish(writer, entries[0], 0, 100, 7));
  const std::uint64_t word = f.zone.entry(entries[0]).word;
  const std::size_t used = writer.bytes_used();
  auto header = test_header(test_registration(0));

  SECTION("no bytes") {
    CHECK(writer.publish(entries[0], header, {}).error().reason == Reason::kInvalidArgument);
  }
  SECTION("too long") {
    CHECK(publish(writer, entries[0], 0, kMaxBlobLength + 1).error().reason == Reason::kInvalidArgument);
  }
  SECTION("no entry") {
    CHECK(publish(writer, kNoEntry, 0, 10).error().reason == Reason::kInvalidArgument);
    CHECK(publish(writer, 2, 0, 10).error().reason == Reason::kInvalidArgument);
    CHECK(writer.drop(kNoEntry).error().reason == Reason::kInvalidArgument);
  }
  SECTION("another certificate's") {
    CHECK(publish(writer, entries[0], 1, 10).error().reason == Reason::kInvalidArgument);
  }
  SECTION("admitted under another issuer key") {
    header.issuer_key[5] ^= 1;
    CHECK(writer.publish(entries[0], header, Bytes(10, 1)).error().reason == Reason::kInvalidArgument);
  }
  SECTION("the zone is busy") {
    f.lock.busy = true;
    CHECK(publish(writer, entries[0], 0, 10).error().reason == Reason::kZoneBusy);
    CHECK(writer.drop(entries[0]).error().reason == Reason::kZoneBusy);
    CHECK(writer.remove_stale(99).error().reason == Reason::kZoneBusy);
    f.lock.busy = false;
  }
  SECTION("the zone has no room") {
    const auto full = publish(writer, entries[1], 1, f.zone.geometry().arena_bytes - 200);
    CHECK(full.error().reason == Reason::kZoneFull);
  }
  SECTION("the lease is another's") {
    REQUIRE(acquire_lease(f.zone, f.lock, {200, 0, 2}, f.clock, all_live));
    f.add({});
    CHECK(publish(writer, entries[0], 0, 10).error().reason == Reason::kLeaseLost);
    CHECK(writer.drop(entries[0]).error().reason == Reason::kLeaseLost);
    CHECK(writer.remove_stale(2).error().reason == Reason::kLeaseLost);
  }
  SECTION("the lease was given up") {
    release_lease(f.zone, f.epoch, 100);
    CHECK(publish(writer, entries[0], 0, 10).error().reason == Reason::kLeaseLost);
  }
  CHECK(f.zone.entry(entries[0]).word == word);
  CHECK(f.zone.read(entries[0], test_id(0)) == Bytes(100, 7));
  CHECK(writer.bytes_used() == used);
  CHECK_FALSE(f.lock.held);
}

TEST_CASE("writer: a replaced response stays for the grace period", "[zone][writer]") {
  Fixture f;
  const auto entries = f.add(test_registrations(1));
  auto writer = f.writer();
  REQUIRE(publish(writer, entries[0], 0, 1000));
  const std::uint32_t first = f.place(entries[0]);
  const std::size_t one = writer.bytes_used();
  REQUIRE(publish(writer, entries[0], 0, 1000));
  CHECK(f.place(entries[0]) != first);
  CHECK(writer.bytes_used() == 2 * one);
  f.clock.advance(kGrace - 1);
  REQUIRE(publish(writer, entries[0], 0, 1000));
  CHECK(writer.bytes_used() == 3 * one);
  f.clock.advance(1);
  REQUIRE(publish(writer, entries[0], 0, 1000));
  CHECK(f.place(entries[0]) == first);
  CHECK(writer.bytes_used() == 3 * one);
  CHECK(writer.bytes_used() + writer.bytes_free() == f.zone.geometry().arena_bytes);
}

TEST_CASE("writer: the grace period ends early where space is needed", "[zone][writer]") {
  Fixture f;
  const auto entries = f.add(test_registrations(1));
  auto writer = f.writer();
  const std::size_t third = f.zone.geometry().arena_bytes / 3;
  for (int i = 0; i < 50; ++i) {
    REQUIRE(publish(writer, entries[0], 0, third, static_cast<std::uint8_t>(i)));
    REQUIRE(f.zone.read(entries[0], test_id(0)) == Bytes(third, static_cast<std::uint8_t>(i)));
  }
}

TEST_CASE("writer: only what no living configuration names is removed", "[zone][writer]") {
  Fixture f;
  const auto entries = f.add(test_registrations(4));  // generation 1
  auto writer = f.writer();
  for (std::uint64_t i = 0; i < 4; ++i) {
    REQUIRE(publish(writer, entries[i], i, 100));
  }
  f.add(test_registrations(2));  // 2
  f.add(test_registrations(1));  // 3
  struct Case {
    std::uint32_t oldest_living;
    std::size_t removed;
  };
  for (const Case& c : {Case{0, 0}, Case{1, 0}, Case{2, 2}, Case{3, 3}, Case{UINT32_MAX, 3}}) {
    DYNAMIC_SECTION(c.oldest_living) {
      CHECK(writer.remove_stale(c.oldest_living) == c.removed);
      for (std::uint64_t i = 0; i < 4; ++i) {
        const bool kept = i < 4 - c.removed;
        CHECK((f.zone.find(test_id(i)) == entries[i]) == kept);
        CHECK(f.zone.read(entries[i], test_id(i)).has_value() == kept);
      }
      CHECK(writer.remove_stale(c.oldest_living) == 0u);
      f.clock.advance(kGrace);
      CHECK(writer.remove_stale(0) == 0u);
      CHECK(writer.bytes_used() == (4 - c.removed) * 256);
    }
  }
}

TEST_CASE("writer: the next writer finds what is used", "[zone][writer]") {
  Fixture f;
  const auto registrations = test_registrations(10);
  const auto entries = f.add(registrations);
  TestRandom random(3);
  std::vector<Bytes> held(10);
  for (int round = 0; round < 40; ++round) {
    auto writer = f.writer();
    for (int i = 0; i < 7; ++i) {
      const std::size_t which = random.below(10);
      held[which] = random.bytes(1 + random.below(2500));
      REQUIRE(writer.publish(entries[which], test_header(registrations[which]), held[which]));
    }
    for (std::size_t i = 0; i < 10; ++i) {
      REQUIRE(f.zone.read(entries[i], registrations[i].id).value_or(Bytes()) == held[i]);
    }
  }
}

TEST_CASE("writer: space of words that a registration cleared is found again", "[zone][writer]") {
  Fixture f;
  auto registrations = test_registrations(2);
  const auto entries = f.add(registrations);
  auto writer = f.writer();
  const std::size_t most = f.zone.geometry().arena_bytes - 1000;
  REQUIRE(publish(writer, entries[0], 0, most));
  CHECK(publish(writer, entries[1], 1, most).error().reason == Reason::kZoneFull);
  registrations[0].issuer_key[0] ^= 1;
  REQUIRE(f.add(registrations) == entries);
  REQUIRE(publish(writer, entries[1], 1, most));
  CHECK(f.zone.read(entries[1], test_id(1)) == Bytes(most, 1));
}

TEST_CASE("writer: words that make no sense are dropped", "[zone][writer]") {
  Fixture f;
  const auto entries = f.add(test_registrations(5));
  {
    auto writer = f.writer();
    for (std::uint64_t i = 0; i < 5; ++i) {
      REQUIRE(publish(writer, entries[i], i, 100));
    }
  }
  struct Case {
    const char* name;
    std::uint64_t word;
    std::vector<bool> kept;
  };
  const std::uint64_t second = f.zone.entry(entries[1]).word;
  const std::uint64_t of_first = std::uint64_t{1} << 32 | f.place(entries[0]);
  for (const Case& c : {Case{"outside of the arena", UINT64_MAX, {true, false, true, true, true}},
                        Case{"without a generation", second & UINT32_MAX, {true, false, true, true, true}},
                        Case{"another's response", of_first, {true, false, true, true, true}}}) {
    DYNAMIC_SECTION(c.name) {
      f.zone.entry(entries[1]).word = c.word;
      auto writer = f.writer();
      CHECK(f.zone.entry(entries[1]).word != 0);
      REQUIRE(writer.drop(entries[4]));
      for (std::uint64_t i = 0; i < 4; ++i) {
        CHECK(f.zone.read(entries[i], test_id(i)).has_value() == c.kept[i]);
      }
      CHECK(f.zone.entry(entries[1]).word == 0);
      CHECK(publish(writer, entries[1], 1, 100));
    }
  }
}

TEST_CASE("writer: responses that overlap are dropped, all of them", "[zone][writer]") {
  Fixture f;
  const auto entries = f.add(test_registrations(4));
  {
    auto writer = f.writer();
    for (std::uint64_t i = 0; i < 4; ++i) {
      REQUIRE(publish(writer, entries[i], i, 100));  // 15 units each
    }
  }
  // The first one now refs to reach into the third.
  auto* header = reinterpret_cast<BlobHeader*>(f.zone.arena() + std::size_t{f.place(entries[0])} * kBlobAlign);
  header->length = 100 + 240 + 100;
  auto writer = f.writer();
  CHECK(writer.bytes_used() == 256);
  REQUIRE(publish(writer, entries[3], 3, 100, 9));
  for (std::uint64_t i = 0; i < 4; ++i) {
    CHECK(f.zone.read(entries[i], test_id(i)).has_value() == (i == 3));
  }
}

TEST_CASE("writer: a word that changed meanwhile is not dropped", "[zone][writer]") {
  Fixture f;
  const auto entries = f.add(test_registrations(2));
  {
    auto writer = f.writer();
    REQUIRE(publish(writer, entries[0], 0, 100));
  }
  const std::uint64_t good = f.zone.entry(entries[0]).word;
  f.zone.entry(entries[0]).word = UINT64_MAX;
  auto writer = f.writer();
  f.zone.entry(entries[0]).word = good;
  REQUIRE(writer.drop(entries[1]));
  CHECK(f.zone.entry(entries[0]).word == good);
}

TEST_CASE("writer: zones with many certificates", "[zone][writer]") {
  const std::size_t count = GENERATE(std::size_t{10000}, std::size_t{100000});
  Fixture f(required_size(count));
  const auto registrations = test_registrations(count);
  const auto entries = f.add(registrations);
  {
    auto writer = f.writer();
    TestRandom random(11);
    const Bytes bytes = random.bytes(1500);
    for (std::size_t i = 0; i < count; ++i) {
      const ByteView der(bytes.data(), 500 + random.below(1000));
      REQUIRE(writer.publish(entries[i], test_header(registrations[i]), der));
    }
  }
  const auto begin = std::chrono::steady_clock::now();
  auto writer = f.writer();
  const auto took = std::chrono::steady_clock::now() - begin;
  INFO("rebuilt in " << std::chrono::duration_cast<std::chrono::microseconds>(took).count() << " us");
  CHECK(took < std::chrono::seconds(2));  // a few ms on an idle machine; sanitizers and busy ones take their time

  for (std::size_t i = 0; i < count; i += 97) {
    REQUIRE(f.zone.find(registrations[i].id) == entries[i]);
    REQUIRE(f.zone.peek(entries[i], registrations[i].id));
  }
  f.add(test_registrations(count / 2));
  CHECK(writer.remove_stale(2) == count - count / 2);
  CHECK(f.zone.find(registrations.back().id) == kNoEntry);
  CHECK(f.zone.find(registrations.front().id) == entries.front());
}

// It decides what everybody scans.
TEST_CASE("repair: a high-water mark that was written over is set back", "[zone][repair]") {
  Fixture f;
  const auto entries = f.add(test_registrations(5));
  const ProcessIdentity self = {100, 0, 1};
  std::atomic<std::uint32_t>& mark = f.zone.header().entries;
  const bool taken_over_since = GENERATE(false, true);
  const bool own = GENERATE(false, true);
  for (const std::uint32_t wrong :
       {std::uint32_t{6}, f.zone.capacity(), f.zone.capacity() + 1, UINT32_MAX, std::uint32_t{0}, std::uint32_t{4}}) {
    DYNAMIC_SECTION(wrong << (own ? " own" : "") << (taken_over_since ? " taken over" : "")) {
      const bool is_known = !taken_over_since || wrong > 5 || own;
      if (taken_over_since) {
        mark = wrong;
      }
      auto writer = f.writer();
      if (own) {
        writer.own(entries);
      }
      mark = wrong;
      CHECK(repair_header(writer, self) == (is_known ? std::size_t{1} : std::size_t{0}));
      CHECK(mark == (is_known ? 5 : wrong));
      CHECK(repair_header(writer, self) == std::size_t{0});
    }
  }
}

TEST_CASE("repair: entries of a registration that a kill cut short stay below the high-water mark",
          "[zone][repair]") {
  Fixture f;
  f.add(test_registrations(5));
  auto writer = f.writer();
  f.zone.entry(5).id = test_id(5);
  f.zone.entry(5).generation = f.zone.generation() + 1;
  f.zone.header().entries = 6;
  ZoneIndex(f.zone).insert(5);
  CHECK(repair_header(writer, {100, 0, 1}) == std::size_t{0});
  CHECK(f.zone.entries_used() == 6);
  f.add(test_registrations(7));
  CHECK(repair_header(writer, {100, 0, 1}) == std::size_t{0});
  CHECK(f.zone.entries_used() == 7);
}

}  // namespace
}  // namespace ocsp_plus::store
