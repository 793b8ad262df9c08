// What outlives nginx, and for how long it is believed: the cache directory and the engine together.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <set>

#include "store/entry_state.h"
#include "store/shared_stats.h"
#include "tests/fakes/lease_fixture.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;
namespace fs = std::filesystem;

constexpr Seconds kHour = 3600;

// No file can be written, but every file can be removed: as on a disk that is full.
class FullDisk {
 public:
  FullDisk() : handler_(signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit none = before_;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_FSIZE, &none);
  }
  ~FullDisk() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, handler_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  rlimit before_ = {};
  void (*handler_)(int);
};

struct Fixture : LeaseFixture {
  explicit Fixture(std::size_t count = 4) : responder(server()) {
    for (std::size_t i = 0; i < count; ++i) {
      add(i, {&responder});
    }
    boot();
  }

  // nginx starts: nothing is in the zone.
  void boot() {
    holder.reset();
    zone = memory.format();
    zone.stats().numbers[store::Number::kBegan] = loop.clock.monotonic();
    generation = register_all();
  }
  void take_lease() {
    LeaseFixture::take_lease();
    holder->catch_up();
  }
  const Target& target(std::size_t number) const { return *catalog.targets()[number]; }
  fs::path file(std::size_t number) const { return directory.file(target(number).certificate.id); }
  store::CacheFiles disk() const {
    return std::move(*store::CacheFiles::open(directory.string(), settings.max_response));
  }
  store::Kept kept(std::size_t number) const { return *disk().load(target(number).certificate.id); }
  void plant(std::size_t number, const Bytes& response, UnixSeconds confirmed_at) {
    REQUIRE(disk().save(target(number).certificate.id, {response, confirmed_at}));
  }
  UnixSeconds now() const { return loop.clock.now(); }
  Bytes good(std::size_t number, UnixSeconds from, UnixSeconds to) const {
    return good_response(test_leaf(number), test_ca(), from, to);
  }
  Bytes revoked(std::size_t number, UnixSeconds from, UnixSeconds to) const {
    return revoked_response(test_leaf(number), test_ca(), from, to);
  }
  bool holds_revoked(std::size_t number) const {
    const auto header = held(number);
    return header.has_value() && header->cert_status == static_cast<std::uint8_t>(crypto::CertStatus::kRevoked);
  }
  UnixSeconds confirmed_at(std::size_t number) const {
    return store::read_confirmed_at(zone, target(number).entry, *held(number), now());
  }

  OcspServer& responder;
};

// --- a status that has changed ---

TEST_CASE("kept: a revocation that cannot be saved takes the good response away, and is saved later", "[kept]") {
  Fixture f;
  f.take_lease();
  f.pass(2);
  REQUIRE(f.stapled() == 4);
  REQUIRE_FALSE(f.kept(0).bytes.empty());
  const Bytes good = f.kept(1).bytes;
  {
    const FullDisk full;
    f.responder.answer = [&f](const std::string& head) {
      const std::size_t number = std::stoul(OcspServer::path_of(head));
      return ocsp_reply(number == 0 ? f.revoked(0, f.now(), f.now() + 3 * kDay)
                                    : f.good(number, f.now(), f.now() + 3 * kDay));
    };
    f.pass(2 * kDay, 5000);
    CHECK(f.holds_revoked(0));
    CHECK_FALSE(fs::exists(f.file(0)));  // a restart must not find "good" there
    CHECK(f.kept(1).bytes == good);      // still true
    CHECK(f.log.count("cache directory cannot be used") == 1);
  }
  f.pass(40);
  CHECK(f.kept(0).bytes == f.zone.read(f.target(0).entry, f.target(0).certificate.id));
  CHECK(f.kept(1).bytes == f.zone.read(f.target(1).entry, f.target(1).certificate.id));
  f.boot();
  f.responder.answer = EngineFixture::hang();
  f.take_lease();
  f.pass(2);
  CHECK(f.holds_revoked(0));
}

TEST_CASE("kept: a certificate that is good again does not stay revoked on a full disk", "[kept]") {
  Fixture f(1);
  f.plant(0, f.revoked(0, f.now() - kHour, f.now() + kDay), f.now() - 60);
  const FullDisk full;
  f.responder.answer = EngineFixture::always(ocsp_reply(f.good(0, f.now(), f.now() + 2 * kDay)));
  f.take_lease();
  f.pass(kDay, 5000);
  CHECK(f.stapled(0));
  CHECK_FALSE(f.holds_revoked(0));
  CHECK_FALSE(fs::exists(f.file(0)));
}

TEST_CASE("kept: what another instance knows better is not overwritten, what it only claims is", "[kept]") {
  Fixture f(2);
  f.take_lease();
  f.pass(2);
  REQUIRE(f.stapled() == 2);
  const Bytes theirs = f.revoked(0, f.now() + 10, f.now() + kDay);
  f.plant(0, theirs, f.now());
  Bytes forged = f.good(1, f.now() + 10, f.now() + 9 * kDay);
  forged.back() ^= 1;
  f.plant(1, forged, f.now());
  f.loop.clock.advance(20000);
  f.take_lease();  // brings both in line
  f.loop.settle();
  CHECK(f.kept(0).bytes == theirs);
  CHECK(f.kept(1).bytes == f.zone.read(f.target(1).entry, f.target(1).certificate.id));
}

// --- when the responder last confirmed it ---

TEST_CASE("kept: a file's time is when the responder confirmed the response", "[kept]") {
  Fixture f(1);
  const Bytes response = f.good(0, f.now() - 2 * kHour, f.now() + 10 * kHour);
  std::string headers;
  f.responder.answer = [&](const std::string&) { return ocsp_reply(response, headers); };
  f.take_lease();
  f.pass(2);
  const UnixSeconds first = f.now();
  REQUIRE(f.stapled(0));
  CHECK(f.kept(0).confirmed_at >= first - 2);

  // The same bytes again, from the responder itself.
  f.pass(5 * kHour, 5000);
  REQUIRE(f.responder.asked.size() > 1);
  CHECK(f.confirmed_at(0) >= f.responder.asked.back().at);
  CHECK(f.kept(0).confirmed_at >= f.responder.asked.back().at);
  CHECK(f.kept(0).confirmed_at == f.confirmed_at(0));

  // A cache hands them out: they are as old as its copy is, and younger ones are known.
  const UnixSeconds before = f.confirmed_at(0);
  const std::size_t asked = f.responder.asked.size();
  headers = "Age: 36000\r\n";
  while (f.responder.asked.size() == asked) {
    f.pass(60, 5000);
  }
  CHECK(f.confirmed_at(0) == before);
}

TEST_CASE("kept: what a cache answered was confirmed when the cache got it", "[kept]") {
  Fixture f(1);
  const Bytes response = f.good(0, f.now() - 9 * kHour, f.now() + kDay);
  f.responder.answer = EngineFixture::always(ocsp_reply(response, "Age: 7200\r\n"));
  f.take_lease();
  f.pass(2);
  CHECK(f.confirmed_at(0) <= f.now() - 7200);
  CHECK(f.confirmed_at(0) >= f.now() - 7210);
  CHECK(f.kept(0).confirmed_at == f.confirmed_at(0));
}

TEST_CASE("kept: a time that makes no sense counts as thisUpdate", "[kept]") {
  Fixture f(2);
  f.plant(0, f.good(0, f.now() - kHour / 2, f.now() + kDay), f.now() + kDay);
  f.plant(1, f.good(1, f.now() - kHour / 2, f.now() + kDay), f.now() - kDay);
  f.responder.answer = EngineFixture::hang();
  f.take_lease();
  f.pass(2);
  REQUIRE(f.stapled() == 2);
  CHECK(f.confirmed_at(0) == f.held(0)->this_update);
  CHECK(f.confirmed_at(1) == f.held(1)->this_update);
}

// --- a start ---

TEST_CASE("kept: a start asks again within five minutes for what was confirmed over an hour ago", "[kept]") {
  Fixture f(60);
  f.take_lease();
  f.pass(20);
  REQUIRE(f.stapled() == 60);
  const auto restart = [&f](Seconds later) {
    f.holder.reset();
    f.loop.clock.advance(later * 1000);
    f.responder.asked.clear();
    f.boot();
    f.take_lease();
    f.pass(2);
    CHECK(f.stapled() == 60);  // from the directory, at once
  };
  restart(kHour / 2);
  f.pass(kHour / 3, 5000);
  CHECK(f.responder.asked.empty());

  restart(2 * kHour);
  const UnixSeconds began = f.now();
  f.pass(330, 1000);
  CHECK(f.responder.asked.size() == 60);
  std::size_t first_minute = 0;
  for (const auto& each : f.responder.asked) {
    first_minute += each.at < began + 60 ? 1 : 0;
  }
  CHECK(first_minute > 2);
  CHECK(first_minute < 30);

  restart(60);
  f.pass(kHour / 3, 5000);
  CHECK(f.responder.asked.empty());
}

TEST_CASE("kept: a crash in the midst of that does not begin it again", "[kept]") {
  Fixture f(60);
  f.take_lease();
  f.pass(20);
  f.holder.reset();
  f.loop.clock.advance(2 * kHour * 1000);
  f.responder.asked.clear();
  f.boot();
  f.take_lease();
  for (int crashes = 0; crashes < 11; ++crashes) {
    f.pass(30);
    f.take_lease();  // the next worker has the lease; the zone stays
  }
  CHECK(f.responder.asked.size() == 60);
}

TEST_CASE("kept: a revocation that came while nginx was down is stapled within five minutes", "[kept]") {
  Fixture f(1);
  f.take_lease();
  f.pass(2);
  f.holder.reset();
  f.loop.clock.advance(3 * kHour * 1000);
  f.boot();
  f.responder.answer = EngineFixture::always(ocsp_reply(f.revoked(0, f.now(), f.now() + kDay)));
  f.take_lease();
  f.pass(310);
  CHECK(f.holds_revoked(0));
}

// --- the directory is looked into more than once ---

TEST_CASE("kept: whoever takes the lease finds what the start helper did not read", "[kept]") {
  Fixture f(200);
  f.take_lease();
  f.pass(60);
  REQUIRE(f.stapled() == 200);
  f.holder.reset();
  f.boot();
  f.responder.answer = EngineFixture::always("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
  f.responder.asked.clear();
  f.take_lease();
  f.pass(10);
  CHECK(f.stapled() == 200);
  CHECK(f.responder.asked.empty());
}

TEST_CASE("kept: whoever sees the clock jump looks again, with the responder down", "[kept]") {
  Fixture f(20);
  f.take_lease();
  f.pass(10);
  REQUIRE(f.stapled() == 20);
  f.holder.reset();
  f.boot();
  f.responder.answer = EngineFixture::always("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
  f.loop.clock.jump(-12 * 365 * kDay);  // no battery: the clock begins somewhere
  f.take_lease();
  f.pass(600, 1000);
  CHECK(f.stapled() == 0);
  CHECK(fs::exists(f.file(0)));
  f.loop.clock.jump(12 * 365 * kDay);
  f.pass(5);
  CHECK(f.stapled() == 20);
}

TEST_CASE("kept: a directory that comes late is looked into", "[kept]") {
  Fixture f(10);
  f.take_lease();
  f.pass(10);
  f.holder.reset();
  f.boot();
  const std::string elsewhere = f.directory.string() + ".elsewhere";
  fs::rename(f.directory.string(), elsewhere);
  f.responder.answer = EngineFixture::always("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
  f.take_lease();
  f.pass(60);
  CHECK(f.stapled() == 0);
  CHECK(store::number(f.zone, store::Number::kCacheFailingSince) != 0);
  fs::rename(elsewhere, f.directory.string());
  f.pass(40);
  CHECK(f.stapled() == 10);
  CHECK(f.log.count("can be used again") == 1);
}

TEST_CASE("kept: what another instance has fetched is not asked for", "[kept]") {
  Fixture f(1);
  f.take_lease();
  f.pass(2);
  const UnixSeconds due = store::read_attempt(f.zone, f.target(0).entry).next;
  f.loop.clock.advance((due - f.now() - 60) * 1000);
  f.responder.asked.clear();
  const Bytes theirs = f.good(0, f.now(), f.now() + 3 * kDay);
  f.plant(0, theirs, f.now());
  f.pass(kHour, 1000);
  CHECK(f.responder.asked.empty());
  CHECK(f.zone.read(f.target(0).entry, f.target(0).certificate.id) == theirs);
  CHECK(f.held(0)->source == store::Source::kCache);
  CHECK(f.log.count("another instance fetched it") == 1);
  CHECK(store::read_attempt(f.zone, f.target(0).entry).next > f.now() + kDay);

  SECTION("an operator's wish is a request all the same") {
    f.plant(0, f.good(0, f.now(), f.now() + 3 * kDay), f.now());
    REQUIRE(store::request_refresh(f.zone, f.target(0).entry));
    f.pass(2);
    CHECK(f.responder.asked.size() == 1);
  }
  SECTION("what it has only confirmed counts as well") {
    f.loop.clock.advance((store::read_attempt(f.zone, f.target(0).entry).next - f.now() - 60) * 1000);
    REQUIRE(f.disk().confirm(f.target(0).certificate.id, f.now()));
    f.pass(300, 1000);
    CHECK(f.responder.asked.empty());
  }
  SECTION("what it has confirmed too long ago does not") {
    const UnixSeconds confirmed_at = f.now() + kHour;
    f.loop.clock.advance((store::read_attempt(f.zone, f.target(0).entry).next - f.now() - 60) * 1000);
    REQUIRE(f.disk().confirm(f.target(0).certificate.id, confirmed_at));
    f.pass(200, 1000);
    CHECK(f.responder.asked.size() == 1);
  }
  SECTION("what it has not confirmed does not") {
    f.loop.clock.advance((store::read_attempt(f.zone, f.target(0).entry).next - f.now() - 60) * 1000);
    f.pass(200, 1000);
    CHECK(f.responder.asked.size() == 1);
  }
}

// --- the sweep ---

struct Swept : Fixture {
  Swept() : Fixture(2) {
    take_lease();
    pass(5);
    wanted = good(0, now() - 400 * kDay, now() - 200 * kDay);
    plant_as(test_id(1), good(1, now() - 400 * kDay, now() - 91 * kDay), now());
    plant_as(test_id(2), good(1, now() - 400 * kDay, now() - 89 * kDay), now() - 300 * kDay);
    plant_as(test_id(3), good(1, now() - 100 * kDay, now() + 300 * kDay), now() - 100 * kDay);  // of a year
    plant_as(test_id(4), Bytes(20, 7), now() - 91 * kDay);                                      // unreadable
    plant_as(test_id(5), Bytes(20, 7), now() - 89 * kDay);
  }
  void plant_as(const CertificateId& id, const Bytes& bytes, UnixSeconds modified) {
    REQUIRE(disk().save(id, {bytes, modified}));
  }
  std::set<int> left() const {
    std::set<int> left;
    for (int i = 1; i <= 5; ++i) {
      if (fs::exists(directory.file(test_id(static_cast<std::uint64_t>(i))))) {
        left.insert(i);
      }
    }
    return left;
  }
  Bytes wanted;
};

TEST_CASE("kept: the sweep takes what nobody wants and what ended long ago, an hour after the start", "[kept]") {
  Swept f;
  f.pass(3500, 10000);
  CHECK(f.left() == std::set<int>{1, 2, 3, 4, 5});
  f.pass(300, 10000);
  CHECK(f.left() == std::set<int>{2, 3, 5});
  CHECK(fs::exists(f.file(0)));
  CHECK(fs::exists(f.file(1)));

  SECTION("what is wanted stays, however old it is") {
    // Ended for long, and in use by this configuration; the responder is silent.
    f.responder.answer = EngineFixture::hang();
    f.boot();
    f.plant(0, f.wanted, f.now() - 200 * kDay);
    f.take_lease();
    f.pass(2 * kHour, 10000);
    CHECK(fs::exists(f.file(0)));
  }
}

TEST_CASE("kept: a clock that is far ahead removes nothing", "[kept]") {
  Swept f;
  SECTION("for half a minute") {
    f.pass(2 * kHour, 10000);
    f.loop.clock.jump(200 * kDay);
    f.pass(30);
    f.loop.clock.jump(-200 * kDay);
    f.pass(100, 1000);
  }
  SECTION("for days: the newest file tells that it is wrong") {
    f.responder.answer = EngineFixture::hang();
    f.loop.clock.jump(200 * kDay);
    f.pass(kDay / 2, 10000);
    CHECK(f.left() == std::set<int>{1, 2, 3, 4, 5});
    f.loop.clock.jump(-200 * kDay);
    f.pass(2 * kHour, 10000);
  }
  CHECK(f.left() == std::set<int>{2, 3, 5});
  CHECK(fs::exists(f.file(0)));
}

}  // namespace
}  // namespace ocsp_plus::engine
