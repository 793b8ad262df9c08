#include "net/fetch.h"

#include <catch2/catch.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/fakes/descriptors.h"
#include "tests/fakes/dns_server.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/tcp_server.h"

using namespace ocsp_plus;
using namespace ocsp_plus::testing;
using net::Fetch;
using net::FetchRequest;
using net::Url;

namespace {

constexpr Millis kPatience = 20000;
const std::string kBody = "not really DER";
const std::string kOk = http_reply("200 OK", "Content-Type: application/ocsp-response\r\n", kBody);

// A responder, the DNS that leads to it, and a fetch.
struct Fixture {
  ShiftedClock clock;
  PollLoop loop{clock};
  DnsServer dns{loop};
  TcpServer server{loop};
  std::unique_ptr<net::Resolver> resolver;
  std::unique_ptr<Fetch> fetch;
  std::optional<Fetch::Outcome> outcome;
  int calls = 0;

  Fixture() {
    net::ResolverOptions options;
    options.servers = {dns.address()};
    options.timeout = 2000;
    resolver = net::Resolver::create(loop, clock, options).value();
    DnsRecord record;
    record.a = {"127.0.0.1"};
    dns.set("ocsp.example", record);
  }

  std::string base(const std::string& host = "127.0.0.1") const {
    return "http://" + host + ":" + std::to_string(server.port());
  }

  FetchRequest request(const std::string& url) const {
    FetchRequest made;
    made.url = Url::parse(url).value();
    made.body = ByteView(std::string_view("\x30\x03\x02\x01\x00", 5)).copy();
    made.get_path = "MAMCAQA%3D";
    return made;
  }

  void start(FetchRequest made) {
    fetch = Fetch::start(loop, clock, *resolver, std::move(made), [this](Fetch::Outcome result) {
      outcome = std::move(result);
      ++calls;
    });
    REQUIRE(calls == 0);  // never before it returns
  }

  void wait() {
    REQUIRE(loop.run_until([&] { return outcome.has_value(); }, kPatience));
    turns(3);
    CHECK(calls == 1);
  }

  Fetch::Outcome& run(FetchRequest made) {
    start(std::move(made));
    wait();
    return *outcome;
  }

  Fetch::Outcome& run(const std::string& url) { return run(request(url)); }

  void turns(int count) {
    for (int i = 0; i < count; ++i) {
      loop.run_until([] { return true; }, 0);
    }
  }

  std::string loopback(int last_byte) const {
    return "127.0.0." + std::to_string(last_byte) + ":" + std::to_string(server.port());
  }
};

std::string body_of(const Fetch::Outcome& outcome) {
  return outcome ? std::string(ByteView(outcome->http.body).text()) : outcome.error().detail;
}

std::string first_line(const std::string& request) {
  return request.substr(0, request.find("\r\n"));
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("fetch: a GET", "[fetch]") {
  Fixture fixture;
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
            "\r\nAccept: application/ocsp-response\r\nConnection: close\r\n\r\n");
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
      Fixture fixture;
      fixture.server.play(kOk);
      CHECK(body_of(fixture.run(fixture.base() + c.path)) == kBody);
      CHECK(first_line(fixture.server.requests().at(0)) == c.line);
    }
  }
}

TEST_CASE("fetch: GET up to 255 bytes, POST beyond", "[fetch][rfc9919-6.1]") {
  for (const std::size_t length : {std::size_t{255}, std::size_t{256}}) {
    DYNAMIC_SECTION(length << " bytes") {
      Fixture fixture;
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
  Fixture fixture;
  fixture.server.play(kOk);
  FetchRequest request = fixture.request(fixture.base());
  request.no_cache = true;
  fixture.run(request);
  CHECK(contains(fixture.server.requests().at(0), "\r\nCache-Control: no-cache\r\n"));
}

TEST_CASE("fetch: a large POST", "[fetch]") {
  Fixture fixture;
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
        Fixture fixture;
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
  Fixture fixture;
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
      Fixture fixture;
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
      Fixture fixture;
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

TEST_CASE("fetch: nobody listens", "[fetch]") {
  Fixture fixture;
  const std::string address = "127.0.0.2:" + std::to_string(fixture.server.port());
  const auto& outcome = fixture.run("http://" + address);
  REQUIRE_FALSE(outcome.has_value());
  CHECK(outcome.error().reason == Reason::kConnectRefused);
  CHECK(outcome.error().detail == "connect to " + address + ": Connection refused");
}

TEST_CASE("fetch: an address without a way to it", "[fetch]") {
  Fixture fixture;
  const auto& outcome = fixture.run("http://255.255.255.255:1/");  // no TCP to a broadcast address
  REQUIRE_FALSE(outcome.has_value());
  CHECK(outcome.error().reason == Reason::kConnectUnreachable);
}

TEST_CASE("fetch: https is not supported yet", "[fetch]") {
  Fixture fixture;
  const auto& outcome = fixture.run("https://ocsp.example/");
  REQUIRE_FALSE(outcome.has_value());
  CHECK(outcome.error().reason == Reason::kUrlScheme);
  CHECK(outcome.error().detail == "https responders are not supported yet");
}

TEST_CASE("fetch: failures of the DNS", "[fetch]") {
  Fixture fixture;
  CHECK(fixture.run("http://nobody.example/").error().reason == Reason::kDnsNotFound);
}

TEST_CASE("fetch: IPv6 literals", "[fetch]") {
  Fixture fixture;
  TcpServer six(fixture.loop, "::1");
  six.play(kOk);
  const std::string authority = "[::1]:" + std::to_string(six.port());
  CHECK(body_of(fixture.run("http://" + authority)) == kBody);
  CHECK(contains(six.requests().at(0), "\r\nHost: " + authority + "\r\n"));
}

TEST_CASE("fetch: the deadline ends every stage", "[fetch]") {
  struct Case {
    const char* name;
    bool silent_dns;
    std::string reply;
    Reason reason;
    const char* detail;
  };
  const Case cases[] = {
      {"DNS", true, "", Reason::kDnsTimeout, "resolving ocsp.example"},
      {"no answer", false, "", Reason::kTimeout, "waiting for 127.0.0.1:"},
      {"half a header", false, "HTTP/1.1 200 OK\r\nX", Reason::kTimeout, "receiving from 127.0.0.1:"},
      {"half a body", false, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", Reason::kTimeout, "receiving from"},
  };
  for (const Case& c : cases) {
    DYNAMIC_SECTION(c.name) {
      Fixture fixture;
      if (c.silent_dns) {
        DnsRecord silent;
        silent.silent = true;
        fixture.dns.set("ocsp.example", silent);
      }
      fixture.server.play(c.reply, Script::End::kHold);
      FetchRequest request = fixture.request(fixture.base("ocsp.example"));
      request.timeout = 200;
      const auto& outcome = fixture.run(request);
      REQUIRE_FALSE(outcome.has_value());
      INFO(outcome.error().detail);
      CHECK(outcome.error().reason == c.reason);
      CHECK(contains(outcome.error().detail, c.detail));
      CHECK(contains(outcome.error().detail, "within 200 ms"));
    }
  }
}

TEST_CASE("fetch: a drip does not stretch the deadline", "[fetch]") {
  Fixture fixture;
  Script script;
  script.reply = "HTTP/1.1 200 OK\r\n\r\n" + std::string(60000, 'x');
  script.piece = 1;
  script.pause = 5;
  fixture.server.play(script);
  FetchRequest request = fixture.request(fixture.base());
  request.timeout = 150;
  const Millis before = fixture.clock.monotonic();
  CHECK(fixture.run(request).error().reason == Reason::kTimeout);
  CHECK(fixture.clock.monotonic() - before < 5000);
}

TEST_CASE("fetch: a deadline of nothing", "[fetch]") {
  Fixture fixture;
  FetchRequest request = fixture.request(fixture.base());
  request.timeout = 0;
  CHECK(fixture.run(request).error().reason == Reason::kTimeout);
}

TEST_CASE("fetch: the next address is tried", "[fetch]") {
  using End = Script::End;
  struct Case {
    const char* name;
    const char* first;  // nobody listens there, or `other` does
    bool other;         // a responder at 127.0.0.2 that behaves badly
    std::string reply;
    End end;
    bool found;  // the good one was asked
  };
  const Case cases[] = {
      {"refused", "127.0.0.2", false, "", End::kHold, true},
      {"closed without an answer", "127.0.0.2", true, "", End::kClose, true},
      {"reset without an answer", "127.0.0.2", true, "", End::kReset, true},
      {"refused in the other family", "::1", false, "", End::kHold, true},
      {"unreachable at once", "255.255.255.255", false, "", End::kHold, true},
      {"truncated", "127.0.0.2", true, "HTTP/1.1 200 OK\r\n", End::kClose, false},
      {"an answer of its own", "127.0.0.2", true, "HTTP/1.1 500 Oh\r\n\r\n", End::kClose, false},
  };
  for (const Case& c : cases) {
    DYNAMIC_SECTION(c.name) {
      Fixture fixture;
      std::optional<TcpServer> other;
      if (c.other) {
        other.emplace(fixture.loop, "127.0.0.2", fixture.server.port());
        other->play(c.reply, c.end);
      }
      DnsRecord record;
      record.a = {"127.0.0.1"};
      if (std::string(c.first) == "::1") {
        record.aaaa = {c.first};
      } else {
        record.a.insert(record.a.begin(), c.first);
      }
      fixture.dns.set("two.example", record);
      fixture.server.play(kOk);
      const auto& outcome = fixture.run(fixture.base("two.example"));
      INFO(body_of(outcome));
      CHECK(outcome.has_value() == c.found);
      if (c.found) {
        CHECK(outcome->peer.to_string() == fixture.loopback(1));
      }
      CHECK(fixture.server.accepted() == (c.found ? 1 : 0));
    }
  }
}

TEST_CASE("fetch: the error of the last address is told, unless it only says unreachable", "[fetch]") {
  Fixture fixture;
  DnsRecord record;
  record.a = {"127.0.0.2", "127.0.0.3"};
  fixture.dns.set("two.example", record);
  record.a = {"127.0.0.2", "255.255.255.255"};
  fixture.dns.set("broken.example", record);
  fixture.run(fixture.base("two.example"));
  CHECK(contains(fixture.outcome->error().detail, fixture.loopback(3)));
  fixture.outcome.reset();
  fixture.calls = 0;
  fixture.run(fixture.base("broken.example"));
  CHECK(fixture.outcome->error().reason == Reason::kConnectRefused);
  CHECK(contains(fixture.outcome->error().detail, fixture.loopback(2)));
}

TEST_CASE("fetch: a silent address gets half of the time", "[fetch]") {
  Fixture fixture;
  TcpServer silent(fixture.loop, "127.0.0.2", fixture.server.port());
  DnsRecord record;
  record.a = {"127.0.0.2", "127.0.0.1"};
  fixture.dns.set("two.example", record);
  fixture.server.play(kOk);
  FetchRequest request = fixture.request(fixture.base("two.example"));
  request.timeout = 60000;
  fixture.start(request);
  REQUIRE(fixture.loop.run_until([&] { return silent.requests().size() == 1; }, kPatience));
  fixture.clock.advance(29000 - 5000);
  fixture.turns(5);
  CHECK(fixture.server.accepted() == 0);
  fixture.clock.advance(6000);
  fixture.wait();
  CHECK(body_of(*fixture.outcome) == kBody);
  CHECK(silent.open_connections() == 0);
}

TEST_CASE("fetch: an address that has begun to answer keeps its time", "[fetch]") {
  Fixture fixture;
  TcpServer slow(fixture.loop, "127.0.0.2", fixture.server.port());
  Script script;
  script.reply = kOk;
  script.piece = kOk.size() / 2;
  script.pause = 40000;
  slow.play(script);
  DnsRecord record;
  record.a = {"127.0.0.2", "127.0.0.1"};
  fixture.dns.set("two.example", record);
  FetchRequest request = fixture.request(fixture.base("two.example"));
  request.timeout = 60000;
  fixture.start(request);
  REQUIRE(fixture.loop.run_until([&] { return slow.requests().size() == 1; }, kPatience));
  fixture.turns(10);
  fixture.clock.advance(35000);
  fixture.turns(5);
  fixture.clock.advance(6000);
  fixture.wait();
  CHECK(body_of(*fixture.outcome) == kBody);
  CHECK(fixture.server.accepted() == 0);
}

TEST_CASE("fetch: redirects of a GET", "[fetch]") {
  for (const char* status : {"301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"}) {
    DYNAMIC_SECTION(status) {
      Fixture fixture;
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
      Fixture fixture;
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
  Fixture fixture;
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
      Fixture fixture;
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
      Fixture fixture;
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
  Fixture fixture;
  fixture.server.play(http_reply("302 Found", "Location: /\x01\xff\"x\r\n", ""));
  const auto& outcome = fixture.run(fixture.base());
  REQUIRE_FALSE(outcome.has_value());
  for (const char c : outcome.error().detail) {
    CHECK(c >= ' ');
  }
}

TEST_CASE("fetch: cancelled at any turn", "[fetch]") {
  struct Case {
    const char* name;
    std::string url_host;
    Script script;
  };
  Script drip;
  drip.reply = kOk;
  drip.piece = 20;
  Script redirect;
  redirect.reply = http_reply("302 Found", "Location: http://ocsp.example:1/\r\n", "");
  Script hang;
  hang.end = Script::End::kHold;
  const Case cases[] = {{"good", "ocsp.example", drip},
                        {"redirect", "127.0.0.1", redirect},
                        {"hang", "ocsp.example", hang},
                        {"refused", "127.0.0.2", hang}};
  for (const Case& c : cases) {
    DYNAMIC_SECTION(c.name) {
      const long before = open_descriptors();
      for (int turns = 0; turns < 25; ++turns) {
        Fixture fixture;
        fixture.server.play(c.script);
        const long idle = open_descriptors();
        fixture.start(fixture.request(fixture.base(c.url_host)));
        fixture.turns(turns);
        const int calls = fixture.calls;
        fixture.fetch.reset();
        REQUIRE(fixture.loop.run_until(
            [&] { return fixture.server.open_connections() == 0 && open_descriptors() == idle; }, kPatience));
        fixture.clock.advance(60000);
        fixture.turns(5);
        CHECK(fixture.calls == calls);
      }
      CHECK(open_descriptors() == before);
    }
  }
}

TEST_CASE("fetch: the callback may destroy the fetch, and start another", "[fetch]") {
  Fixture fixture;
  const bool good = GENERATE(true, false);
  fixture.server.play(good ? kOk : "nonsense");
  fixture.server.play(kOk);
  std::optional<Fetch::Outcome> second;
  std::unique_ptr<Fetch> fetch;
  fetch = Fetch::start(fixture.loop, fixture.clock, *fixture.resolver, fixture.request(fixture.base("ocsp.example")),
                       [&](const Fetch::Outcome& first) {
                         CHECK(first.has_value() == good);
                         fetch = Fetch::start(fixture.loop, fixture.clock, *fixture.resolver,
                                              fixture.request(fixture.base()),
                                              [&](Fetch::Outcome outcome) { second = std::move(outcome); });
                       });
  REQUIRE(fixture.loop.run_until([&] { return second.has_value(); }, kPatience));
  CHECK(body_of(*second) == kBody);
}

TEST_CASE("fetch: nothing stays open after the end", "[fetch]") {
  for (const std::string& reply : {kOk, std::string("nonsense"), std::string("HTTP/1.1 404 No\r\n\r\n")}) {
    DYNAMIC_SECTION(reply.substr(0, 12)) {
      Fixture fixture;
      fixture.server.play(reply, Script::End::kHold);
      const long before = open_descriptors();
      fixture.run(fixture.base("ocsp.example"));
      REQUIRE(fixture.loop.run_until([&] { return fixture.server.open_connections() == 0; }, kPatience));
      CHECK(open_descriptors() == before);
    }
  }
}

TEST_CASE("fetch: a loop without a free slot", "[fetch]") {
  struct FullLoop : EventLoop {
    explicit FullLoop(EventLoop& the_inner) : inner(the_inner) {}
    std::unique_ptr<IoWatch> watch(int, IoCallback) override { return nullptr; }
    std::unique_ptr<Timer> timer(TimerCallback callback) override { return inner.timer(std::move(callback)); }
    EventLoop& inner;
  };
  Fixture fixture;
  FullLoop full(fixture.loop);
  const long before = open_descriptors();
  fixture.fetch = Fetch::start(full, fixture.clock, *fixture.resolver, fixture.request(fixture.base()),
                               [&](Fetch::Outcome result) {
                                 fixture.outcome = std::move(result);
                                 ++fixture.calls;
                               });
  fixture.wait();
  REQUIRE_FALSE(fixture.outcome->has_value());
  CHECK(fixture.outcome->error().reason == Reason::kNetworkError);
  CHECK(open_descriptors() == before);
}

TEST_CASE("fetch: many at once", "[fetch]") {
  Fixture fixture;
  int ended = 0;
  std::vector<std::unique_ptr<Fetch>> fetches;
  for (int i = 0; i < 50; ++i) {
    fixture.server.play(kOk);
    fetches.push_back(Fetch::start(fixture.loop, fixture.clock, *fixture.resolver,
                                   fixture.request(fixture.base("ocsp.example")), [&](const Fetch::Outcome& outcome) {
                                     CHECK(body_of(outcome) == kBody);
                                     ++ended;
                                   }));
  }
  REQUIRE(fixture.loop.run_until([&] { return ended == 50; }, kPatience));
  CHECK(fixture.dns.asked() == 2);
}
