#include "engine/freshness.h"

#include <catch2/catch.hpp>

namespace ocsp_plus::engine {
namespace {

constexpr UnixSeconds kNow = 1900000000;

net::HttpHead head(std::optional<UnixSeconds> date, std::optional<Seconds> age) {
  net::HttpHead head;
  head.date = date;
  head.age = age;
  return head;
}

TEST_CASE("freshness: when the responder itself gave an answer", "[freshness]") {
  struct Case {
    const char* name;
    std::optional<UnixSeconds> date;
    std::optional<Seconds> age;
    UnixSeconds confirmed;
  };
  for (const Case& c : {
           Case{"nothing is said", {}, {}, kNow},
           Case{"the responder's clock agrees", kNow - 3, {}, kNow},
           Case{"it is five minutes behind", kNow - 300, {}, kNow},
           Case{"it is ahead", kNow + 900, {}, kNow},
           Case{"a cache without Age hands out an old Date", kNow - 7200, {}, kNow - 7200},
           Case{"a cache with Age", kNow, 7200, kNow - 7200},
           Case{"and an old Date", kNow - 100, 7200, kNow - 7300},
           Case{"Age without Date", {}, 60, kNow - 60},
           Case{"Age 0 is the responder's own", kNow - 3, 0, kNow},
           Case{"a Date ahead of our clock, with Age", kNow + 9000, 60, kNow},
           Case{"nonsense", INT64_MIN, INT64_MAX, INT64_MIN},
       }) {
    INFO(c.name);
    CHECK(confirmed_at(head(c.date, c.age), kNow) == c.confirmed);
  }
}

TEST_CASE("freshness: how long ago an answer left its responder", "[freshness][rfc9111-4.2.3]") {
  CHECK(age_of(head({}, {}), kNow) == 0);
  CHECK(age_of(head(kNow - 300, {}), kNow) == 0);
  CHECK(age_of(head(kNow - 301, {}), kNow) == 301);
  CHECK(age_of(head(kNow + 9000, {}), kNow) == 0);
  CHECK(age_of(head(kNow - 7200, 7200), kNow) == 7200);  // Date is the responder's: not counted twice
  CHECK(age_of(head(kNow - 100, 7200), kNow) == 7200);
  CHECK(age_of(head(kNow - 7200, 60), kNow) == 7200);
  CHECK(age_of(head(INT64_MIN, INT64_MAX), kNow) == INT64_MAX);
}

TEST_CASE("freshness: until when an answer is the newest", "[freshness]") {
  net::HttpHead both = head({}, 30);
  CHECK_FALSE(fresh_until(both, kNow).has_value());
  both.expires = kNow + 500;
  CHECK(fresh_until(both, kNow) == kNow + 500);
  both.max_age = 100;
  CHECK(fresh_until(both, kNow) == kNow + 70);
}

}  // namespace
}  // namespace ocsp_plus::engine
