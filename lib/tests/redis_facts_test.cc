#include "net/redis_facts.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "net/redis_scripts.h"

using namespace ocsp_plus;
using net::RedisReply;
using Kind = net::RedisReply::Kind;

namespace {

RedisReply text(const std::string& value, Kind kind = Kind::kString) {
  RedisReply reply;
  reply.kind = kind;
  reply.text = value;
  return reply;
}

RedisReply number(std::int64_t value) {
  RedisReply reply;
  reply.kind = Kind::kInteger;
  reply.integer = value;
  return reply;
}

RedisReply array(std::vector<RedisReply> elements) {
  RedisReply reply;
  reply.kind = Kind::kArray;
  reply.elements = std::move(elements);
  return reply;
}

// The commands that a script runs.
std::set<std::string> commands_of(std::string_view script) {
  std::set<std::string> commands;
  for (const std::string_view call : {"redis.call('", "redis.pcall('", "try('"}) {
    for (std::size_t at = script.find(call); at != std::string_view::npos; at = script.find(call, at + 1)) {
      const std::size_t begin = at + call.size();
      commands.insert(std::string(script.substr(begin, script.find('\'', begin) - begin)));
    }
  }
  return commands;
}

}  // namespace

TEST_CASE("redis_facts: fields of INFO", "[redis]") {
  const std::string info = "# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\nlast:x";
  CHECK(net::info_field(info, "maxmemory") == "0");
  CHECK(net::info_field(info, "maxmemory_policy") == "allkeys-lru");
  CHECK(net::info_field(info, "last") == "x");
  CHECK(net::info_field(info, "max") == std::nullopt);
  CHECK(net::info_field(info, "policy") == std::nullopt);
  CHECK(net::info_field("", "x") == std::nullopt);
  CHECK(net::info_field("\n\n:\n", "x") == std::nullopt);
}

TEST_CASE("redis_facts: roles", "[redis]") {
  const RedisReply master = array({text("master"), number(7), array({array({}), array({})})});
  CHECK(net::role_in_words(master) == "master, 2 replicas");
  CHECK_FALSE(net::is_replica(master));
  const RedisReply replica = array({text("slave"), text("cache.example"), number(6379), text("connect"), number(-1)});
  CHECK(net::role_in_words(replica) == "replica of cache.example:6379 (connect)");
  CHECK(net::is_replica(replica));
  CHECK(net::role_in_words(array({text("sentinel"), array({})})) == "sentinel");
  // Whatever a server may say.
  CHECK(net::role_in_words(array({})) == std::nullopt);
  CHECK(net::role_in_words(text("master")) == std::nullopt);
  CHECK(net::role_in_words(array({text("master")})) == "master");
  CHECK(net::role_in_words(array({text("slave")})) == "slave");
}

TEST_CASE("redis_facts: pages of SCAN", "[redis]") {
  const auto page = net::scan_page(array({text("17"), array({text("a"), text("b")})}));
  REQUIRE(page);
  CHECK(page->cursor == "17");
  CHECK(page->keys == std::vector<std::string>{"a", "b"});
  CHECK_FALSE(net::scan_page(array({text("17")})));
  CHECK_FALSE(net::scan_page(array({text(""), array({})})));
  CHECK_FALSE(net::scan_page(array({text("0"), text("x")})));
  CHECK_FALSE(net::scan_page(text("ERR", Kind::kError)));
}

TEST_CASE("redis_facts: what an ACL lacks", "[redis]") {
  CHECK(net::not_permitted({
            "XADD ERR The user executing the script can't run this command or subcommand script: 5f, on "
            "@user_script:1.",
            "HSET NOPERM this user has no permissions to run the 'hset' command",
            "DEL ACL failure in script: User default has no permissions to run the 'del' command",
            "ZADD READONLY You can't write against a read only replica.",
            "ZREM OOM command not allowed when used memory > 'maxmemory'.",
            "TIME",
            "",
        }) == std::vector<std::string>{"xadd", "hset", "del"});
}

TEST_CASE("redis_facts: the script that asks for permissions runs all that the others do", "[redis]") {
  std::set<std::string> needed;
  for (const auto* script : {&net::kLookScript, &net::kPublishScript, &net::kSettleScript}) {
    needed.merge(commands_of(script->text));
  }
  CHECK(needed.count("HSET") == 1);
  const std::set<std::string> tried = commands_of(net::kPermissionsScript.text);
  std::set<std::string> missing;
  std::set_difference(needed.begin(), needed.end(), tried.begin(), tried.end(),
                      std::inserter(missing, missing.end()));
  CHECK(missing.empty());
}
