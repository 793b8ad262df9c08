// Certificates that are loaded per connection, in the zone.
#include <catch2/catch.hpp>
#include <memory>
#include <set>
#include <vector>

#include "store/entry_state.h"
#include "store/zone_registry.h"
#include "store/zone_writer.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/mmap_zone.h"

namespace ocsp_plus::store {
namespace {

using testing::LocalLock;
using testing::MmapZone;
using testing::test_header;
using testing::test_id;
using testing::test_registration;
using testing::test_registrations;

constexpr std::uint64_t kFirst = 1000;  // numbers of loaded ones, away from configured ones

// Made of its number.
Bytes leaf_of(std::uint64_t number, std::size_t size = 900) {
  return Bytes(size, static_cast<std::uint8_t>(number * 7 + 1));
}
Bytes issuer_of(std::uint64_t number) {
  return Bytes(700, static_cast<std::uint8_t>(number % 7 + 100));
}

struct Fixture {
  explicit Fixture(std::size_t size = 256 << 10, std::size_t configured = 2) : memory(size), zone(memory.format()) {
    (void)reload(configured);
    writer = std::make_unique<ZoneWriter>(zone, lock, clock, 0, 0);
  }

  Result<std::uint32_t> reload(std::size_t configured) {
    return store::register_all(zone, lock, test_registrations(configured), &entries);
  }
  void take_over() { writer = std::make_unique<ZoneWriter>(zone, lock, clock, 0, 0); }

  Result<EntryIndex> add(std::uint64_t number, bool with_issuer = true, UnixSeconds used = 0) {
    leaf = leaf_of(number);
    issuer = with_issuer ? issuer_of(number) : Bytes();
    const Registration registration = test_registration(number);
    return writer->add_per_connection({registration.id, leaf, registration.issuer_key, test_id(900 + number % 7),
                                       issuer, number * 3, used == 0 ? static_cast<UnixSeconds>(number) : used});
  }
  bool publish(EntryIndex entry, std::uint64_t number) {
    return writer->publish(entry, test_header(test_registration(number)), Bytes(500, 3)).has_value();
  }
  bool whole(EntryIndex entry, std::uint64_t number) const {
    return store::read_leaf(zone, entry, test_id(number)) == leaf_of(number) &&
           store::read_issuer(zone, entry) == issuer_of(number) && zone.find(test_id(number)) == entry;
  }
  void check_sum() const { CHECK(writer->bytes_used() + writer->bytes_free() == zone.geometry().arena_bytes); }

  MmapZone memory;
  StapleZone zone;
  LocalLock lock;
  testing::FakeClock clock;
  std::vector<EntryIndex> entries;
  std::unique_ptr<ZoneWriter> writer;
  Bytes leaf, issuer;
};

TEST_CASE("per connection: an entry with its certificate, its issuer and its response", "[zone][per_connection]") {
  Fixture f;
  const auto entry = f.add(kFirst);
  REQUIRE(entry);
  CHECK(f.whole(*entry, kFirst));
  const auto state = store::per_connection_state(f.zone, *entry);
  REQUIRE(state);
  CHECK(state->profile == kFirst * 3);
  CHECK(state->used == kFirst);
  CHECK(state->has_issuer);
  REQUIRE(f.publish(*entry, kFirst));
  CHECK(f.zone.read(*entry, test_id(kFirst)) == Bytes(500, 3));
  CHECK_FALSE(store::per_connection_state(f.zone, f.entries[0]));  // a configured one
  CHECK_FALSE(store::read_leaf(f.zone, f.entries[0], test_id(0)));
  CHECK_FALSE(store::per_connection_state(f.zone, kNoEntry));
  f.check_sum();
}

TEST_CASE("per connection: without an issuer, and with one that comes later", "[zone][per_connection]") {
  Fixture f;
  const auto entry = f.add(kFirst, false);
  REQUIRE(entry);
  CHECK_FALSE(store::per_connection_state(f.zone, *entry)->has_issuer);
  CHECK_FALSE(store::read_issuer(f.zone, *entry));
  REQUIRE(f.add(kFirst).value() == *entry);
  CHECK(f.whole(*entry, kFirst));
  CHECK(store::per_connection_state(f.zone, *entry)->has_issuer);
}

TEST_CASE("per connection: a known one keeps what it has where its issuer finds no room", "[zone][per_connection]") {
  Fixture f;
  const auto entry = f.add(kFirst, false);
  REQUIRE(entry);
  for (std::uint64_t number = kFirst + 1; f.add(number, false); ++number) {
  }
  const std::size_t used = f.writer->bytes_used();
  const Registration registration = test_registration(kFirst);
  const Bytes large(f.writer->bytes_free() + 1, 9);
  const auto again =
      f.writer->add_per_connection({registration.id, leaf_of(kFirst), registration.issuer_key, test_id(900), large});
  REQUIRE_FALSE(again);
  CHECK(again.error().reason == Reason::kZoneFull);
  CHECK(f.zone.find(registration.id) == *entry);
  REQUIRE(store::per_connection_state(f.zone, *entry));
  CHECK(store::read_leaf(f.zone, *entry, registration.id) == leaf_of(kFirst));
  CHECK(f.writer->bytes_used() == used);
  f.check_sum();
}

TEST_CASE("per connection: an issuer lies in the zone once", "[zone][per_connection]") {
  Fixture f;
  const auto first = f.add(kFirst);
  const std::size_t one = f.writer->per_connection_bytes();
  const auto second = f.add(kFirst + 7);
  REQUIRE((first && second));
  const std::size_t two = f.writer->per_connection_bytes();
  CHECK(two - one == 1088);  // a certificate of 900 bytes behind its header, rounded up
  const auto other = f.add(kFirst + 1);
  CHECK(f.writer->per_connection_bytes() - two == 1088 + 832);  // of another issuer
  REQUIRE(f.writer->remove_per_connection(*first, test_id(kFirst)));
  CHECK(f.whole(*second, kFirst + 7));
  REQUIRE(f.writer->remove_per_connection(*second, test_id(kFirst + 7)));
  REQUIRE(f.writer->remove_per_connection(*other, test_id(kFirst + 1)));
  CHECK(f.writer->per_connection_bytes() == 0);
  f.clock.advance(kGrace);
  REQUIRE(f.writer->drop(f.entries[0]));  // ends graces
  CHECK(f.writer->bytes_used() == 0);
  CHECK(f.zone.find(test_id(kFirst)) == kNoEntry);
  CHECK_FALSE(store::per_connection_state(f.zone, *first));
}

// As docs/deployment.md has it.
TEST_CASE("per connection: 100,000 of them in 512 MB", "[zone][per_connection]") {
  constexpr std::size_t kCount = 100000;
  Fixture f(512 << 20);
  const Bytes response(1000, 3);
  for (std::uint64_t number = kFirst; number < kFirst + kCount; ++number) {
    const Registration registration = test_registration(number);
    const Bytes leaf = leaf_of(number, 1500);
    const Bytes issuer = issuer_of(number);
    const auto entry = f.writer->add_per_connection(
        {registration.id, leaf, registration.issuer_key, test_id(900 + number % 7), issuer, 1, 1});
    REQUIRE(entry);
    REQUIRE(f.writer->publish(*entry, test_header(registration), response));
  }
  // What each has besides: its places in the tables, two in the index.
  const std::size_t tables = kCount * (sizeof(Entry) + 2 * sizeof(IndexSlot));
  CHECK(f.writer->bytes_used() + tables <= kCount * (1500 + 1000 + 1024));
  for (std::uint64_t number = kFirst; number < kFirst + kCount; number += 97) {
    const EntryIndex entry = f.zone.find(test_id(number));
    REQUIRE(store::read_leaf(f.zone, entry, test_id(number)) == leaf_of(number, 1500));
    REQUIRE(f.zone.peek(entry, test_id(number)));
  }
}

TEST_CASE("per connection: the next writer knows the same", "[zone][per_connection]") {
  Fixture f;
  for (std::uint64_t i = 0; i < 20; ++i) {
    const auto entry = f.add(kFirst + i);
    REQUIRE(entry);
    REQUIRE((i % 2 == 0 || f.publish(*entry, kFirst + i)));
  }
  const std::size_t used = f.writer->bytes_used();
  const std::size_t loaded = f.writer->per_connection_bytes();
  f.take_over();
  CHECK(f.writer->bytes_used() == used);
  CHECK(f.writer->per_connection_bytes() == loaded);
  REQUIRE(f.reload(3));
  f.take_over();
  CHECK(f.writer->per_connection_bytes() == loaded);
  CHECK(f.writer->remove_stale(f.zone.generation()).value() == 0);
  for (std::uint64_t i = 0; i < 20; ++i) {
    const EntryIndex entry = f.zone.find(test_id(kFirst + i));
    REQUIRE(entry != kNoEntry);
    CHECK(f.whole(entry, kFirst + i));
    REQUIRE(f.writer->remove_per_connection(entry, test_id(kFirst + i)));
  }
  CHECK(f.writer->per_connection_bytes() == 0);
  f.check_sum();
}

TEST_CASE("per connection: as large as the queue passes them", "[zone][per_connection]") {
  Fixture f(8 << 20);
  const Bytes leaves[] = {leaf_of(1, kOfferBytes + 1), leaf_of(2, 100001), leaf_of(3, kLargeOfferBytes),
                          leaf_of(4, kLargeOfferBytes - 5000)};
  const Bytes issuer = leaf_of(5, 5000);
  for (std::uint64_t i = 0; i < 4; ++i) {
    REQUIRE(f.add(kFirst + 10 + i));  // small ones between them
    const auto entry = f.writer->add_per_connection(
        {test_id(kFirst + i), leaves[i], test_registration(kFirst + i).issuer_key, test_id(900), issuer, 7, 1});
    REQUIRE(entry);
    REQUIRE(f.publish(*entry, kFirst + i));
  }
  const auto check = [&](const StapleZone& zone) {
    for (std::uint64_t i = 0; i < 4; ++i) {
      const EntryIndex entry = zone.find(test_id(kFirst + i));
      REQUIRE(entry != kNoEntry);
      CHECK(store::read_leaf(zone, entry, test_id(kFirst + i)) == leaves[i]);
      CHECK(store::read_issuer(zone, entry) == issuer);
      CHECK(zone.read(entry, test_id(kFirst + i)) == Bytes(500, 3));
    }
  };
  check(f.zone);
  const std::size_t loaded = f.writer->per_connection_bytes();
  f.take_over();
  CHECK(f.writer->per_connection_bytes() == loaded);
  REQUIRE(f.publish(f.zone.find(test_id(kFirst)), kFirst));
  check(f.zone);
  for (std::uint64_t i = 0; i < 4; ++i) {
    REQUIRE(f.writer->remove_per_connection(f.zone.find(test_id(kFirst + i)), test_id(kFirst + i)));
    REQUIRE(f.writer->remove_per_connection(f.zone.find(test_id(kFirst + 10 + i)), test_id(kFirst + 10 + i)));
  }
  CHECK(f.writer->per_connection_bytes() == 0);
  f.check_sum();
}

TEST_CASE("per connection: entries and space are used again", "[zone][per_connection]") {
  Fixture f;
  std::set<EntryIndex> seen;
  for (std::uint64_t i = 0; i < 500; ++i) {
    const auto entry = f.add(kFirst + i);
    REQUIRE(entry);
    REQUIRE(f.publish(*entry, kFirst + i));
    CHECK(f.whole(*entry, kFirst + i));
    seen.insert(*entry);
    REQUIRE(f.writer->remove_per_connection(*entry, test_id(kFirst + i)));
  }
  CHECK(seen.size() == 1);
}

TEST_CASE("per connection: no entry or no space left", "[zone][per_connection]") {
  Fixture f(512 << 10);
  std::uint64_t count = 0;
  Result<EntryIndex> entry;
  for (; (entry = f.add(kFirst + count)); ++count) {
  }
  CHECK(entry.error().reason == Reason::kZoneFull);
  CHECK(count > 100);
  f.check_sum();
  for (std::uint64_t i = 0; i < count; ++i) {
    CHECK(f.whole(f.zone.find(test_id(kFirst + i)), kFirst + i));
  }
  const EntryIndex first = f.zone.find(test_id(kFirst));
  REQUIRE(f.writer->remove_per_connection(first, test_id(kFirst)));
  CHECK(f.add(kFirst + count));
}

TEST_CASE("per connection: busy, lost, another's", "[zone][per_connection]") {
  Fixture f;
  const EntryIndex entry = f.add(kFirst).value();
  f.lock.busy = true;
  CHECK(f.add(kFirst + 1).error().reason == Reason::kZoneBusy);
  CHECK(f.writer->remove_per_connection(entry, test_id(kFirst)).error().reason == Reason::kZoneBusy);
  f.lock.busy = false;
  CHECK(f.writer->remove_per_connection(entry, test_id(kFirst + 1)).error().reason == Reason::kInvalidArgument);
  CHECK(f.writer->remove_per_connection(kNoEntry, test_id(kFirst)).error().reason == Reason::kInvalidArgument);
  CHECK(f.writer->adopt_per_connection(entry, test_id(kFirst + 1)).error().reason == Reason::kInvalidArgument);
  CHECK(f.writer->add_per_connection({test_id(1), {}, {}, {}, {}, 0, 0}).error().reason == Reason::kInvalidArgument);
  f.zone.header().lease.word = 1;
  CHECK(f.add(kFirst + 1).error().reason == Reason::kLeaseLost);
}

TEST_CASE("per connection: a configuration names it", "[zone][per_connection]") {
  Fixture f;
  const EntryIndex entry = f.add(1).value();
  CHECK(entry == f.entries[1]);
  const EntryIndex other = f.add(5).value();
  REQUIRE(f.publish(other, 5));
  REQUIRE(f.reload(6));  // and now it names the other, too
  CHECK(f.entries[5] == other);
  CHECK_FALSE(store::per_connection_state(f.zone, other));
  // Whoever still takes it for a loaded one does no harm.
  const bool removed = GENERATE(true, false);
  REQUIRE((removed ? f.writer->remove_per_connection(other, test_id(5))
                   : f.writer->adopt_per_connection(other, test_id(5))));
  CHECK(f.zone.find(test_id(5)) == other);
  CHECK(f.zone.read(other, test_id(5)) == Bytes(500, 3));
  CHECK_FALSE(store::read_leaf(f.zone, other, test_id(5)));
  f.check_sum();
}

TEST_CASE("per connection: a certificate that is configured no more", "[zone][per_connection]") {
  Fixture f;
  REQUIRE(f.publish(f.entries[1], 1));
  REQUIRE(f.reload(1));
  const EntryIndex entry = f.add(1).value();
  CHECK(entry == f.entries[0] + 1);
  CHECK(store::per_connection_state(f.zone, entry));
  CHECK(f.zone.read(entry, test_id(1)));  // under the same issuer key: the response stays
  CHECK(f.writer->remove_stale(f.zone.generation()).value() == 0);
  CHECK(f.zone.find(test_id(1)) == entry);
}

TEST_CASE("per connection: another issuer key, and the response goes", "[zone][per_connection]") {
  Fixture f;
  const EntryIndex entry = f.add(kFirst).value();
  REQUIRE(f.publish(entry, kFirst));
  const Bytes leaf = leaf_of(kFirst), issuer = issuer_of(3);
  REQUIRE(f.writer->add_per_connection({test_id(kFirst), leaf, test_id(77), test_id(78), issuer, 1, 1}).value() ==
          entry);
  CHECK_FALSE(f.zone.read(entry, test_id(kFirst)));
  f.check_sum();
}

TEST_CASE("per connection: shown again without the issuer, and the response stays", "[zone][per_connection]") {
  Fixture f;
  const Bytes leaf = leaf_of(1);
  store::PerConnectionCertificate again;
  again.id = test_id(1);
  again.leaf = leaf;
  // A configured one, which the next configuration does not name; one that another configuration named in vain.
  REQUIRE(f.publish(f.entries[1], 1));
  const auto entry = f.writer->add_per_connection(again);
  REQUIRE(entry);
  CHECK(*entry == f.entries[1]);
  CHECK_FALSE(store::per_connection_state(f.zone, *entry)->has_issuer);
  CHECK(f.zone.read(*entry, test_id(1)) == Bytes(500, 3));
  CHECK(f.zone.entry(*entry).issuer_key == test_registration(1).issuer_key);
  f.check_sum();
  // Under another issuer it has to be judged again.
  again.issuer_key = {7};
  REQUIRE(f.writer->add_per_connection(again));
  CHECK_FALSE(f.zone.read(*entry, test_id(1)));
}

TEST_CASE("per connection: configured ones come first", "[zone][per_connection]") {
  Fixture f(256 << 10, 1);
  const std::size_t capacity = f.zone.capacity();
  for (std::uint64_t i = 0; i + 1 < capacity; ++i) {
    // So small that all of them fit.
    f.leaf = Bytes(10, 1);
    REQUIRE(f.writer->add_per_connection(
        {test_id(kFirst + i), f.leaf, {}, {}, {}, 0, static_cast<UnixSeconds>((i * 37) % capacity)}));
  }
  // A configuration for which there is no room even then costs nobody the staple.
  std::vector<EntryIndex> entries;
  const auto refused = register_all(f.zone, f.lock, test_registrations(capacity + 1), &entries);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().reason == Reason::kZoneFull);
  CHECK(counted(f.zone, Counter::kEvicted) == 0);
  for (std::uint64_t i = 0; i + 1 < capacity; ++i) {
    REQUIRE(f.zone.find(test_id(kFirst + i)) != kNoEntry);
  }

  REQUIRE(f.reload(11));
  CHECK(counted(f.zone, Counter::kEvicted) == 10);
  std::size_t kept = 0;
  for (std::uint64_t i = 0; i + 1 < capacity; ++i) {
    const EntryIndex entry = f.zone.find(test_id(kFirst + i));
    if (entry != kNoEntry) {
      ++kept;
      CHECK(store::per_connection_state(f.zone, entry)->used >= 10);
    }
  }
  CHECK(kept == capacity - 11);
  // The writer of the running configuration finds out.
  CHECK(f.writer->remove_per_connection(f.entries[5], test_id(kFirst)).error().reason == Reason::kInvalidArgument);
  f.take_over();
  f.check_sum();
  for (std::uint64_t i = 0; i < 11; ++i) {
    REQUIRE(f.publish(f.entries[i], i));
  }
}

TEST_CASE("per connection: uses are noted now and then", "[zone][per_connection]") {
  Fixture f;
  const EntryIndex entry = f.add(kFirst, true, 5000).value();
  const auto used = [&] { return store::per_connection_state(f.zone, entry)->used; };
  store::record_use(f.zone, entry, 5004);
  CHECK(used() == 5000);
  store::record_use(f.zone, entry, 5005);
  CHECK(used() == 5005);
  store::record_use(f.zone, entry, 4000);  // the clock was set back
  CHECK(used() == 4000);
  store::record_profile(f.zone, entry, 12);
  CHECK(store::per_connection_state(f.zone, entry)->profile == 12);
  store::record_use(f.zone, kNoEntry, 1);
  store::record_profile(f.zone, kNoEntry, 1);
}

// Words that somebody has scribbled on: nothing outside of the arena is read, and what is in doubt goes.
TEST_CASE("per connection: words that make no sense", "[zone][per_connection]") {
  Fixture f;
  const EntryIndex a = f.add(kFirst).value();
  const EntryIndex b = f.add(kFirst + 7).value();
  const EntryIndex c = f.add(kFirst + 1).value();
  Entry& words = f.zone.entry(a);
  const std::uint64_t before = words.issuer;
  const auto gone = [&](std::atomic<std::uint64_t>& word) {
    f.take_over();
    f.check_sum();
    REQUIRE(f.writer->drop(f.entries[0]));
    return word == 0;
  };
  SECTION("an issuer outside of the arena") {
    words.issuer = std::uint64_t{1} << 32 | UINT32_MAX;
    CHECK_FALSE(store::read_issuer(f.zone, a));
    CHECK(gone(words.issuer));
    CHECK(f.whole(b, kFirst + 7));
  }
  SECTION("an issuer inside of a certificate") {
    words.issuer = f.zone.entry(c).leaf.load() + 1;
    store::read_issuer(f.zone, a);
    f.take_over();
    f.check_sum();
  }
  SECTION("a certificate that is another's") {
    words.leaf = f.zone.entry(b).leaf.load();
    CHECK_FALSE(store::read_leaf(f.zone, a, test_id(kFirst)));
    CHECK(gone(words.leaf));
    CHECK_FALSE(store::per_connection_state(f.zone, a));
    CHECK(store::read_leaf(f.zone, b, test_id(kFirst + 7)) == leaf_of(kFirst + 7));
  }
  SECTION("a certificate that is an issuer") {
    words.leaf = before;
    CHECK(gone(words.leaf));
  }
  SECTION("an issuer that is shared with nobody any more by its bytes") {
    BlobHeader header;
    store::read_issuer(f.zone, a, &header);
    f.zone.arena()[(before & UINT32_MAX) * kBlobAlign + sizeof(BlobHeader)] ^= 1;
    const EntryIndex d = f.add(kFirst + 14).value();
    CHECK(f.whole(d, kFirst + 14));  // it got its own
  }
}

}  // namespace
}  // namespace ocsp_plus::store
