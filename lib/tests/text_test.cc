#include "base/text.h"

#include <catch2/catch.hpp>

using namespace ocsp_plus;

TEST_CASE("text: lower case is that of ASCII alone") {
  CHECK(lower("Az09-\xc3\x84[@") == "az09-\xc3\x84[@");
  CHECK(equals_ignoring_case("Content-LENGTH", "content-length"));
  CHECK_FALSE(equals_ignoring_case("a", "ab"));
  CHECK_FALSE(equals_ignoring_case("[", "{"));
}

TEST_CASE("text: trim takes spaces and tabs off both ends", "[rfc9110-5.6.3]") {
  CHECK(trim(" \t a b\t ") == "a b");
  CHECK(trim("a") == "a");
  CHECK(trim(" \t").empty());
  CHECK(trim("").empty());
  CHECK(trim("\na\n") == "\na\n");
}

TEST_CASE("text: percent-encodings of either case are decoded, others stay", "[rfc3986-2.1]") {
  CHECK(percent_decoded("a%2Fb%2f%00") == std::string("a/b/\0", 5));
  CHECK(percent_decoded("%4") == "%4");
  CHECK(percent_decoded("%4g%g4%") == "%4g%g4%");
  CHECK(percent_decoded("%%41") == "%A");
  CHECK(percent_decoded("+") == "+");
  CHECK(percent_decoded("").empty());
}

TEST_CASE("text: FNV-1a has its published values, and goes on from a sum") {
  CHECK(fnv1a("") == 0xcbf29ce484222325);
  CHECK(fnv1a("a") == 0xaf63dc4c8601ec8c);
  CHECK(fnv1a("foobar") == 0x85944171f73967e8);
  CHECK(fnv1a("bar", fnv1a("foo")) == fnv1a("foobar"));
}
