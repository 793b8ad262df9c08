#include "net/http_fields.h"

#include <catch2/catch.hpp>
#include <optional>

using namespace ocsp_plus;
using namespace ocsp_plus::net;

TEST_CASE("http_fields: max-age", "[http_fields][rfc9111-5.2]") {
  struct Case {
    const char* text;
    std::optional<Seconds> result;
  };
  const Case cases[] = {
      {"", std::nullopt},
      {"no-cache", std::nullopt},
      {"max-age", std::nullopt},
      {"max-age=", std::nullopt},
      {"max-age=0", 0},
      {"max-age=60", 60},
      {"MAX-AGE=60", 60},
      {"max-age=\"60\"", 60},
      {"max-age=\"", std::nullopt},
      {"public,max-age=60", 60},
      {" public ,\tmax-age=60 , x", 60},
      {",,max-age=60,,", 60},
      {"s-maxage=5, max-age=60", 60},
      {"x-max-age=5", std::nullopt},
      {"max-age=60, max-age=5", 60},
      {"max-age=-1", std::nullopt},
      {"max-age=1.5", std::nullopt},
      {"max-age= 5", std::nullopt},
      {"max-age=2147483648", 2147483648},
      {"max-age=2147483649", 2147483648},
      {"max-age=99999999999999999999999999", 2147483648},
      {"x=\"max-age=5\", max-age=60", 60},
      {"x=\"a, max-age=5, b\", max-age=60", 60},
      {"x=\"\\\", max-age=5\", max-age=60", 60},
      {"x=\"open, max-age=5", std::nullopt},
      {"x=\"open\\", std::nullopt},
  };
  for (const Case& c : cases) {
    DYNAMIC_SECTION(c.text) {
      CHECK(parse_max_age(c.text) == c.result);
    }
  }
}

TEST_CASE("http_fields: dates", "[http_fields][rfc9110-5.6.7]") {
  struct Case {
    const char* text;
    std::optional<UnixSeconds> result;
  };
  const Case cases[] = {
      {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
      {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
      {"Sun Nov  6 08:49:37 1994", 784111777},
      {"Wed Nov 16 08:49:37 1994", 784975777},
      {" Sun, 06 Nov 1994 08:49:37 GMT ", 784111777},
      {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
      {"Thursday, 01-Jan-70 00:00:00 GMT", 0},
      {"Tuesday, 01-Jan-69 00:00:00 GMT", 3124224000},
      {"Tue, 19 Jan 2038 03:14:08 GMT", 2147483648},
      {"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
      {"Thu, 29 Feb 2024 00:00:00 GMT", 1709164800},
      {"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800},
      {"Wed, 29 Feb 2023 00:00:00 GMT", std::nullopt},
      {"Sun, 31 Apr 2023 00:00:00 GMT", std::nullopt},
      {"Sun, 00 Nov 1994 08:49:37 GMT", std::nullopt},
      {"Sun, 32 Nov 1994 08:49:37 GMT", std::nullopt},
      {"Sun, 06 Nox 1994 08:49:37 GMT", std::nullopt},
      {"Sun, 06 nov 1994 08:49:37 GMT", std::nullopt},
      {"Sun, 06 Nov 1994 24:00:00 GMT", std::nullopt},
      {"Sun, 06 Nov 1994 08:60:00 GMT", std::nullopt},
      {"Sun, 06 Nov 1994 08:49:61 GMT", std::nullopt},
      {"Sun, 06 Nov 1994 08:49:37 CET", std::nullopt},
      {"Sun, 06 Nov 1994 08:49:37", std::nullopt},
      {"Sun, 6 Nov 1994 08:49:37 GMT", std::nullopt},
      {"06 Nov 1994 08:49:37 GMT", std::nullopt},
      {", 06 Nov 1994 08:49:37 GMT", std::nullopt},
      {"Sun, 06 Nov 19x4 08:49:37 GMT", std::nullopt},
      {"Sun Nov 06 08:49:37 1994 GMT", std::nullopt},
      {"1994-11-06T08:49:37Z", std::nullopt},
      {"0", std::nullopt},
      {"-1", std::nullopt},
      {"", std::nullopt},
  };
  for (const Case& c : cases) {
    DYNAMIC_SECTION("\"" << c.text << "\"") {
      CHECK(parse_http_date(c.text) == c.result);
    }
  }
}

TEST_CASE("http_fields: content codings that leave the body as it is", "[http_fields][rfc9110-8.4.1]") {
  for (const char* plain : {"", "identity", "Identity", "none", "NONE", "binary", "UTF-8", "utf-8", "utf8", "8bit",
                            "7BIT", " identity , none ", ",identity,"}) {
    INFO(plain);
    CHECK(net::is_plain_coding(plain));
  }
  for (const char* packed : {"gzip", "x-gzip", "deflate", "br", "zstd", "compress", "identity, gzip",
                             "gzip, identity", "identity gzip", "chunked", "\"identity\"", "identity;q=1"}) {
    INFO(packed);
    CHECK_FALSE(net::is_plain_coding(packed));
  }
}
