#include "store/offers.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <set>
#include <utility>

#include "tests/fakes/fake_clock.h"
#include "tests/fakes/mmap_zone.h"

namespace ocsp_plus::store {
namespace {

using testing::MmapZone;
using testing::test_id;
using testing::TestRandom;

constexpr std::int32_t kPid = 4711;

bool all_live(std::int32_t) {
  return true;
}
bool none_lives(std::int32_t) {
  return false;
}

struct Queue {
  explicit Queue(std::size_t size = 1 << 20) : memory(size), zone(memory.format()) {}
  bool put(std::size_t number, const Bytes& leaf, const std::vector<Bytes>& chain = {}) {
    return offer(zone, kPid, number, test_id(number), leaf, {chain.begin(), chain.end()});
  }
  const LoadedCounters& counters() const { return zone.board().loaded; }

  MmapZone memory;
  StapleZone zone;
  testing::FakeClock clock;
  Offers offers{zone, clock};
};

TEST_CASE("offers: what is handed over comes out whole", "[zone][offers]") {
  Queue queue;
  REQUIRE(queue.zone.geometry().offer_slots == 4);
  TestRandom random(1);
  const Bytes leaf = random.bytes(1501);
  const Bytes issuer = random.bytes(1203);
  const Bytes root = random.bytes(7);
  CHECK_FALSE(queue.offers.take());
  REQUIRE(queue.put(5, leaf, {issuer, root}));
  const auto taken = queue.offers.take();
  REQUIRE(taken);
  CHECK(taken->profile == 5);
  CHECK(taken->id == test_id(5));
  CHECK(taken->leaf == leaf);
  Bytes chain = issuer;
  chain.insert(chain.end(), root.begin(), root.end());
  CHECK(taken->chain == chain);
  CHECK_FALSE(queue.offers.take());
  CHECK(queue.counters().handed == 1);
  CHECK(queue.counters().dropped == 0);
}

TEST_CASE("offers: what is too large is left out", "[zone][offers]") {
  Queue queue;
  TestRandom random(2);
  CHECK_FALSE(queue.put(1, random.bytes(kOfferBytes + 1)));
  CHECK_FALSE(queue.put(1, {}));
  CHECK(queue.counters().dropped == 2);
  const Bytes leaf = random.bytes(kOfferBytes - 100);
  const Bytes last = random.bytes(100);
  REQUIRE(queue.put(1, leaf, {random.bytes(101), last}));
  const auto taken = queue.offers.take();
  REQUIRE(taken);
  CHECK(taken->leaf == leaf);
  CHECK(taken->chain == last);
}

TEST_CASE("offers: a full queue takes no more, and goes on when it is emptied", "[zone][offers]") {
  Queue queue;
  const std::size_t slots = queue.zone.geometry().offer_slots;
  std::set<std::uint64_t> wanted;
  for (std::size_t i = 0; i < slots; ++i) {
    CHECK(offers_have_room(queue.zone));
    REQUIRE(queue.put(i, Bytes(100, static_cast<std::uint8_t>(i))));
    wanted.insert(i);
  }
  CHECK_FALSE(offers_have_room(queue.zone));
  CHECK_FALSE(queue.put(99, Bytes(100)));
  CHECK(queue.counters().dropped == 1);
  for (std::size_t i = 0; i < slots; ++i) {
    const auto taken = queue.offers.take();
    REQUIRE(taken);
    CHECK(taken->leaf == Bytes(100, static_cast<std::uint8_t>(taken->profile)));
    CHECK(wanted.erase(taken->profile) == 1);
  }
  CHECK(offers_have_room(queue.zone));
  CHECK(queue.put(99, Bytes(100)));
}

TEST_CASE("offers: a zone too small for a queue", "[zone][offers]") {
  Queue queue(36 << 10);
  CHECK_FALSE(offers_have_room(queue.zone));
  CHECK_FALSE(queue.put(1, Bytes(100)));
  CHECK_FALSE(queue.offers.take());
  queue.offers.free_abandoned(none_lives);
}

TEST_CASE("offers: a torn one is passed over", "[zone][offers]") {
  Queue queue;
  for (std::size_t i = 0; i < 3; ++i) {
    REQUIRE(queue.put(i, Bytes(500, 7)));
  }
  struct Case {
    const char* name;
    void (*tear)(OfferSlot& slot);
  };
  const Case cases[] = {
      {"a byte of the certificate", [](OfferSlot& slot) { slot.der[499] ^= 1; }},
      {"the id", [](OfferSlot& slot) { slot.id[31] ^= 1; }},
      {"the profile", [](OfferSlot& slot) { slot.profile ^= 1; }},
      {"the length", [](OfferSlot& slot) { slot.length = UINT32_MAX; }},
      {"the leaf's length", [](OfferSlot& slot) { slot.leaf_length = 501; }},
      {"no leaf", [](OfferSlot& slot) { slot.leaf_length = 0; }},
      {"the checksum", [](OfferSlot& slot) { slot.checksum ^= 1; }},
  };
  const Case& c = cases[GENERATE(range(0, 7))];
  INFO(c.name);
  for (std::uint32_t i = 0; i < queue.zone.geometry().offer_slots; ++i) {
    OfferSlot& slot = queue.zone.offer_slot(i);
    if (slot.state != 0 && slot.profile == 1) {
      c.tear(slot);
    }
  }
  std::set<std::uint64_t> taken;
  while (const auto offer = queue.offers.take()) {
    taken.insert(offer->profile);
  }
  CHECK(taken == std::set<std::uint64_t>{0, 2});
  CHECK(queue.counters().torn == 1);
  CHECK(queue.put(1, Bytes(500, 7)));  // its slot is free
}

TEST_CASE("offers: slots of writers that are gone or stuck are freed", "[zone][offers]") {
  Queue queue;
  const bool dead = GENERATE(true, false);
  OfferSlot& slot = queue.zone.offer_slot(2);
  slot.state = std::uint64_t{7} << 32 | kPid;  // taken, and never filled
  const auto alive = dead ? none_lives : all_live;
  queue.offers.free_abandoned(alive);
  CHECK(slot.state != 0);  // it may have begun a moment ago
  CHECK_FALSE(queue.offers.take());
  if (!dead) {
    queue.clock.advance(Offers::kPatience - 1);
    queue.offers.free_abandoned(alive);
    CHECK(slot.state != 0);
    queue.clock.advance(1);
  }
  queue.offers.free_abandoned(alive);
  CHECK(slot.state == 0);
  CHECK(queue.counters().torn == 1);
}

TEST_CASE("offers: a slot that is used again and again is nobody's abandoned one", "[zone][offers]") {
  Queue queue;
  OfferSlot& slot = queue.zone.offer_slot(0);
  for (std::uint64_t i = 1; i < 10; ++i) {
    slot.state = i << 32 | kPid;
    queue.offers.free_abandoned(none_lives);
    CHECK(slot.state != 0);
    queue.clock.advance(Offers::kPatience);
  }
}

}  // namespace
}  // namespace ocsp_plus::store
