// Another process writes into the zone what it likes, and there is no reload: the lease holder finds it and puts it
// right. What it cannot know, the responses, it gets again.
#include "engine/zone_repair.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>

#include "crypto/verify.h"
#include "engine/lease_contender.h"
#include "store/cache_files.h"
#include "store/zone_registry.h"
#include "tests/fakes/engine_fixture.h"
#include "tests/fakes/scratch_directory.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;

constexpr std::size_t kCertificates = 6;
constexpr Millis kTick = 500;

struct Fixture : EngineFixture {
  explicit Fixture(std::size_t certificates = kCertificates)
      : EngineFixture(certificates > 100 ? 8 << 20 : 256 << 10) {
    settings.cache = directory.string();
    responder = &server();
    for (std::size_t i = 0; i < certificates; ++i) {
      add(i, {responder});
    }
    generation = register_all();
    zone.stats().numbers[store::Number::kBegan].store(loop.clock.monotonic());
    start();
    loop.pass(5000);
    REQUIRE(stapled() == certificates);
  }
  void start() {
    contender.reset();
    contender =
        std::make_unique<LeaseContender>(Context{loop, loop.clock, random, log, lock, zone, catalog, settings},
                                         store::ProcessIdentity{getpid(), 0, generation});
  }
  const Target& target(std::size_t number) const { return *catalog.targets()[number]; }
  store::Entry& entry(std::size_t number) const { return zone.entry(target(number).entry); }
  std::uint8_t* blob(std::size_t number) const {
    return zone.arena() + (entry(number).word.load() & UINT32_MAX) * store::kBlobAlign;
  }
  Bytes response(std::size_t number) const {
    return zone.read(target(number).entry, target(number).certificate.id).value_or(Bytes());
  }
  // A handshake gets a response that verifies.
  bool valid(std::size_t number) const {
    const UnixSeconds now = loop.clock.now();
    const auto header = held(number);
    const auto verdict =
        crypto::verify(response(number), target(number).certificate, *target(number).issuer, now, {});
    return verdict.reason == Reason::kOk && header->expires == verdict.expires && header->expires > now;
  }
  bool valid() const {
    for (std::size_t i = 0; i < catalog.targets().size(); ++i) {
      if (!valid(i) || zone.find(target(i).certificate.id) != target(i).entry) {
        return false;
      }
    }
    return true;
  }
  int told() const { return log.count("another process has corrupted the zone, it was repaired"); }

  ScratchDirectory directory;
  OcspServer* responder = nullptr;
  std::uint32_t generation = 0;
  std::unique_ptr<LeaseContender> contender;
};

TEST_CASE("repair: a zone that nobody writes over is left alone", "[repair]") {
  Fixture f;
  f.loop.pass(60000);
  f.start();  // what an earlier holder has published is verified
  f.loop.pass(60000);
  CHECK(f.told() == 0);
  CHECK(f.valid());
  CHECK(f.responder->asked.size() == kCertificates);
}

TEST_CASE("repair: words that the lease holder knows", "[repair]") {
  Fixture f;
  store::Entry& entry = f.entry(2);
  store::Header& header = f.zone.header();
  const Bytes before = f.response(2);
  SECTION("the word of an entry") {
    entry.word = 0;
  }
  SECTION("a word that leads elsewhere") {
    entry.word = std::uint64_t{77} << 32 | 5;
  }
  SECTION("a word that leads to the response of another certificate") {
    entry.word = f.entry(3).word.load();
  }
  SECTION("a word without a generation") {
    entry.word = entry.word & UINT32_MAX;
  }
  SECTION("whose entry it is") {
    entry.id = test_id(1);
  }
  SECTION("whose key has signed it") {
    entry.issuer_key[5] ^= 1;
  }
  SECTION("another entry for the same certificate") {
    std::vector<store::EntryIndex> registered;
    REQUIRE(store::register_all(f.zone, f.lock, {test_registration(500)}, &registered));
    f.zone.header().generation = f.generation;
    const store::EntryIndex other = f.zone.find(test_id(500));
    f.zone.entry(other).id = entry.id;
    for (std::uint32_t slot = 0; slot < f.zone.geometry().index_slots; ++slot) {
      if (f.zone.index_slot(slot) == f.target(2).entry + 1) {
        f.zone.index_slot(slot) = other + 1;
      }
    }
  }
  SECTION("that it is in use") {
    entry.generation = 0;
  }
  SECTION("a configuration from long ago") {
    header.generation = 100;
    entry.generation = 1;
    header.generation = f.generation;
  }
  SECTION("a configuration from far ahead") {
    entry.generation = UINT32_MAX - 1;
  }
  SECTION("its place in the index") {
    for (std::uint32_t slot = 0; slot < f.zone.geometry().index_slots; ++slot) {
      f.zone.index_slot(slot) = 0;
    }
  }
  SECTION("an index full of nonsense") {
    for (std::uint32_t slot = 0; slot < f.zone.geometry().index_slots; ++slot) {
      f.zone.index_slot(slot) = slot % kCertificates + 1;
    }
  }
  SECTION("the magic") {
    header.magic = 1;
  }
  SECTION("the layout's version") {
    header.layout_version = 99;
  }
  SECTION("the size") {
    header.size = 1;
  }
  SECTION("the newest generation") {
    header.generation = 0;
  }
  SECTION("a newest generation that nobody has registered") {
    header.generation = UINT32_MAX;
  }
  SECTION("how many entries are in use") {
    header.entries = 1;
  }
  SECTION("more entries than there are") {
    header.entries = UINT32_MAX;
  }
  SECTION("the generation of the holder") {
    header.lease.generation = 12345;
  }
  SECTION("when the zone was new") {
    f.zone.stats().numbers[store::Number::kBegan] = INT64_MAX;
  }
  SECTION("when the clock jumped") {
    f.zone.stats().numbers[store::Number::kClockJumpedAt] = INT64_MAX;
  }
  f.loop.pass(2 * kTick);
  CHECK(f.valid());
  CHECK(f.response(2) == before);
  CHECK(store::StapleZone::attach(f.memory.data(), f.memory.size()));
  CHECK(f.zone.generation() >= f.generation);
  CHECK(f.zone.generation() < f.generation + 100);
  CHECK(entry.generation != 0);
  CHECK(f.zone.stats().numbers[store::Number::kBegan] <= f.loop.clock.monotonic());
  CHECK(f.zone.stats().numbers[store::Number::kClockJumpedAt] <= f.loop.clock.monotonic());
  CHECK(store::lease_holder(f.zone).generation == f.generation);
  CHECK(f.responder->asked.size() == kCertificates);  // nothing was lost
  // And it goes on being refreshed.
  f.loop.pass(2 * kDay * 1000, 60000);
  CHECK(f.response(2) != before);
  CHECK(f.valid());
}

TEST_CASE("repair: once a minute it is said", "[repair]") {
  Fixture f;
  f.entry(1).id = test_id(1);
  f.loop.pass(kTick);
  CHECK(f.log.count("it was repaired: words=1 responses_lost=0") == 1);
  for (int i = 0; i < 20; ++i) {
    f.entry(1).id = test_id(1);
    f.loop.pass(2 * kTick);
  }
  CHECK(f.told() == 1);
  f.loop.pass(60000);
  CHECK(f.log.count("it was repaired: words=20 responses_lost=0") == 1);
}

TEST_CASE("repair: a response whose bytes are not what they were", "[repair]") {
  Fixture f;
  const std::size_t where =
      GENERATE(offsetof(store::BlobHeader, this_update), offsetof(store::BlobHeader, expires) + 7,
               offsetof(store::BlobHeader, cert_status), offsetof(store::BlobHeader, length),
               sizeof(store::BlobHeader) + 20, sizeof(store::BlobHeader) + 200);
  const bool another_holder = GENERATE(false, true);  // which has not published it
  CAPTURE(where, another_holder);
  f.blob(4)[where] ^= 0x11;
  if (another_holder) {
    f.start();
  }
  SECTION("comes again from the cache directory") {
    f.responder->answer = EngineFixture::hang();
    f.loop.pass(10 * kTick);
    REQUIRE(f.valid());
    CHECK(f.held(4)->source == store::Source::kCache);
  }
  SECTION("comes again from the responder") {
    f.settings.cache.clear();
    f.start();
    f.loop.pass(10 * kTick);
    CHECK(f.valid());
    CHECK(f.responder->asked.size() > kCertificates);
  }
}

TEST_CASE("repair: an older response in the place of a newer one", "[repair]") {
  Fixture f;
  f.loop.pass(1000);
  const UnixSeconds now = f.loop.clock.now();
  const Bytes older = good_response(test_leaf(1), test_ca(), now - kDay, now + kDay);
  const Bytes before = f.response(1);
  REQUIRE(older.size() <= before.size() + 2);
  // It verifies, so only who has published the other one knows.
  auto* to = f.blob(1);
  store::BlobHeader header;
  std::memcpy(&header, to, sizeof(header));
  header.this_update = now - kDay;
  header.expires = now + kDay;
  header.length = static_cast<std::uint32_t>(std::min(older.size(), before.size()));
  std::memcpy(to, &header, sizeof(header));
  std::memcpy(to + sizeof(header), older.data(), header.length);
  f.loop.pass(10 * kTick);
  CHECK(f.response(1) == before);
}

TEST_CASE("repair: no entry of a living configuration is removed as an old one's", "[repair]") {
  Fixture f;
  // Just before the sweep, at whatever beat that is.
  for (int beat = 0; beat < 40; ++beat) {
    for (std::size_t i = 0; i < kCertificates; ++i) {
      f.entry(i).generation = 0x7fffffff;
    }
    f.zone.header().generation = f.generation + 5;
    f.loop.pass(kTick);
    for (std::size_t i = 0; i < kCertificates; ++i) {
      CHECK(f.entry(i).generation != 0);
    }
  }
  CHECK(f.valid());
}

TEST_CASE("repair: what a newer configuration has registered is its own", "[repair]") {
  Fixture f;
  std::vector<store::Registration> registrations;
  for (std::size_t i = 0; i < kCertificates; ++i) {
    registrations.push_back({f.target(i).certificate.id, f.target(i).issuer->key_sha256()});
  }
  registrations[1].issuer_key = test_id(77);  // another issuer, and a response that is of no use to it
  std::vector<store::EntryIndex> entries;
  REQUIRE(store::register_all(f.zone, f.lock, registrations, &entries));
  f.loop.pass(10000);
  CHECK(f.entry(1).issuer_key == test_id(77));
  CHECK(f.told() == 0);
  CHECK_FALSE(f.held(1));
  // Its reload was refused, and the configuration that runs goes on.
  f.loop.pass(2 * ZoneRepair::kComesUp);
  CHECK(f.valid());
}

// Every kind of word, at random places: all is as it was before within a minute, whoever holds the lease then.
TEST_CASE("repair: after any scribbling all are stapled again", "[repair]") {
  struct Part {
    const char* name;
    std::size_t from, to;
  };
  const store::Geometry g = store::Geometry::of(256 << 10);
  for (const Part& part :
       {Part{"the header", 0, sizeof(store::Header)}, Part{"the stats", g.stats, g.workers},
        Part{"who lives", g.workers, g.counters}, Part{"hosts and methods", g.hosts, g.index},
        Part{"the index", g.index, g.offers}, Part{"the entries", g.entries, g.details},
        Part{"details", g.details, g.staple_counts}, Part{"staple counts", g.staple_counts, g.arena},
        Part{"responses", g.arena, g.arena + 16384}, Part{"all of it", 0, g.size}}) {
    DYNAMIC_SECTION(part.name) {
      for (std::uint64_t image = 0; image < 12; ++image) {
        CAPTURE(image);
        Fixture f;
        TestRandom random(image);
        const std::size_t words = (part.to - part.from) / 8;
        const std::size_t count = image % 3 == 0 ? 1 + random.below(8) : image % 3 == 1 ? words / 4 : words;
        for (std::size_t i = 0; i < count; ++i) {
          const std::size_t at = count == words ? i : random.below(words);
          const std::uint64_t value = random.below(3) == 0 ? random.below(1000) : random.next();
          std::memcpy(f.memory.data() + part.from + at * 8, &value, 8);
        }
        f.loop.pass(60000);
        CHECK(f.valid());
        CHECK(store::StapleZone::attach(f.memory.data(), f.memory.size()));
      }
    }
  }
}

TEST_CASE("repair: a bounded number of entries at a tick", "[repair]") {
  constexpr std::size_t kMany = 2 * ZoneRepair::kEntriesPerTick + 10;
  Fixture f(kMany);
  for (std::size_t i = 0; i < kMany; ++i) {
    f.entry(i).id = test_id(i);
  }
  const auto right = [&] {
    std::size_t count = 0;
    for (std::size_t i = 0; i < kMany; ++i) {
      count += f.entry(i).id == f.target(i).certificate.id ? 1u : 0u;
    }
    return count;
  };
  f.loop.pass(kTick);
  CHECK(right() <= ZoneRepair::kEntriesPerTick);
  f.loop.pass(4 * kTick);
  CHECK(right() == kMany);
}

}  // namespace
}  // namespace ocsp_plus::engine
