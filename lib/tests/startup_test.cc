#include "engine/startup.h"

#include <unistd.h>

#include <catch2/catch.hpp>

#include "tests/fakes/engine_house.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;

constexpr Millis kLong = 60000;

struct Enough {};

// The start helper in this process, in real time: it runs a loop of its own.
struct Fixture : EngineHouse {
  void require(std::size_t number, const std::string& url) {
    Mention mention;
    mention.leaf = test_leaf(number).get();
    mention.issuers = {test_ca().get()};
    mention.responders = {url};
    mention.require = Mention::Require::kOn;
    REQUIRE(catalog.add(mention));
  }
  Result<void> run(Millis wait, std::function<void()> progress) {
    const std::uint32_t generation = register_all();
    SystemClock clock;
    PollLoop poll_loop(clock);
    Startup startup(poll_loop, {poll_loop, clock, random, log, lock, zone, catalog, settings},
                    {getpid(), 0, generation}, std::move(progress));
    return startup.run(wait);
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
  Mention mention;
  mention.leaf = test_leaf(0).get();
  mention.issuers = {test_ca().get()};
  std::vector<std::string> paths;
  for (std::size_t i = 0; i < 20; ++i) {
    paths.push_back("/nowhere/at/all/" + std::to_string(i));
  }
  mention.files.assign(paths.begin(), paths.end());
  REQUIRE(f.catalog.add(mention));
  int reports = 0;
  CHECK(f.run(0, [&reports] { ++reports; }));
  CHECK(reports >= 20);
}

TEST_CASE("startup: it gets on while it waits for a responder that hangs", "[startup]") {
  Fixture f;
  // Listens, and nobody ever answers: its loop does not run.
  f.require(0, f.server(EngineHouse::hang()).url("0"));
  int reports = 0;
  CHECK_THROWS_AS(f.run(kLong,
                        [&] {
                          if (++reports == 20) {
                            throw Enough();
                          }
                        }),
                  Enough);
}

}  // namespace
}  // namespace ocsp_plus::engine
