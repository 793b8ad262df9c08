#include "net/redis_place.h"

#include <catch2/catch.hpp>
#include <string>

using namespace ocsp_plus;
using net::RedisPlace;
using Role = net::RedisPlace::Role;

TEST_CASE("redis_place: places", "[redis]") {
  struct Case {
    const char* text;
    const char* shown;
    const char* user = "";
    const char* password = "";
  };
  const Case cases[] = {
      {"redis://cache.internal", "redis://cache.internal:6379"},
      {"REDIS://Cache.Internal/", "redis://cache.internal:6379"},
      {"redis://cache.internal:", "redis://cache.internal:6379"},
      {"redis://cache.internal:80", "redis://cache.internal:80"},
      {"redis://cache.internal:6380/15", "redis://cache.internal:6380/15"},
      {"rediss://cache.internal/3", "rediss://cache.internal:6379/3"},
      {"redis://192.0.2.1:1", "redis://192.0.2.1:1"},
      {"redis://[2001:DB8::1]", "redis://[2001:db8::1]:6379"},
      {"rediss://[::1]:7/1", "rediss://[::1]:7/1"},
      {"redis://user:pass@h", "redis://h:6379", "user", "pass"},
      {"redis://:pass@h", "redis://h:6379", "", "pass"},
      {"redis://user@h", "redis://h:6379", "user", ""},
      {"redis://u%3Aser:p%40%2f%25@h:1/2", "redis://h:1/2", "u:ser", "p@/%"},
      {"redis://u:p:q@x?#@h", "redis://h:6379", "u", "p:q@x?#"},
      {"redis://u:p@[::1]:6380", "redis://[::1]:6380", "u", "p"},
      {"unix:/run/redis.sock", "unix:/run/redis.sock"},
      {"unix:/run/redis.sock:/4", "unix:/run/redis.sock:/4"},
      {"unix:/run/a:b.sock", "unix:/run/a:b.sock"},
  };
  for (const Case& each : cases) {
    CAPTURE(each.text);
    const auto place = RedisPlace::parse(each.text);
    REQUIRE(place);
    CHECK(place->to_string() == each.shown);
    CHECK(place->user == each.user);
    CHECK(place->password == each.password);
    // What is shown can be read again, and leads to the same place.
    CHECK(RedisPlace::parse(place->to_string()).value().to_string() == each.shown);
  }
  CHECK(RedisPlace::parse("redis://h", Role::kSentinel)->port == 26379);
  CHECK(RedisPlace::parse("redis://h:6379", Role::kSentinel)->port == 6379);
  CHECK(RedisPlace::parse("redis://[::1]")->ip_literal);
  CHECK(RedisPlace::parse("redis://[::1]")->host == "::1");
  CHECK(RedisPlace::parse("rediss://h/7")->database == 7);
  CHECK(RedisPlace::parse("unix:/a:/7")->database == 7);
  CHECK(RedisPlace::parse("unix:/a")->is_unix());
}

TEST_CASE("redis_place: what does not parse names the remedy and shows nothing of it", "[redis]") {
  struct Case {
    std::string text;
    const char* fault;
  };
  const Case cases[] = {
      {"", "none of the schemes"},
      {"SECRET.example:6379", "none of the schemes"},
      {"http://SECRET.example", "none of the schemes"},
      {"redis:SECRET", "none of the schemes"},
      {"redis:/SECRET", "none of the schemes"},
      {"redis://", "no host"},
      {"redis:///1", "no host"},
      {"redis://user:SECRET@", "no host"},
      {"redis://user:SECRET@/1", "no host"},
      {"redis://user:SECRET@h:0", "a port"},
      {"redis://user:SECRET@h:65536", "a port"},
      {"redis://user:SECRET@h:6379x", "a port"},
      {"redis://user:SECRET", "a port"},
      {"redis://user:SE/CRET@h", "%2F"},
      {"redis://user:SE%CRET@h", "%25"},
      {"redis://user:SECRET%4@h", "%25"},
      {"redis://user:SECRET@h/one", "a database"},
      {"redis://user:SECRET@h/-1", "a database"},
      {"redis://user:SECRET@h/123456", "a database"},
      {"redis://user:SECRET@h/1/2", "a database"},
      {"redis://user:SECRET@h?db=1", "no host"},
      {"redis://user:SECRET@h#1", "no host"},
      {"redis://user:SECRET@a b", "no host"},
      {"redis://user:SECRET@127.1", "neither a name nor an address"},
      {"redis://user:SECRET@[::1", "neither a name nor an address"},
      {"redis://user:SECRET@::1", "no host"},
      {"redis://" + std::string(2048, 'S') + "ECRET", "2048"},
      {"unix:", "no absolute path"},
      {"unix:run/SECRET", "no absolute path"},
      {"unix:/", "no absolute path"},
      {"unix:/run/", "no absolute path"},
      {"unix:/SECRET:/x", "a database"},
      {"unix:/SECRET:/", "a database"},
      {"unix:/SECRET:/run/redis.sock:/0", "a database"},
      {"unix:/SECRET\n", "a control character"},
      {"unix:/" + std::string(107, 'S'), "107 bytes"},
  };
  for (const Case& each : cases) {
    CAPTURE(each.text);
    const auto place = RedisPlace::parse(each.text);
    REQUIRE_FALSE(place);
    CHECK(place.error().reason == Reason::kInvalidArgument);
    CHECK(place.error().detail.find(each.fault) != std::string::npos);
    CHECK(place.error().detail.find("redis://[user:password@]host[:port][/db]") != std::string::npos);
    CHECK(place.error().detail.find("SECRET") == std::string::npos);
  }
  const auto sentinel = RedisPlace::parse("unix:/run/redis.sock", Role::kSentinel);
  REQUIRE_FALSE(sentinel);
  CHECK(sentinel.error().detail.find("name them by redis:// or rediss://") != std::string::npos);
}
