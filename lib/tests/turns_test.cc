#include "engine/turns.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/fakes/stepped_loop.h"

namespace ocsp_plus::engine {
namespace {

using testing::SteppedLoop;

struct Fixture {
  SteppedLoop loop;
  Turns turns{loop};
  std::string done;
  std::vector<std::unique_ptr<Turns::Place>> places;

  void wait(char name) {
    places.push_back(turns.wait([this, name] { done += name; }));
  }
  // Turns in which one more may have been done.
  void rest() {
    for (unsigned turn = 0; turn <= Turns::kRest; ++turn) {
      loop.turn();
    }
  }
};

TEST_CASE("turns: one piece of work in a few turns, in order, never at once") {
  Fixture fixture;
  for (const char name : {'a', 'b', 'c'}) {
    fixture.wait(name);
  }
  CHECK(fixture.done.empty());
  for (const char* done : {"a", "ab", "abc"}) {
    fixture.loop.turn();
    CHECK(fixture.done == done);
    for (unsigned rest = 0; rest < Turns::kRest; ++rest) {
      fixture.loop.turn();
      CHECK(fixture.done == done);
    }
  }
}

TEST_CASE("turns: who comes during the rest or after it goes as soon as it is over") {
  const unsigned later = GENERATE(range(0u, Turns::kRest + 3));
  Fixture fixture;
  fixture.wait('a');
  fixture.loop.turn();
  for (unsigned turn = 0; turn < later; ++turn) {
    fixture.loop.turn();
  }
  fixture.wait('b');
  for (unsigned turn = later; turn < Turns::kRest; ++turn) {
    fixture.loop.turn();
    CHECK(fixture.done == "a");
  }
  fixture.loop.turn();
  CHECK(fixture.done == "ab");
}

TEST_CASE("turns: who gives its place up is passed over") {
  Fixture fixture;
  for (const char name : {'a', 'b', 'c'}) {
    fixture.wait(name);
  }
  fixture.places[0].reset();
  fixture.places[1].reset();
  fixture.loop.turn();
  CHECK(fixture.done == "c");
  CHECK(fixture.turns.waiting() == 0);
  fixture.wait('d');
  fixture.places.clear();
  fixture.rest();
  CHECK(fixture.done == "c");
}

TEST_CASE("turns: work may end its own place and ask for another") {
  Fixture fixture;
  fixture.places.push_back(fixture.turns.wait([&] {
    fixture.places.clear();
    fixture.done += 'a';
    fixture.wait('b');
  }));
  fixture.loop.turn();
  CHECK(fixture.done == "a");
  fixture.rest();
  CHECK(fixture.done == "ab");
}

TEST_CASE("turns: work that throws does not hold up what is behind it") {
  Fixture fixture;
  fixture.places.push_back(fixture.turns.wait([] { throw std::bad_alloc(); }));
  fixture.wait('b');
  CHECK_THROWS_AS(fixture.loop.turn(), std::bad_alloc);
  fixture.rest();
  CHECK(fixture.done == "b");
}

}  // namespace
}  // namespace ocsp_plus::engine
