#include <catch2/catch.hpp>

#include "admin/query.h"
#include "tests/fakes/admin_fixture.h"

namespace ocsp_plus::admin {
namespace {

Format format_by(std::string_view args, std::string_view accept, std::optional<Format> fixed = {}) {
  return parse_query(fixed, args, accept).value().format;
}

std::string refused(std::string_view args) {
  const auto query = parse_query({}, args, {});
  return query ? "" : query.error().detail;
}

TEST_CASE("query: the location decides, then the argument, then what the client accepts, then JSON", "[admin]") {
  CHECK(format_by("", "") == Format::kJson);
  CHECK(format_by("", "*/*") == Format::kJson);
  CHECK(format_by("", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8") == Format::kHtml);
  CHECK(format_by("",
                  "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
                  "text/plain;version=0.0.4;q=0.5,*/*;q=0.1") == Format::kOpenMetrics);
  CHECK(format_by("", "text/plain;version=0.0.4") == Format::kPrometheus);
  CHECK(format_by("", "text/html;q=0.5, Application/JSON;q=0.51") == Format::kJson);
  CHECK(format_by("", "text/html;q=0, text/plain;q=0.001") == Format::kPrometheus);
  CHECK(format_by("format=html", "application/json") == Format::kHtml);
  CHECK(format_by("a=b&format=ready", "text/html") == Format::kReady);
  CHECK(format_by("format=html", "text/html", Format::kJson) == Format::kJson);
  CHECK(format_by("format=nonsense", "text/html", Format::kReady) == Format::kReady);
  CHECK(format_by("", "application/openmetrics-text", Format::kPrometheus) == Format::kOpenMetrics);
  CHECK(format_by("", "*/*", Format::kPrometheus) == Format::kPrometheus);
  // the page fetches its JSON from where it came from
  CHECK(format_by("format=json", "", Format::kHtml) == Format::kJson);
  CHECK(format_by("format=prometheus", "", Format::kHtml) == Format::kHtml);
}

TEST_CASE("query: caches are told when the Accept header decided", "[admin]") {
  CHECK(parse_query({}, "", "text/html")->negotiated);
  CHECK_FALSE(parse_query({}, "format=html", "text/html")->negotiated);
  CHECK_FALSE(parse_query(Format::kJson, "", "text/html")->negotiated);
  CHECK(parse_query(Format::kPrometheus, "", "")->negotiated);
}

TEST_CASE("query: what makes no sense is named", "[admin]") {
  CHECK(refused("format=xml") == "format=\"xml\": it takes html, json, prometheus or ready");
  CHECK(refused("state=gone") == "state=\"gone\": it takes valid, pending, expired, revoked, unsupported or ended");
  CHECK(refused("id=12") == "id=\"12\": it takes a certificate id of 64 hexadecimal digits");
  CHECK(refused("after=" + std::string(64, 'g')).find("after=") == 0);
  for (const char* limit : {"limit=0", "limit=", "limit=-1", "limit=1x", "limit=99999999999999999999999"}) {
    CHECK(refused(limit).find("it takes a number above 0") != std::string::npos);
  }
  CHECK(refused("limit=1&anything=else&&=&x").empty());
}

TEST_CASE("query: arguments are decoded", "[admin]") {
  CHECK(argument("a=1&server=%2a.Example%2eCom&server=2", "server") == "*.Example.Com");
  CHECK(argument("server=a+b%", "server") == "a b%");
  CHECK(argument("server=%zz%4", "server") == "%zz%4");
  CHECK(argument("server", "server") == "");
  CHECK_FALSE(argument("servers=1", "server").has_value());
  CHECK_FALSE(argument("", "server").has_value());
  const std::string hex = "00ff" + std::string(60, 'A');
  REQUIRE(parse_id(hex).has_value());
  CHECK(to_hex(*parse_id(hex)) == "00ff" + std::string(60, 'a'));
}

}  // namespace
}  // namespace ocsp_plus::admin
