// The shared store's scripts in a real server, redis-server or valkey-server, whichever is installed.
#include <signal.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "net/redis_commands.h"
#include "net/redis_connection.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/redis_process.h"

using namespace ocsp_plus;
using namespace ocsp_plus::testing;
using net::SharedStore;
using State = net::SharedStore::State;
using Kind = net::SharedStore::Found::Kind;

namespace {

using Words = std::vector<std::string>;

constexpr Millis kPatience = 20000;

// What a node's user needs, no more. The documentation has the same line, for the prefix ocsp_plus.
const std::string kAcl =
    "resetchannels ~{ocsp_plus}:1:* -@all +evalsha +eval +time +hstrlen +hget +hmget +hset +hdel +del +pttl +pexpire "
    "+zcount +zadd +zrem +zremrangebyscore +xadd +xread +xrevrange +ping +select +role +client|setname";

struct CountingRandom : Random {
  explicit CountingRandom(std::uint64_t seed) : value(seed) {}
  std::uint64_t next() override { return value += 0x9e3779b97f4a7c15; }
  std::uint64_t value;
};

CertificateId id_of(std::uint8_t number) {
  CertificateId id = {};
  id[0] = number;
  id[31] = 7;
  return id;
}

Bytes bytes(const std::string& text) {
  return ByteView(text).copy();
}

// One node of several.
struct Node {
  ShiftedClock clock;
  PollLoop loop{clock};
  CountingRandom random;
  std::unique_ptr<net::Resolver> resolver;
  net::SharedStoreOptions options;
  std::string states;
  std::unique_ptr<SharedStore> store;
  std::unique_ptr<SharedStore::Query> ignored;

  explicit Node(const std::string& place, std::uint64_t seed = 1) : random(seed) {
    net::ResolverOptions none;
    none.servers = {"127.0.0.1:1"};
    resolver = net::Resolver::create(loop, clock, none).value();
    options.places = {net::RedisPlace::parse(place).value()};
    options.prefix = "ocsp_plus";
    options.timeout = kPatience;
    options.most_response = 256 * 1024;
  }
  void start() {
    store = SharedStore::create(loop, clock, random, *resolver, options, [this](State state) {
      static const char* const kNames[] = {"connecting ", "up ", "read_only ", "down "};
      states += kNames[static_cast<int>(state)];
    });
    REQUIRE(loop.run_until([this] { return !states.empty(); }, kPatience));
  }
  void start_up() {
    start();
    const auto error = store->status().last_error;
    INFO((error ? error->detail : ""));
    REQUIRE(states == "up ");
  }

  template <typename T, typename Start>
  Result<T> wait_for(const Start& start_query) {
    std::optional<Result<T>> result;
    const auto query = start_query([&result](Result<T> each) { result = std::move(each); });
    REQUIRE(loop.run_until([&result] { return result.has_value(); }, 2 * kPatience));
    return *result;
  }
  Result<std::vector<SharedStore::Found>> look(const SharedStore::Wanted& wanted) {
    return wait_for<std::vector<SharedStore::Found>>(
        [&](auto callback) { return store->look(wanted, std::move(callback)); });
  }
  // A look whose outcome does not matter.
  void look_failing(const CertificateId& id) {
    ignored = store->look(wanted({id}), [](auto) {});
  }
  Result<SharedStore::Published> publish(const SharedStore::Publication& publication) {
    return wait_for<SharedStore::Published>(
        [&](auto callback) { return store->publish(publication, std::move(callback)); });
  }
  Result<bool> settle(const SharedStore::Settlement& settlement) {
    return wait_for<bool>([&](auto callback) { return store->settle(settlement, std::move(callback)); });
  }
  Result<std::vector<SharedStore::News>> news() {
    return wait_for<std::vector<SharedStore::News>>([&](auto callback) { return store->news(std::move(callback)); });
  }

  static SharedStore::Wanted wanted(const std::vector<CertificateId>& ids, unsigned leases = 64) {
    SharedStore::Wanted made;
    made.host = "ocsp.example:80";
    for (const CertificateId& id : ids) {
      made.items.emplace_back();
      made.items.back().id = id;
    }
    made.leases = leases;
    made.lease_time = 12000;
    made.most_begun = 64;
    return made;
  }
  // Looks for one certificate. The result has to be there.
  SharedStore::Found look_for(const CertificateId& id, unsigned lease = 0, bool past_note = false,
                              std::optional<net::Sha1> known = std::nullopt, unsigned leases = 1) {
    SharedStore::Wanted made = wanted({id}, leases);
    made.items[0].lease = lease;
    made.items[0].past_note = past_note;
    made.items[0].known = known;
    const auto found = look(made);
    REQUIRE(found);
    REQUIRE(found->size() == 1);
    return found->front();
  }
  SharedStore::Published put(const CertificateId& id, const std::string& response,
                             std::optional<net::Sha1> replaces = std::nullopt,
                             std::optional<SharedStore::Lease> lease = std::nullopt) {
    SharedStore::Publication made;
    made.id = id;
    made.host = "ocsp.example:80";
    made.lease = std::move(lease);
    made.response = bytes(response);
    made.keep = 3600000;
    made.replaces = replaces;
    const auto published = publish(made);
    REQUIRE(published);
    return *published;
  }
  bool settle(const CertificateId& id, const SharedStore::Lease& lease, Millis wait, bool failed) {
    SharedStore::Settlement made;
    made.id = id;
    made.host = "ocsp.example:80";
    made.lease = lease;
    made.wait = wait;
    made.failed = failed;
    const auto settled = settle(made);
    REQUIRE(settled);
    return *settled;
  }
};

// A server and two nodes that are connected to it.
struct TwoNodes {
  const RedisProcess redis;
  Node a{redis.place(), 1};
  Node b{redis.place(), 2};

  TwoNodes() {
    a.start_up();
    b.start_up();
  }
};

net::Sha1 sha1_of(const RedisProcess& redis, const std::string& response) {
  return parse_hex<net::Sha1>(redis.sha1(response)).value();
}

std::string key_of(const CertificateId& id) {
  return net::RedisKeys{"ocsp_plus"}.certificate(id);
}

const CertificateId kId = id_of(1);

}  // namespace

TEST_CASE("redis scripts: one node gets the lease, the others its response", "[redis]") {
  if (RedisProcess::missing()) {
    return;
  }
  TwoNodes nodes;
  auto& [redis, a, b] = nodes;

  const auto leased = a.look_for(kId);
  REQUIRE(leased.kind == Kind::kLease);
  CHECK(leased.failures == 0);
  const auto elsewhere = b.look_for(kId);
  REQUIRE(elsewhere.kind == Kind::kElsewhere);
  CHECK(elsewhere.wait > 0);
  CHECK(elsewhere.wait <= 12000);
  CHECK(redis.text({"ZCARD", "{ocsp_plus}:1:f:ocsp.example:80"}) == "1");
  // The lease keeps the key, and nothing else does.
  const long ttl = std::atol(redis.text({"PTTL", key_of(kId)}).c_str());
  CHECK(ttl > 0);
  CHECK(ttl <= 12000);

  CHECK(a.put(kId, "first", std::nullopt, leased.lease).stored);
  CHECK(redis.text({"HGET", key_of(kId), "r"}) == "first");
  CHECK(redis.text({"HLEN", key_of(kId)}) == "1");  // no lease any more
  CHECK(redis.text({"ZCARD", "{ocsp_plus}:1:f:ocsp.example:80"}) == "0");
  const long kept = std::atol(redis.text({"PTTL", key_of(kId)}).c_str());
  CHECK(kept > 3500000);
  CHECK(kept <= 3600000);

  const auto response = b.look_for(kId);
  CHECK(response.kind == Kind::kResponse);
  CHECK(response.response == bytes("first"));
  // Who knows it gets the next lease instead, if it wants one.
  CHECK(b.look_for(kId, 0, false, sha1_of(redis, "first"), 0).kind == Kind::kNothing);
  CHECK(b.look_for(kId, 0, false, sha1_of(redis, "other"), 0).kind == Kind::kResponse);
  const auto next = b.look_for(kId, 0, false, sha1_of(redis, "first"));
  CHECK(next.kind == Kind::kLease);
  CHECK(b.settle(kId, next.lease, 0, false));
}

TEST_CASE("redis scripts: a lease ends by the server's clock", "[redis]") {
  if (RedisProcess::missing()) {
    return;
  }
  TwoNodes nodes;
  auto& [redis, a, b] = nodes;
  const auto server_now = [&redis = nodes.redis] {
    const auto time = redis.ask({"TIME"});
    return std::atoll(time.elements.at(0).text.c_str()) * 1000 + std::atoll(time.elements.at(1).text.c_str()) / 1000;
  };
  const long long before = server_now();
  REQUIRE(a.look_for(kId).kind == Kind::kLease);
  const std::string value = redis.text({"HGET", key_of(kId), "l"});
  CHECK(std::atoll(value.c_str()) >= before + 12000);
  CHECK(std::atoll(value.c_str()) <= server_now() + 12000);
  // A node's clock does not matter.
  b.clock.advance(24 * 3600 * 1000);
  CHECK(b.look_for(kId).kind == Kind::kElsewhere);

  SharedStore::Wanted brief = Node::wanted({id_of(2)});
  brief.lease_time = 20;
  const auto first = a.look(brief);
  REQUIRE(first->front().kind == Kind::kLease);
  Kind kind = Kind::kElsewhere;
  SharedStore::Lease second;
  for (int i = 0; i < 2000 && kind != Kind::kLease; ++i) {
    const auto found = b.look(brief);
    kind = found->front().kind;
    second = found->front().lease;
  }
  CHECK(kind == Kind::kLease);
  // The first holder has lost it: it neither leaves a note nor takes the lease from the second.
  redis.ask({"HSET", key_of(id_of(2)), "l", std::to_string(server_now() + 60000) + " " + second.token});
  CHECK_FALSE(a.settle(id_of(2), first->front().lease, 5000, true));
  CHECK(b.look_for(id_of(2)).kind == Kind::kElsewhere);
  CHECK(b.settle(id_of(2), second, 5000, true));
  CHECK(a.look_for(id_of(2)).kind == Kind::kNote);
}

TEST_CASE("redis scripts: higher leases do not wait for lower ones", "[redis]") {
  if (RedisProcess::missing()) {
    return;
  }
  const RedisProcess redis;
  Node a(redis.place());
  a.start_up();
  CHECK(a.look_for(kId, 0).kind == Kind::kLease);
  CHECK(a.look_for(kId, 0).kind == Kind::kElsewhere);
  const auto other = a.look_for(kId, 5);
  CHECK(other.kind == Kind::kLease);
  CHECK(other.lease.number == 5);
  CHECK(a.look_for(kId, 5).kind == Kind::kElsewhere);
  CHECK(redis.ask({"HEXISTS", key_of(kId), "l5"}).integer == 1);
  // A response ends all of them.
  CHECK(a.put(kId, "response", std::nullopt, other.lease).stored);
  CHECK(redis.text({"HLEN", key_of(kId)}) == "1");
}

TEST_CASE("redis scripts: a note counts failures, for whichever lease", "[redis]") {
  if (RedisProcess::missing()) {
    return;
  }
  TwoNodes nodes;
  auto& [redis, a, b] = nodes;
  auto lease = a.look_for(kId).lease;
  CHECK(a.settle(kId, lease, 60000, true));
  CHECK(redis.text({"HEXISTS", key_of(kId), "l"}) == "0");
  CHECK(redis.text({"ZCARD", "{ocsp_plus}:1:f:ocsp.example:80"}) == "0");
  // Longer than the note lasts, so that the count is there for who asks next.
  CHECK(std::atol(redis.text({"PTTL", key_of(kId)}).c_str()) > 120000);
  for (const unsigned number : {0u, 1u, 9u}) {
    const auto note = b.look_for(kId, number);
    CHECK(note.kind == Kind::kNote);
    CHECK(note.wait > 0);
    CHECK(note.wait <= 60000);
    CHECK(note.failures == 1);
  }
  const auto past = b.look_for(kId, 1, true);
  REQUIRE(past.kind == Kind::kLease);
  CHECK(past.failures == 1);
  CHECK(b.settle(kId, past.lease, 60000, true));
  CHECK(a.look_for(kId).failures == 2);
  // No note, and the count stays: nobody knows more than before.
  auto again = b.look_for(kId, 0, true);
  CHECK(b.settle(kId, again.lease, 0, false));
  CHECK(a.look_for(kId).failures == 2);
  // The responder has answered, if only with what was known.
  again = b.look_for(kId, 0, true);
  CHECK(b.settle(kId, again.lease, 60000, false));
  CHECK(a.look_for(kId).kind == Kind::kNote);
  CHECK(a.look_for(kId).failures == 0);
  // A note holds nobody who does not know the response.
  again = a.look_for(kId, 0, true);
  CHECK(a.put(kId, "response", std::nullopt, again.lease).stored);
  CHECK(b.look_for(kId).kind == Kind::kResponse);
  CHECK(b.look_for(kId, 0, false, sha1_of(redis, "response")).kind == Kind::kLease);  // and is gone
  // Notes are counted to 99.
  redis.ask({"HSET", key_of(kId), "w", "1 99"});
  again = a.look_for(kId, 3, false, sha1_of(redis, "response"));
  REQUIRE(again.kind == Kind::kLease);
  CHECK(again.failures == 99);
  CHECK(a.settle(kId, again.lease, 60000, true));
  CHECK(b.look_for(kId, 0, false, sha1_of(redis, "response")).failures == 99);
}

TEST_CASE("redis scripts: a publication replaces what it was compared with, nothing else", "[redis]") {
  if (RedisProcess::missing()) {
    return;
  }
  const RedisProcess redis;
  Node a(redis.place());
  a.start_up();
  CHECK(a.put(kId, "older").stored);
  const auto held = [&] { return redis.text({"HGET", key_of(kId), "r"}); };

  // Compared with nothing, or with another one: what is there comes back, and the lease is given back all the same.
  for (const auto& replaces : {std::optional<net::Sha1>(), std::optional<net::Sha1>(sha1_of(redis, "third"))}) {
    const auto lease = a.look_for(kId, 0, false, sha1_of(redis, "older")).lease;
    REQUIRE_FALSE(lease.token.empty());
    const auto published = a.put(kId, "newer", replaces, lease);
    CHECK_FALSE(published.stored);
    CHECK(published.other == bytes("older"));
    CHECK(held() == "older");
    CHECK(redis.text({"HEXISTS", key_of(kId), "l"}) == "0");
    CHECK(redis.text({"ZCARD", "{ocsp_plus}:1:f:ocsp.example:80"}) == "0");
  }
  CHECK(a.put(kId, "newer", sha1_of(redis, "older")).stored);
  CHECK(held() == "newer");
  // The same again is no news.
  CHECK(redis.text({"XLEN", "{ocsp_plus}:1:n"}) == "2");
  CHECK(a.put(kId, "newer").stored);
  CHECK(redis.text({"XLEN", "{ocsp_plus}:1:n"}) == "2");
  CHECK(held() == "newer");
  // A lease that is another's by now stays.
  const auto lease = a.look_for(kId, 0, false, sha1_of(redis, "newer")).lease;
  const auto stale = a.put(kId, "x", std::nullopt, SharedStore::Lease{0, "another"});
  CHECK(stale.other == bytes("newer"));
  CHECK(redis.text({"HEXISTS", key_of(kId), "l"}) == "1");
  CHECK(a.settle(kId, lease, 0, false));
  // Any bytes.
  const std::string binary("\0\r\n\xff$1", 6);
  CHECK(a.put(kId, binary, sha1_of(redis, "newer")).stored);
  CHECK(a.look_for(kId).response == bytes(binary));
  // How long it is kept is bounded.
  for (const auto& [keep, least, most] :
       {std::tuple{Millis{-5}, 50000L, 60000L}, {INT64_MAX, 690000000L, 691200000L}}) {
    SharedStore::Publication publication;
    publication.id = id_of(9);
    publication.response = bytes("x");
    publication.keep = keep;
    REQUIRE(a.publish(publication));
    const long ttl = std::atol(redis.text({"PTTL", key_of(id_of(9))}).c_str());
    CHECK(ttl > least);
    CHECK(ttl <= most);
  }
}

TEST_CASE("redis scripts: leases are bounded, and so is an answer", "[redis]") {
  if (RedisProcess::missing()) {
    return;
  }
  const RedisProcess redis;
  Node a(redis.place());
  a.start_up();
  std::vector<CertificateId> ids;
  for (std::uint8_t i = 0; i < SharedStore::kMostItems; ++i) {
    ids.push_back(id_of(i));
  }
  const auto count = [](const std::vector<SharedStore::Found>& found, Kind kind) {
    return std::count_if(found.begin(), found.end(), [kind](const auto& each) { return each.kind == kind; });
  };
  // As many as are wanted,
  auto found = a.look(Node::wanted(ids, 3));
  REQUIRE(found);
  CHECK(count(*found, Kind::kLease) == 3);
  CHECK(count(*found, Kind::kNothing) == 61);
  for (const auto& each : *found) {
    if (each.kind == Kind::kLease) {
      CHECK(a.settle(ids[static_cast<std::size_t>(&each - found->data())], each.lease, 0, false));
    }
  }
  // and as many as all together may have begun within two seconds. A second look meets those of the first.
  SharedStore::Wanted wanted = Node::wanted(ids, 64);
  wanted.most_begun = 5;
  found = a.look(wanted);
  CHECK(count(*found, Kind::kLease) == 5);
  found = a.look(wanted);
  CHECK(count(*found, Kind::kLease) <= 5);  // should the first have ended already
  CHECK(count(*found, Kind::kElsewhere) == 5);
  wanted.host = "other.example:80";
  found = a.look(wanted);
  CHECK(count(*found, Kind::kLease) == 5);

  const std::string large(200000, 'x');
  for (int i = 0; i < 3; ++i) {
    CHECK(a.put(id_of(static_cast<std::uint8_t>(100 + i)), large).stored);
  }
  CHECK(a.put(id_of(103), "small").stored);
  found = a.look(Node::wanted({id_of(100), id_of(101), id_of(102), id_of(103)}));
  REQUIRE(found);
  CHECK((*found)[0].response.size() == 200000);
  CHECK((*found)[1].kind == Kind::kResponse);
  CHECK((*found)[2].kind == Kind::kMore);
  CHECK((*found)[3].response == bytes("small"));
  CHECK(a.states == "up ");
}

TEST_CASE("redis scripts: whatever others have put there", "[redis]") {
  if (RedisProcess::missing()) {
    return;
  }
  const RedisProcess redis;
  Node a(redis.place());
  a.start_up();
  const std::string key = key_of(kId);

  SECTION("leases and notes") {
    const std::pair<std::string, Millis> values[] = {
        {"", 0},
        {"x", 0},
        {"-5 x", 0},
        {"99999999999999999999999 x", Millis{8} * 24 * 3600 * 1000},
        {"1e400 x", 0},
        {"0x7fffffff x", 0},
        {"nan x", 0},
        {std::string(400, '9') + " 1", Millis{8} * 24 * 3600 * 1000},
        {std::string("\0 x", 3), 0},
    };
    for (const auto& [value, wait] : values) {
      CAPTURE(value);
      redis.ask({"DEL", key});
      redis.ask({"HSET", key, "l", value});
      auto found = a.look_for(kId);
      CHECK(found.kind == (wait == 0 ? Kind::kLease : Kind::kElsewhere));
      CHECK(found.wait == wait);
      redis.ask({"DEL", key});
      redis.ask({"HSET", key, "w", value});
      found = a.look_for(kId);
      CHECK(found.kind == (wait == 0 ? Kind::kLease : Kind::kNote));
      CHECK(found.wait == wait);
      if (found.kind == Kind::kLease) {
        CHECK(a.settle(kId, found.lease, 5000, true));
        CHECK(a.look_for(kId).failures == 1);
      }
    }
    redis.ask({"HSET", key, "w", "1 " + std::string(400, '9')});
    CHECK(a.look_for(kId).failures == 99);
  }
  SECTION("a response that is too large is none, and is replaced") {
    redis.ask({"HSET", key, "r", std::string(256 * 1024 + 1, 'x')});
    const auto lease = a.look_for(kId);
    REQUIRE(lease.kind == Kind::kLease);
    CHECK(a.put(kId, "response", std::nullopt, lease.lease).stored);
    CHECK(a.look_for(kId).response == bytes("response"));
  }
  SECTION("keys of other types") {
    redis.ask({"SET", key, "x"});
    redis.ask({"SET", "{ocsp_plus}:1:f:ocsp.example:80", "x"});
    redis.ask({"SET", "{ocsp_plus}:1:n", "x"});
    const auto found = a.look(Node::wanted({kId, id_of(2)}));
    REQUIRE(found);
    CHECK(found->at(0).kind == Kind::kNoWrites);
    CHECK(found->at(1).kind == Kind::kLease);
    const auto settled = a.settle({kId, "ocsp.example:80", {0, "token"}, 5000, true});
    REQUIRE_FALSE(settled);
    CHECK(settled.error().reason == Reason::kStoreDenied);
    const auto no_news = a.news();
    REQUIRE_FALSE(no_news);
    CHECK(no_news.error().reason == Reason::kStoreDenied);
    // A publication replaces them.
    CHECK(a.put(id_of(2), "response", std::nullopt, found->at(1).lease).stored);
    CHECK(a.put(kId, "response").stored);
    CHECK(a.look_for(kId).response == bytes("response"));
    const auto news = a.news();
    REQUIRE(news);
    CHECK(news->size() == 2);
  }
  CHECK(a.states == "up ");
}

TEST_CASE("redis scripts: news", "[redis]") {
  if (RedisProcess::missing()) {
    return;
  }
  TwoNodes nodes;
  auto& [redis, a, b] = nodes;
  CHECK(a.news()->empty());
  CHECK(a.put(kId, "first").stored);
  CHECK(a.put(id_of(2), "second").stored);
  auto news = a.news();
  REQUIRE(news);
  REQUIRE(news->size() == 2);
  CHECK((*news)[0].id == kId);
  CHECK((*news)[0].response == sha1_of(redis, "first"));
  CHECK((*news)[1].id == id_of(2));
  CHECK(a.news()->empty());
  CHECK(b.news()->size() == 2);  // of the last ten minutes
  CHECK(b.news()->empty());

  // What others have put there is passed over.
  const std::string stream = "{ocsp_plus}:1:n";
  redis.ask({"XADD", stream, "*", "c", "x", "s", "y"});
  redis.ask({"XADD", stream, "*", "a", "b"});
  redis.ask({"XADD", stream, "*", "c", to_hex(kId), "s", redis.sha1("x") + "0"});
  redis.ask({"XADD", stream, "*", "c", to_hex(kId), "s", redis.sha1("x"), "t", "u"});
  redis.ask({"XADD", stream, "*", "c", to_hex(kId), "s", redis.sha1("third")});
  news = a.news();
  REQUIRE(news);
  REQUIRE(news->size() == 1);
  CHECK((*news)[0].response == sha1_of(redis, "third"));

  // A flood: after five full reads in a row the rest is skipped.
  redis.ask({"EVAL", "for i = 1, 5000 do redis.call('XADD', KEYS[1], '*', 'c', ARGV[1], 's', ARGV[2]) end", "1",
             stream, to_hex(kId), redis.sha1("flood")});
  for (int i = 0; i < 5; ++i) {
    CHECK(a.news()->size() == SharedStore::kMostNews);
  }
  CHECK(a.news()->empty());
  CHECK(a.put(id_of(3), "after").stored);
  news = a.news();
  REQUIRE(news->size() == 1);
  CHECK((*news)[0].id == id_of(3));

  // Nothing can be added after the last id there is.
  redis.ask({"XADD", stream, "18446744073709551615-18446744073709551615", "c", to_hex(kId), "s", redis.sha1("last")});
  CHECK(a.news()->size() == 1);
  // Within the millisecond of the last entry that was read an id is not newer than that one's.
  std::uint8_t number = 10;
  const auto comes_anew = [&] {
    std::size_t seen = 0;
    for (const int end = number + 90; number < end && seen == 0; ++number) {
      CHECK(a.put(id_of(number), "again").stored);
      seen = a.news()->size();
    }
    return seen == 1;
  };
  CHECK(comes_anew());

  // Lost, it begins anew.
  redis.ask({"FLUSHALL"});
  CHECK(a.news()->empty());
  CHECK(comes_anew());
}

TEST_CASE("redis scripts: a server without memory", "[redis]") {
  if (RedisProcess::missing()) {
    return;
  }
  const RedisProcess redis({"maxmemory-policy noeviction"});
  Node a(redis.place());
  a.start_up();
  CHECK(a.put(kId, "response").stored);
  auto lease = a.look_for(id_of(2)).lease;
  REQUIRE_FALSE(lease.token.empty());
  redis.ask({"CONFIG", "SET", "maxmemory", "1"});

  // What is there can be read, and nothing is written: no lease, no count of begun requests.
  CHECK(a.look_for(kId).response == bytes("response"));
  CHECK(a.look_for(id_of(3)).kind == Kind::kNoWrites);
  CHECK(a.states == "up read_only ");
  CHECK(a.store->status().last_error->detail.find("OOM") != std::string::npos);
  CHECK(redis.ask({"EXISTS", key_of(id_of(3))}).integer == 0);
  SharedStore::Publication publication;
  publication.id = id_of(2);
  publication.host = "ocsp.example:80";
  publication.lease = lease;
  publication.response = bytes("another");
  publication.keep = 3600000;
  const auto published = a.publish(publication);
  REQUIRE_FALSE(published);
  CHECK(published.error().reason == Reason::kStoreDenied);
  CHECK(published.error().detail.find("OOM") != std::string::npos);
  CHECK(redis.ask({"HEXISTS", key_of(id_of(2)), "r"}).integer == 0);
  CHECK(redis.ask({"HEXISTS", key_of(id_of(2)), "l"}).integer == 0);  // given back
  CHECK(a.news());

  redis.ask({"CONFIG", "SET", "maxmemory", "0"});
  lease = a.look_for(id_of(2)).lease;
  CHECK_FALSE(lease.token.empty());
  CHECK(a.states == "up read_only up ");
  // A note that cannot be written gives the lease back all the same.
  redis.ask({"CONFIG", "SET", "maxmemory", "1"});
  const auto settled = a.settle({id_of(2), "ocsp.example:80", lease, 5000, true});
  REQUIRE_FALSE(settled);
  CHECK(settled.error().detail.find("OOM") != std::string::npos);
  CHECK(redis.ask({"HLEN", key_of(id_of(2))}).integer == 0);
}

TEST_CASE("redis scripts: a replica", "[redis]") {
  if (RedisProcess::missing()) {
    return;
  }
  const RedisProcess redis;
  Node a(redis.place());
  a.start_up();
  CHECK(a.put(kId, "response").stored);
  const auto lease = a.look_for(id_of(2)).lease;
  // Of a master that is not there, so it keeps what it has.
  redis.ask({"REPLICAOF", "127.0.0.1", "1"});
  CHECK(a.look_for(kId).response == bytes("response"));
  CHECK(a.look_for(id_of(3)).kind == Kind::kNoWrites);
  CHECK(a.states == "up read_only ");
  CHECK(a.store->status().last_error->detail.find("READONLY") != std::string::npos);
  SharedStore::Publication publication;
  publication.id = id_of(3);
  publication.response = bytes("x");
  publication.lease = lease;
  CHECK(a.publish(publication).error().detail.find("READONLY") != std::string::npos);
  CHECK(a.settle({id_of(2), "h", lease, 5000, true}).error().reason == Reason::kStoreDenied);
  CHECK(a.news()->size() == 1);
  redis.ask({"REPLICAOF", "NO", "ONE"});
  CHECK(a.look_for(id_of(3)).kind == Kind::kLease);
  CHECK(a.states == "up read_only up ");
}

TEST_CASE("redis scripts: with no more rights than they need", "[redis]") {
  if (RedisProcess::missing()) {
    return;
  }
  const RedisProcess redis;
  Words setuser = {"ACL", "SETUSER", "node", "on", ">SECRET"};
  for (std::size_t at = 0; at < kAcl.size();) {
    const std::size_t end = std::min(kAcl.find(' ', at), kAcl.size());
    setuser.push_back(kAcl.substr(at, end - at));
    at = end + 1;
  }
  REQUIRE(redis.ask(setuser).is_status("OK"));
  Node a(redis.place() + ":/1");
  a.options.user = "node";
  a.options.password = "SECRET";
  a.start_up();
  // Each script with each of its ways, the whole of it by EVAL first.
  auto lease = a.look_for(kId).lease;
  CHECK(a.settle(kId, lease, 5000, true));
  lease = a.look_for(kId, 0, true).lease;
  CHECK(a.put(kId, "first", std::nullopt, lease).stored);
  CHECK(a.look_for(kId).kind == Kind::kResponse);
  lease = a.look_for(kId, 0, false, sha1_of(redis, "first")).lease;
  CHECK(a.put(kId, "second", std::nullopt, lease).other == bytes("first"));
  lease = a.look_for(kId, 0, false, sha1_of(redis, "first")).lease;
  CHECK(a.settle(kId, lease, 0, false));
  CHECK(a.news()->size() == 1);
  CHECK(a.news()->empty());
  CHECK(a.states == "up ");
  const auto clients = redis.text({"CLIENT", "LIST"});
  CHECK(clients.find("name=ocsp_plus") != std::string::npos);
  // As a master behind sentinels it is asked for its role.
  net::RedisConnectionOptions options;
  options.place = net::RedisPlace::parse(redis.place()).value();
  options.place.user = "node";
  options.place.password = "SECRET";
  options.timeout = kPatience;
  options.most_string = 1000;
  options.must_be_master = true;
  struct : net::RedisConnection::User {
    void on_up() override { up = true; }
    void on_end(Error error) override { end = error.detail; }
    bool up = false;
    std::string end;
  } user;
  net::RedisConnection connection(a.loop, a.clock, *a.resolver, options, user);
  a.loop.run_until([&] { return user.up || !user.end.empty(); }, kPatience);
  INFO(user.end);
  CHECK(user.up);
  // Nothing of the server's log of refused commands is ours.
  CHECK(redis.ask({"ACL", "LOG"}).elements.empty());

  // What else somebody with this password might want.
  const auto as_node = [&](const Words& words) {
    std::string text;
    REQUIRE(connection.send({words.begin(), words.end()},
                            [&](const net::RedisReply& reply) { text = reply.text + "."; }));
    REQUIRE(a.loop.run_until([&] { return !text.empty() || !user.end.empty(); }, kPatience));
    return text;
  };
  const std::vector<Words> forbidden = {
      {"GET", "x"},           {"HGET", "x", "r"},
      {"KEYS", "*"},          {"FLUSHALL"},
      {"CONFIG", "GET", "*"}, {"ACL", "LIST"},
      {"CLIENT", "LIST"},     {"SCRIPT", "FLUSH"},
      {"SHUTDOWN"},           {"EVAL", "return redis.call('HGET', KEYS[1], 'r')", "1", "x"},
  };
  for (const Words& words : forbidden) {
    CAPTURE(words[0]);
    CHECK(as_node(words).find("NOPERM") == 0);
  }
  CHECK(as_node({"EVAL", "return redis.call('FLUSHALL')", "0"}).find("OK") == std::string::npos);
  CHECK(as_node({"EVAL", "return redis.call('HGET', 'x', 'r')", "0"}).find("ERR") != std::string::npos);
}

TEST_CASE("redis scripts: who may not log in", "[redis]") {
  if (RedisProcess::missing()) {
    return;
  }
  const RedisProcess redis;
  REQUIRE(redis.ask({"ACL", "SETUSER", "node", "on", ">right", "~*", "+@all"}).is_status("OK"));
  REQUIRE(redis.ask({"ACL", "SETUSER", "reader", "on", ">right", "~*", "+ping", "+hget"}).is_status("OK"));
  struct Case {
    const char* user;
    const char* password;
    const char* states;
    const char* reason;
  };
  const Case cases[] = {
      {"node", "SECRET", "down ", "store_auth"},
      {"nobody", "SECRET", "down ", "store_auth"},
      {"", "SECRET", "down ", "store_auth"},
      {"node", "right", "up ", ""},
  };
  for (const Case& each : cases) {
    CAPTURE(each.user);
    Node a(redis.place());
    a.options.user = each.user;
    a.options.password = each.password;
    a.start();
    CHECK(a.states == each.states);
    const auto error = a.store->status().last_error;
    CHECK((error ? std::string(token(error->reason)) : "") == each.reason);
    CHECK((error ? error->detail : "").find("SECRET") == std::string::npos);
  }
  Node a(redis.place());
  a.options.user = "reader";
  a.options.password = "right";
  a.start_up();
  const auto found = a.look(Node::wanted({kId}));
  REQUIRE_FALSE(found);
  CHECK(found.error().reason == Reason::kStoreDenied);
  CHECK(found.error().detail.find("NOPERM") != std::string::npos);
  REQUIRE(a.loop.run_until([&] { return a.states == "up down "; }, kPatience));

  // The default user has a password as well.
  redis.ask({"ACL", "SETUSER", "default", ">right"});
  redis.ask({"CONFIG", "SET", "requirepass", "right"});
  Node b(redis.place());
  b.start();
  CHECK(b.states == "down ");
  CHECK(token(b.store->status().last_error->reason) == "store_auth");
  CHECK(b.store->status().last_error->detail.find("give its user and password") != std::string::npos);
}

TEST_CASE("redis scripts: a server that is stopped, goes on, ends and comes back", "[redis]") {
  if (RedisProcess::missing()) {
    return;
  }
  auto redis = std::make_unique<RedisProcess>();
  Node a(redis->place());
  a.options.timeout = 2000;
  a.start_up();
  redis->signal(SIGSTOP);
  const auto found = a.look(Node::wanted({kId}));
  REQUIRE_FALSE(found);
  CHECK(found.error().reason == Reason::kStoreTimeout);
  CHECK_FALSE(a.store->up());
  redis->signal(SIGCONT);
  REQUIRE(a.loop.run_until([&a] { return a.store->up(); }, kPatience));
  CHECK(a.look_for(kId, 0, true).kind != Kind::kNothing);

  // Without its scripts it is given them anew.
  redis->ask({"SCRIPT", "FLUSH"});
  CHECK(a.look_for(id_of(2)).kind == Kind::kLease);

  redis.reset();
  REQUIRE(a.loop.run_until([&a] { return !a.store->up(); }, kPatience));
  CHECK(token(a.store->status().last_error->reason) == "store_unreachable");
}

TEST_CASE("redis scripts: sentinels, and a failover", "[redis]") {
  if (RedisProcess::missing()) {
    return;
  }
  const std::uint16_t ports[] = {RedisProcess::free_port(), RedisProcess::free_port(), RedisProcess::free_port()};
  const auto at = [&ports](int i) { return "127.0.0.1 " + std::to_string(ports[i]); };
  const RedisProcess master({}, ports[0]);
  const RedisProcess replica({"replicaof " + at(0)}, ports[1]);
  const auto poll_until = [](const auto& done) {
    Millis waited = 0;
    for (; !done() && waited < 2 * kPatience; waited += 50) {
      ::poll(nullptr, 0, 50);
    }
    REQUIRE(waited < 2 * kPatience);
  };
  // So that the sentinel sees it with its first look, and not ten seconds later.
  poll_until([&master] { return master.text({"INFO", "replication"}).find("state=online") != std::string::npos; });
  const RedisProcess sentinel(
      {"sentinel monitor mymaster " + at(0) + " 1", "sentinel down-after-milliseconds mymaster 60000"}, ports[2],
      RedisProcess::Role::kSentinel);
  Node a("redis://127.0.0.1:" + std::to_string(ports[2]));
  a.options.sentinel = "mymaster";
  a.options.timeout = 10000;
  a.start_up();
  CHECK(a.store->status().place == "redis://127.0.0.1:" + std::to_string(ports[0]));
  CHECK(a.put(kId, "response").stored);
  poll_until([&] { return replica.ask({"EXISTS", key_of(kId)}).integer == 1; });

  // It does so as soon as it knows the replica.
  poll_until([&sentinel] { return sentinel.ask({"SENTINEL", "FAILOVER", "mymaster"}).is_status("OK"); });
  const std::string promoted = "redis://127.0.0.1:" + std::to_string(ports[1]);
  // Whatever it notices first: that its connection ended, that nothing can be written any more, or the new master.
  REQUIRE(a.loop.run_until(
      [&] {
        if (a.store->status().place == promoted && a.store->up()) {
          return true;
        }
        a.look_failing(id_of(9));
        return false;
      },
      3 * kPatience));
  CHECK(a.look_for(id_of(10)).kind == Kind::kLease);
  CHECK(a.look_for(kId).response == bytes("response"));
}
