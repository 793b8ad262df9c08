#include "base/poll_loop.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "tests/fakes/fake_clock.h"

using namespace ocsp_plus;
using namespace ocsp_plus::testing;

namespace {

struct Pipe {
  Pipe() { REQUIRE(::pipe(ends) == 0); }
  ~Pipe() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  void fill() { REQUIRE(::write(ends[1], "x", 1) == 1); }
  int ends[2];
};

// One turn that does not wait.
void turn(PollLoop& loop) {
  loop.run_until([] { return true; }, 0);
}

}  // namespace

TEST_CASE("poll_loop: the system's clocks run", "[poll_loop]") {
  SystemClock clock;
  CHECK(clock.now() > 1700000000);
  const Millis before = clock.monotonic();
  CHECK(clock.monotonic() >= before);
}

TEST_CASE("poll_loop: a timer comes when its time has come, once", "[poll_loop]") {
  FakeClock clock;
  PollLoop loop(clock);
  int called = 0;
  auto timer = loop.timer([&] { ++called; });
  turn(loop);
  CHECK(called == 0);
  timer->arm(1000);
  turn(loop);
  clock.advance(999);
  turn(loop);
  CHECK(called == 0);
  clock.advance(1);
  turn(loop);
  CHECK(called == 1);
  clock.advance(100000);
  turn(loop);
  CHECK(called == 1);
}

TEST_CASE("poll_loop: arming again replaces the time, disarming and destroying end it", "[poll_loop]") {
  FakeClock clock;
  PollLoop loop(clock);
  std::vector<std::string> called;
  auto later = loop.timer([&] { called.push_back("later"); });
  auto sooner = loop.timer([&] { called.push_back("sooner"); });
  auto disarmed = loop.timer([&] { called.push_back("disarmed"); });
  auto destroyed = loop.timer([&] { called.push_back("destroyed"); });
  later->arm(10);
  sooner->arm(1000);
  disarmed->arm(10);
  destroyed->arm(10);
  later->arm(1000);
  sooner->arm(10);
  disarmed->disarm();
  disarmed->disarm();
  destroyed.reset();
  clock.advance(10);
  turn(loop);
  CHECK(called == std::vector<std::string>{"sooner"});
  clock.advance(1000);
  turn(loop);
  CHECK(called == std::vector<std::string>{"sooner", "later"});
}

TEST_CASE("poll_loop: a timer of 0 ms comes in the next turn, also from within a timer", "[poll_loop]") {
  FakeClock clock;
  PollLoop loop(clock);
  int called = 0;
  std::unique_ptr<Timer> timer;
  timer = loop.timer([&] {
    ++called;
    timer->arm(0);
  });
  timer->arm(0);
  CHECK(called == 0);
  for (int turns = 1; turns <= 3; ++turns) {
    turn(loop);
    CHECK(called == turns);
  }
  timer->arm(-5);  // "not before" is not "in the past"
  turn(loop);
  CHECK(called == 4);
}

TEST_CASE("poll_loop: timers of one millisecond come in the order they were armed", "[poll_loop]") {
  FakeClock clock;
  PollLoop loop(clock);
  std::string order;
  auto a = loop.timer([&] { order += 'a'; });
  auto b = loop.timer([&] { order += 'b'; });
  auto c = loop.timer([&] { order += 'c'; });
  c->arm(5);
  a->arm(5);
  b->arm(4);
  clock.advance(5);
  turn(loop);
  CHECK(order == "bca");
}

TEST_CASE("poll_loop: a timer may destroy itself and others", "[poll_loop]") {
  FakeClock clock;
  PollLoop loop(clock);
  int called = 0;
  std::unique_ptr<Timer> second;
  std::unique_ptr<Timer> first;
  const std::string capture(100, 'x');  // lives in the callback and is read after the callback's end is sealed
  first = loop.timer([&, capture] {
    ++called;
    second.reset();
    first.reset();
    CHECK(capture.size() == 100);
  });
  second = loop.timer([&] { ++called; });
  first->arm(0);
  second->arm(0);
  turn(loop);
  turn(loop);
  CHECK(called == 1);
}

TEST_CASE("poll_loop: a watch is level-triggered and heeds its interest", "[poll_loop]") {
  FakeClock clock;
  PollLoop loop(clock);
  Pipe pipe;
  int called = 0;
  unsigned last = 0;
  auto watch = loop.watch(pipe.ends[0], [&](unsigned ready) {
    ++called;
    last = ready;
  });
  pipe.fill();
  turn(loop);
  CHECK(called == 0);  // no interest yet
  CHECK(watch->set(IoWatch::kRead));
  turn(loop);
  turn(loop);
  CHECK(called == 2);
  CHECK(last == IoWatch::kRead);
  watch->set(0);
  turn(loop);
  CHECK(called == 2);
  watch->set(IoWatch::kRead);
  watch.reset();
  turn(loop);
  CHECK(called == 2);
}

TEST_CASE("poll_loop: both directions of both ends", "[poll_loop]") {
  FakeClock clock;
  PollLoop loop(clock);
  Pipe pipe;
  unsigned last = 0;
  auto watch = loop.watch(pipe.ends[1], [&](unsigned ready) { last = ready; });
  watch->set(IoWatch::kWrite);
  turn(loop);
  CHECK(last == IoWatch::kWrite);
  ::close(pipe.ends[0]);
  turn(loop);
  CHECK(last == (IoWatch::kRead | IoWatch::kWrite));  // an error counts as both
  REQUIRE(::dup2(pipe.ends[1], pipe.ends[0]) == pipe.ends[0]);
}

TEST_CASE("poll_loop: a watch may destroy itself and others of the same turn", "[poll_loop]") {
  FakeClock clock;
  PollLoop loop(clock);
  Pipe one;
  Pipe two;
  one.fill();
  two.fill();
  int called = 0;
  std::unique_ptr<IoWatch> first;
  std::unique_ptr<IoWatch> second;
  const auto destroy_both = [&](unsigned) {
    ++called;
    first.reset();
    second.reset();
  };
  first = loop.watch(one.ends[0], destroy_both);
  second = loop.watch(two.ends[0], destroy_both);
  first->set(IoWatch::kRead);
  second->set(IoWatch::kRead);
  turn(loop);
  turn(loop);
  CHECK(called == 1);
}

TEST_CASE("poll_loop: an interest that is lost in the same turn is not served", "[poll_loop]") {
  FakeClock clock;
  PollLoop loop(clock);
  Pipe one;
  Pipe two;
  one.fill();
  two.fill();
  std::string called;
  std::unique_ptr<IoWatch> second;
  auto first = loop.watch(one.ends[0], [&](unsigned) {
    called += '1';
    second->set(0);
  });
  second = loop.watch(two.ends[0], [&](unsigned) { called += '2'; });
  first->set(IoWatch::kRead);
  second->set(IoWatch::kRead);
  turn(loop);
  CHECK(called == "1");
}

TEST_CASE("poll_loop: a watch made in a callback is served from the next turn on", "[poll_loop]") {
  FakeClock clock;
  PollLoop loop(clock);
  Pipe pipe;
  pipe.fill();
  int called = 0;
  std::unique_ptr<IoWatch> inner;
  std::unique_ptr<IoWatch> outer;
  outer = loop.watch(pipe.ends[0], [&](unsigned) {
    inner = loop.watch(pipe.ends[0], [&](unsigned) { ++called; });
    inner->set(IoWatch::kRead);
    outer.reset();
  });
  outer->set(IoWatch::kRead);
  turn(loop);
  CHECK(called == 0);
  turn(loop);
  CHECK(called == 1);
}

TEST_CASE("poll_loop: a descriptor closed under its watch is told once and does not spin", "[poll_loop]") {
  FakeClock clock;
  PollLoop loop(clock);
  int called = 0;
  const int fd = ::dup(0);
  auto watch = loop.watch(fd, [&](unsigned) { ++called; });
  watch->set(IoWatch::kRead);
  ::close(fd);
  turn(loop);
  turn(loop);
  turn(loop);
  CHECK(called == 1);
}

TEST_CASE("poll_loop: run_until ends with its condition or its time", "[poll_loop]") {
  SystemClock clock;
  PollLoop loop(clock);
  const Millis before = clock.monotonic();
  CHECK_FALSE(loop.run_until([] { return false; }, 20));
  CHECK(clock.monotonic() - before >= 20);
  bool called = false;
  auto timer = loop.timer([&] { called = true; });
  timer->arm(5);
  CHECK(loop.run_until([&] { return called; }, 10000));
  CHECK(clock.monotonic() - before < 5000);
}

TEST_CASE("poll_loop: watches and timers may outlive the loop", "[poll_loop]") {
  FakeClock clock;
  Pipe pipe;
  std::unique_ptr<IoWatch> watch;
  std::unique_ptr<Timer> armed;
  std::unique_ptr<Timer> idle;
  {
    PollLoop loop(clock);
    watch = loop.watch(pipe.ends[0], [](unsigned) {});
    armed = loop.timer([] {});
    idle = loop.timer([] {});
    armed->arm(10);
  }
  watch->set(IoWatch::kRead);
  idle->arm(10);
  armed->disarm();
  armed->arm(10);
  SUCCEED();
}
