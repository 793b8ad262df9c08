#include "base/time.h"

#include <catch2/catch.hpp>

namespace ocsp_plus {
namespace {

TEST_CASE("time: arithmetic saturates", "[time]") {
  CHECK(saturating_add(1, 2) == 3);
  CHECK(saturating_add(INT64_MAX, 1) == INT64_MAX);
  CHECK(saturating_add(INT64_MIN, -1) == INT64_MIN);
  CHECK(saturating_add(INT64_MIN, INT64_MAX) == -1);
  CHECK(saturating_sub(1, 2) == -1);
  CHECK(saturating_sub(INT64_MIN, 1) == INT64_MIN);
  CHECK(saturating_sub(INT64_MAX, -1) == INT64_MAX);
  CHECK(saturating_sub(0, INT64_MIN) == INT64_MAX);
}

TEST_CASE("time: RFC 3339, there and back", "[time]") {
  struct Case {
    UnixSeconds time;
    const char* text;
  };
  for (const Case& c : {
           Case{0, "1970-01-01T00:00:00Z"},
           Case{-1, "1969-12-31T23:59:59Z"},
           Case{951782400, "2000-02-29T00:00:00Z"},
           Case{1767225600, "2026-01-01T00:00:00Z"},
           Case{4107542400, "2100-03-01T00:00:00Z"},
           Case{253402300799, "9999-12-31T23:59:59Z"},
           Case{-62167219200, "0000-01-01T00:00:00Z"},
       }) {
    CHECK(to_rfc3339(c.time) == c.text);
    CHECK(parse_rfc3339(c.text) == c.time);
  }
  CHECK(to_rfc3339(253402300800) == "never");
  CHECK(to_rfc3339(kNever) == "never");
  CHECK(to_rfc3339(INT64_MIN) == "0000-01-01T00:00:00Z");
}

TEST_CASE("time: what is no RFC 3339 time", "[time]") {
  for (const char* text :
       {"", "never", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00:00+00:00", "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z", "2026-01-01 00:00:00Z", " 2026-01-01T00:00:0Z",
        "2026-01-01T00:00:00z", "-026-01-01T00:00:00Z"}) {
    INFO(text);
    CHECK_FALSE(parse_rfc3339(text));
  }
}

TEST_CASE("time: spans for people", "[time]") {
  struct Case {
    Seconds span;
    const char* text;
  };
  for (const Case& c : {
           Case{0, "0s"},
           Case{59, "59s"},
           Case{60, "1m"},
           Case{65, "1m 5s"},
           Case{3600, "1h"},
           Case{3660, "1h 1m"},
           Case{3601, "1h"},
           Case{90000, "1d 1h"},
           Case{-65, "-1m 5s"},
       }) {
    CHECK(to_span(c.span) == c.text);
  }
  CHECK(to_span(INT64_MIN) == "-" + to_span(INT64_MAX));
}

}  // namespace
}  // namespace ocsp_plus
