#include "store/discovery_queue.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <map>
#include <set>
#include <string>
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

std::uint32_t slots_of(const StapleZone& zone) {
  return zone.geometry().offer_slots + zone.geometry().large_offer_slots;
}

struct Queue {
  explicit Queue(std::size_t size = 1 << 20) : memory(size), zone(memory.format()) {}
  bool put(std::size_t number, const Bytes& leaf, const std::vector<Bytes>& chain = {}) {
    return offer(zone, kPid, number, test_id(number), leaf, {chain.begin(), chain.end()});
  }
  std::uint64_t count(store::Counter::Kind what) const { return store::counted(zone, what); }

  MmapZone memory;
  StapleZone zone;
  testing::FakeClock clock;
  DiscoveryQueue offers{zone, clock};
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
  CHECK(queue.count(store::Counter::kHanded) == 1);
  CHECK(queue.count(store::Counter::kDropped) == 0);
}

// In a zone of 1 MB: four slots for kOfferBytes each, and one that holds a sixteenth of the zone.
TEST_CASE("offers: a large one comes out whole", "[zone][offers]") {
  Queue queue;
  const std::size_t most = max_offer_bytes(queue.zone);
  REQUIRE(most == 65536 - sizeof(OfferSlot));
  TestRandom random(2);
  struct Case {
    std::size_t leaf, issuer;
  };
  // The last of a common slot, the first of a large one, an issuer that does not fit into a common one, the largest.
  for (const Case& c : {Case{kOfferBytes - 900, 900}, Case{kOfferBytes + 1, 0}, Case{kOfferBytes - 900, 901},
                        Case{30000, 1500}, Case{most - 700, 700}, Case{most, 0}}) {
    INFO(c.leaf << " and " << c.issuer);
    const Bytes leaf = random.bytes(c.leaf);
    const Bytes issuer = random.bytes(c.issuer);
    REQUIRE(queue.put(1, leaf, {issuer}));
    const auto taken = queue.offers.take();
    REQUIRE(taken);
    CHECK(taken->leaf == leaf);
    CHECK(taken->chain == issuer);
    CHECK(taken->too_large == 0);
  }
  CHECK(queue.count(store::Counter::kDropped) == 0);
}

TEST_CASE("offers: what does not fit is left out", "[zone][offers]") {
  Queue queue;
  const std::size_t most = max_offer_bytes(queue.zone);
  TestRandom random(2);
  CHECK_FALSE(queue.put(1, random.bytes(most + 1)));
  CHECK_FALSE(queue.put(1, {}));
  CHECK(queue.count(store::Counter::kDropped) == 2);
  const Bytes leaf = random.bytes(most - 100);
  const Bytes last = random.bytes(100);
  REQUIRE(queue.put(1, leaf, {random.bytes(101), last}));
  const auto taken = queue.offers.take();
  REQUIRE(taken);
  CHECK(taken->leaf == leaf);
  CHECK(taken->chain == last);
}

TEST_CASE("offers: of one that is too large name and size come out", "[zone][offers]") {
  Queue queue;
  const auto bytes = static_cast<std::uint32_t>(max_offer_bytes(queue.zone) + 1);
  REQUIRE(offer_too_large(queue.zone, kPid, 3, test_id(3), bytes, "large.example"));
  REQUIRE(offer_too_large(queue.zone, kPid, 4, test_id(4), SIZE_MAX, std::string(100000, 'x')));
  REQUIRE(offer_too_large(queue.zone, kPid, 5, test_id(5), bytes, ""));
  std::map<std::uint64_t, Offer> taken;
  while (const auto offer = queue.offers.take()) {
    CHECK(offer->leaf.empty());
    CHECK(offer->chain.empty());
    taken[offer->profile] = *offer;
  }
  REQUIRE(taken.size() == 3);
  CHECK(taken[3].id == test_id(3));
  CHECK(taken[3].too_large == bytes);
  CHECK(taken[3].label == "large.example");
  CHECK(taken[4].too_large == UINT32_MAX);
  CHECK(taken[4].label == std::string(256, 'x'));
  CHECK(taken[5].label.empty());
  CHECK(queue.count(store::Counter::kHanded) == 3);
  CHECK(queue.count(store::Counter::kDropped) == 0);
  CHECK(queue.count(store::Counter::kTorn) == 0);
}

TEST_CASE("offers: a flood of large ones is none for the others, nor the other way round", "[zone][offers]") {
  Queue queue(16 << 20);
  const Geometry& geometry = queue.zone.geometry();
  REQUIRE(geometry.large_offer_slots == 4);
  REQUIRE(max_offer_bytes(queue.zone) == kLargeOfferBytes);
  const std::size_t large = 100000, small = 1000;
  const bool large_first = GENERATE(true, false);
  const std::size_t flood = large_first ? large : small, other = large_first ? small : large;
  std::size_t number = 0;
  while (offers_have_room(queue.zone, flood)) {
    REQUIRE(queue.put(number, Bytes(flood, static_cast<std::uint8_t>(number))));
    ++number;
  }
  CHECK(number == (large_first ? geometry.large_offer_slots : geometry.offer_slots));
  CHECK_FALSE(queue.put(number, Bytes(flood, 1)));
  CHECK(queue.count(store::Counter::kDropped) == 1);
  // Word of one that is too large waits with the common ones.
  CHECK(offers_have_room(queue.zone, kLargeOfferBytes + 1) == large_first);
  REQUIRE(offers_have_room(queue.zone, other));
  REQUIRE(queue.put(9999, Bytes(other, 7)));
  std::set<std::uint64_t> taken;
  while (const auto offer = queue.offers.take()) {
    CHECK(offer->leaf ==
          (offer->profile == 9999 ? Bytes(other, 7) : Bytes(flood, static_cast<std::uint8_t>(offer->profile))));
    taken.insert(offer->profile);
  }
  CHECK(taken.size() == number + 1);
}

TEST_CASE("offers: a full queue takes no more, and goes on when it is emptied", "[zone][offers]") {
  Queue queue;
  const std::size_t slots = queue.zone.geometry().offer_slots;
  std::set<std::uint64_t> wanted;
  for (std::size_t i = 0; i < slots; ++i) {
    CHECK(offers_have_room(queue.zone, 100));
    REQUIRE(queue.put(i, Bytes(100, static_cast<std::uint8_t>(i))));
    wanted.insert(i);
  }
  CHECK_FALSE(offers_have_room(queue.zone, 100));
  CHECK_FALSE(queue.put(99, Bytes(100)));
  CHECK(queue.count(store::Counter::kDropped) == 1);
  for (std::size_t i = 0; i < slots; ++i) {
    const auto taken = queue.offers.take();
    REQUIRE(taken);
    CHECK(taken->leaf == Bytes(100, static_cast<std::uint8_t>(taken->profile)));
    CHECK(wanted.erase(taken->profile) == 1);
  }
  CHECK(offers_have_room(queue.zone, 100));
  CHECK(queue.put(99, Bytes(100)));
}

TEST_CASE("offers: what waits already is known", "[zone][offers]") {
  Queue queue;
  const std::size_t size = GENERATE(std::size_t{500}, std::size_t{50000});
  const auto waits = [&](std::uint64_t profile, std::size_t id) {
    return is_offered(queue.zone, profile, test_id(id));
  };
  CHECK_FALSE(waits(1, 1));
  REQUIRE(queue.put(1, Bytes(size, 7)));
  CHECK(waits(1, 1));
  CHECK_FALSE(waits(2, 1));  // another server's: it may have other candidates for the issuer
  CHECK_FALSE(waits(1, 2));
  REQUIRE(queue.offers.take());
  CHECK_FALSE(waits(1, 1));
  REQUIRE(queue.put(1, Bytes(size, 7)));
  for (std::uint32_t i = 0; i < slots_of(queue.zone); ++i) {
    queue.zone.offer_slot(i).state = std::uint64_t{7} << 32 | kPid;  // being written
  }
  CHECK_FALSE(waits(1, 1));
}

TEST_CASE("offers: a zone too small for a queue", "[zone][offers]") {
  Queue queue(36 << 10);
  CHECK_FALSE(offers_have_room(queue.zone, 100));
  CHECK_FALSE(queue.put(1, Bytes(100)));
  CHECK_FALSE(queue.offers.take());
  queue.offers.free_abandoned(none_lives);
}

TEST_CASE("offers: a torn one is passed over", "[zone][offers]") {
  Queue queue;
  const std::size_t size = GENERATE(std::size_t{500}, std::size_t{50000});  // of the one that is torn
  const auto number = [size](std::size_t i) { return i == 1 ? size : 500; };
  for (std::size_t i = 0; i < 3; ++i) {
    REQUIRE(queue.put(i, Bytes(number(i), 7)));
  }
  REQUIRE(offer_too_large(queue.zone, kPid, 3, test_id(3), 100000, "large.example"));
  struct Case {
    const char* name;
    void (*tear)(OfferSlot& slot);
  };
  const Case cases[] = {
      {"the last byte", [](OfferSlot& slot) { reinterpret_cast<char*>(&slot + 1)[slot.length - 1] ^= 1; }},
      {"the id", [](OfferSlot& slot) { slot.id[31] ^= 1; }},
      {"the profile", [](OfferSlot& slot) { slot.profile ^= 1; }},
      {"the length", [](OfferSlot& slot) { slot.length = UINT32_MAX; }},
      {"the length, by one", [](OfferSlot& slot) { ++slot.length; }},
      {"the leaf's length", [](OfferSlot& slot) { slot.leaf_length = slot.length + 1; }},
      {"no leaf", [](OfferSlot& slot) { slot.leaf_length = 0; }},
      {"too large", [](OfferSlot& slot) { slot.leaf_length = UINT32_MAX; }},
      {"too large, with a long label", [](OfferSlot& slot) { slot.leaf_length = slot.length = UINT32_MAX; }},
      {"the checksum", [](OfferSlot& slot) { slot.checksum ^= 1; }},
  };
  const Case& c = cases[GENERATE(range(0, 10))];
  const std::uint64_t torn = GENERATE(1u, 3u);
  INFO(c.name << " of " << torn);
  for (std::uint32_t i = 0; i < slots_of(queue.zone); ++i) {
    OfferSlot& slot = queue.zone.offer_slot(i);
    if (slot.state != 0 && slot.profile == torn) {
      c.tear(slot);
    }
  }
  std::set<std::uint64_t> taken;
  while (const auto offer = queue.offers.take()) {
    taken.insert(offer->profile);
  }
  std::set<std::uint64_t> others = {0, 1, 2, 3};
  others.erase(torn);
  CHECK(taken == others);
  CHECK(queue.count(store::Counter::kTorn) == 1);
  CHECK(queue.put(1, Bytes(size, 7)));  // its slot is free
}

TEST_CASE("offers: slots of writers that are gone or stuck are freed", "[zone][offers]") {
  Queue queue;
  const bool dead = GENERATE(true, false);
  const bool large = GENERATE(true, false);
  OfferSlot& slot = queue.zone.offer_slot(large ? queue.zone.geometry().offer_slots : 2);
  slot.state = std::uint64_t{7} << 32 | kPid;  // taken, and never filled
  CHECK(offers_have_room(queue.zone, 50000) != large);
  const auto alive = dead ? none_lives : all_live;
  queue.offers.free_abandoned(alive);
  CHECK(slot.state != 0);  // it may have begun a moment ago
  CHECK_FALSE(queue.offers.take());
  if (!dead) {
    queue.clock.advance(DiscoveryQueue::kPatience - 1);
    queue.offers.free_abandoned(alive);
    CHECK(slot.state != 0);
    queue.clock.advance(1);
  }
  queue.offers.free_abandoned(alive);
  CHECK(slot.state == 0);
  CHECK(queue.count(store::Counter::kTorn) == 1);
  CHECK(offers_have_room(queue.zone, 50000));
}

TEST_CASE("offers: a slot that is used again and again is nobody's abandoned one", "[zone][offers]") {
  Queue queue;
  OfferSlot& slot = queue.zone.offer_slot(0);
  for (std::uint64_t i = 1; i < 10; ++i) {
    slot.state = i << 32 | kPid;
    queue.offers.free_abandoned(none_lives);
    CHECK(slot.state != 0);
    queue.clock.advance(DiscoveryQueue::kPatience);
  }
}

}  // namespace
}  // namespace ocsp_plus::store
