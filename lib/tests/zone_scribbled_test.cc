// Any worker could have scribbled on the zone. Whatever stands in it: nobody reads or writes outside of it (there are
// forbidden pages on both sides), nobody loops for ever, and a registration still gives each certificate an entry.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>

#include "store/counters.h"
#include "store/entry_state.h"
#include "store/lease.h"
#include "store/shared_stats.h"
#include "store/zone_registry.h"
#include "store/zone_writer.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/mmap_zone.h"

namespace ocsp_plus::store {
namespace {

using testing::FakeClock;
using testing::LocalLock;
using testing::MmapZone;
using testing::test_header;
using testing::test_id;
using testing::test_registrations;
using testing::TestRandom;

constexpr std::size_t kSize = 36 << 10;
constexpr std::size_t kCertificates = 8;

// A zone that works: eight certificates, five responses.
void fill(const MmapZone& memory, LocalLock& lock, const Clock& clock) {
  StapleZone zone = memory.format(StapleZone::Memory::kUsed);
  std::vector<EntryIndex> entries;
  const auto registrations = test_registrations(kCertificates);
  REQUIRE(store::register_all(zone, lock, registrations, &entries));
  ZoneWriter writer(zone, lock, clock, 0, 0);
  for (std::size_t i = 0; i < 5; ++i) {
    REQUIRE(writer.publish(entries[i], test_header(registrations[i]), Bytes(100 + 300 * i, 1)));
  }
}

// A value that lies near a limit more often than a random one does.
std::uint64_t nasty(TestRandom& random) {
  switch (random.below(5)) {
    case 0:
      return random.next();
    case 1:
      return random.below(64);
    case 2:
      return std::uint64_t{1} << random.below(64);
    case 3:
      return UINT64_MAX - random.below(64);
    default:
      return random.below(2048) | random.below(3) << 32;  // a plausible Entry::word
  }
}

// Each kind keeps what attach() looks at, so that the rest is reached.
enum class Kind { kNoise, kFewWords, kManyWords, kEntryWords, kBlobLengths, kIndex };

void scribble(const MmapZone& memory, Kind kind, TestRandom& random) {
  StapleZone zone = memory.attach();
  const Geometry& g = zone.geometry();
  const std::size_t words = kind == Kind::kManyWords ? 400 : 1 + random.below(8);
  switch (kind) {
    case Kind::kNoise:
      random.fill(memory.data() + offsetof(Header, generation), kSize - offsetof(Header, generation));
      break;
    case Kind::kFewWords:
    case Kind::kManyWords:
      for (std::size_t i = 0; i < words; ++i) {
        const std::uint64_t value = nasty(random);
        std::memcpy(memory.data() + 24 + random.below((kSize - 32) / 8) * 8, &value, 8);
      }
      break;
    case Kind::kEntryWords:
      zone.header().entries = static_cast<std::uint32_t>(random.below(g.capacity + 3));
      for (EntryIndex i = 0; i < g.capacity; ++i) {
        zone.entry(i).word = nasty(random);
        zone.entry(i).id = test_id(random.below(kCertificates));
        zone.entry(i).generation = static_cast<std::uint32_t>(random.below(3));
      }
      break;
    case Kind::kBlobLengths:
      for (EntryIndex i = 0; i < 5; ++i) {
        const auto length = static_cast<std::uint32_t>(random.below(2) == 0 ? nasty(random) : random.below(3000));
        auto* blob = zone.arena() + (zone.entry(i).word & UINT32_MAX) * kBlobAlign;
        std::memcpy(blob + offsetof(BlobHeader, length), &length, sizeof(length));
      }
      break;
    case Kind::kIndex:
      for (std::uint32_t i = 0; i < g.index_slots; ++i) {
        zone.index_slot(i) = static_cast<std::uint32_t>(random.below(2) == 0 ? nasty(random) : random.below(9));
      }
      break;
  }
}

bool some_live(std::int32_t pid) {
  return pid % 3 == 0;
}

void read_everything(const StapleZone& zone) {
  for (std::size_t i = 0; i < kCertificates + 2; ++i) {
    const CertificateId id = test_id(i);
    const EntryIndex found = zone.find(id);
    REQUIRE((found == kNoEntry || found < zone.capacity()));
    for (EntryIndex entry = 0; entry <= zone.capacity(); ++entry) {
      StapleZone::Copy copy;
      if (zone.copy(entry, id, std::malloc, std::free, &copy) == StapleZone::Read::kCopied) {
        REQUIRE(copy.header.id == id);
        REQUIRE(copy.header.length <= zone.geometry().arena_bytes);
        std::free(copy.data);
      }
      zone.peek(entry, id);
      store::read_attempt(zone, entry);
    }
  }
  store::handshake_totals(zone);
  lease_holder(zone);
}

void use_everything(StapleZone& zone, LocalLock& lock, const FakeClock& clock, TestRandom& random) {
  store::worker_started(zone, 33, 1);
  store::oldest_living_generation(zone, some_live);
  store::worker_stopped(zone, 33);
  acquire_lease(zone, lock, {100, 0, 1}, clock, some_live);
  LeaseState holder = lease_holder(zone);
  renew_lease(zone, holder.epoch, holder.pid, clock);
  holder = lease_holder(zone);

  ZoneWriter writer(zone, lock, clock, holder.epoch, holder.pid);
  REQUIRE(writer.bytes_used() + writer.bytes_free() == zone.geometry().arena_bytes);
  (void)writer.drop(static_cast<EntryIndex>(random.below(zone.capacity())));
  (void)writer.remove_stale(static_cast<std::uint32_t>(nasty(random)));
  std::vector<EntryIndex> entries;
  const auto registrations = test_registrations(kCertificates);
  const auto registered = store::register_all(zone, lock, registrations, &entries);
  if (!registered) {
    REQUIRE(registered.error().reason == Reason::kZoneFull);
    return;
  }
  for (std::size_t i = 0; i < kCertificates; ++i) {
    REQUIRE(entries[i] < zone.capacity());
    const Bytes der(1 + random.below(2000), static_cast<std::uint8_t>(i));
    const auto published = writer.publish(entries[i], test_header(registrations[i]), der);
    // The header's high-water mark may be scribbled, too; then the entry does not exist.
    if (published) {
      REQUIRE(zone.read(entries[i], registrations[i].id) == der);
    }
  }
  REQUIRE(writer.bytes_used() + writer.bytes_free() == zone.geometry().arena_bytes);
  REQUIRE_FALSE(lock.held);
}

TEST_CASE("scribbled zone: nothing leaves it and nothing hangs", "[zone][scribbled]") {
  const MmapZone memory(kSize);
  const MmapZone fresh(kSize);
  FakeClock clock;
  struct Case {
    const char* name;
    Kind kind;
    int images;
  };
  for (const Case& c : {Case{"noise", Kind::kNoise, 1000}, Case{"a few words", Kind::kFewWords, 1500},
                        Case{"many words", Kind::kManyWords, 1000}, Case{"words of entries", Kind::kEntryWords, 1500},
                        Case{"lengths", Kind::kBlobLengths, 1000}, Case{"the index", Kind::kIndex, 1000}}) {
    DYNAMIC_SECTION(c.name) {
      for (int image = 0; image < c.images; ++image) {
        CAPTURE(image);
        TestRandom random(static_cast<std::uint64_t>(image));
        LocalLock lock;
        fill(memory, lock, clock);
        scribble(memory, c.kind, random);
        StapleZone zone = memory.attach();
        read_everything(zone);
        StapleZone to = fresh.format(StapleZone::Memory::kUsed);
        std::vector<EntryIndex> entries;
        REQUIRE(store::register_all(to, lock, test_registrations(kCertificates), &entries));
        copy_stats(zone, to, clock.monotonic());
        use_everything(zone, lock, clock, random);
        read_everything(zone);
      }
    }
  }
}

TEST_CASE("scribbled zone: pure noise is not adopted", "[zone][scribbled]") {
  const MmapZone memory(kSize);
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    TestRandom(seed).fill(memory.data(), kSize);
    REQUIRE_FALSE(StapleZone::attach(memory.data(), kSize));
  }
}

}  // namespace
}  // namespace ocsp_plus::store
