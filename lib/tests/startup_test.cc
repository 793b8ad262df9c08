#include "engine/startup.h"

#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "crypto/certificate.h"
#include "store/counters.h"
#include "store/entry_state.h"
#include "store/zone_registry.h"
#include "store/zone_writer.h"
#include "tests/fakes/engine_fixture.h"
#include "tests/fakes/scratch_directory.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;

constexpr Millis kLong = 60000;

struct Enough {};

// The start helper in this process, in real time: it runs a loop of its own.
struct Fixture : EngineFixture {
  void require(std::size_t number, const std::string& url) {
    ServerCertificate server_certificate;
    server_certificate.leaf = test_leaf(number).get();
    server_certificate.issuers = {test_ca().get()};
    server_certificate.responders = {url};
    server_certificate.require = Require::kOn;
    REQUIRE(catalog.add(server_certificate));
  }
  Result<void> run(
      Millis wait, std::function<void()> progress = [] {},
      const std::optional<store::StapleZone>& replaced = std::nullopt) {
    const std::uint32_t generation = register_all();
    SystemClock clock;
    PollLoop poll_loop(clock);
    Startup startup(poll_loop, {poll_loop, clock, random, log, lock, zone, catalog, settings},
                    {getpid(), 0, generation}, std::move(progress), replaced);
    return startup.run({wait});
  }
};

TEST_CASE("startup: it gets on with each certificate that it looks for in the cache directory", "[startup]") {
  Fixture f;
  for (std::size_t i = 0; i < 20; ++i) {
    f.require(i, "http://127.0.0.1:1/");
  }
  int reports = 0;
  CHECK(f.run(0, [&reports] { ++reports; }));
  CHECK(reports >= 20);
}

TEST_CASE("startup: it gets on with each file of a response", "[startup]") {
  Fixture f;
  ServerCertificate server_certificate;
  server_certificate.leaf = test_leaf(0).get();
  server_certificate.issuers = {test_ca().get()};
  std::vector<std::string> paths;
  for (std::size_t i = 0; i < 20; ++i) {
    paths.push_back("/nowhere/at/all/" + std::to_string(i));
  }
  server_certificate.files.assign(paths.begin(), paths.end());
  REQUIRE(f.catalog.add(server_certificate));
  int reports = 0;
  CHECK(f.run(0, [&reports] { ++reports; }));
  CHECK(reports >= 20);
}

TEST_CASE("startup: it does not wait for CA certificates that are stapled with others", "[startup]") {
  for (const bool ca : {false, true}) {
    Fixture f;
    f.require(1, "http://127.0.0.1:1/");
    f.catalog.targets()[0]->required = false;
    f.catalog.targets()[0]->ca = ca;
    CHECK(f.run(kLong));
    const auto waits = std::count_if(f.log.lines.begin(), f.log.lines.end(), [](const auto& line) {
      return line.second.find("waiting for responses before starting the workers") != std::string::npos;
    });
    CHECK(waits == (ca ? 0 : 1));
  }
}

TEST_CASE("startup: it gets on while it waits for a responder that hangs", "[startup]") {
  Fixture f;
  // Listens, and nobody ever answers: its loop does not run.
  f.require(0, f.server(EngineFixture::hang()).url("0"));
  int reports = 0;
  CHECK_THROWS_AS(f.run(kLong,
                        [&] {
                          if (++reports == 20) {
                            throw Enough();
                          }
                        }),
                  Enough);
}

// A zone that is replaced: what it holds was written by anybody.
struct Replaced : Fixture {
  explicit Replaced(std::size_t certificates) : old(old_memory.format()), writer(old, lock, system_clock, 0, 0) {
    now = system_clock.now();
    std::vector<store::Registration> registrations;
    for (std::size_t i = 0; i < certificates; ++i) {
      require(i, "http://127.0.0.1:1/");
      const Target& target = *catalog.targets()[i];
      registrations.push_back({target.certificate.id, target.issuer->key_sha256()});
    }
    REQUIRE(store::register_all(old, lock, registrations, &entries));
  }
  store::BlobHeader header_of(std::size_t number) const {
    store::BlobHeader header = {};
    header.id = catalog.targets()[number]->certificate.id;
    header.issuer_key = catalog.targets()[number]->issuer->key_sha256();
    header.this_update = now - kHour;
    header.expires = now + kDay;
    header.source = store::Source::kNetwork;
    return header;
  }
  void publish(std::size_t number, const Bytes& der) {
    REQUIRE(writer.publish(entries[number], header_of(number), der));
  }
  // The same octets each time: signatures are random.
  const Bytes& good(std::size_t number, Seconds ago = kHour) {
    Bytes& made = responses[{number, ago}];
    if (made.empty()) {
      made = good_response(test_leaf(number), test_ca(), now - ago, now + kDay);
    }
    return made;
  }
  std::optional<Bytes> taken(std::size_t number) const {
    const Target& target = *catalog.targets()[number];
    return zone.read(target.entry, target.certificate.id);
  }
  Result<store::EntryIndex> load_old(const Identity& leaf, const Identity& issuer, std::uint64_t profile = 7) {
    const auto made = crypto::Issuer::create(issuer.get()).value();
    const Bytes leaf_der = crypto::der_of(leaf.get()), issuer_der = crypto::der_of(issuer.get());
    return writer.add_per_connection({crypto::certificate_id(leaf.get()).value(), leaf_der, made->key_sha256(),
                                      made->id(), issuer_der, profile, now});
  }
  void publish_loaded(store::EntryIndex entry, const Bytes& der) {
    store::BlobHeader header = {};
    header.id = old.entry(entry).id;
    header.issuer_key = old.entry(entry).issuer_key;
    header.expires = now + kDay;
    REQUIRE(writer.publish(entry, header, der));
  }

  SystemClock system_clock;
  UnixSeconds now = 0;
  MmapZone old_memory{512 << 10};
  store::StapleZone old;
  store::ZoneWriter writer;
  std::vector<store::EntryIndex> entries;
  std::map<std::pair<std::size_t, Seconds>, Bytes> responses;
};

// Of the name of everybody's issuer.
const Identity& foreign_ca() {
  static const Identity ca = [] {
    CertificateSpec spec;
    spec.subject = "Engine CA";
    spec.serial = {0x01};
    spec.ca = true;
    return make_certificate(spec, key(KeyType::kP256, "foreign"), nullptr);
  }();
  return ca;
}

TEST_CASE("startup: the responses of a zone that is replaced pass the gate", "[startup][replaced]") {
  Replaced f(7);
  f.publish(0, f.good(0));
  f.publish(1, Bytes(700, 0x30));                                                         // garbage
  f.publish(2, good_response(test_leaf(2), foreign_ca(), f.now - kHour, f.now + kDay));   // forged
  f.publish(3, f.good(0));                                                                // another certificate's
  f.publish(4, good_response(test_leaf(4), test_ca(), f.now - 2 * kDay, f.now - kHour));  // ended, whatever it says
  f.publish(5, revoked_response(test_leaf(5), test_ca(), f.now - kHour, f.now + kDay));   // it says good
  store::record_confirmed_at(f.old, f.entries[0], f.now - 60);
  store::record_attempt(f.old, f.entries[0], store::Attempt{f.now - 60, f.now + 100, f.now - 60});
  f.old.handshakes(1).counts[store::Handshake::kStapled].fetch_add(5);
  store::record_stapled(f.old, f.entries[0], 1);
  int reports = 0;
  REQUIRE(f.run(
      0, [&reports] { ++reports; }, f.old));
  CHECK(reports >= 7);
  CHECK(f.taken(0) == f.good(0));
  CHECK_FALSE(f.taken(1));
  CHECK_FALSE(f.taken(2));
  CHECK_FALSE(f.taken(3));
  CHECK_FALSE(f.taken(4));
  REQUIRE(f.taken(5));
  CHECK_FALSE(f.taken(6));
  CHECK(static_cast<crypto::CertStatus>(f.held(5)->cert_status) == crypto::CertStatus::kRevoked);
  // It goes on as what it was.
  const Target& first = *f.catalog.targets()[0];
  CHECK(f.held(0)->source == store::Source::kNetwork);
  CHECK(f.held(0)->this_update == f.now - kHour);
  CHECK(store::read_confirmed_at(f.zone, first.entry, *f.held(0), f.now) == f.now - 60);
  CHECK(store::read_attempt(f.zone, first.entry).next == f.now + 100);
  CHECK(store::handshake_totals(f.zone)[store::Handshake::kStapled] == 5);
  CHECK(store::stapled(f.zone, first.entry) == 1);
  CHECK(f.log.count("taken_over=2 refused=4") == 1);
}

TEST_CASE("startup: the cache directory may know better than a zone that is replaced", "[startup][replaced]") {
  ScratchDirectory directory;
  Replaced f(3);
  f.settings.cache = directory.string();
  {
    auto disk = store::CacheFiles::open(directory.string(), 10000).value();
    const auto save = [&](std::size_t number, const Bytes& der) {
      REQUIRE(disk.save(f.header_of(number).id, {der, f.now}));
    };
    save(0, revoked_response(test_leaf(0), test_ca(), f.now - 60, f.now + kDay));
    save(1, f.good(1, 60));
    save(2, f.good(2, 2 * kHour));
  }
  for (std::size_t i = 0; i < 3; ++i) {
    f.publish(i, f.good(i));
  }
  REQUIRE(f.run(
      0, [] {}, f.old));
  CHECK(static_cast<crypto::CertStatus>(f.held(0)->cert_status) == crypto::CertStatus::kRevoked);
  CHECK(f.taken(1) == f.good(1, 60));
  CHECK(f.taken(2) == f.good(2));
}

TEST_CASE("startup: certificates loaded per connection come along from a zone that is replaced",
          "[startup][replaced]") {
  Replaced f(1);
  const auto sound = f.load_old(test_leaf(10), test_ca()).value();
  f.publish_loaded(sound, f.good(10));
  store::record_attempt(f.old, sound, store::Attempt{f.now, f.now + 100, f.now});
  store::record_stapled(f.old, sound, 1);
  // That issuer did not sign it, and what it says is as good as that. Who did comes with a handshake.
  const auto forged = f.load_old(test_leaf(11), foreign_ca()).value();
  f.publish_loaded(forged, good_response(test_leaf(11), foreign_ca(), f.now - kHour, f.now + kDay));
  // Nobody that is known has signed this one.
  const Identity unsigned_leaf = make_leaf(foreign_ca(), "stranger.example", "");
  const auto stranger = f.load_old(unsigned_leaf, test_ca()).value();
  const auto without = f.load_old(test_leaf(12), test_ca()).value();
  f.publish_loaded(without, Bytes(700, 0x30));
  // A configuration names it by now.
  const auto named = f.load_old(test_leaf(0), test_ca());
  REQUIRE(named);
  REQUIRE(f.run(
      0, [] {}, f.old));

  const CertificateId id = f.old.entry(sound).id;
  const store::EntryIndex there = f.zone.find(id);
  REQUIRE(store::per_connection_state(f.zone, there));
  CHECK(store::per_connection_state(f.zone, there)->profile == 7);
  CHECK(store::read_leaf(f.zone, there, id) == crypto::der_of(test_leaf(10).get()));
  CHECK(store::read_issuer(f.zone, there) == crypto::der_of(test_ca().get()));
  CHECK(f.zone.read(there, id) == f.good(10));
  CHECK(store::read_attempt(f.zone, there).next == f.now + 100);
  CHECK(store::stapled(f.zone, there) == 1);
  CHECK(f.zone.find(f.old.entry(forged).id) == store::kNoEntry);
  CHECK(f.zone.find(f.old.entry(stranger).id) == store::kNoEntry);
  const store::EntryIndex empty = f.zone.find(f.old.entry(without).id);
  CHECK(store::per_connection_state(f.zone, empty));
  CHECK_FALSE(f.zone.peek(empty, f.old.entry(without).id));
  CHECK_FALSE(store::per_connection_state(f.zone, f.catalog.targets()[0]->entry));
  CHECK(f.log.count("loaded_per_connection=2") == 1);
}

TEST_CASE("startup: whatever stands in a zone that is replaced, nothing untrue comes of it", "[startup][replaced]") {
  for (std::uint64_t image = 0; image < 100; ++image) {
    CAPTURE(image);
    Replaced f(3);
    for (std::size_t i = 0; i < 3; ++i) {
      f.publish(i, f.good(i));
    }
    f.publish_loaded(f.load_old(test_leaf(10), test_ca()).value(), f.good(10));
    TestRandom random(image);
    const std::size_t from = 24;  // what attach() looks at stays, so that the rest is reached
    const std::size_t size = f.old_memory.size() - from;
    if (image % 4 == 0) {
      random.fill(f.old_memory.data() + from, size);
    } else {
      for (std::size_t words = 0; words < 20000; ++words) {
        random.fill(f.old_memory.data() + from + random.below(size / 8) * 8, 8);
      }
    }
    REQUIRE(f.run(
        0, [] {}, store::StapleZone::attach(f.old_memory.data(), f.old_memory.size()).value()));
    for (std::size_t i = 0; i < 3; ++i) {
      const auto response = f.taken(i);
      CHECK((!response.has_value() || *response == f.good(i)));
    }
  }
}

}  // namespace
}  // namespace ocsp_plus::engine
