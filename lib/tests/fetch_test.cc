#include "net/fetch.h"

#include <catch2/catch.hpp>
#include <string>

#include "ocsp_plus/version.h"
#include "tests/fakes/fetch_fixture.h"

using namespace ocsp_plus;
using namespace ocsp_plus::testing;
using net::FetchRequest;

TEST_CASE("fetch: a GET", "[fetch]") {
  FetchFixture fixture;
  fixture.server.play(kOk);
  const auto& outcome = fixture.run(fixture.base("ocsp.example"));
  REQUIRE(body_of(outcome) == kBody);
  CHECK(outcome->get);
  CHECK(outcome->http.head.status == 200);
  CHECK(outcome->http.head.content_type == "application/ocsp-response");
  CHECK(outcome->peer.to_string() == fixture.loopback(1));
  CHECK(outcome->took >= 0);
  REQUIRE(fixture.server.requests().size() == 1);
  CHECK(fixture.server.requests()[0] ==
        "GET /MAMCAQA%3D HTTP/1.1\r\nHost: ocsp.example:" + std::to_string(fixture.server.port()) +
            "\r\nUser-Agent: ocsp_plus/" OCSP_PLUS_VERSION
            "\r\nAccept: application/ocsp-response\r\nAccept-Encoding: identity\r\n\r\n");
}

TEST_CASE("fetch: the path of a GET", "[fetch]") {
  struct Case {
    const char* path;
    const char* line;
  };
  const Case cases[] = {
      {"", "GET /MAMCAQA%3D HTTP/1.1"},       {"/", "GET /MAMCAQA%3D HTTP/1.1"},
      {"/ca", "GET /ca/MAMCAQA%3D HTTP/1.1"}, {"/ca/", "GET /ca/MAMCAQA%3D HTTP/1.1"},
      {"/ca/?x=1", "POST /ca/?x=1 HTTP/1.1"},
  };
  for (const Case& c : cases) {
    DYNAMIC_SECTION("path " << c.path) {
      FetchFixture fixture;
      fixture.server.play(kOk);
      CHECK(body_of(fixture.run(fixture.base() + c.path)) == kBody);
      CHECK(first_line(fixture.server.requests().at(0)) == c.line);
    }
  }
}

TEST_CASE("fetch: GET up to 255 bytes, POST beyond", "[fetch][rfc9919-6.1]") {
  for (const std::size_t length : {std::size_t{255}, std::size_t{256}}) {
    DYNAMIC_SECTION(length << " bytes") {
      FetchFixture fixture;
      fixture.server.play(kOk);
      FetchRequest request = fixture.request(fixture.base());
      request.get_path = std::string(length - request.url.to_string().size(), 'A');
      const auto& outcome = fixture.run(request);
      REQUIRE(body_of(outcome) == kBody);
      CHECK(outcome->get == (length == 255));
      const std::string& sent = fixture.server.requests().at(0);
      CHECK(first_line(sent) == (length == 255 ? "GET /" + request.get_path + " HTTP/1.1" : "POST / HTTP/1.1"));
      if (length == 256) {
        CHECK(contains(sent, "\r\nContent-Type: application/ocsp-request\r\nContent-Length: 5\r\n\r\n"));
        CHECK(sent.substr(sent.size() - 5) == std::string("\x30\x03\x02\x01\x00", 5));
      }
    }
  }
}

TEST_CASE("fetch: no_cache", "[fetch]") {
  FetchFixture fixture;
  fixture.server.play(kOk);
  FetchRequest request = fixture.request(fixture.base());
  request.no_cache = true;
  fixture.run(request);
  CHECK(contains(fixture.server.requests().at(0), "\r\nCache-Control: no-cache\r\n"));
}

TEST_CASE("fetch: a large POST", "[fetch]") {
  FetchFixture fixture;
  fixture.server.play(kOk);
  FetchRequest request = fixture.request(fixture.base());
  request.get_path.clear();
  request.body.assign(5000000, 'x');  // more than the sockets' buffers take at once
  CHECK(body_of(fixture.run(request)) == kBody);
  CHECK(fixture.server.requests().at(0).size() > 5000000);
}

TEST_CASE("fetch: forms of a good answer", "[fetch]") {
  struct Case {
    const char* name;
    std::string reply;
    Script::End end;
  };
  const Case cases[] = {
      {"content length, held open", kOk, Script::End::kHold},
      {"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnot\r\nb\r\n really DER\r\n0\r\n\r\n",
       Script::End::kHold},
      {"until close", "HTTP/1.1 200 OK\r\n\r\n" + kBody, Script::End::kClose},
      {"HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\n" + kBody, Script::End::kClose},
      {"after 100", "HTTP/1.1 100 Continue\r\n\r\n" + kOk, Script::End::kHold},
      {"bytes after it", kOk + "HTTP/1.1 200 OK\r\n", Script::End::kHold},
  };
  for (const Case& c : cases) {
    for (const std::size_t piece : {std::size_t{0}, std::size_t{1}}) {
      DYNAMIC_SECTION(c.name << (piece == 0 ? "" : ", byte by byte")) {
        FetchFixture fixture;
        Script script;
        script.reply = c.reply;
        script.end = c.end;
        script.piece = piece;
        fixture.server.play(script);
        CHECK(body_of(fixture.run(fixture.base())) == kBody);
      }
    }
  }
}

TEST_CASE("fetch: an answer before the request is read counts", "[fetch]") {
  FetchFixture fixture;
  Script script;
  script.reply = http_reply("503 Busy", "Connection: close\r\n", "");
  script.at_once = true;
  fixture.server.play(script);
  FetchRequest request = fixture.request(fixture.base());
  request.get_path.clear();
  request.body.assign(100, 'x');
  CHECK(fixture.run(request).error().reason == Reason::kHttpStatus);
}

TEST_CASE("fetch: bad answers", "[fetch]") {
  using End = Script::End;
  struct Case {
    const char* name;
    std::string reply;
    End end;
    Reason reason;
    const char* detail;
  };
  const std::string head = "HTTP/1.1 200 OK\r\n";
  const Case cases[] = {
      {"closed at once", "", End::kClose, Reason::kTruncated, "closed without a response"},
      {"reset at once", "", End::kReset, Reason::kConnectionReset, "Connection reset by peer"},
      {"truncated", head + "Content-Length: 50\r\n\r\nhello", End::kClose, Reason::kTruncated, "within the response"},
      {"reset in the body", head + "Content-Length: 50\r\n\r\nhello", End::kReset, Reason::kConnectionReset,
       "Connection reset by peer"},
      {"too large by length", head + "Content-Length: 70000\r\n\r\n", End::kHold, Reason::kTooLarge, "70000"},
      {"too large while it arrives", head + "\r\n" + std::string(70000, 'x'), End::kHold, Reason::kTooLarge, "limit"},
      {"headers too large", head + "X: " + std::string(20000, 'x') + "\r\n\r\n", End::kHold, Reason::kHeadersTooLarge,
       "limit"},
      {"garbage", "220 mail.example ESMTP\r\n", End::kHold, Reason::kHttpMalformed, "status line"},
      {"404", http_reply("404 Not Found", "", "<html>"), End::kHold, Reason::kHttpStatus, "HTTP 404 from "},
      {"304", "HTTP/1.1 304 Not Modified\r\n\r\n", End::kHold, Reason::kHttpStatus, "HTTP 304"},
      {"204", "HTTP/1.1 204 No Content\r\n\r\n", End::kHold, Reason::kHttpStatus, "HTTP 204"},
      {"302 without a Location", http_reply("302 Found", "", ""), End::kHold, Reason::kHttpStatus, "without a Loc"},
  };
  for (const Case& c : cases) {
    DYNAMIC_SECTION(c.name) {
      FetchFixture fixture;
      fixture.server.play(c.reply, c.end);
      const auto& outcome = fixture.run(fixture.base());
      REQUIRE_FALSE(outcome.has_value());
      INFO(outcome.error().detail);
      CHECK(outcome.error().reason == c.reason);
      CHECK(contains(outcome.error().detail, c.detail));
      CHECK(contains(outcome.error().detail, fixture.loopback(1)));
      CHECK_FALSE(outcome.error().retry_after.has_value());
    }
  }
}

TEST_CASE("fetch: the responder's own guidance", "[fetch]") {
  struct Case {
    const char* status;
    bool heeded;
  };
  for (const Case& c : {Case{"503 Busy", true}, Case{"429 Slow Down", true}, Case{"500 Oh", false}}) {
    DYNAMIC_SECTION(c.status) {
      FetchFixture fixture;
      fixture.server.play(
          http_reply(c.status, "Retry-After: 120\r\nDate: Thu, 01 Jan 2026 00:10:00 GMT\r\n", "<html>"));
      const auto& outcome = fixture.run(fixture.base());
      REQUIRE_FALSE(outcome.has_value());
      CHECK(outcome.error().reason == Reason::kHttpStatus);
      CHECK(outcome.error().date == kTestNow + 600);
      CHECK(outcome.error().retry_after.value_or(0) == (c.heeded ? kTestNow + 120 : 0));
    }
  }
}

TEST_CASE("fetch: https where no TLS can be set up", "[fetch]") {
  FetchFixture fixture;
  const auto& outcome = fixture.run("https://ocsp.example/");
  REQUIRE_FALSE(outcome.has_value());
  CHECK(outcome.error().reason == Reason::kTlsFailed);
}

TEST_CASE("fetch: failures of the DNS", "[fetch]") {
  FetchFixture fixture;
  CHECK(fixture.run("http://nobody.example/").error().reason == Reason::kDnsNotFound);
}

TEST_CASE("fetch: it tells its steps to whoever listens", "[fetch]") {
  FetchFixture fixture;
  fixture.server.play(http_reply("302 Found", "Location: /there\r\nConnection: close\r\n", ""));
  fixture.server.play(http_reply("503 Busy", "Date: Sat, 01 Jun 2030 12:00:00 GMT\r\nRetry-After: 60\r\n", ""));
  std::string told;
  FetchRequest request = fixture.request(fixture.base("ocsp.example"));
  request.trace = [&told](const std::string& step) { told += step + "\n"; };
  REQUIRE_FALSE(fixture.run(request).has_value());
  const std::string address = "127.0.0.1:" + std::to_string(fixture.server.port());
  std::size_t at = 0;
  for (const std::string& step : {
           std::string("resolving ocsp.example\n"),
           "ocsp.example is " + address + "\n",
           "connecting to " + address + "\n",
           std::string("> GET /MAMCAQA%3D HTTP/1.1\n> Host: ocsp.example:"),
           std::string("> Accept-Encoding: identity\n"),
           std::string("< HTTP 302\n< Location: \"/there\"\n"),
           std::string("> GET /there HTTP/1.1\n"),
           std::string("< HTTP 503\n< Date: 2030-06-01T12:00:00Z\n< Retry-After: "),
           std::string("http_status: HTTP 503 from " + address + "\n"),
       }) {
    INFO(told);
    const std::size_t found = told.find(step, at);
    REQUIRE(found != std::string::npos);
    at = found + step.size();
  }
  CHECK(at == told.size());
}

TEST_CASE("fetch: an OCSP response under an HTTP error speaks", "[fetch][rfc6960-A.2]") {
  const std::string type = "Content-Type: application/ocsp-response\r\n";
  for (const char* status :
       {"400 Bad Request", "401 Unauthorized", "404 Not Found", "500 Oops", "503 Busy", "203 Other"}) {
    DYNAMIC_SECTION(status) {
      FetchFixture fixture;
      fixture.server.play(http_reply(status,
                                     type +
                                         "Cache-Control: max-age=86400\r\nExpires: Fri, 02 Jan 2099 00:00:00 GMT\r\n"
                                         "ETag: \"x\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:10 GMT\r\n"
                                         "Date: Thu, 01 Jan 2026 00:00:10 GMT\r\nRetry-After: 30\r\n",
                                     kBody));
      const auto& outcome = fixture.run(fixture.base());
      REQUIRE(body_of(outcome) == kBody);
      CHECK(outcome->status() == std::stoul(status));
      CHECK(outcome->under_error());
      CHECK_FALSE(outcome->not_modified());
      // What may be kept is the error.
      CHECK_FALSE((outcome->http.head.max_age || outcome->http.head.expires));
      CHECK(outcome->validators.empty());
      CHECK(outcome->http.head.date);
      CHECK(outcome->http.head.retry_after);
    }
  }
  struct Silent {
    const char* name;
    std::string headers;
    std::string body;
  };
  for (const Silent& c :
       {Silent{"another type", "Content-Type: text/html\r\n", "<html>"}, Silent{"no type", "", kBody},
        Silent{"no body", type, ""}, Silent{"packed", type + "Content-Encoding: gzip\r\n", kBody}}) {
    DYNAMIC_SECTION(c.name) {
      FetchFixture fixture;
      fixture.server.play(http_reply("401 Unauthorized", c.headers, c.body));
      const auto& outcome = fixture.run(fixture.base());
      REQUIRE_FALSE(outcome.has_value());
      CHECK(outcome.error().reason == Reason::kHttpStatus);
      CHECK(outcome.error().status == 401);
    }
  }
}

TEST_CASE("fetch: an error with an OCSP response is no document", "[fetch]") {
  FetchFixture fixture;
  fixture.server.play(http_reply("404 Not Found", "Content-Type: application/ocsp-response\r\n", kBody));
  FetchRequest request = fixture.request(fixture.base());
  request.accept = "application/pkix-cert";
  const auto& outcome = fixture.run(std::move(request));
  REQUIRE_FALSE(outcome.has_value());
  CHECK(outcome.error().reason == Reason::kHttpStatus);
}
