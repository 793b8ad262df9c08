#include "engine/files.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>

#include "tests/fakes/engine_fixture.h"
#include "tests/fakes/scratch_directory.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;

constexpr std::size_t kNobody = 9999;

// Certificates 1, 2, ... of servers that all name one file.
struct Fixture : EngineFixture {
  explicit Fixture(std::size_t certificates, std::size_t zone_size = 1 << 20, std::string_view responder = {})
      : EngineFixture(zone_size) {
    const std::string path = (directory / "response.der").string();
    for (std::size_t number = 1; number <= certificates; ++number) {
      ServerCertificate server;
      server.leaf = test_leaf(number).get();
      server.issuers = {test_ca().get()};
      server.files = {path};
      if (!responder.empty()) {
        server.responders = {responder};
      }
      REQUIRE(catalog.add(server));
    }
    register_all();
    files.emplace(loop.clock, report, catalog, settings, gate);
  }

  void write(std::size_t number, Seconds end = kDay) {
    const UnixSeconds now = loop.clock.now();
    const Bytes der = good_response(test_leaf(number), test_ca(), now - kDay, now + end);
    std::ofstream(directory / "response.der", std::ios::trunc)
        .write(reinterpret_cast<const char*>(der.data()), static_cast<std::streamsize>(der.size()));
  }
  std::size_t ignored() const { return static_cast<std::size_t>(log.count("response from a file ignored")); }

  ScratchDirectory directory;
  store::ZoneWriter writer{zone, lock, loop.clock, 0, 0};
  Gate gate{zone, writer, settings.policy};
  Report report{log, loop.clock};
  std::optional<Files> files;
};

TEST_CASE("files: a response for one of several certificates is no other's fault", "[files]") {
  Fixture f(3);
  f.write(2);
  f.files->look_at_all([] {});
  CHECK_FALSE(f.stapled(0));
  CHECK(f.stapled(1));
  CHECK_FALSE(f.stapled(2));
  CHECK(f.ignored() == 0);
}

TEST_CASE("files: a response for none of them is told once, with the reason that helps", "[files]") {
  Fixture f(3);
  f.write(kNobody);
  for (int i = 0; i < 3; ++i) {
    f.files->look_at_all([] {});
  }
  CHECK(f.ignored() == 1);
  CHECK(f.log.lines.back().second.find("certificate=\"leaf1.example\"") != std::string::npos);
  CHECK(f.log.lines.back().second.find("reason=other_serial") != std::string::npos);
  f.write(3, -1);  // the third certificate's, but it has ended
  f.files->look_at_all([] {});
  CHECK(f.ignored() == 2);
  CHECK(f.log.lines.back().second.find("certificate=\"leaf3.example\"") != std::string::npos);
  CHECK(f.log.lines.back().second.find("reason=expired") != std::string::npos);
}

TEST_CASE("files: where nobody else is asked, a file that is of no use is an error, and so is its end", "[files]") {
  const bool alone = GENERATE(true, false);
  using Levels = std::vector<LogLevel>;
  Fixture f(2, 1 << 20, alone ? "" : "http://ocsp.example/");
  const LogLevel level = alone ? LogLevel::kError : LogLevel::kWarn;
  f.write(kNobody);
  f.files->look_at_all([] {});
  CHECK(f.log.levels("response from a file ignored") == Levels{level});
  f.write(1);
  f.files->look_at_all([] {});
  CHECK(f.log.levels("response from a file published") == Levels{level});
}

TEST_CASE("files: a file that is of no use is no error while its certificates have a staple", "[files]") {
  Fixture f(1);
  f.write(1);
  f.files->look_at_all([] {});
  f.write(kNobody);
  f.files->look_at_all([] {});
  CHECK(f.log.levels("response from a file ignored") == std::vector<LogLevel>{LogLevel::kWarn});
}

TEST_CASE("files: the end of a response that nobody has replaced is told once", "[files]") {
  const bool alone = GENERATE(true, false);
  Fixture f(2, 1 << 20, alone ? "" : "http://ocsp.example/");
  f.write(2, kHour);
  f.files->look_at_all([] {});
  f.loop.clock.advance(kHour * 1000);
  for (int i = 0; i < 3; ++i) {
    f.files->look_at_all([] {});
  }
  REQUIRE(f.ignored() == (alone ? 1 : 0));  // else its responder's failures are told
  if (alone) {
    CHECK(f.log.lines.back().first == LogLevel::kError);
    CHECK(f.log.lines.back().second.find("certificate=\"leaf2.example\"") != std::string::npos);
    CHECK(f.log.lines.back().second.find("reason=expired") != std::string::npos);
  }
  f.write(2);
  f.files->look_at_all([] {});
  CHECK(f.log.levels("response from a file published").back() == (alone ? LogLevel::kError : LogLevel::kNotice));
}

TEST_CASE("files: one for very many certificates is shown to some in each tick", "[files]") {
  constexpr std::size_t kMany = 600;
  Fixture f(kMany, 8 << 20);
  f.write(kMany);
  int ticks = 0;
  for (; !f.stapled(kMany - 1) && ticks < 10; ++ticks) {
    f.files->tick();
  }
  CHECK(ticks == 3);
  CHECK(f.ignored() == 0);
  int looks = 0;
  f.write(kNobody);
  f.files->look_at_all([&looks] { ++looks; });
  CHECK(looks == 3);
  CHECK(f.ignored() == 1);
}

}  // namespace
}  // namespace ocsp_plus::engine
