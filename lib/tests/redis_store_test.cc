// The shared store against a fake server: what it makes of faults, and when it connects again. Its scripts run in
// redis_scripts_test.cc.
#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "net/redis_commands.h"
#include "net/redis_scripts.h"
#include "net/redis_sentinel.h"
#include "tests/fakes/dns_server.h"
#include "tests/fakes/redis_server.h"
#include "tests/fakes/stepped_loop.h"

using namespace ocsp_plus;
using namespace ocsp_plus::testing;
using net::SharedStore;
using State = net::SharedStore::State;
using Kind = net::SharedStore::Found::Kind;

namespace {

// Gives the least or the most that is asked for.
struct EdgeRandom : Random {
  std::uint64_t next() override { return value; }
  std::uint64_t value = 0;
};

CertificateId id_of(std::uint8_t number) {
  CertificateId id = {};
  id[0] = number;
  return id;
}

const char* text(State state) {
  switch (state) {
    case State::kConnecting:
      return "connecting";
    case State::kUp:
      return "up";
    case State::kReadOnly:
      return "read_only";
    case State::kDown:
      return "down";
  }
  return "";
}

// With virtual time: a time-out takes none.
struct Stored {
  SteppedLoop loop;
  DnsServer dns{loop};
  RedisServer server{loop};
  EdgeRandom random;
  std::unique_ptr<net::Resolver> resolver;
  net::SharedStoreOptions options;
  std::string states;  // "up down "
  std::unique_ptr<SharedStore> store;
  std::vector<std::unique_ptr<SharedStore::Query>> queries;

  Stored() {
    net::ResolverOptions of_dns;
    of_dns.servers = {dns.address()};
    resolver = net::Resolver::create(loop, loop.clock, of_dns).value();
    options.places = {net::RedisPlace::parse(server.place()).value()};
    options.prefix = "test";
    options.timeout = 1000;
    options.most_response = 65536;
  }

  static std::string healthy(const Words& words) {
    return words[0] == "EVALSHA" ? answer_to_script(words) : RedisServer::healthy(words);
  }
  static std::string answer_to_script(const Words& words) {
    return words[1] == net::kLookScript.sha1 ? array({array({bulk("l"), ":3\r\n"})}) : ":1\r\n";
  }

  void start() {
    store = SharedStore::create(loop, loop.clock, random, *resolver, options,
                                [this](State state) { states += text(state) + std::string(" "); });
    REQUIRE(states.empty());
    loop.settle();
  }

  SharedStore::Wanted wanted(int items = 1) const {
    SharedStore::Wanted made;
    made.host = "ocsp.example:80";
    for (int i = 0; i < items; ++i) {
      made.items.emplace_back();
      made.items.back().id = id_of(static_cast<std::uint8_t>(i));
    }
    made.leases = 1;
    made.lease_time = 12000;
    made.most_begun = 64;
    return made;
  }

  using Looked = std::optional<Result<std::vector<SharedStore::Found>>>;
  std::shared_ptr<Looked> look(int items = 1) {
    auto looked = std::make_shared<Looked>();
    queries.push_back(store->look(wanted(items), [looked](auto result) { *looked = std::move(result); }));
    REQUIRE_FALSE(looked->has_value());
    return looked;
  }
  // The token of a look's failure; "ok".
  std::string looks(int items = 1) {
    const auto looked = look(items);
    loop.settle();
    REQUIRE(looked->has_value());
    return **looked ? "ok" : std::string(token((*looked)->error().reason));
  }
  std::string last_error() const {
    const auto error = store->status().last_error;
    return error ? std::string(token(error->reason)) + ": " + error->detail : "";
  }
  // How long it takes until the server is connected to again, in steps of 100 ms.
  Millis reconnects_after(Millis most = 120000) {
    const int before = server.accepted();
    Millis waited = 0;
    while (server.accepted() == before && waited < most) {
      loop.pass(100, 100);
      waited += 100;
    }
    return waited;
  }
};

bool has(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("redis_store: up, and what it sends", "[redis]") {
  Stored s;
  s.options.user = "node";
  s.options.password = "SECRET";
  s.server.answer = Stored::healthy;
  s.start();
  CHECK(s.states == "up ");
  CHECK(s.store->up());
  CHECK(s.store->status().place == s.server.place());
  CHECK(s.server.commands() == std::vector<std::string>{"AUTH node SECRET", "CLIENT SETNAME ocsp_plus", "PING"});

  const auto looked = s.look();
  s.loop.settle();
  REQUIRE(looked->has_value());
  REQUIRE(looked->value().has_value());
  REQUIRE(looked->value()->size() == 1);
  CHECK(looked->value()->front().kind == Kind::kLease);
  CHECK(looked->value()->front().failures == 3);
  CHECK(has(s.server.commands().back(),
            "EVALSHA " + std::string(net::kLookScript.sha1) + " 2 {test}:1:f:ocsp.example:80 {test}:1:c:00000000"));
  CHECK(s.store->tally().commands == 1);
  CHECK(s.store->tally().sent > 0);
  CHECK(s.store->tally().received > 0);
}

TEST_CASE("redis_store: a place's own user goes before that of all", "[redis]") {
  Stored s;
  s.options.user = "node";
  s.options.password = "SECRET";
  s.options.places[0].password = "own";
  s.start();
  CHECK(s.server.commands().front() == "AUTH own");
  CHECK_FALSE(has(s.store->status().place, "own"));
}

TEST_CASE("redis_store: a script that the server does not know", "[redis]") {
  Stored s;
  s.server.answer = [](const Words& words) {
    return words[0] == "EVALSHA" ? "-NOSCRIPT No matching script. Please use EVAL.\r\n"
           : words[0] == "EVAL"  ? array({array({bulk("-")})})
                                 : RedisServer::healthy(words);
  };
  s.start();
  CHECK(s.looks() == "ok");
  CHECK(has(s.server.commands().back(), "EVAL -- Looks for"));
  CHECK(s.states == "up ");
}

TEST_CASE("redis_store: while it is down it fails at once, from the loop", "[redis]") {
  Stored s;
  s.options.places = {net::RedisPlace::parse("redis://127.0.0.1:1").value()};
  s.store = SharedStore::create(s.loop, s.loop.clock, s.random, *s.resolver, s.options, nullptr);
  CHECK(s.store->status().state == State::kConnecting);
  const auto looked = s.look();
  s.loop.turn();
  s.loop.settle();
  REQUIRE(looked->has_value());
  CHECK(token((*looked)->error().reason) == "store_unreachable");
  CHECK(s.store->status().state == State::kDown);
  CHECK(has(s.last_error(), "store_unreachable: redis://127.0.0.1:1: connect_refused"));
  CHECK(s.looks() == "store_unreachable");
  std::optional<Reason> published;
  std::optional<Reason> settled;
  std::optional<Reason> news;
  SharedStore::Publication publication;
  publication.response = {1};
  const auto a = s.store->publish(publication, [&](auto result) { published = result.error().reason; });
  const auto b = s.store->settle({}, [&](auto result) { settled = result.error().reason; });
  const auto c = s.store->news([&](auto result) { news = result.error().reason; });
  CHECK_FALSE((published || settled || news));
  s.loop.settle();
  CHECK(published == Reason::kStoreUnreachable);
  CHECK(settled == Reason::kStoreUnreachable);
  CHECK(news == Reason::kStoreUnreachable);
}

TEST_CASE("redis_store: places are tried in their order", "[redis]") {
  Stored s;
  RedisServer second(s.loop);
  s.options.places = {net::RedisPlace::parse("redis://127.0.0.1:1").value(),
                      net::RedisPlace::parse(second.place()).value(),
                      net::RedisPlace::parse(s.server.place()).value()};
  s.start();
  CHECK(s.states == "up ");
  CHECK(s.store->status().place == second.place());
  CHECK(s.server.accepted() == 0);
}

TEST_CASE("redis_store: longer and longer pauses, at random", "[redis]") {
  // Half a second is the least of each pause; one millisecond more than the most is the least again.
  for (const Millis beyond : {0, 1}) {
    Stored s;
    s.options.places = {net::RedisPlace::parse("redis://127.0.0.1:1").value()};
    Millis pause = 0;
    for (const Millis most : {1000, 2000, 4000, 8000, 16000, 30000, 30000}) {
      CAPTURE(beyond, most);
      s.random.value = static_cast<std::uint64_t>(most - 500 + beyond);
      if (s.store == nullptr) {
        s.start();
      } else {
        s.loop.pass(pause, pause);
      }
      pause = s.store->status().next_attempt - s.loop.clock.monotonic();
      CHECK(pause == (beyond == 0 ? most : 500));
    }
    CHECK(s.states == "down ");  // said once
  }
}

TEST_CASE("redis_store: a server that comes back is used again, and the pauses begin anew", "[redis]") {
  Stored s;
  s.server.answer = Stored::healthy;
  s.random.value = 1500;  // 998 ms of the first pause's second, all of the next one's two
  s.start();
  for (int i = 0; i < 4; ++i) {
    s.loop.pass(31000, 1000);
    s.states.clear();
    s.server.close_all();
    s.loop.settle();
    CHECK(s.states == "down ");
    CHECK(s.store->status().next_attempt == s.loop.clock.monotonic() + 998);
    CHECK(s.reconnects_after() == 1000);
    CHECK(s.states == "down up ");
    CHECK(s.looks() == "ok");
  }
  CHECK(has(s.last_error(), "closed the connection"));
  // One that does not last does not count.
  s.server.close_all();
  s.loop.settle();
  CHECK(s.store->status().next_attempt == s.loop.clock.monotonic() + 2000);
}

TEST_CASE("redis_store: who hangs is down after the time-out, and three times means half a minute", "[redis]") {
  Stored s;
  bool hangs = false;
  s.server.answer = [&hangs](const Words& words) { return hangs ? "" : Stored::healthy(words); };
  s.start();
  for (int i = 1; i <= 4; ++i) {
    CAPTURE(i);
    hangs = true;
    const auto looked = s.look();
    const auto also = s.look();
    s.loop.pass(900, 100);
    CHECK_FALSE(looked->has_value());
    s.loop.pass(100, 100);
    REQUIRE(looked->has_value());
    REQUIRE(also->has_value());
    CHECK(token((*looked)->error().reason) == "store_timeout");
    CHECK(token((*also)->error().reason) == "store_timeout");
    CHECK(s.store->status().state == State::kDown);
    CHECK(has(s.last_error(), "store_timeout: " + s.server.place() + ": no answer within 1000 ms"));
    CHECK(s.looks() == "store_timeout");
    hangs = false;
    const Millis pause = s.reconnects_after();
    CHECK((pause >= 30000) == (i >= 3));
    CHECK(s.store->up());
  }
  // Ten minutes later that is forgotten.
  s.loop.pass(700000, 10000);
  hangs = true;
  s.look();
  s.loop.pass(1000, 100);
  CHECK(s.store->status().state == State::kDown);
  hangs = false;
  CHECK(s.reconnects_after() == 500);
}

TEST_CASE("redis_store: who answers too late does not count as up", "[redis]") {
  Stored s;
  s.server.answer = [](const Words&) { return ""; };
  s.start();
  CHECK(s.states.empty());
  CHECK(s.store->status().state == State::kConnecting);
  s.loop.pass(1000, 100);
  CHECK(s.states == "down ");
  CHECK(has(s.last_error(), "store_timeout"));
}

TEST_CASE("redis_store: answers that are none", "[redis]") {
  const std::string cases[] = {
      "+OK\r\n",
      ":1\r\n",
      "$-1\r\n",
      "*0\r\n",
      array({array({bulk("l"), ":0\r\n"}), array({bulk("l"), ":0\r\n"})}),
      array({"*0\r\n"}),
      array({bulk("l")}),
      array({array({bulk("?")})}),
      array({array({bulk("ll")})}),
      "*100000000\r\n",
      "$2000000000\r\n" + std::string(1100000, 'x'),
      array({array({bulk("r"), bulk(std::string(65537, 'x'))})}),
      "garbage\r\n",
  };
  for (const std::string& reply : cases) {
    CAPTURE(reply.substr(0, 60));
    Stored s;
    s.server.answer = [&reply](const Words& words) {
      return words[0] == "EVALSHA" ? reply : RedisServer::healthy(words);
    };
    s.start();
    CHECK(s.looks() == "store_malformed");
    CHECK(s.states == "up down ");
    CHECK(has(s.last_error(), "store_malformed: " + s.server.place()));
  }
}

TEST_CASE("redis_store: odd values within right answers are bounded", "[redis]") {
  Stored s;
  s.server.answer = [](const Words& words) {
    return words[0] != "EVALSHA"
               ? RedisServer::healthy(words)
               : array({array({bulk("a"), ":-5\r\n"}), array({bulk("a"), ":9223372036854775807\r\n"}),
                        array({bulk("n"), bulk("x"), ":-1\r\n"}), array({bulk("n"), ":5\r\n"}),
                        array({bulk("l"), ":9999\r\n"}), array({bulk("r")}), array({bulk("x")})});
  };
  s.start();
  const auto looked = s.look(7);
  s.loop.settle();
  REQUIRE(looked->value().has_value());
  const auto& found = *looked->value();
  CHECK(found[0].wait == 1);
  CHECK(found[1].wait == Millis{8} * 24 * 3600 * 1000);
  CHECK(found[2].wait == 1);
  CHECK(found[2].failures == 0);
  CHECK(found[3].wait == 5);
  CHECK(found[4].failures == 99);
  CHECK(found[5].kind == Kind::kResponse);
  CHECK(found[5].response.empty());
  CHECK(found[6].kind == Kind::kNoWrites);
  CHECK(s.states == "up ");
}

TEST_CASE("redis_store: errors instead of answers", "[redis]") {
  struct Case {
    const char* reply;
    const char* reason;
    const char* states;
  };
  const Case cases[] = {
      {"-NOPERM this user has no permissions to run the 'evalsha' command", "store_denied", "up down "},
      {"-NOPERM this user has no permissions to access one of the keys used as arguments", "store_denied",
       "up down "},
      {"-ERR unknown command 'EVALSHA'", "store_denied", "up down "},
      {"-ERR user_script:1: attempt to index a nil value", "store_denied", "up down "},
      {"-OOM command not allowed when used memory > 'maxmemory'.", "store_denied", "up read_only "},
      {"-READONLY You can't write against a read only replica.", "store_denied", "up read_only "},
      {"-WRONGTYPE Operation against a key holding the wrong kind of value", "store_denied", "up "},
      {"-MOVED 3999 127.0.0.1:6381", "store_unreachable", "up down "},
      {"-ASK 3999 127.0.0.1:6381", "store_unreachable", "up down "},
      {"-CLUSTERDOWN The cluster is down", "store_unreachable", "up down "},
      {"-LOADING Redis is loading the dataset in memory", "store_unreachable", "up down "},
      {"-NOAUTH Authentication required.", "store_auth", "up down "},
  };
  for (const Case& each : cases) {
    CAPTURE(each.reply);
    Stored s;
    s.server.answer = [&each](const Words& words) {
      return words[0] == "EVALSHA" ? each.reply + std::string("\r\n") : RedisServer::healthy(words);
    };
    s.start();
    CHECK(s.looks() == each.reason);
    CHECK(s.states == each.states);
  }
}

TEST_CASE("redis_store: a write that was refused makes it read only, and one that was not up again", "[redis]") {
  Stored s;
  std::string reply = array({array({bulk("x"), bulk("OOM command not allowed when used memory > 'maxmemory'.")})});
  s.server.answer = [&reply](const Words& words) {
    return words[0] == "EVALSHA" ? reply : RedisServer::healthy(words);
  };
  s.start();
  CHECK(s.looks() == "ok");
  CHECK(s.states == "up read_only ");
  CHECK(s.store->up());
  CHECK(has(s.last_error(), "store_denied: " + s.server.place() + ": the server says \"OOM command"));
  reply = array({array({bulk("-")})});
  CHECK(s.looks() == "ok");
  CHECK(s.states == "up read_only ");
  reply = array({array({bulk("l"), ":0\r\n"})});
  CHECK(s.looks() == "ok");
  CHECK(s.states == "up read_only up ");
}

TEST_CASE("redis_store: cancelled and destroyed in any order", "[redis]") {
  Stored s;
  bool hangs = false;
  s.server.answer = [&hangs](const Words& words) { return hangs ? "" : Stored::healthy(words); };
  s.start();
  const auto cancelled = s.look();
  s.queries.clear();
  CHECK(s.looks() == "ok");
  CHECK_FALSE(cancelled->has_value());

  // The store first, then its queries.
  const auto orphan = s.look();
  s.store.reset();
  s.loop.settle();
  s.queries.clear();
  CHECK_FALSE(orphan->has_value());

  // By its own callbacks: of an answer, and of a failure.
  for (const bool fails : {false, true}) {
    s.states.clear();
    hangs = false;
    s.start();
    REQUIRE(s.store->up());
    hangs = fails;
    int calls = 0;
    std::vector<std::unique_ptr<SharedStore::Query>> queries;
    for (int i = 0; i < 3; ++i) {
      queries.push_back(s.store->look(s.wanted(), [&](auto) {
        ++calls;
        s.store.reset();
      }));
    }
    s.loop.pass(1000, 100);
    CHECK(calls == 1);
    CHECK(s.store == nullptr);
    queries.clear();
    s.loop.settle();
  }
}

TEST_CASE("redis_store: what is too large is not published", "[redis]") {
  Stored s;
  s.server.answer = Stored::healthy;
  s.start();
  for (const std::size_t size : {std::size_t{0}, std::size_t{65536}, std::size_t{65537}}) {
    SharedStore::Publication publication;
    publication.response.resize(size);
    std::optional<Result<SharedStore::Published>> published;
    const auto query = s.store->publish(publication, [&](auto result) { published = std::move(result); });
    s.loop.settle();
    REQUIRE(published);
    CHECK(published->has_value() == (size == 65536));
  }
}

TEST_CASE("redis_store: too much at once fails, and the rest goes on", "[redis]") {
  Stored s;
  s.server.answer = Stored::healthy;
  s.start();
  std::vector<std::shared_ptr<Stored::Looked>> all;
  for (int i = 0; i < 1500; ++i) {
    all.push_back(s.look());
  }
  // So many bytes take the kernel a moment, in which nothing is ready.
  const SystemClock clock;
  const Millis deadline = clock.monotonic() + 20000;
  const auto answered = [&all] {
    return std::all_of(all.begin(), all.end(), [](const auto& each) { return each->has_value(); });
  };
  while (!answered() && clock.monotonic() < deadline) {
    s.loop.turn();
  }
  REQUIRE(answered());
  CHECK(std::count_if(all.begin(), all.end(), [](const auto& each) { return (*each)->has_value(); }) == 1024);
  CHECK(s.states == "up ");
}

TEST_CASE("redis_store: prefixes", "[redis]") {
  for (const char* const each : {"ocsp_plus", "a", "A-1.b_2"}) {
    CHECK(SharedStore::is_prefix(each));
  }
  for (const std::string& each :
       {std::string(), std::string("{a}"), std::string("a}"), std::string("a:b"), std::string("a b"),
        std::string("a*"), std::string("\xc3\xa4"), std::string("a\0", 2), std::string(65, 'a')}) {
    CAPTURE(each);
    CHECK_FALSE(SharedStore::is_prefix(each));
  }
}

// --- Sentinel ---

namespace {

std::string master_at(std::uint16_t port, const std::string& host = "127.0.0.1") {
  return array({bulk(host), bulk(std::to_string(port))});
}

struct Sentinels : Stored {
  RedisServer sentinel{loop};
  RedisServer other{loop};

  Sentinels() {
    options.sentinel = "mymaster";
    options.places = {place(sentinel), place(other)};
    sentinel.answer = other.answer = [this](const Words& words) {
      return words[0] == "SENTINEL" ? master_at(server.port()) : RedisServer::healthy(words);
    };
    server.answer = Stored::healthy;
  }
  static net::RedisPlace place(const RedisServer& at) { return net::RedisPlace::parse(at.place()).value(); }
  void says(RedisServer& who, const std::string& reply) {
    who.answer = [reply](const Words& words) { return words[0] == "SENTINEL" ? reply : RedisServer::healthy(words); };
  }
};

}  // namespace

TEST_CASE("redis_sentinel: it names the master", "[redis]") {
  Sentinels s;
  s.options.user = "node";
  s.options.password = "SECRET";
  s.options.places[0].password = "of the sentinel";
  s.options.places[0].database = 4;
  s.start();
  CHECK(s.states == "up ");
  CHECK(s.store->status().place == s.server.place() + "/4");
  CHECK(s.sentinel.commands() == std::vector<std::string>{"AUTH of the sentinel", "CLIENT SETNAME ocsp_plus", "PING",
                                                          "SENTINEL get-master-addr-by-name mymaster"});
  CHECK(s.server.commands() ==
        std::vector<std::string>{"AUTH node SECRET", "SELECT 4", "CLIENT SETNAME ocsp_plus", "ROLE", "PING"});
  CHECK(s.sentinel.open_connections() == 0);
  CHECK(s.other.accepted() == 0);
}

TEST_CASE("redis_sentinel: the next one is asked where one is of no use", "[redis]") {
  const std::pair<const char*, std::string> cases[] = {
      {"knows no such master", "*-1\r\n"},
      {"knows no such master either", "$-1\r\n"},
      {"is none", "-ERR unknown command 'SENTINEL'\r\n"},
      {"gives a name without a port", array({bulk("127.0.0.1")})},
      {"gives what is no port", array({bulk("127.0.0.1"), bulk("x")})},
      {"gives what is no host", array({bulk("a b"), bulk("6379")})},
      {"gives nothing", array({bulk(""), bulk("6379")})},
      {"gives another place", array({bulk("user:pass@127.0.0.1"), bulk("6379")})},
      {"gives another place for a port", array({bulk("::1"), bulk("63@127.0.0.1")})},
      {"gives a database", array({bulk("127.0.0.1"), bulk("6379/3")})},
      {"gives a master that is dead", master_at(1)},
      {"answers with a text", bulk("127.0.0.1:6379")},
  };
  for (const auto& [what, reply] : cases) {
    CAPTURE(what);
    Sentinels s;
    s.says(s.sentinel, reply);
    s.start();
    CHECK(s.states == "up ");
    CHECK(s.other.seen("SENTINEL get-master-addr-by-name mymaster") == 1);
  }
}

TEST_CASE("redis_sentinel: whom it names has to be a master", "[redis]") {
  Sentinels s;
  s.server.answer = [](const Words& words) {
    return words[0] == "ROLE" ? array({bulk("slave"), bulk("10.0.0.1"), ":6379\r\n", bulk("connected"), ":1\r\n"})
                              : Stored::healthy(words);
  };
  s.start();
  CHECK(s.states == "down ");
  CHECK(has(s.last_error(), "store_unreachable: " + s.server.place() + ": its role is \"slave\""));
  s.server.answer = Stored::healthy;
  s.loop.pass(500, 100);
  CHECK(s.states == "down up ");
}

TEST_CASE("redis_sentinel: a failover in mid-traffic", "[redis]") {
  Sentinels s;
  RedisServer promoted(s.loop);
  promoted.answer = Stored::healthy;
  s.start();
  REQUIRE(s.states == "up ");
  s.server.answer = [](const Words& words) {
    return words[0] == "EVALSHA"
               ? array({array({bulk("x"), bulk("READONLY You can't write against a read only replica.")})})
               : Stored::healthy(words);
  };
  s.says(s.sentinel, master_at(promoted.port()));
  CHECK(s.looks() == "ok");
  CHECK(s.states == "up down ");
  CHECK(has(s.last_error(), "no master any more"));
  s.loop.pass(500, 100);
  CHECK(s.states == "up down up ");
  CHECK(s.store->status().place == promoted.place());
  CHECK(s.looks() == "ok");
}

TEST_CASE("redis_sentinel: what it says is judged by where it says it", "[redis]") {
  struct Case {
    const char* host;
    const char* peer;
    const char* master;  // nullptr: refused
  };
  const Case cases[] = {
      {"10.0.0.7", "10.0.0.9", "redis://10.0.0.7:6379"},
      {"redis-0.redis.svc.cluster.local", "10.0.0.9", "redis://redis-0.redis.svc.cluster.local:6379"},
      {"2001:db8::7", "2001:db8::9", "redis://[2001:db8::7]:6379"},
      {"127.0.0.1", "127.0.0.1", "redis://127.0.0.1:6379"},
      {"127.0.0.1", "::1", "redis://127.0.0.1:6379"},
      {"127.0.0.1", "10.0.0.9", nullptr},
      {"127.8.8.8", "10.0.0.9", nullptr},
      {"0.0.0.0", "10.0.0.9", nullptr},
      {"::1", "2001:db8::9", nullptr},
      {"::ffff:127.0.0.1", "10.0.0.9", nullptr},
      {"localhost", "10.0.0.9", nullptr},
      {"a.LOCALHOST", "10.0.0.9", nullptr},
  };
  for (const Case& each : cases) {
    CAPTURE(each.host, each.peer);
    net::RedisReply reply;
    reply.kind = net::RedisReply::Kind::kArray;
    reply.elements.resize(2);
    reply.elements[0].text = each.host;
    reply.elements[1].text = "6379";
    const auto master = net::read_master(reply, "mymaster", net::RedisPlace::parse("redis://sentinel").value(),
                                         net::Address::literal(each.peer, 26379));
    REQUIRE(master.has_value() == (each.master != nullptr));
    if (master) {
      CHECK(master->to_string() == each.master);
    } else {
      CHECK(master.error().reason == Reason::kStoreUnreachable);
      CHECK(has(master.error().detail, "sentinel announce-ip"));
      CHECK(has(master.error().detail, each.host));
    }
  }
  net::RedisReply nil;
  const auto none = net::read_master(nil, "mymaster", {}, {});
  REQUIRE_FALSE(none);
  CHECK(has(none.error().detail, "\"mymaster\""));
  CHECK(has(none.error().detail, "sentinel monitor"));
}
