#include <catch2/catch.hpp>
#include <string>

#include "net/fetch.h"
#include "tests/fakes/fetch_fixture.h"

using namespace ocsp_plus;
using namespace ocsp_plus::testing;
using net::FetchRequest;

TEST_CASE("fetch: redirects of a GET", "[fetch]") {
  for (const char* status : {"301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"}) {
    DYNAMIC_SECTION(status) {
      FetchFixture fixture;
      fixture.server.play(http_reply(status, "Location: /elsewhere/./x?y=%2B\r\n", "moved"));
      fixture.server.play(kOk);
      const auto& outcome = fixture.run(fixture.base());
      CHECK(body_of(outcome) == kBody);
      CHECK(fixture.server.requests().size() == 2);
      CHECK(first_line(fixture.server.requests().at(1)) == "GET /elsewhere/x?y=%2B HTTP/1.1");
    }
  }
}

TEST_CASE("fetch: a POST stays one on its way", "[fetch]") {
  for (const char* status : {"301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"}) {
    DYNAMIC_SECTION(status) {
      FetchFixture fixture;
      fixture.server.play(http_reply(status, "Location: post\r\n", ""));
      fixture.server.play(kOk);
      FetchRequest request = fixture.request(fixture.base() + "/a/b");
      request.get_path = std::string(300, 'A');
      const auto& outcome = fixture.run(request);
      REQUIRE(body_of(outcome) == kBody);
      CHECK_FALSE(outcome->get);
      const std::string& second = fixture.server.requests().at(1);
      CHECK(first_line(second) == "POST /a/post HTTP/1.1");
      CHECK(contains(second, "Content-Length: 5\r\n"));
    }
  }
}

TEST_CASE("fetch: a redirect to another host", "[fetch]") {
  FetchFixture fixture;
  TcpServer other(fixture.loop, "127.0.0.2");
  DnsRecord record;
  record.a = {"127.0.0.2"};
  fixture.dns.set("other.example", record);
  const std::string there = "other.example:" + std::to_string(other.port());
  fixture.server.play(http_reply("302 Found", "Location: HTTP://" + there + "/x\r\n", ""));
  other.play(kOk);
  const auto& outcome = fixture.run(fixture.base("ocsp.example"));
  REQUIRE(body_of(outcome) == kBody);
  CHECK(outcome->peer.to_string() == "127.0.0.2:" + std::to_string(other.port()));
  CHECK(contains(other.requests().at(0), "Host: " + there + "\r\n"));
}

TEST_CASE("fetch: redirects that are not followed", "[fetch]") {
  struct Case {
    const char* location;
    Reason reason;
  };
  const Case cases[] = {
      {"https://127.0.0.1/", Reason::kRedirectScheme}, {"ftp://127.0.0.1/x", Reason::kRedirectScheme},
      {"javascript:x", Reason::kRedirectScheme},       {"http://user@127.0.0.1/", Reason::kUrlMalformed},
      {"http://127.0.0.1:0/", Reason::kUrlMalformed},  {"/a b", Reason::kUrlMalformed},
      {"/MAMCAQA%3D", Reason::kRedirectLimit},         {"#here", Reason::kRedirectLimit},
      {"./x/../MAMCAQA%3D", Reason::kRedirectLimit},
  };
  for (const Case& c : cases) {
    DYNAMIC_SECTION(c.location) {
      FetchFixture fixture;
      fixture.server.play(http_reply("302 Found", std::string("Location: ") + c.location + "\r\n", ""));
      const auto& outcome = fixture.run(fixture.base());
      REQUIRE_FALSE(outcome.has_value());
      INFO(outcome.error().detail);
      CHECK(outcome.error().reason == c.reason);
      CHECK(contains(outcome.error().detail, "HTTP 302 from 127.0.0.1:"));
      CHECK(fixture.server.accepted() == 1);
    }
  }
}

TEST_CASE("fetch: three redirects and no more", "[fetch]") {
  for (const int redirects : {3, 4}) {
    DYNAMIC_SECTION(redirects << " redirects") {
      FetchFixture fixture;
      for (int i = 0; i < redirects; ++i) {
        fixture.server.play(http_reply("302 Found", "Location: /" + std::to_string(i) + "\r\n", ""));
      }
      fixture.server.play(kOk);
      const auto& outcome = fixture.run(fixture.base());
      CHECK(outcome.has_value() == (redirects == 3));
      CHECK(fixture.server.accepted() == 4);
      if (!outcome) {
        CHECK(outcome.error().reason == Reason::kRedirectLimit);
      }
    }
  }
}

TEST_CASE("fetch: a line feed of the responder stays out of the message", "[fetch]") {
  FetchFixture fixture;
  fixture.server.play(http_reply("302 Found", "Location: /\x01\xff\"x\r\n", ""));
  const auto& outcome = fixture.run(fixture.base());
  REQUIRE_FALSE(outcome.has_value());
  for (const char c : outcome.error().detail) {
    CHECK(c >= ' ');
  }
}
