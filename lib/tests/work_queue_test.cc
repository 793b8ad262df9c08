#include "engine/work_queue.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/fakes/stepped_loop.h"

namespace ocsp_plus::engine {
namespace {

using testing::SteppedLoop;

struct Fixture {
  SteppedLoop loop;
  WorkQueue queue{loop};
  std::string done;
  std::vector<std::unique_ptr<WorkQueue::Ticket>> tickets;

  void wait(char name) {
    tickets.push_back(queue.enqueue([this, name] { done += name; }));
  }
  // WorkQueue in which one more may have been done.
  void rest() {
    for (unsigned turn = 0; turn <= WorkQueue::kTurnsBetweenJobs; ++turn) {
      loop.turn();
    }
  }
};

TEST_CASE("work queue: one piece of work in a few turns, in order, never at once") {
  Fixture fixture;
  for (const char name : {'a', 'b', 'c'}) {
    fixture.wait(name);
  }
  CHECK(fixture.done.empty());
  for (const char* done : {"a", "ab", "abc"}) {
    fixture.loop.turn();
    CHECK(fixture.done == done);
    for (unsigned rest = 0; rest < WorkQueue::kTurnsBetweenJobs; ++rest) {
      fixture.loop.turn();
      CHECK(fixture.done == done);
    }
  }
}

TEST_CASE("work queue: who comes during the rest or after it goes as soon as it is over") {
  const unsigned later = GENERATE(range(0u, WorkQueue::kTurnsBetweenJobs + 3));
  Fixture fixture;
  fixture.wait('a');
  fixture.loop.turn();
  for (unsigned turn = 0; turn < later; ++turn) {
    fixture.loop.turn();
  }
  fixture.wait('b');
  for (unsigned turn = later; turn < WorkQueue::kTurnsBetweenJobs; ++turn) {
    fixture.loop.turn();
    CHECK(fixture.done == "a");
  }
  fixture.loop.turn();
  CHECK(fixture.done == "ab");
}

TEST_CASE("work queue: who gives its ticket up is passed over") {
  Fixture fixture;
  for (const char name : {'a', 'b', 'c'}) {
    fixture.wait(name);
  }
  fixture.tickets[0].reset();
  fixture.tickets[1].reset();
  fixture.loop.turn();
  CHECK(fixture.done == "c");
  fixture.wait('d');
  fixture.tickets.clear();
  fixture.rest();
  CHECK(fixture.done == "c");
}

TEST_CASE("work queue: work may end its own ticket and ask for another") {
  Fixture fixture;
  fixture.tickets.push_back(fixture.queue.enqueue([&] {
    fixture.tickets.clear();
    fixture.done += 'a';
    fixture.wait('b');
  }));
  fixture.loop.turn();
  CHECK(fixture.done == "a");
  fixture.rest();
  CHECK(fixture.done == "ab");
}

TEST_CASE("work queue: work that throws does not hold up what is behind it") {
  Fixture fixture;
  fixture.tickets.push_back(fixture.queue.enqueue([] { throw std::bad_alloc(); }));
  fixture.wait('b');
  CHECK_THROWS_AS(fixture.loop.turn(), std::bad_alloc);
  fixture.rest();
  CHECK(fixture.done == "b");
}

}  // namespace
}  // namespace ocsp_plus::engine
