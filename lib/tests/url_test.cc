#include "net/url.h"

#include <catch2/catch.hpp>
#include <string>

using namespace ocsp_plus;
using net::Url;

TEST_CASE("url: accepted", "[url][rfc3986-3]") {
  struct Case {
    std::string text, host;
    int port;
    std::string target, key, whole;
    bool literal;
  };
  const Case cases[] = {
      {"http://ocsp.example", "ocsp.example", 80, "/", "ocsp.example:80", "http://ocsp.example/", false},
      {"HTTP://OCSP.Example/", "ocsp.example", 80, "/", "ocsp.example:80", "http://ocsp.example/", false},
      {"http://ocsp.example:80/a/B", "ocsp.example", 80, "/a/B", "ocsp.example:80", "http://ocsp.example/a/B", false},
      {"http://ocsp.example:/a", "ocsp.example", 80, "/a", "ocsp.example:80", "http://ocsp.example/a", false},
      {"http://ocsp.example:8080/a", "ocsp.example", 8080, "/a", "ocsp.example:8080", "http://ocsp.example:8080/a",
       false},
      {"http://h:65535", "h", 65535, "/", "h:65535", "http://h:65535/", false},
      {"https://h", "h", 443, "/", "h:443", "https://h/", false},
      {"https://h:80", "h", 80, "/", "h:80", "https://h:80/", false},
      {"http://h?q=1", "h", 80, "/?q=1", "h:80", "http://h/?q=1", false},
      {"http://h/p?q=/?:@", "h", 80, "/p?q=/?:@", "h:80", "http://h/p?q=/?:@", false},
      {"http://h/p#part", "h", 80, "/p", "h:80", "http://h/p", false},
      {"http://h#part", "h", 80, "/", "h:80", "http://h/", false},
      {"http://h/%2F%2b/%00", "h", 80, "/%2F%2b/%00", "h:80", "http://h/%2F%2b/%00", false},
      {"http://h/a/../b", "h", 80, "/a/../b", "h:80", "http://h/a/../b", false},
      {"http://h//x//", "h", 80, "//x//", "h:80", "http://h//x//", false},
      {"http://a_b-c.example.", "a_b-c.example.", 80, "/", "a_b-c.example.:80", "http://a_b-c.example./", false},
      {"http://192.0.2.1:81/", "192.0.2.1", 81, "/", "192.0.2.1:81", "http://192.0.2.1:81/", true},
      {"http://[2001:DB8::1]/", "2001:db8::1", 80, "/", "[2001:db8::1]:80", "http://[2001:db8::1]/", true},
      {"http://[2001:db8:0:0:0:0:0:1]:81", "2001:db8::1", 81, "/", "[2001:db8::1]:81", "http://[2001:db8::1]:81/",
       true},
      {"http://[::1]?x", "::1", 80, "/?x", "[::1]:80", "http://[::1]/?x", true},
  };
  for (const Case& c : cases) {
    DYNAMIC_SECTION(c.text) {
      const auto url = Url::parse(c.text);
      REQUIRE(url.has_value());
      CHECK(url->host == c.host);
      CHECK(url->port == c.port);
      CHECK(url->target == c.target);
      CHECK(url->host_key() == c.key);
      CHECK(url->to_string() == c.whole);
      CHECK(url->ip_literal == c.literal);
      CHECK(url->https == (c.whole[4] == 's'));
    }
  }
}

TEST_CASE("url: refused", "[url]") {
  struct Case {
    std::string text;
    Reason reason;
  };
  const Case cases[] = {
      {"", Reason::kUrlMalformed},
      {"ocsp.example", Reason::kUrlMalformed},
      {"//ocsp.example", Reason::kUrlMalformed},
      {"http", Reason::kUrlMalformed},
      {"http:", Reason::kUrlMalformed},
      {"http:/h", Reason::kUrlMalformed},
      {"http:h", Reason::kUrlMalformed},
      {"http://", Reason::kUrlMalformed},
      {"http:///path", Reason::kUrlMalformed},
      {"http://?q", Reason::kUrlMalformed},
      {"http://:80/", Reason::kUrlMalformed},
      {"://h", Reason::kUrlMalformed},
      {"1http://h", Reason::kUrlMalformed},
      {"ldap://h/", Reason::kUrlScheme},
      {"ftp://h/", Reason::kUrlScheme},
      {"file:///etc/passwd", Reason::kUrlScheme},
      {"httpx://h", Reason::kUrlScheme},
      {"mailto:a@b", Reason::kUrlScheme},
      {"http://user@h/", Reason::kUrlMalformed},
      {"http://user:pass@h/", Reason::kUrlMalformed},
      {"http://@h/", Reason::kUrlMalformed},
      {"http://h:0/", Reason::kUrlMalformed},
      {"http://h:65536/", Reason::kUrlMalformed},
      {"http://h:99999999999999999999/", Reason::kUrlMalformed},
      {"http://h:8o/", Reason::kUrlMalformed},
      {"http://h:-1/", Reason::kUrlMalformed},
      {"http://h:80:80/", Reason::kUrlMalformed},
      {"http://h /", Reason::kUrlMalformed},
      {" http://h/", Reason::kUrlMalformed},
      {"http://h/a b", Reason::kUrlMalformed},
      {"http://h/a\r\nX: y", Reason::kUrlMalformed},
      {std::string("http://h/\0", 10), Reason::kUrlMalformed},
      {"http://h/\x7f", Reason::kUrlMalformed},
      {"http://h/\xc3\xa4", Reason::kUrlMalformed},
      {"http://h\\@evil/", Reason::kUrlMalformed},
      {"http://h/\\", Reason::kUrlMalformed},
      {"http://h/<", Reason::kUrlMalformed},
      {"http://h/%", Reason::kUrlMalformed},
      {"http://h/%4", Reason::kUrlMalformed},
      {"http://h/%4g", Reason::kUrlMalformed},
      {"http://h%41/", Reason::kUrlMalformed},
      {"http://a..b/", Reason::kUrlMalformed},
      {"http://.a/", Reason::kUrlMalformed},
      {"http://./", Reason::kUrlMalformed},
      {"http://a,b/", Reason::kUrlMalformed},
      {"http://127.1/", Reason::kUrlMalformed},
      {"http://2130706433/", Reason::kUrlMalformed},
      {"http://0x7f000001/", Reason::kUrlMalformed},
      {"http://127.0.0.0X1/", Reason::kUrlMalformed},
      {"http://256.0.0.1/", Reason::kUrlMalformed},
      {"http://1.2.3.4.5/", Reason::kUrlMalformed},
      {"http://[::1/", Reason::kUrlMalformed},
      {"http://::1/", Reason::kUrlMalformed},
      {"http://[]/", Reason::kUrlMalformed},
      {"http://[/", Reason::kUrlMalformed},
      {"http://]/", Reason::kUrlMalformed},
      {"http://[::1]x/", Reason::kUrlMalformed},
      {"http://[fe80::1%25eth0]/", Reason::kUrlMalformed},
      {"http://[127.0.0.1]/", Reason::kUrlMalformed},
      {"http://[v1.x]/", Reason::kUrlMalformed},
      {"http://" + std::string(64, 'a') + "/", Reason::kUrlMalformed},
      {"http://h/" + std::string(2040, 'a'), Reason::kUrlMalformed},
  };
  for (const Case& c : cases) {
    DYNAMIC_SECTION(c.text) {
      const auto url = Url::parse(c.text);
      REQUIRE_FALSE(url.has_value());
      CHECK(url.error().reason == c.reason);
      CHECK_FALSE(url.error().detail.empty());
    }
  }
}

TEST_CASE("url: limits are inclusive", "[url]") {
  CHECK(Url::parse("http://h/" + std::string(2039, 'a')).has_value());
  const std::string label(63, 'a');
  const std::string longest = label + '.' + label + '.' + label + '.' + std::string(61, 'a');
  CHECK(Url::parse("http://" + longest).has_value());
  CHECK(Url::parse("http://" + longest + ".").has_value());
  CHECK_FALSE(Url::parse("http://" + longest + "a").has_value());
}

TEST_CASE("url: references", "[url][rfc3986-5.4]") {
  struct Case {
    std::string base, reference, result;
  };
  const std::string base = "http://a/b/c/d;p?q";
  const Case cases[] = {
      // RFC 3986 section 5.4.1
      {base, "g", "http://a/b/c/g"},
      {base, "./g", "http://a/b/c/g"},
      {base, "g/", "http://a/b/c/g/"},
      {base, "/g", "http://a/g"},
      {base, "//g", "http://g/"},
      {base, "?y", "http://a/b/c/d;p?y"},
      {base, "g?y", "http://a/b/c/g?y"},
      {base, "#s", "http://a/b/c/d;p?q"},
      {base, "g#s", "http://a/b/c/g"},
      {base, "g?y#s", "http://a/b/c/g?y"},
      {base, ";x", "http://a/b/c/;x"},
      {base, "g;x", "http://a/b/c/g;x"},
      {base, "", "http://a/b/c/d;p?q"},
      {base, ".", "http://a/b/c/"},
      {base, "./", "http://a/b/c/"},
      {base, "..", "http://a/b/"},
      {base, "../", "http://a/b/"},
      {base, "../g", "http://a/b/g"},
      {base, "../..", "http://a/"},
      {base, "../../g", "http://a/g"},
      // section 5.4.2
      {base, "../../../g", "http://a/g"},
      {base, "../../../../g", "http://a/g"},
      {base, "/./g", "http://a/g"},
      {base, "/../g", "http://a/g"},
      {base, "g.", "http://a/b/c/g."},
      {base, "..g", "http://a/b/c/..g"},
      {base, "./../g", "http://a/b/g"},
      {base, "./g/.", "http://a/b/c/g/"},
      {base, "g/./h", "http://a/b/c/g/h"},
      {base, "g/../h", "http://a/b/c/h"},
      {base, "g;x=1/../y", "http://a/b/c/y"},
      {base, "g?y/./x", "http://a/b/c/g?y/./x"},
      // others
      {base, "HTTPS://B:8443/x/../y", "https://b:8443/y"},
      {"https://a:8443/x", "//b/y", "https://b/y"},
      {"http://a:8080/x", "/y", "http://a:8080/y"},
      {"http://[::1]:81/x/y", "z", "http://[::1]:81/x/z"},
      {"http://a", "g", "http://a/g"},
      {"http://a/b?x/y", "g", "http://a/g"},
  };
  for (const Case& c : cases) {
    DYNAMIC_SECTION(c.base << " + " << c.reference) {
      const auto result = Url::parse(c.base).value().resolve(c.reference);
      REQUIRE(result.has_value());
      CHECK(result->to_string() == c.result);
    }
  }
}

TEST_CASE("url: references that are refused", "[url]") {
  const Url base = Url::parse("http://a/b").value();
  CHECK(base.resolve("ldap://x/").error().reason == Reason::kUrlScheme);
  CHECK(base.resolve("g:h").error().reason == Reason::kUrlScheme);
  for (const std::string reference : {"http:g", "//", "///x", "http://u@h/", "/a b", "/a\nb", "x\\y", "//h:0/"}) {
    DYNAMIC_SECTION(reference) {
      const auto result = base.resolve(reference);
      REQUIRE_FALSE(result.has_value());
      CHECK(result.error().reason == Reason::kUrlMalformed);
    }
  }
  CHECK_FALSE(base.resolve("/" + std::string(3000, 'a')).has_value());
}

TEST_CASE("url: authority", "[url][rfc9110-7.2]") {
  CHECK(Url::parse("http://h:80/").value().authority() == "h");
  CHECK(Url::parse("http://h:81/").value().authority() == "h:81");
  CHECK(Url::parse("https://[::1]:443/").value().authority() == "[::1]");
  CHECK(Url::parse("https://[::1]:80/").value().authority() == "[::1]:80");
}
