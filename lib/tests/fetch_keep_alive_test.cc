#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "net/fetch.h"
#include "net/idle_streams.h"
#include "tests/fakes/fetch_fixture.h"

using namespace ocsp_plus;
using namespace ocsp_plus::testing;
using End = Script::End;

namespace {

struct Fixture : FetchFixture {
  std::string again() {
    outcome.reset();
    calls = 0;
    return body_of(run(base()));
  }
};

}  // namespace

TEST_CASE("fetch: a connection is used again", "[fetch][keep-alive]") {
  Fixture fixture;
  for (int i = 0; i < 3; ++i) {
    fixture.server.play(kOk, End::kNext);
  }
  for (int i = 0; i < 3; ++i) {
    CHECK(fixture.again() == kBody);
    CHECK(fixture.transport->idle.size() == 1);
  }
  CHECK(fixture.server.accepted() == 1);
  CHECK(fixture.server.requests().size() == 3);
  fixture.outcome.reset();
  fixture.calls = 0;
  // Another host is another peer, whatever its address.
  fixture.server.play(kOk, End::kNext);
  fixture.server.play(kOk, End::kNext);
  CHECK(body_of(fixture.run(fixture.base("ocsp.example"))) == kBody);
  CHECK(fixture.server.accepted() == 2);
}

TEST_CASE("fetch: connections that are not kept", "[fetch][keep-alive]") {
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  const std::string replies[] = {
      ok + "Connection: close\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
      ok + "Content-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n",            // bytes that belong to no response
      "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nsome page",  // its body was not read
  };
  for (const std::string& reply : replies) {
    INFO(reply);
    Fixture fixture;
    fixture.server.play(reply, End::kHold);
    fixture.again();
    CHECK(fixture.transport->idle.size() == 0);
    CHECK(fixture.eventually([&] { return fixture.server.open_connections() == 0; }));
  }
}

TEST_CASE("fetch: one that was closed under a request is replaced, once", "[fetch][keep-alive]") {
  for (const End end : {End::kClose, End::kReset}) {
    Fixture fixture;
    fixture.server.play(kOk, End::kNext);
    fixture.server.play("", end);  // to the second request on the first connection
    fixture.server.play(kOk, End::kNext);
    CHECK(fixture.again() == kBody);
    CHECK(fixture.again() == kBody);
    CHECK(fixture.server.accepted() == 2);
    // A fresh one is not: that is the peer's answer.
    fixture.server.play("", end);
    fixture.server.play("", end);
    CHECK(fixture.again() != kBody);
    CHECK(fixture.server.accepted() == 3);
  }
}

TEST_CASE("fetch: an idle connection that swallows everything costs half of the time", "[fetch][keep-alive]") {
  Fixture fixture;
  fixture.server.play(kOk, End::kNext);
  fixture.server.play("", End::kHold);
  fixture.server.play(kOk, End::kNext);
  CHECK(fixture.again() == kBody);
  fixture.outcome.reset();
  fixture.calls = 0;
  fixture.start(fixture.request(fixture.base()));
  REQUIRE(fixture.loop.run_until([&] { return fixture.server.requests().size() == 2; }, kPatience));
  fixture.clock.advance(5100);
  fixture.wait();
  CHECK(body_of(*fixture.outcome) == kBody);
}

TEST_CASE("fetch: idle connections end, by themselves and by their peers", "[fetch][keep-alive]") {
  Fixture fixture;
  SECTION("after a while") {
    fixture.server.play(kOk, End::kHold);
    CHECK(fixture.again() == kBody);
    fixture.clock.advance(net::IdleStreams::kKept - 1000);
    fixture.turns(3);
    CHECK(fixture.transport->idle.size() == 1);
    fixture.clock.advance(1100);
    fixture.turns(3);
  }
  SECTION("closed") {
    fixture.server.play(kOk, End::kClose);
    CHECK(fixture.again() == kBody);
  }
  CHECK(fixture.eventually([&] { return fixture.transport->idle.size() == 0; }));
  CHECK(fixture.eventually([&] { return fixture.server.open_connections() == 0; }));
}

TEST_CASE("fetch: not more idle connections than enough", "[fetch][keep-alive]") {
  Fixture fixture;
  std::vector<std::unique_ptr<net::Fetch>> fetches;
  std::size_t done = 0;
  const std::size_t count = net::IdleStreams::kPerPeer + 4;
  for (std::size_t i = 0; i < count; ++i) {
    fixture.server.play(kOk, End::kHold);
    fetches.push_back(net::Fetch::start(*fixture.transport, fixture.request(fixture.base()),
                                        [&done](net::Fetch::Outcome outcome) { done += outcome ? 1u : 0u; }));
  }
  REQUIRE(fixture.loop.run_until([&] { return done == count; }, kPatience));
  CHECK(fixture.transport->idle.size() == net::IdleStreams::kPerPeer);
  CHECK(fixture.eventually([&] { return fixture.server.open_connections() == net::IdleStreams::kPerPeer; }));
}

TEST_CASE("fetch: what is unchanged need not be sent again", "[fetch][rfc9110-13.1]") {
  Fixture fixture;
  fixture.server.play(
      http_reply("200 OK", "ETag: \"one\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n", kBody));
  CHECK(fixture.again() == kBody);
  CHECK(fixture.outcome.value()->validators.etag == "\"one\"");
  CHECK_FALSE(contains(fixture.server.requests().at(0), "If-"));

  net::FetchRequest request = fixture.request(fixture.base());
  request.validators = fixture.outcome.value()->validators;
  fixture.server.play("HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=77\r\n\r\n");
  fixture.outcome.reset();
  fixture.calls = 0;
  REQUIRE(fixture.run(request).has_value());
  CHECK(fixture.outcome.value()->not_modified());
  CHECK(fixture.outcome.value()->http.head.max_age == 77);
  CHECK(contains(fixture.server.requests().at(1), "\r\nIf-None-Match: \"one\"\r\n"));
  CHECK(contains(fixture.server.requests().at(1), "\r\nIf-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT\r\n"));

  SECTION("a POST has nothing to be compared with") {
    request.get_path.clear();
    fixture.server.play("HTTP/1.1 304 Not Modified\r\n\r\n");
    fixture.outcome.reset();
    fixture.calls = 0;
    CHECK(fixture.run(request).error().reason == Reason::kHttpStatus);
    CHECK_FALSE(contains(fixture.server.requests().at(2), "If-"));
  }
}
