#include "store/staple_zone.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <set>
#include <utility>

#include "store/counters.h"
#include "store/entry_state.h"
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
using testing::test_registration;
using testing::test_registrations;
using testing::TestRandom;
using Memory = StapleZone::Memory;

constexpr std::size_t kSmall = 64 << 10;

struct Fixture {
  explicit Fixture(std::size_t size = kSmall) : memory(size), zone(memory.format()) {}

  std::vector<EntryIndex> add(const std::vector<Registration>& registrations) {
    std::vector<EntryIndex> entries;
    REQUIRE(store::register_all(zone, lock, registrations, &entries));
    return entries;
  }
  ZoneWriter writer() { return ZoneWriter(zone, lock, clock, 0, 0); }

  MmapZone memory;
  StapleZone zone;
  LocalLock lock;
  FakeClock clock;
};

TEST_CASE("zone: attach adopts what format made, and nothing else", "[zone]") {
  const MmapZone memory(kSmall);
  REQUIRE_FALSE(StapleZone::attach(memory.data(), kSmall));
  StapleZone zone = memory.format();
  REQUIRE(StapleZone::attach(memory.data(), kSmall));
  CHECK(zone.generation() == 0);
  CHECK(zone.entries_used() == 0);
  CHECK(zone.size() == kSmall);

  SECTION("another size") {
    CHECK(StapleZone::attach(memory.data(), kSmall - 4096).error().reason == Reason::kInvalidArgument);
  }
  SECTION("another layout") {
    ++zone.header().layout_version;
    CHECK(StapleZone::attach(memory.data(), kSmall).error().reason == Reason::kInvalidArgument);
  }
  SECTION("never finished") {
    zone.header().magic = 0;
    CHECK(StapleZone::attach(memory.data(), kSmall).error().reason == Reason::kInvalidArgument);
  }
  SECTION("not aligned") {
    CHECK(StapleZone::attach(memory.data() + 8, kSmall).error().reason == Reason::kInvalidArgument);
    CHECK(StapleZone::format(memory.data() + 8, kSmall).error().reason == Reason::kInvalidArgument);
  }
  SECTION("too small") {
    CHECK(StapleZone::attach(memory.data(), 4096).error().reason == Reason::kInvalidArgument);
    CHECK(StapleZone::format(memory.data(), 4096).error().reason == Reason::kZoneFull);
  }
}

TEST_CASE("zone: a zone is made of memory that holds anything", "[zone]") {
  const MmapZone memory(kSmall);
  const auto registrations = test_registrations(20);
  TestRandom(1).fill(memory.data(), kSmall);
  LocalLock lock;
  StapleZone zone = memory.format(Memory::kUsed);
  std::vector<EntryIndex> entries;
  REQUIRE(store::register_all(zone, lock, registrations, &entries) == 1u);
  for (std::size_t i = 0; i < registrations.size(); ++i) {
    CHECK(zone.find(registrations[i].id) == entries[i]);
    CHECK_FALSE(zone.peek(entries[i], registrations[i].id));
    CHECK(store::read_attempt(zone, entries[i]).at == 0);
    CHECK(stapled(zone, entries[i]) == 0);
  }
  CHECK(store::handshake_totals(zone)[Handshake::kMissing] == 0);
  CHECK(store::oldest_living_generation(zone, [](std::int32_t) { return true; }) == 1);
}

TEST_CASE("zone: pages that hold nothing stay untouched", "[zone]") {
  constexpr std::size_t kSize = 256 << 20;
  const MmapZone memory(kSize);
  StapleZone zone = memory.format(Memory::kZeroed);
  LocalLock lock;
  std::vector<EntryIndex> entries;
  REQUIRE(store::register_all(zone, lock, test_registrations(100), &entries));
  // Slots and counters, 100 entries, and at worst one page of the index for each certificate.
  CHECK(memory.resident() < 600 << 10);
}

TEST_CASE("zone: certificates keep their entries over registrations", "[zone]") {
  Fixture f;
  const auto first = f.add(test_registrations(5));
  CHECK(f.zone.generation() == 1);
  CHECK(std::set<EntryIndex>(first.begin(), first.end()).size() == 5);
  const auto second = f.add(test_registrations(5, 3));
  CHECK(f.zone.generation() == 2);
  CHECK(f.zone.entries_used() == 8);
  CHECK(second[0] == first[3]);
  CHECK(second[1] == first[4]);
  CHECK(f.zone.entry(first[0]).generation == 1);
  CHECK(f.zone.entry(first[3]).generation == 2);
  CHECK(f.zone.find(test_id(0)) == first[0]);
  CHECK(f.zone.find(test_id(99)) == kNoEntry);
  CHECK_FALSE(f.lock.held);
}

TEST_CASE("zone: a certificate named twice has one entry", "[zone]") {
  Fixture f;
  const auto entries = f.add({test_registration(1), test_registration(2), test_registration(1)});
  CHECK(entries[0] == entries[2]);
  CHECK(f.zone.entries_used() == 2);
}

TEST_CASE("zone: a configuration without certificates is one too", "[zone]") {
  Fixture f;
  CHECK(f.add({}).empty());
  CHECK(f.zone.generation() == 1);
}

TEST_CASE("zone: registering does not wait", "[zone]") {
  Fixture f;
  f.lock.busy = true;
  std::vector<EntryIndex> entries;
  CHECK(store::register_all(f.zone, f.lock, test_registrations(1), &entries).error().reason == Reason::kZoneBusy);
  CHECK(f.zone.generation() == 0);
}

TEST_CASE("zone: all certificates fit, or none is added", "[zone]") {
  Fixture f;
  const std::size_t capacity = f.zone.capacity();
  f.add(test_registrations(capacity - 2));
  std::vector<EntryIndex> entries;
  const auto full = store::register_all(f.zone, f.lock, test_registrations(capacity, 1), &entries);
  REQUIRE_FALSE(full);
  CHECK(full.error().reason == Reason::kZoneFull);
  CHECK(full.error().detail.find("2 of 3 new certificates") == 0);
  CHECK(f.zone.generation() == 1);
  CHECK(f.zone.entries_used() == capacity - 2);
  CHECK(f.zone.find(test_id(capacity - 1)) == kNoEntry);

  SECTION("up to the last entry") {
    f.add(test_registrations(capacity));
    for (std::size_t i = 0; i < capacity; ++i) {
      REQUIRE(f.zone.find(test_id(i)) != kNoEntry);
    }
  }
  SECTION("entries that were freed count") {
    f.add(test_registrations(capacity - 4, 2));
    auto writer = f.writer();
    CHECK(writer.remove_stale(2) == 2u);
    const auto again = f.add(test_registrations(capacity, 2));
    CHECK(std::set<EntryIndex>(again.begin(), again.end()).size() == capacity);
    CHECK(f.zone.entries_used() == capacity);
  }
}

TEST_CASE("zone: an entry with another issuer key loses its response", "[zone]") {
  Fixture f;
  const auto entries = f.add(test_registrations(2));
  auto writer = f.writer();
  for (const std::size_t i : {0, 1}) {
    REQUIRE(writer.publish(entries[i], test_header(test_registration(i)), Bytes(100, 1)));
    store::record_attempt(f.zone, entries[i], Attempt{1, 2, 3, 4, 5, Reason::kOk});
  }
  auto changed = test_registrations(2);
  changed[1].issuer_key[0] ^= 1;
  CHECK(f.add(changed) == entries);
  CHECK(f.zone.peek(entries[0], test_id(0)));
  CHECK(store::read_attempt(f.zone, entries[0]).next == 2);
  CHECK_FALSE(f.zone.peek(entries[1], test_id(1)));
  CHECK(store::read_attempt(f.zone, entries[1]).next == 0);
  CHECK(f.zone.entry(entries[1]).issuer_key == changed[1].issuer_key);
}

TEST_CASE("zone: where the issuer is not known, what is known stays", "[zone]") {
  Fixture f;
  const auto entries = f.add(test_registrations(1));
  {
    auto writer = f.writer();
    REQUIRE(writer.publish(entries[0], test_header(test_registration(0)), Bytes(100, 1)));
  }
  auto unknown = test_registrations(1);
  unknown[0].issuer_key = kUnknownIssuer;
  CHECK(f.add(unknown) == entries);
  CHECK(f.zone.peek(entries[0], test_id(0)));
  CHECK(f.zone.entry(entries[0]).issuer_key == test_registration(0).issuer_key);

  auto writer = f.writer();
  const IssuerKey key = test_registration(0).issuer_key;
  REQUIRE(writer.set_issuer_key(entries[0], test_id(0), key));
  CHECK(f.zone.peek(entries[0], test_id(0)));
  CHECK(writer.set_issuer_key(entries[0], test_id(1), key).error().reason == Reason::kInvalidArgument);

  // An earlier configuration named an issuer that the certificate does not have.
  IssuerKey other = key;
  other[0] ^= 1;
  f.zone.header().lease.generation.store(f.zone.generation() - 1);
  CHECK(writer.set_issuer_key(entries[0], test_id(0), other).error().reason == Reason::kInvalidArgument);
  CHECK(f.zone.peek(entries[0], test_id(0)));
  f.zone.header().lease.generation.store(f.zone.generation());
  REQUIRE(writer.set_issuer_key(entries[0], test_id(0), other));
  CHECK_FALSE(f.zone.peek(entries[0], test_id(0)));
  CHECK(f.zone.entry(entries[0]).issuer_key == other);
}

TEST_CASE("zone: a reader gets what was published", "[zone][read]") {
  Fixture f;
  const auto entries = f.add(test_registrations(3));
  auto writer = f.writer();
  const Bytes der = TestRandom(5).bytes(1777);
  REQUIRE(writer.publish(entries[1], test_header(test_registration(1)), der));

  StapleZone::Copy copy;
  REQUIRE(f.zone.copy(entries[1], test_id(1), std::malloc, std::free, &copy) == StapleZone::Read::kCopied);
  CHECK(ByteView(static_cast<std::uint8_t*>(copy.data), copy.header.length) == ByteView(der));
  CHECK(copy.header.id == test_id(1));
  CHECK(copy.header.expires == 2);
  std::free(copy.data);

  CHECK(f.zone.read(entries[1], test_id(1)) == der);
  CHECK(f.zone.peek(entries[1], test_id(1))->length == der.size());
  CHECK_FALSE(f.zone.read(entries[0], test_id(0)));
  CHECK_FALSE(f.zone.read(entries[1], test_id(0)));
  CHECK_FALSE(f.zone.read(kNoEntry, test_id(1)));
  CHECK_FALSE(f.zone.read(f.zone.capacity(), test_id(1)));
}

TEST_CASE("zone: a reader without memory gets nothing", "[zone][read]") {
  Fixture f;
  const auto entries = f.add(test_registrations(1));
  auto writer = f.writer();
  REQUIRE(writer.publish(entries[0], test_header(test_registration(0)), Bytes(100, 1)));
  StapleZone::Copy copy;
  const auto no_memory = [](std::size_t) -> void* { return nullptr; };
  CHECK(f.zone.copy(entries[0], test_id(0), no_memory, std::free, &copy) == StapleZone::Read::kOutOfMemory);
  CHECK(copy.data == nullptr);
}

// What the allocation of a reader meets between its two looks at the word.
struct Interruption {
  static inline thread_local std::function<void()> action = [] {};
  static inline thread_local int allocations = 0;
  static inline thread_local int releases = 0;

  explicit Interruption(std::function<void()> what) {
    action = std::move(what);
    allocations = releases = 0;
  }
  ~Interruption() {
    action = [] {};
  }
  static void* allocate(std::size_t size) {
    ++allocations;
    void* data = std::malloc(size);
    action();
    return data;
  }
  static void release(void* data) {
    ++releases;
    std::free(data);
  }
};

TEST_CASE("zone: a reader that was overtaken tries again", "[zone][read]") {
  Fixture f;
  const auto entries = f.add(test_registrations(1));
  auto writer = f.writer();
  const auto publish = [&](std::uint8_t fill) {
    REQUIRE(writer.publish(entries[0], test_header(test_registration(0)), Bytes(500u + fill, fill)));
  };
  publish(1);
  StapleZone::Copy copy;

  SECTION("once") {
    const Interruption interruption([&] {
      if (Interruption::allocations == 1) {
        publish(2);
      }
    });
    REQUIRE(f.zone.copy(entries[0], test_id(0), Interruption::allocate, Interruption::release, &copy) ==
            StapleZone::Read::kCopied);
    CHECK(copy.header.length == 502);
    CHECK(static_cast<std::uint8_t*>(copy.data)[501] == 2);
    std::free(copy.data);
    CHECK(Interruption::releases == 1);
  }
  SECTION("each time: it gives up") {
    const Interruption interruption([&] { publish(static_cast<std::uint8_t>(Interruption::allocations)); });
    CHECK(f.zone.copy(entries[0], test_id(0), Interruption::allocate, Interruption::release, &copy) ==
          StapleZone::Read::kNone);
    CHECK(Interruption::allocations == 16);
    CHECK(Interruption::releases == 16);
  }
  SECTION("by a removal") {
    const Interruption interruption([&] { REQUIRE(writer.drop(entries[0])); });
    CHECK(f.zone.copy(entries[0], test_id(0), Interruption::allocate, Interruption::release, &copy) ==
          StapleZone::Read::kNone);
    CHECK(Interruption::releases == 1);
  }
  SECTION("by the entry's next owner, whose response lies at the same place") {
    const std::uint32_t place = static_cast<std::uint32_t>(f.zone.entry(entries[0]).word);
    const Interruption interruption([&] {
      if (Interruption::allocations > 1) {
        return;
      }
      f.add({});
      REQUIRE(writer.remove_stale(2) == 1u);
      REQUIRE(f.add({test_registration(50)}) == entries);
      f.clock.advance(kGrace);
      REQUIRE(writer.publish(entries[0], test_header(test_registration(50)), Bytes(501, 9)));
    });
    CHECK(f.zone.copy(entries[0], test_id(0), Interruption::allocate, Interruption::release, &copy) ==
          StapleZone::Read::kNone);
    CHECK(Interruption::releases == Interruption::allocations);
    CHECK(static_cast<std::uint32_t>(f.zone.entry(entries[0]).word) == place);
  }
}

TEST_CASE("zone: a length in the entry that is not the response's is no more than a detour", "[zone][read]") {
  Fixture f;
  const auto entries = f.add(test_registrations(1));
  auto writer = f.writer();
  REQUIRE(writer.publish(entries[0], test_header(test_registration(0)), Bytes(100, 1)));
  CHECK(f.zone.entry(entries[0]).length == 100);
  for (const std::uint32_t length : {std::uint32_t{0}, std::uint32_t{1}, std::uint32_t{99}, std::uint32_t{101},
                                     kMaxBlobLength, kMaxBlobLength + 1, UINT32_MAX}) {
    f.zone.entry(entries[0]).length = length;
    CHECK(f.zone.read(entries[0], test_id(0)) == Bytes(100, 1));
    CHECK_FALSE(f.zone.read(entries[0], test_id(1)));
  }
}

TEST_CASE("zone: a blob that makes no sense is not read", "[zone][read]") {
  Fixture f;
  const auto entries = f.add(test_registrations(1));
  auto writer = f.writer();
  REQUIRE(writer.publish(entries[0], test_header(test_registration(0)), Bytes(100, 1)));
  Entry& entry = f.zone.entry(entries[0]);
  const std::uint64_t word = entry.word;
  const std::size_t last = f.zone.geometry().arena_bytes / kBlobAlign;
  auto* header = reinterpret_cast<BlobHeader*>(f.zone.arena() + (word & UINT32_MAX) * kBlobAlign);
  struct Case {
    const char* name;
    std::uint64_t word;
    std::uint32_t length;
  };
  for (const Case& c :
       {Case{"behind the arena", word | UINT32_MAX, 100}, Case{"no header fits", word + last - 7, 100},
        Case{"the arena's end", word + last, 100}, Case{"another place", word + 1, 100}, Case{"no bytes", word, 0},
        Case{"over the end", word, kSmall}, Case{"too long", word, kMaxBlobLength + 1},
        Case{"much too long", word, UINT32_MAX}}) {
    DYNAMIC_SECTION(c.name) {
      entry.word = c.word;
      header->length = c.length;
      CHECK_FALSE(f.zone.read(entries[0], test_id(0)));
      CHECK_FALSE(f.zone.peek(entries[0], test_id(0)));
    }
  }
}

TEST_CASE("zone: attempts come back as they were set", "[zone]") {
  Fixture f;
  const auto entries = f.add(test_registrations(2));
  store::record_attempt(f.zone, entries[1], Attempt{10, 20, 5, 3, 1, Reason::kTimeout});
  const Attempt attempt = store::read_attempt(f.zone, entries[1]);
  CHECK(attempt.at == 10);
  CHECK(attempt.next == 20);
  CHECK(attempt.succeeded_at == 5);
  CHECK(attempt.failures == 3);
  CHECK(attempt.responder == 1);
  CHECK(attempt.reason == Reason::kTimeout);
  CHECK(store::read_attempt(f.zone, entries[0]).at == 0);
  store::record_attempt(f.zone, kNoEntry, attempt);
  CHECK(store::read_attempt(f.zone, kNoEntry).at == 0);
}

TEST_CASE("zone: counters add up over all workers", "[zone]") {
  Fixture f;
  const auto entries = f.add(test_registrations(1));
  for (const std::uint32_t worker : {0u, 1u, 127u, 128u, UINT32_MAX}) {
    f.zone.handshakes(worker).counts[Handshake::kMissing].fetch_add(1, std::memory_order_relaxed);
    f.zone.handshakes(worker).counts[Handshake::kRefused].fetch_add(2, std::memory_order_relaxed);
  }
  CHECK(&f.zone.handshakes(0) == &f.zone.handshakes(kCounterSlots));
  CHECK(store::handshake_totals(f.zone)[Handshake::kMissing] == 5);
  CHECK(store::handshake_totals(f.zone)[Handshake::kRefused] == 10);
  CHECK(store::handshake_totals(f.zone)[Handshake::kStapled] == 0);
  count_handshake(f.zone, 1, Handshake::kStapled, entries[0]);
  count_handshake(f.zone, 2, Handshake::kStapled);
  CHECK(handshake_totals(f.zone)[Handshake::kStapled] == 2);
  CHECK(stapled(f.zone, entries[0]) == 1);
}

TEST_CASE("zone: staples are counted by certificate, over all workers", "[zone]") {
  Fixture f;
  const auto entries = f.add(test_registrations(3));
  for (std::uint32_t worker = 0; worker < 20; ++worker) {
    count_handshake(f.zone, worker, Handshake::kStapled, entries[1]);
  }
  count_handshake(f.zone, UINT32_MAX, Handshake::kStapled, entries[2]);
  count_staple(f.zone, 3, entries[2]);
  count_staple(f.zone, 3, kNoEntry);
  CHECK(stapled(f.zone, entries[0]) == 0);
  CHECK(stapled(f.zone, entries[1]) == 20);
  CHECK(stapled(f.zone, entries[2]) == 2);
  CHECK(stapled(f.zone, kNoEntry) == 0);

  record_stapled(f.zone, entries[1], 7);
  record_stapled(f.zone, kNoEntry, 7);
  CHECK(stapled(f.zone, entries[1]) == 7);
  CHECK(stapled(f.zone, entries[2]) == 2);
  reset_entry(f.zone, entries[1]);
  CHECK(stapled(f.zone, entries[1]) == 0);
}

// Where workers write to one cache line, each handshake waits for the other's processor.
TEST_CASE("zone: workers that staple one certificate write to no cache line of one another", "[zone]") {
  Fixture f;
  const auto entries = f.add(test_registrations(1));
  const auto line_of = [](const void* written) { return reinterpret_cast<std::uintptr_t>(written) / 64; };
  std::set<std::uintptr_t> lines;
  for (std::uint32_t worker = 0; worker < kStapleCountRows; ++worker) {
    lines.insert(line_of(&f.zone.staple_count(worker, entries[0])));
    lines.insert(line_of(&f.zone.handshakes(worker)));
  }
  CHECK(lines.size() == 2 * kStapleCountRows);

  const Entry& entry = f.zone.entry(entries[0]);
  Bytes before(sizeof(Entry)), after(sizeof(Entry));
  std::memcpy(before.data(), static_cast<const void*>(&entry), before.size());
  count_handshake(f.zone, 1, Handshake::kStapled, entries[0]);
  std::memcpy(after.data(), static_cast<const void*>(&entry), after.size());
  CHECK(before == after);
}

bool odd_pids_live(std::int32_t pid) {
  return pid % 2 == 1;
}

TEST_CASE("zone: the oldest generation that somebody serves", "[zone][workers]") {
  Fixture f;
  for (int i = 0; i < 5; ++i) {
    f.add({});
  }
  CHECK(store::oldest_living_generation(f.zone, odd_pids_live) == 5);
  REQUIRE(store::worker_started(f.zone, 101, 5));
  REQUIRE(store::worker_started(f.zone, 103, 3));
  REQUIRE(store::worker_started(f.zone, 102, 1));  // is dead
  CHECK(store::oldest_living_generation(f.zone, odd_pids_live) == 3);
  CHECK(store::oldest_living_generation(f.zone, [](std::int32_t) { return true; }) == 3);  // 102 has lost its slot
  REQUIRE(store::worker_started(f.zone, 103, 4));                                          // its pid came round again
  CHECK(store::oldest_living_generation(f.zone, odd_pids_live) == 4);
  store::worker_stopped(f.zone, 103);
  store::worker_stopped(f.zone, 999);
  CHECK(store::oldest_living_generation(f.zone, odd_pids_live) == 5);
}

TEST_CASE("zone: a worker without a slot keeps its generation alive", "[zone][workers]") {
  Fixture f;
  for (int i = 0; i < 3; ++i) {
    f.add({});
  }
  for (std::size_t i = 0; i < kWorkerSlots; ++i) {
    REQUIRE(store::worker_started(f.zone, static_cast<std::int32_t>(1001 + 2 * i), 3));
  }
  CHECK_FALSE(store::worker_started(f.zone, 1, 3));
  CHECK_FALSE(store::worker_started(f.zone, 3, 2));
  CHECK_FALSE(store::worker_started(f.zone, 5, 3));
  for (std::size_t i = 0; i < kWorkerSlots; ++i) {
    store::worker_stopped(f.zone, static_cast<std::int32_t>(1001 + 2 * i));
  }
  CHECK(store::oldest_living_generation(f.zone, odd_pids_live) == 2);
}

}  // namespace
}  // namespace ocsp_plus::store
