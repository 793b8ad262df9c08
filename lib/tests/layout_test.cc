#include "store/layout.h"

#include <catch2/catch.hpp>
#include <string>

#include "ocsp_plus/defaults.h"
#include "store/zone_registry.h"
#include "store/zone_writer.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/mmap_zone.h"

namespace ocsp_plus::store {
namespace {

using testing::LocalLock;
using testing::MmapZone;
using testing::test_header;
using testing::test_registrations;
using testing::TestRandom;

TEST_CASE("layout: the parts follow each other, aligned, within the size", "[zone][layout]") {
  for (const std::size_t size :
       {std::size_t{32} << 10, std::size_t{100001}, std::size_t{1} << 20, std::size_t{8} << 20,
        (std::size_t{8} << 20) + 4095, std::size_t{1} << 30, std::size_t{1} << 45}) {
    DYNAMIC_SECTION(size) {
      const Geometry g = Geometry::of(size);
      REQUIRE(g.size == size);
      CHECK(g.capacity > 0);
      CHECK(g.capacity <= size / 2048);
      CHECK((g.index_slots & (g.index_slots - 1)) == 0);
      CHECK(g.index_slots >= 2 * std::uint64_t{g.capacity});
      CHECK(g.workers >= sizeof(Header));
      CHECK(g.counters >= g.workers + kWorkerSlots * sizeof(WorkerSlot));
      CHECK(g.methods >= g.hosts + g.host_slots * sizeof(HostSlot));
      CHECK(g.index >= g.methods + g.host_slots * sizeof(MethodSlot));
      CHECK(g.index >= g.counters + kCounterSlots * sizeof(HandshakeCounters));
      CHECK(g.entries >= g.index + g.index_slots * sizeof(IndexSlot));
      CHECK(g.offers >= g.index + g.index_slots * sizeof(IndexSlot));
      CHECK(g.large_offers >= g.offers + g.offer_slots * (sizeof(OfferSlot) + kOfferBytes));
      CHECK(g.entries >= g.large_offers + g.large_offer_slots * (sizeof(OfferSlot) + g.large_offer_bytes));
      CHECK(g.large_offer_slots * (sizeof(OfferSlot) + g.large_offer_bytes) <= size / 16);
      CHECK(g.large_offer_bytes % 64 == 0);
      CHECK((g.large_offer_slots > 0) == (g.offer_slots > 0));
      CHECK(g.offer_slots == std::min<std::size_t>(size >> 18, 64));
      CHECK(g.details >= g.entries + std::size_t{g.capacity} * sizeof(Entry));
      CHECK(g.staple_counts >= g.details + std::size_t{g.capacity} * sizeof(Detail));
      CHECK(g.staple_count_row >= g.capacity * sizeof(StapleCount));
      CHECK(g.staple_count_row % 64 == 0);
      CHECK(g.arena >= g.staple_counts + kStapleCountRows * g.staple_count_row);
      CHECK(g.arena + g.arena_bytes <= size);
      CHECK(g.arena_bytes % kBlobAlign == 0);
      CHECK(g.arena_bytes / kBlobAlign <= UINT32_MAX);
      for (const std::size_t part :
           {g.workers, g.counters, g.index, g.offers, g.large_offers, g.entries, g.staple_counts, g.arena}) {
        CHECK(part % 64 == 0);
      }
      const Geometry again = Geometry::of(size);
      CHECK(again.arena == g.arena);
      CHECK(again.capacity == g.capacity);
    }
  }
}

TEST_CASE("layout: what is too small holds nothing", "[zone][layout]") {
  for (const std::size_t size : {0, 1, 2047, 2048, 4096, 16384, 20000}) {
    CHECK(Geometry::of(size).capacity == 0);
  }
  CHECK(Geometry::of(required_size(0)).capacity > 0);
}

TEST_CASE("layout: capacity and arena grow with the size", "[zone][layout]") {
  Geometry before;
  for (std::size_t size = 4096; size < (std::size_t{4} << 20); size += 4096) {
    const Geometry g = Geometry::of(size);
    REQUIRE(g.capacity >= before.capacity);
    before = g;
  }
}

TEST_CASE("layout: a zone by default is a power of two with head-room", "[zone][layout]") {
  struct Case {
    std::size_t certificates;
    std::size_t default_megabytes;
  };
  for (const Case& c : {Case{0, 8}, Case{1, 8}, Case{100, 8}, Case{1000, 16}, Case{10000, 128}, Case{100000, 1024}}) {
    DYNAMIC_SECTION(c.certificates) {
      CHECK(default_size(c.certificates) == c.default_megabytes << 20);
      CHECK(default_size(c.certificates) >= 2 * required_size(c.certificates));
      CHECK(required_size(c.certificates + 1) >= required_size(c.certificates));
      const Geometry least = Geometry::of(required_size(c.certificates));
      CHECK(least.size <=
            16384 * 3 + c.certificates * 5300 + least.large_offer_slots * (least.large_offer_bytes + 64));
    }
  }
  CHECK(required_size(SIZE_MAX) > 0);  // ends, does not wrap
}

TEST_CASE("layout: with certificates that are loaded per connection", "[zone][layout]") {
  CHECK(Geometry::of(required_size(0, true)).offer_slots > 0);
  CHECK(Geometry::of(required_size(1000, true)).offer_slots > 0);
  CHECK(Geometry::of(required_size(0, true)).large_offer_bytes > 2 * kOfferBytes);
  CHECK(Geometry::of(1 << 20).large_offer_bytes == (64 << 10) - sizeof(OfferSlot));
  for (const std::size_t megabytes : {4, 8, 16, 1024}) {
    CHECK(Geometry::of(megabytes << 20).large_offer_bytes == kLargeOfferBytes);
    CHECK(Geometry::of(megabytes << 20).large_offer_slots == std::min<std::size_t>(megabytes / 4, 4));
  }
  CHECK(default_size(0, true) == OP_MIN_ZONE_BYTES);  // what the documentation says of a zone by default
  for (const std::size_t certificates : {std::size_t{0}, std::size_t{1000}, std::size_t{100000}}) {
    CHECK(default_size(certificates, true) >= default_size(certificates));
    CHECK(default_size(certificates, true) >= required_size(certificates + 20000));
  }
  CHECK(required_size(SIZE_MAX, true) > 0);
  CHECK(default_size(SIZE_MAX, true) > 0);
}

// Everything that required_size() promises, and renewing each certificate in the same zone besides.
TEST_CASE("layout: the required size suffices", "[zone][layout]") {
  const std::size_t count = GENERATE(std::size_t{1}, std::size_t{100}, std::size_t{10000});
  const bool of_one_size = GENERATE(true, false);
  const MmapZone memory(required_size(count));
  StapleZone zone = memory.format();
  LocalLock lock;
  testing::FakeClock clock;  // stands still: nothing leaves its grace period by itself
  std::vector<EntryIndex> entries;
  const auto registrations = test_registrations(count);
  REQUIRE(store::register_all(zone, lock, registrations, &entries));
  REQUIRE(store::register_all(zone, lock, test_registrations(count, count), &entries));
  REQUIRE(store::register_all(zone, lock, registrations, &entries));
  ZoneWriter writer(zone, lock, clock, 0, 0);
  TestRandom random(count);
  const Bytes bytes = random.bytes(3072);
  for (int round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < count; ++i) {
      const ByteView der(bytes.data(), of_one_size ? bytes.size() : 300 + random.below(bytes.size() - 299));
      const auto published = writer.publish(entries[i], test_header(registrations[i]), der);
      if (!published) {
        FAIL(published.error().detail << ": " << i << " of " << count << " in round " << round);
      }
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    REQUIRE(zone.peek(entries[i], registrations[i].id));
  }
}

}  // namespace
}  // namespace ocsp_plus::store
