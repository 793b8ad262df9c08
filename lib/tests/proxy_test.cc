#include "net/proxy.h"

#include <catch2/catch.hpp>
#include <string>

using namespace ocsp_plus;
using net::Proxy;

TEST_CASE("proxy: what one is", "[proxy][rfc7617]") {
  struct Case {
    const char* text;
    const char* authority;
    const char* authorization;
  };
  const Case cases[] = {
      {"http://proxy.example:3128", "proxy.example:3128", ""},
      {"http://proxy.example:3128/", "proxy.example:3128", ""},
      {"HTTP://[::1]:3128", "[::1]:3128", ""},
      {"http://proxy.example", "proxy.example", ""},
      // RFC 7617 section 2
      {"http://Aladdin:open%20sesame@proxy.example:3128", "proxy.example:3128", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
      {"http://a@proxy.example:3128", "proxy.example:3128", "Basic YTo="},
      {"http://a:@proxy.example:3128", "proxy.example:3128", "Basic YTo="},
      {"http://a:b:c@proxy.example:3128", "proxy.example:3128", "Basic YTpiOmM="},
      {"http://a:b@c@proxy.example:3128", "proxy.example:3128", "Basic YTpiQGM="},
      {"http://test:123%C2%A3@proxy.example:3128", "proxy.example:3128", "Basic dGVzdDoxMjPCow=="},
  };
  for (const Case& c : cases) {
    INFO(c.text);
    const auto proxy = Proxy::parse(c.text);
    REQUIRE(proxy.has_value());
    CHECK(proxy->url.authority() == c.authority);
    CHECK(proxy->authorization == c.authorization);
    CHECK_FALSE(proxy->url.https);
  }
}

TEST_CASE("proxy: what none is, without a word of its secret", "[proxy]") {
  struct Case {
    const char* text;
    Reason reason;
  };
  const Case cases[] = {
      {"proxy.example:3128", Reason::kUrlScheme},
      {"", Reason::kUrlMalformed},
      {"https://u:sesame@proxy.example:3128", Reason::kUrlScheme},
      {"socks5://u:sesame@proxy.example:3128", Reason::kUrlScheme},
      {"http://u:sesame@proxy.example:99999", Reason::kUrlMalformed},
      {"http://u:sesame@:3128", Reason::kUrlMalformed},
      {"http://u:sesame@proxy.example:3128/path", Reason::kUrlMalformed},
      {"http://u:sesame@proxy.example:3128?x=1", Reason::kUrlMalformed},
      {"http://u:sesame%0d%0aX@proxy.example:3128", Reason::kUrlMalformed},
      {"http://u:sesame%4@proxy.example:3128", Reason::kUrlMalformed},
      {"http://u:sesame%zz@proxy.example:3128", Reason::kUrlMalformed},
      {"http://u%3Ax:sesame@proxy.example:3128", Reason::kUrlMalformed},
      {"http://proxy.example:3128/u:sesame@x", Reason::kUrlMalformed},
  };
  for (const Case& c : cases) {
    INFO(c.text);
    const auto proxy = Proxy::parse(c.text);
    REQUIRE_FALSE(proxy.has_value());
    CHECK(proxy.error().reason == c.reason);
    CHECK(proxy.error().detail.find("sesame") == std::string::npos);
  }
}
