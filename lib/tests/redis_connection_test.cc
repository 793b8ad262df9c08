#include "net/redis_connection.h"

#include <catch2/catch.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/poll_loop.h"
#include "tests/fakes/descriptors.h"
#include "tests/fakes/dns_server.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/redis_server.h"
#include "tests/fakes/scratch_directory.h"

using namespace ocsp_plus;
using namespace ocsp_plus::testing;
using net::RedisConnection;
using net::RedisPlace;
using net::RedisReply;

namespace {

constexpr Millis kPatience = 20000;

struct Connected : RedisConnection::User {
  ShiftedClock clock;
  PollLoop loop{clock};
  DnsServer dns{loop};
  RedisServer server{loop};
  std::unique_ptr<net::Resolver> resolver;
  net::RedisConnectionOptions options;
  std::unique_ptr<RedisConnection> connection;
  int ups = 0;
  std::vector<Error> ends;
  std::function<void()> at_up;

  Connected() {
    net::ResolverOptions of_dns;
    of_dns.servers = {dns.address()};
    of_dns.timeout = 2000;
    resolver = net::Resolver::create(loop, clock, of_dns).value();
    options.place = place(server.place());
    options.timeout = kPatience;
    options.most_string = 1000;
  }

  static RedisPlace place(const std::string& text) { return RedisPlace::parse(text).value(); }

  void on_up() override {
    ++ups;
    if (at_up) {
      at_up();
    }
  }
  void on_end(Error error) override {
    ends.push_back(std::move(error));
    connection.reset();
  }

  void start() {
    connection = std::make_unique<RedisConnection>(loop, clock, *resolver, options, *this);
    REQUIRE(ups + static_cast<int>(ends.size()) == 0);  // never before it returns
  }
  void run() {
    start();
    REQUIRE(loop.run_until([this] { return ups + static_cast<int>(ends.size()) > 0; }, 2 * kPatience));
  }
  Error wait_end() {
    REQUIRE(loop.run_until([this] { return !ends.empty(); }, 2 * kPatience));
    turns();
    REQUIRE(ends.size() == 1);
    CHECK(ends[0].detail.find(options.place.to_string() + ": ") == 0);
    CHECK(ends[0].detail.find("SECR") == std::string::npos);
    return ends[0];
  }
  Error run_to_end() {
    start();
    return wait_end();
  }
  void turns() {
    for (int i = 0; i < 5; ++i) {
      loop.run_until([] { return true; }, 0);
    }
  }
  // The reply to a command, "" if the connection ended.
  std::string ask(const std::vector<std::string_view>& words) {
    std::optional<RedisReply> reply;
    REQUIRE(connection->send(words, [&reply](RedisReply each) { reply = std::move(each); }));
    REQUIRE_FALSE(reply);
    REQUIRE(loop.run_until([&] { return reply || !ends.empty(); }, 2 * kPatience));
    return reply ? reply->text : "";
  }
};

bool has(const Error& error, const std::string& part) {
  INFO(error.detail);
  return error.detail.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("redis_connection: it logs in, and is up when PING was answered", "[redis]") {
  Connected c;
  c.options.place = Connected::place("redis://us%20er:pass@127.0.0.1:" + std::to_string(c.server.port()) + "/3");
  c.options.name = "node";
  c.run();
  CHECK(c.ups == 1);
  CHECK(c.server.commands() ==
        std::vector<std::string>{"AUTH us er pass", "SELECT 3", "CLIENT SETNAME node", "PING"});
  CHECK(c.connection->up());
  CHECK(c.connection->peer().to_string() == "127.0.0.1:" + std::to_string(c.server.port()));
  c.server.answer = [](const Words& words) { return bulk(words[1]); };
  CHECK(c.ask({"ECHO", "a"}) == "a");
  CHECK(c.connection->traffic().received > 0);
  CHECK(c.connection->traffic().sent > 0);
}

TEST_CASE("redis_connection: how it logs in", "[redis]") {
  const std::pair<std::string, std::vector<std::string>> cases[] = {
      {"redis://127.0.0.1", {"PING"}},
      {"redis://:pass@127.0.0.1", {"AUTH pass", "PING"}},
      {"redis://user@127.0.0.1", {"AUTH user ", "PING"}},
  };
  for (const auto& [place, commands] : cases) {
    CAPTURE(place);
    Connected c;
    c.options.place = Connected::place(place + ":" + std::to_string(c.server.port()));
    c.run();
    CHECK(c.ups == 1);
    CHECK(c.server.commands() == commands);
  }
}

TEST_CASE("redis_connection: by name, and by any of its addresses", "[redis]") {
  Connected c;
  DnsRecord record;
  record.a = {"127.0.0.2", "127.0.0.1"};  // nobody listens on the first
  c.dns.set("cache.example", record);
  c.options.place = Connected::place("redis://cache.example:" + std::to_string(c.server.port()));
  c.run();
  CHECK(c.ups == 1);
}

TEST_CASE("redis_connection: a unix socket", "[redis]") {
  const ScratchDirectory directory;
  Connected c;
  const std::string path = (directory / "redis.sock").string();
  RedisServer server(c.loop, net::Address::unix_socket(path));
  c.options.place = Connected::place("unix:" + path + ":/2");
  c.run();
  CHECK(c.ups == 1);
  CHECK(server.commands() == std::vector<std::string>{"SELECT 2", "PING"});
  CHECK(c.connection->peer().to_string() == "unix:" + path);
}

TEST_CASE("redis_connection: who cannot be reached", "[redis]") {
  struct Case {
    std::string place;
    std::string part;
  };
  const Case cases[] = {
      {"redis://127.0.0.1:1", "connect_refused"},
      {"unix:/nowhere/redis.sock", "network_error: connect to unix:/nowhere/redis.sock"},
      {"redis://cache", "dns_not_found"},
      {"redis://cache", "names are asked for without search domains, write the whole name"},
      {"rediss://127.0.0.1:1", "connect_refused"},
  };
  for (const Case& each : cases) {
    CAPTURE(each.place);
    Connected c;
    c.options.place = Connected::place(each.place);
    const Error error = c.run_to_end();
    CHECK(error.reason == Reason::kStoreUnreachable);
    CHECK(has(error, each.part));
  }
  Connected c;
  c.options.place = Connected::place("rediss://127.0.0.1:" + std::to_string(c.server.port()));
  CHECK(has(c.run_to_end(), "no TLS client"));
}

TEST_CASE("redis_connection: a server that refuses", "[redis]") {
  struct Case {
    std::string command;
    std::string reply;
    Reason reason;
    std::string part;
  };
  const Case cases[] = {
      {"AUTH", "-WRONGPASS invalid username-password pair or user is disabled.", Reason::kStoreAuth, "WRONGPASS"},
      {"AUTH", "-ERR invalid password", Reason::kStoreAuth, "invalid password"},
      {"AUTH", "-ERR Client sent AUTH, but no password is set", Reason::kStoreAuth, "no password is set"},
      {"AUTH", "-ERR AUTH <password> called without any password configured", Reason::kStoreAuth, "without any"},
      // Texts that repeat what we have sent.
      {"AUTH", "-ERR unknown command 'AUTH', with args beginning with: 'user' 'SECRET'", Reason::kStoreAuth,
       "repeats the password"},
      {"AUTH", "-ERR unknown command `AUTH`, with args beginning with: `user`, `SECR", Reason::kStoreAuth, "unknown"},
      {"AUTH", "-ERR what is SECRET?", Reason::kStoreAuth, "repeats the password"},
      {"AUTH", "-ERR max number of clients reached", Reason::kStoreUnreachable, "max number of clients"},
      {"SELECT", "-ERR DB index is out of range", Reason::kStoreDenied, "out of range"},
      {"PING", "-NOAUTH Authentication required.", Reason::kStoreAuth, "give its user and password"},
      {"PING", "-NOPERM this user has no permissions", Reason::kStoreDenied, "NOPERM"},
      {"PING", "-DENIED Redis is running in protected mode", Reason::kStoreDenied, "protected mode"},
      {"PING", "-LOADING Redis is loading the dataset in memory", Reason::kStoreUnreachable, "LOADING"},
      {"PING", "-BUSY Redis is busy running a script.", Reason::kStoreUnreachable, "BUSY"},
      {"PING", "-MASTERDOWN Link with MASTER is down", Reason::kStoreUnreachable, "MASTERDOWN"},
      {"PING", "-MOVED 3999 127.0.0.1:6381", Reason::kStoreUnreachable, "Cluster is not supported"},
      {"PING", "-CLUSTERDOWN Hash slot not served", Reason::kStoreUnreachable, "Cluster is not supported"},
      {"PING", "+PANG", Reason::kStoreMalformed, "PING"},
      {"PING", "*257", Reason::kStoreMalformed, "257"},
      {"PING", "$1001\r\n" + std::string(1001, 'x'), Reason::kStoreMalformed, "1001"},
      {"PING", "HTTP/1.1 400 Bad Request", Reason::kStoreMalformed, "Protocol error"},
      {"ROLE", array({bulk("slave"), bulk("127.0.0.1"), ":1\r\n"}) + "+", Reason::kStoreUnreachable, "\"slave\""},
      {"ROLE", "-NOPERM no role", Reason::kStoreDenied, "NOPERM"},
      {"ROLE", "+master", Reason::kStoreUnreachable, "role"},
  };
  for (const Case& each : cases) {
    CAPTURE(each.command, each.reply);
    Connected c;
    c.options.place = Connected::place("redis://user:SECRET@127.0.0.1:" + std::to_string(c.server.port()) + "/1");
    c.options.must_be_master = true;
    c.server.answer = [&each](const Words& words) {
      return words[0] == each.command ? each.reply + "\r\n" : RedisServer::healthy(words);
    };
    const Error error = c.run_to_end();
    CHECK(token(error.reason) == token(each.reason));
    CHECK(has(error, each.part));
    CHECK(c.ups == 0);
  }
}

TEST_CASE("redis_connection: no name is no harm", "[redis]") {
  Connected c;
  c.options.name = "node";
  c.server.answer = [](const Words& words) {
    return words[0] == "CLIENT" ? "-NOPERM this user has no permissions\r\n" : RedisServer::healthy(words);
  };
  c.run();
  CHECK(c.ups == 1);
}

TEST_CASE("redis_connection: a server that cannot save can be read", "[redis]") {
  Connected c;
  c.server.answer = [](const Words& words) {
    return words[0] == "PING" ? "-MISCONF Redis is configured to save RDB snapshots\r\n"
                              : RedisServer::healthy(words);
  };
  c.run();
  CHECK(c.ups == 1);
}

TEST_CASE("redis_connection: a server's text is shown in part, and escaped", "[redis]") {
  Connected c;
  c.server.answer = [](const Words&) { return "-NOPERM \x1b[2J" + std::string(130, 'x') + "tail\r\n"; };
  const Error error = c.run_to_end();
  CHECK(has(error, "NOPERM \\x1b[2J"));
  CHECK_FALSE(has(error, "tail"));
  CHECK_FALSE(has(error, std::string(120, 'x')));
}

TEST_CASE("redis_connection: what closes", "[redis]") {
  SECTION("at once") {
    Connected c;
    c.server.close_after = "PING";
    c.server.answer = [](const Words&) { return ""; };
    const Error error = c.run_to_end();
    CHECK(error.reason == Reason::kStoreUnreachable);
    CHECK(has(error, "closed the connection without an answer; where it wants TLS, the place begins with rediss://"));
  }
  SECTION("in the midst of a reply") {
    Connected c;
    c.run();
    c.server.close_after = "GET";
    c.server.answer = [](const Words&) { return "$100\r\nabc"; };
    bool called = false;
    REQUIRE(c.connection->send({"GET", "x"}, [&called](const RedisReply&) { called = true; }));
    const Error error = c.wait_end();
    CHECK(error.reason == Reason::kStoreUnreachable);
    CHECK(has(error, "connection_reset"));
    CHECK_FALSE(called);
  }
  SECTION("while nothing is asked") {
    Connected c;
    c.run();
    c.server.close_all();
    CHECK(c.wait_end().reason == Reason::kStoreUnreachable);
  }
}

TEST_CASE("redis_connection: who hangs", "[redis]") {
  SECTION("before it is up") {
    Connected c;
    c.options.timeout = 1000;
    c.server.answer = [](const Words&) { return ""; };
    c.start();
    REQUIRE(c.loop.run_until([&] { return c.server.seen("PING") == 1; }, kPatience));
    c.clock.advance(1000);
    const Error error = c.wait_end();
    CHECK(error.reason == Reason::kStoreTimeout);
    CHECK(has(error, "no answer within 1000 ms, waiting for 127.0.0.1:"));
  }
  SECTION("its DNS server") {
    Connected c;
    DnsRecord record;
    record.silent = true;
    c.dns.set("cache.example", record);
    c.options.place = Connected::place("redis://cache.example");
    c.options.timeout = 1000;
    c.start();
    REQUIRE(c.loop.run_until([&] { return c.dns.asked() > 0; }, kPatience));
    c.clock.advance(1000);
    const Error error = c.wait_end();
    CHECK(error.reason == Reason::kStoreTimeout);
    CHECK(has(error, "resolving cache.example; asked 127.0.0.1:"));
  }
  SECTION("with one command of several") {
    Connected c;
    c.options.timeout = 5000;
    c.run();
    int replies = 0;
    c.server.answer = [](const Words& words) { return words[1] == "c" ? "" : bulk("x"); };
    for (const char* const key : {"a", "b", "c"}) {
      REQUIRE(c.connection->send({"GET", key}, [&replies](const RedisReply&) { ++replies; }));
    }
    REQUIRE(c.loop.run_until([&] { return replies == 2; }, kPatience));
    c.turns();
    CHECK(c.ends.empty());
    c.clock.advance(5000);
    CHECK(c.wait_end().reason == Reason::kStoreTimeout);
    CHECK(replies == 2);
  }
}

TEST_CASE("redis_connection: an idle connection has no deadline", "[redis]") {
  Connected c;
  c.options.timeout = 5000;
  c.run();
  c.server.answer = [](const Words&) { return bulk("x"); };
  for (int i = 0; i < 3; ++i) {
    c.clock.advance(3600000);
    c.turns();
    REQUIRE(c.ends.empty());
    CHECK(c.ask({"GET", "x"}) == "x");
  }
}

TEST_CASE("redis_connection: many commands at once, in order, in pieces", "[redis]") {
  Connected c;
  c.server.piece = 7;
  c.run();
  c.server.answer = [](const Words& words) { return bulk(words[1]); };
  std::vector<std::string> replies;
  for (int i = 0; i < 200; ++i) {
    REQUIRE(c.connection->send({"ECHO", std::to_string(i)},
                               [&replies](const RedisReply& reply) { replies.push_back(reply.text); }));
  }
  REQUIRE(c.loop.run_until([&] { return replies.size() == 200; }, kPatience));
  for (int i = 0; i < 200; ++i) {
    CHECK(replies[static_cast<std::size_t>(i)] == std::to_string(i));
  }
}

TEST_CASE("redis_connection: replies that nobody asked for", "[redis]") {
  SECTION("while nothing is asked") {
    Connected c;
    c.run();
    c.server.answer = [](const Words&) { return bulk("x") + "+extra\r\n"; };
    REQUIRE(c.connection->send({"GET", "x"}, [](const RedisReply&) {}));
    CHECK(c.wait_end().reason == Reason::kStoreMalformed);
  }
  SECTION("a greeting") {
    Connected c;
    c.server.greeting = "-DENIED go away\r\n";
    c.server.answer = [](const Words&) { return ""; };
    CHECK(c.run_to_end().reason == Reason::kStoreDenied);
  }
}

TEST_CASE("redis_connection: what waits is bounded", "[redis]") {
  Connected c;
  c.run();
  c.server.answer = [](const Words&) { return ""; };
  const std::string large(300000, 'x');
  int taken = 0;
  while (taken < 100 && c.connection->send({"SET", "k", large}, [](const RedisReply&) {})) {
    ++taken;
  }
  CHECK(taken >= 3);
  CHECK(taken <= 5);

  Connected d;
  d.run();
  d.server.answer = [](const Words&) { return ""; };
  std::size_t small = 0;
  while (small < 5000 && d.connection->send({"GET", "k"}, [](const RedisReply&) {})) {
    ++small;
  }
  CHECK(small == RedisConnection::kMostPending);
}

TEST_CASE("redis_connection: destroyed at any step, it says nothing and leaves nothing", "[redis]") {
  const long before = open_descriptors();
  {
    Connected c;
    DnsRecord record;
    record.a = {"127.0.0.1"};
    c.dns.set("cache.example", record);
    c.options.place = Connected::place("redis://cache.example:" + std::to_string(c.server.port()));
    c.run();
    REQUIRE(c.ups == 1);
    c.connection.reset();
    c.ups = 0;
    for (int steps = 0; steps < 40; ++steps) {
      c.start();
      for (int i = 0; i < steps && c.ups == 0; ++i) {
        c.loop.run_until([] { return true; }, 1);
      }
      c.connection.reset();
      c.turns();
      CHECK(c.ends.empty());
      c.ups = 0;
    }
    // From inside of its own events.
    c.at_up = [&c] { c.connection.reset(); };
    c.start();
    REQUIRE(c.loop.run_until([&] { return c.ups == 1; }, kPatience));
    c.at_up = nullptr;
    c.ups = 0;
    c.run();
    bool called = false;
    c.server.answer = [](const Words&) { return bulk("x") + bulk("y"); };
    REQUIRE(c.connection->send({"GET", "x"}, [&](const RedisReply&) {
      called = true;
      c.connection.reset();
    }));
    REQUIRE(c.loop.run_until([&] { return called; }, kPatience));
    c.turns();
    CHECK(c.ends.empty());
    REQUIRE(c.loop.run_until([&] { return c.server.open_connections() == 0; }, kPatience));
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("redis_connection: errors by their text", "[redis]") {
  struct Case {
    const char* text;
    Reason reason;
    bool writes_refused;
  };
  const Case cases[] = {
      {"READONLY You can't write against a read only replica.", Reason::kStoreDenied, true},
      {"OOM command not allowed when used memory > 'maxmemory'.", Reason::kStoreDenied, true},
      {"NOPERM this user has no permissions to run the 'hset' command", Reason::kStoreDenied, true},
      {"MISCONF Redis is configured to save RDB snapshots", Reason::kStoreDenied, true},
      {"NOREPLICAS Not enough good replicas to write.", Reason::kStoreDenied, true},
      {"ERR Error running script (call to f_x): @user_script:1: -READONLY You can't write", Reason::kStoreDenied,
       true},
      {"ERR Error running script (call to f_x): @user_script: 1: -OOM command not", Reason::kStoreDenied, true},
      {"The user executing the script can't run this command or subcommand", Reason::kStoreDenied, true},
      {"WRONGTYPE Operation against a key holding the wrong kind of value", Reason::kStoreDenied, false},
      {"ERR unknown command 'EVALSHA'", Reason::kStoreDenied, false},
      {"", Reason::kStoreDenied, false},
      {"NOAUTH Authentication required.", Reason::kStoreAuth, false},
      {"LOADING Redis is loading", Reason::kStoreUnreachable, false},
      {"ASK 1 127.0.0.1:1", Reason::kStoreUnreachable, false},
      {"CROSSSLOT Keys in request don't hash to the same slot", Reason::kStoreUnreachable, false},
  };
  for (const Case& each : cases) {
    CAPTURE(each.text);
    CHECK(token(net::redis_error(each.text).reason) == token(each.reason));
    CHECK(net::refuses_writes(each.text) == each.writes_refused);
  }
}
