#include "engine/exchange.h"

#include <catch2/catch.hpp>
#include <optional>

#include "crypto/verify.h"
#include "tests/fakes/descriptors.h"
#include "tests/fakes/engine_fixture.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;

// One certificate with two responders.
struct Fixture : EngineFixture {
  explicit Fixture(std::size_t leaf = 1) {
    resolver = net::Resolver::create(loop, loop.clock, settings.resolver).value();
    transport = std::make_unique<net::Transport>(loop, loop.clock, *resolver);
    add(leaf, {&first, &second});
  }

  void start() {
    REQUIRE(Exchange::choose(hosts, *catalog.targets()[0], {}, loop.clock).permit ==
            ResponderHealth::Permit::kAllowed);
    exchange = std::make_unique<Exchange>(
        ExchangeServices{loop.clock, random, *transport, tls, hosts, work_queue, settings,
                         [this](const std::string& step) { note_verified(step); }, nullptr, &methods},
        *catalog.targets()[0], held, oldest, [this](Exchange::End ended) {
          end = std::move(ended);
          ++ends;
          exchange.reset();
        });
    CHECK(ends == 0);
  }
  void note_verified(const std::string& step) {
    if (step.find(" bytes from ") != std::string::npos) {
      verified.push_back(step.find(first.host()) != std::string::npos ? 0 : 1);
    }
  }
  std::optional<Exchange::Failure> failure() const {
    return end->result ? std::nullopt : std::optional(end->result.error());
  }
  void run() {
    start();
    loop.pass(settings.timeout, 1000);
    REQUIRE(ends == 1);
    CHECK(exchange == nullptr);
    for (const auto& [name, host] : hosts.all()) {
      CHECK(host.in_flight == 0);
    }
  }
  ResponderHealth::Host health(const OcspServer& server) const {
    const auto found = hosts.all().find(server.host());
    return found == hosts.all().end() ? ResponderHealth::Host() : found->second;
  }

  OcspServer& first = server();
  OcspServer& second = server();
  std::unique_ptr<net::Resolver> resolver;
  TlsClients tls;
  std::unique_ptr<net::Transport> transport;
  std::optional<Exchange::HeldValidators> held;
  Seconds oldest = 0;
  ResponderHealth hosts{16};
  Methods methods{zone};
  WorkQueue work_queue{loop};
  std::unique_ptr<Exchange> exchange;
  std::vector<std::size_t> verified;  // whose answers were, in order
  std::optional<Exchange::End> end;
  int ends = 0;
};

std::string error_reply(int status) {
  return ocsp_reply(error_response(status));
}

const std::string kHttp503 = "HTTP/1.1 503 Busy\r\nRetry-After: 100\r\nContent-Length: 0\r\n\r\n";
const std::string kHttp404 = "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n";

TEST_CASE("exchange: two responders, with every combination of failure", "[exchange]") {
  struct Reply {
    const char* name;
    std::optional<std::string> text;  // nothing: a good one
    Reason reason;
    bool host_fails;
    std::size_t requests = 1;
  };
  const std::vector<Reply> replies = {
      {"good", {}, Reason::kOk, false},
      {"tryLater", error_reply(3), Reason::kTryLater, true},
      {"unauthorized", error_reply(6), Reason::kUnauthorized, false},
      {"garbage", "hello\r\n\r\n", Reason::kHttpMalformed, true},
      {"404", kHttp404, Reason::kHttpStatus, true, 2},  // the other method
      {"503", kHttp503, Reason::kHttpStatus, true},
      {"silence", "", Reason::kTimeout, true},
  };
  for (const Reply& one : replies) {
    for (const Reply& two : replies) {
      INFO(one.name << ", then " << two.name);
      Fixture f;
      f.first.answer = one.text ? EngineFixture::always(*one.text) : f.good_answers(kDay);
      f.second.answer = two.text ? EngineFixture::always(*two.text) : f.good_answers(kDay);
      f.run();

      const bool accepted_first = one.reason == Reason::kOk;
      // The deadline is one for both: silence uses up half of it.
      const bool asked_second = !accepted_first;
      CHECK(f.first.asked.size() == one.requests);
      CHECK(f.second.asked.size() == (asked_second ? two.requests : 0));
      CHECK(f.end->hosts.size() == (asked_second ? 2 : 1));
      const Reply& last = asked_second ? two : one;
      REQUIRE(f.failure().has_value() == (last.reason != Reason::kOk));
      if (f.failure()) {
        CHECK(token(f.failure()->error.reason) == token(last.reason));
        CHECK(f.failure()->responder == (asked_second ? 1 : 0));
        CHECK(f.failure()->error.retry_after.has_value() == (last.text == kHttp503));
      }
      CHECK(f.hosts.failing(f.first.host()) == one.host_fails);
      CHECK((f.health(f.first).state == ResponderHealth::State::kUp) == !one.host_fails);
      CHECK(f.hosts.failing(f.second.host()) == (asked_second && two.host_fails));
    }
  }
}

// As OpenBao, Vault and xipki say what RFC 6960 has a body for.
TEST_CASE("exchange: an OCSP response under an HTTP error is judged as any other", "[exchange]") {
  const auto under = [](const std::string& status, const Bytes& der) {
    return "HTTP/1.1 " + status + "\r\nContent-Type: application/ocsp-response\r\nCache-Control: max-age=9\r\n" +
           "Content-Length: " + std::to_string(der.size()) + "\r\n\r\n" + std::string(ByteView(der).text());
  };
  struct Case {
    const char* status;
    int response;
    Reason reason;
    bool host_fails;
  };
  for (const Case& c :
       {Case{"401 Unauthorized", 6, Reason::kUnauthorized, false},
        Case{"400 Bad Request", 1, Reason::kMalformedRequest, false}, Case{"503 Busy", 3, Reason::kTryLater, true}}) {
    INFO(c.status);
    Fixture f;
    f.first.answer = EngineFixture::always(under(c.status, error_response(c.response)));
    f.second.answer = f.first.answer;
    f.run();
    REQUIRE(f.failure().has_value());
    const net::Fetch::Failure error = f.failure()->error;
    CHECK(token(error.reason) == token(c.reason));
    CHECK(error.status == std::stoul(c.status));
    CHECK(error.detail ==
          "HTTP " + std::string(c.status).substr(0, 3) + ": the response status is " + std::to_string(c.response));
    const bool other_method = c.reason == Reason::kMalformedRequest;
    CHECK(f.verified == (other_method ? std::vector<std::size_t>{0, 0, 1, 1} : std::vector<std::size_t>{0, 1}));
    CHECK((f.health(f.first).consecutive_errors > 0) == c.host_fails);
  }
  Fixture f;
  const UnixSeconds now = f.loop.clock.now();
  f.first.answer = EngineFixture::always(under("500 Oops", good_response(test_leaf(1), test_ca(), now, now + kDay)));
  f.run();
  CHECK_FALSE(f.failure().has_value());
  CHECK(f.verified == std::vector<std::size_t>{0});
}

// The first sends us on to another port of this machine.
TEST_CASE("exchange: a redirect leads to a responder that is named, and to nobody else here", "[exchange]") {
  Fixture f;
  const auto moved = [](const std::string& to) {
    return "HTTP/1.1 302 Found\r\nLocation: " + to + "\r\nContent-Length: 0\r\n\r\n";
  };
  SECTION("named") {
    f.first.answer = EngineFixture::always(moved(f.second.url("1")));
    f.second.answer = f.good_answers(kDay);
    f.run();
    CHECK_FALSE(f.failure().has_value());
    CHECK(f.second.asked.size() == 1);
  }
  SECTION("not named") {
    OcspServer& inside = f.server(f.good_answers(kDay));
    f.first.answer = EngineFixture::always(moved(inside.url("control?refresh=all")));
    f.second.answer = f.first.answer;
    f.run();
    REQUIRE(f.failure().has_value());
    CHECK(token(f.failure()->error.reason) == "redirect_forbidden");
    CHECK(inside.asked.empty());
  }
}

TEST_CASE("exchange: the next probe is planned by the back-off or what the host asked for", "[exchange]") {
  Fixture f;
  SECTION("back-off") {
    f.first.answer = EngineFixture::always(kHttp404);
    f.run();
    CHECK(f.hosts.next_probe(f.first.host()) == kNow + 5);
  }
  SECTION("Retry-After") {
    f.first.answer = EngineFixture::always(kHttp503);
    f.run();
    CHECK(f.hosts.next_probe(f.first.host()) == kNow + 100);
  }
}

TEST_CASE("exchange: one deadline for all", "[exchange]") {
  Fixture f;
  f.second.answer = EngineFixture::hang();
  f.first.answer = EngineFixture::hang();
  f.start();
  f.loop.pass(f.settings.timeout - 1, 1000);
  CHECK(f.ends == 0);
  f.loop.pass(1);
  CHECK(f.ends == 1);
  CHECK(f.failure()->error.reason == Reason::kTimeout);
}

TEST_CASE("exchange: an old copy is asked for once more, past caches", "[exchange]") {
  Fixture f;
  const std::string old = ocsp_reply(good_response(test_leaf(1), test_ca(), kNow - kDay, kNow - 1));
  SECTION("a cache had it") {
    const auto good = f.good_answers(kDay);
    f.first.answer = [&](const std::string& head) {
      return head.find("Cache-Control: no-cache\r\n") == std::string::npos ? old : good(head);
    };
    f.run();
    CHECK_FALSE(f.failure());
    CHECK(f.first.asked.size() == 2);
    CHECK(f.second.asked.empty());
  }
  SECTION("the responder has nothing else") {
    f.first.answer = f.second.answer = EngineFixture::always(old);
    f.run();
    REQUIRE(f.failure());
    CHECK(f.failure()->error.reason == Reason::kExpired);
    CHECK(f.first.asked.size() == 2);
    CHECK(f.second.asked.size() == 1);
    CHECK(f.verified == std::vector<std::size_t>{0, 0, 1});
  }
}

// --- ocsp_plus_refresh: what a cache has held for too long ---

std::string aged(const std::string& reply, Seconds age) {
  std::string text = reply;
  return text.insert(text.find("\r\n") + 2, "Age: " + std::to_string(age) + "\r\n");
}

TEST_CASE("exchange: an answer older than the bound is asked for once more, past caches",
          "[exchange][rfc9111-5.2.1.4]") {
  Fixture f;
  f.oldest = 900;
  const auto good = f.good_answers(kDay);
  const std::string copy = ocsp_reply(good_response(test_leaf(1), test_ca(), kNow - 7200, kNow + kDay));
  const auto past = [](const std::string& head) {
    return head.find("Cache-Control: no-cache\r\n") != std::string::npos;
  };
  SECTION("by its Age") {
    f.first.answer = [&](const std::string& head) { return past(head) ? good(head) : aged(copy, 901); };
    f.run();
    REQUIRE(f.end->result);
    CHECK(f.end->past_caches);
    CHECK(f.first.asked.size() == 2);
    CHECK(f.end->result->verified->verdict.this_update == kNow);
  }
  SECTION("by its Date, of a cache that tells no Age") {
    f.first.answer = [&](const std::string& head) {
      std::string text = copy;
      const std::string date = "Date: Sat, 01 Jun 2030 08:00:00 GMT\r\n";  // hours before kNow
      return past(head) ? good(head) : text.insert(text.find("\r\n") + 2, date);
    };
    f.run();
    CHECK(f.end->past_caches);
    CHECK(f.first.asked.size() == 2);
  }
  SECTION("not where its thisUpdate alone is old: it may have been made in advance") {
    f.first.answer = EngineFixture::always(copy);
    f.run();
    CHECK(f.first.asked.size() == 1);
    CHECK_FALSE(f.end->past_caches);
  }
  SECTION("not where the cache is within the bound") {
    f.first.answer = EngineFixture::always(aged(copy, 900));
    f.run();
    CHECK(f.first.asked.size() == 1);
  }
  SECTION("not without a bound") {
    f.oldest = 0;
    f.first.answer = EngineFixture::always(aged(copy, 86400));
    f.run();
    CHECK(f.first.asked.size() == 1);
  }
  SECTION("what the cache had is taken where nothing comes past it, and the host is not to blame") {
    const std::string trouble = GENERATE(std::string(), error_reply(3), std::string("hello\r\n\r\n"));
    f.first.answer = [&](const std::string& head) { return past(head) ? trouble : aged(copy, 901); };
    f.run();
    REQUIRE(f.end->result);
    CHECK(f.end->result->verified->verdict.this_update == kNow - 7200);
    CHECK(f.first.asked.size() == 2);
    CHECK(f.second.asked.empty());
    CHECK(f.health(f.first).state == ResponderHealth::State::kUp);
  }
  SECTION("not by POST, which no cache keeps") {
    f.methods.record(*f.catalog.targets()[0], *f.catalog.targets()[0]->responders[0], net::Method::kPost,
                     net::Method::kGet, true);
    f.first.answer = EngineFixture::always(aged(copy, 901));
    f.run();
    CHECK(f.first.asked.size() == 1);
  }
  SECTION("not for a day once the same bytes have come ten times running") {
    f.first.answer = EngineFixture::always(aged(copy, 901));
    for (int round = 0; round < 12; ++round) {
      f.ends = 0;
      f.run();
    }
    CHECK(f.first.asked.size() == 2 * 10 + 2);
    f.loop.clock.advance(86400000);
    f.ends = 0;
    f.first.answer = EngineFixture::always(
        aged(ocsp_reply(good_response(test_leaf(1), test_ca(), f.loop.clock.now(), f.loop.clock.now() + kDay)), 901));
    f.run();
    CHECK(f.first.asked.size() == 2 * 10 + 2 + 2);
  }
}

// A request's CertID by SHA-256 is longer.
bool by_sha256(const std::string& head) {
  if (const std::size_t length = head.find("Content-Length: "); length != std::string::npos) {
    return std::stoul(head.substr(length + 16)) > 90;
  }
  return head.find(" HTTP/1.1\r\n") > 130;
}

TEST_CASE("exchange: the other hash where one is refused, remembered per host", "[exchange][rfc9919]") {
  Fixture f;
  std::vector<bool> hashes;
  const auto good = f.good_answers(kDay);
  std::string refusal = error_reply(6);
  bool wants_sha256 = true;
  f.first.answer = [&](const std::string& head) {
    hashes.push_back(by_sha256(head));
    return by_sha256(head) == wants_sha256 ? good(head) : refusal;
  };
  SECTION("not by default") {
    f.run();
    CHECK(hashes == std::vector<bool>{false});
    CHECK(f.second.asked.size() == 1);
  }
  SECTION("auto") {
    f.settings.certid_auto = true;
    for (const std::string& each : {error_reply(6), error_reply(1), error_reply(2), kHttp404}) {
      INFO(each);
      refusal = each;
      wants_sha256 = !wants_sha256;
      f.hosts.remember_hash(f.first.host(), wants_sha256 ? crypto::CertIdHash::kSha1 : crypto::CertIdHash::kSha256);
      hashes.clear();
      f.ends = 0;
      f.run();
      CHECK_FALSE(f.failure());
      const bool other_method_first = each == error_reply(1) || each == kHttp404;
      CHECK(hashes == (other_method_first ? std::vector<bool>{!wants_sha256, !wants_sha256, wants_sha256}
                                          : std::vector<bool>{!wants_sha256, wants_sha256}));
      hashes.clear();
      f.ends = 0;
      f.run();
      CHECK_FALSE(f.failure());
      CHECK(hashes == std::vector<bool>{wants_sha256});
    }
    CHECK(f.second.asked.empty());
  }
  SECTION("auto, refused by both: the next responder") {
    f.settings.certid_auto = true;
    f.first.answer = [&](const std::string& head) {
      hashes.push_back(by_sha256(head));
      return refusal;
    };
    f.run();
    CHECK(hashes == std::vector<bool>{false, true});
    CHECK(f.second.asked.size() == 1);
    CHECK_FALSE(f.failure());
  }
  SECTION("auto, what no hash would change") {
    f.settings.certid_auto = true;
    refusal = kHttp503;
    f.run();
    CHECK(hashes == std::vector<bool>{false});
  }
}

// --- the other method --------------------------------------------------------------------------------------------

std::string http(const std::string& status, const std::string& type = "text/html", const std::string& body = "") {
  return "HTTP/1.1 " + status + "\r\nContent-Type: " + type + "\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

std::string method_of(const std::string& head) {
  return head.substr(0, head.find(' '));
}

// A responder that gives `refusal` to all but `wanted`.
struct Picky : Fixture {
  explicit Picky(const std::string& refusal, const std::string& wanted, std::size_t leaf = 1) : Fixture(leaf) {
    const auto good = good_answers(kDay);
    first.answer = [this, good, refusal, wanted](const std::string& head) {
      seen.push_back(method_of(head));
      return seen.back() == wanted ? good(head) : refusal;
    };
  }
  void remember(net::Method method) {
    const net::Url& url = *catalog.targets()[0]->responders[0];
    methods.record(*catalog.targets()[0], url, method, net::Method::kGet, true);
  }
  void run_again() {
    ends = 0;
    seen.clear();
    run();
  }
  std::vector<std::string> seen;
};

using Seen = std::vector<std::string>;

TEST_CASE("exchange: which answers call for the other method", "[exchange][method]") {
  struct Case {
    Reason reason;
    unsigned status;
    bool mangled;
    bool other;
  };
  for (const Case& c : {
           Case{Reason::kHttpStatus, 400, false, true},        Case{Reason::kHttpStatus, 403, false, true},
           Case{Reason::kHttpStatus, 404, false, true},        Case{Reason::kHttpStatus, 405, false, true},
           Case{Reason::kHttpStatus, 501, false, true},        Case{Reason::kHttpStatus, 301, true, true},
           Case{Reason::kMalformedResponse, 200, false, true}, Case{Reason::kMalformedRequest, 200, false, true},
           Case{Reason::kMalformedRequest, 400, false, true},  Case{Reason::kHttpStatus, 301, false, false},
           Case{Reason::kHttpStatus, 401, false, false},       Case{Reason::kHttpStatus, 429, false, false},
           Case{Reason::kHttpStatus, 500, false, false},       Case{Reason::kHttpStatus, 502, false, false},
           Case{Reason::kHttpStatus, 503, false, false},       Case{Reason::kMalformedResponse, 503, false, false},
           Case{Reason::kUnauthorized, 400, false, false},     Case{Reason::kTryLater, 200, false, false},
           Case{Reason::kInternalError, 500, false, false},    Case{Reason::kTimeout, 0, false, false},
           Case{Reason::kConnectRefused, 0, false, false},     Case{Reason::kProxyRefused, 403, false, false},
           Case{Reason::kExpired, 200, false, false},
       }) {
    INFO(token(c.reason) << " " << c.status << " " << c.mangled);
    CHECK(other_method(c.reason, c.status, c.mangled) == c.other);
  }
}

TEST_CASE("exchange: a responder that wants the other method is asked by it at once, and first the next time",
          "[exchange][method]") {
  const bool wants_post = GENERATE(true, false);
  const Seen both = wants_post ? Seen{"GET", "POST"} : Seen{"POST", "GET"};
  for (const std::string& refusal :
       {http("400 Bad Request"), http("403 Forbidden"), http("404 Not Found"), http("405 Not Allowed"),
        http("501 Not Implemented"), http("200 OK", "text/html", "<html>Hello</html>"),
        http("200 OK", "application/ocsp-response"), error_reply(1)}) {
    INFO(refusal);
    Picky f(refusal, both[1]);
    if (!wants_post) {
      f.remember(net::Method::kPost);
    }
    f.run();
    CHECK_FALSE(f.failure());
    CHECK(f.seen == both);
    CHECK(f.second.asked.empty());
    if (wants_post) {
      f.run_again();
      CHECK(f.seen == Seen{"POST"});
    }
  }
}

TEST_CASE("exchange: what another method would not change", "[exchange][method]") {
  for (const std::string& refusal : {http("500 Oops"), http("502 Bad Gateway"), kHttp503, http("429 Slow down"),
                                     error_reply(6), error_reply(3), error_reply(2), std::string()}) {
    INFO(refusal);
    Picky f(refusal, "POST");
    f.run();
    CHECK(f.seen == Seen{"GET"});
    CHECK_FALSE(f.failure());  // the second has it
  }
}

TEST_CASE("exchange: a redirect that lost slashes of the request is followed by a POST to the original URL",
          "[exchange][method]") {
  Fixture f(0xffff);  // of whose serial number base64 makes two slashes in a row
  std::vector<std::string> lines;
  const auto good = f.good_answers(kDay);
  f.first.answer = [&](const std::string& head) {
    lines.push_back(head.substr(0, head.find(" HTTP/")));
    if (method_of(head) == "POST") {
      return good(head);
    }
    std::string path = head.substr(4, head.find(" HTTP/") - 4);
    const std::size_t slashes = path.find("%2F%2F");
    if (slashes == std::string::npos) {
      return http("400 Bad Request");
    }
    path.replace(slashes, 6, "/");
    return "HTTP/1.1 301 Moved\r\nLocation: " + path + "\r\nContent-Length: 0\r\n\r\n";
  };
  f.run();
  CHECK_FALSE(f.failure());
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].find("%2F%2F") != std::string::npos);
  CHECK(lines[1] == "POST /65535");
}

TEST_CASE("exchange: an OCSP response outdoes an error of HTTP by the other method", "[exchange][method]") {
  Picky f(error_reply(1), "neither");
  f.second.answer = EngineFixture::always(error_reply(6));
  const auto refuse = f.first.answer;
  const std::string second_word =
      GENERATE(http("405 Not Allowed"), http("200 OK", "text/html", "<html>"), http("503 Busy"));
  f.first.answer = [refuse, second_word](const std::string& head) {
    const std::string refusal = refuse(head);
    return method_of(head) == "POST" ? second_word : refusal;
  };
  f.hosts.failed(f.second.host(), f.hosts.started(f.second.host(), 0), false);
  f.hosts.plan_probe(f.second.host(), {kNow + 60});
  f.run();
  CHECK(f.seen == Seen{"GET", "POST"});
  REQUIRE(f.failure());
  CHECK(token(f.failure()->error.reason) == "malformed_request");
  CHECK(f.health(f.first).state == ResponderHealth::State::kUp);
}

TEST_CASE("exchange: three requests to one URL at the most, the method before the hash", "[exchange][method]") {
  Picky f(error_reply(1), "neither");
  f.settings.certid_auto = true;
  f.run();
  CHECK(f.seen == Seen{"GET", "POST", "POST"});
  CHECK(f.second.asked.size() == 1);

  Picky page(kHttp404, "neither");
  page.settings.certid_auto = true;
  page.run();
  CHECK(page.seen == Seen{"GET", "POST", "GET"});
  CHECK(page.hosts.failing(page.first.host()));
}

TEST_CASE("exchange: a failing host that refuses both methods goes on failing", "[exchange][method]") {
  Picky f(kHttp404, "neither");
  f.second.answer = EngineFixture::always(kHttp503);
  for (std::uint32_t times = 1; times <= 4; ++times) {
    f.hosts.forget_probe_times();
    f.run_again();
    CHECK(f.seen == Seen{"GET", "POST"});
    CHECK(f.hosts.failing(f.first.host()));
    CHECK(f.health(f.first).failures == times);
  }
}

TEST_CASE("exchange: what worked outlives a process, and is forgotten after two failures in a row",
          "[exchange][method]") {
  Picky f(kHttp404, "POST");
  f.run();
  const net::Url& url = *f.catalog.targets()[0]->responders[0];
  CHECK(Methods(f.zone).worked(*f.catalog.targets()[0], url) == net::Method::kPost);
  const auto picky = f.first.answer;
  const auto fail = [&] {
    f.first.answer = EngineFixture::always(kHttp503);
    f.ends = 0;
    f.run();
    f.first.answer = picky;
    f.hosts.forget_probe_times();
  };
  fail();
  f.run_again();
  CHECK(f.seen == Seen{"POST"});  // a success between the two
  fail();
  CHECK(Methods(f.zone).worked(*f.catalog.targets()[0], url) == net::Method::kPost);
  fail();
  CHECK_FALSE(Methods(f.zone).worked(*f.catalog.targets()[0], url).has_value());
  f.run_again();
  CHECK(f.seen == Seen{"GET", "POST"});
}

TEST_CASE("exchange: validators go to the responder they came from", "[exchange][rfc9110-13.1]") {
  Fixture f;
  f.held = Exchange::HeldValidators{1, {"\"one\"", ""}, 0, 0};
  std::vector<std::string> heads;
  f.first.answer = [&](const std::string& head) {
    heads.push_back(head);
    return error_reply(6);
  };
  const auto good = f.good_answers(kDay);
  f.second.answer = [&](const std::string& head) {
    heads.push_back(head);
    return good(head);
  };
  f.run();
  REQUIRE(heads.size() == 2);
  CHECK(heads[0].find("If-None-Match") == std::string::npos);
  CHECK(heads[1].find("If-None-Match: \"one\"\r\n") != std::string::npos);
}

TEST_CASE("exchange: whom to ask", "[exchange]") {
  Fixture f;
  const auto choose = [&](const std::vector<bool>& asked = {}) {
    return Exchange::choose(f.hosts, *f.catalog.targets()[0], asked, f.loop.clock);
  };
  const std::string a = f.first.host();
  const std::string b = f.second.host();
  const auto fail = [&](const std::string& host, UnixSeconds next_probe) {
    f.hosts.failed(host, f.hosts.started(host, 0), false);
    f.hosts.plan_probe(host, {next_probe});
  };
  SECTION("in order") {
    CHECK(choose().responder == 0);
    CHECK(choose({true, false}).responder == 1);
  }
  SECTION("a failing one is left out") {
    fail(a, kNow + 5);
    CHECK(choose().permit == ResponderHealth::Permit::kAllowed);
    CHECK(choose().responder == 1);
  }
  SECTION("a busy one rather than a failing one") {
    fail(a, kNow + 5);
    f.hosts.started(b, f.loop.clock.monotonic());
    CHECK(choose().permit == ResponderHealth::Permit::kBusy);
    CHECK(choose().responder == 1);
  }
  SECTION("of two that fail, the one that is probed first") {
    fail(a, kNow + 9);
    fail(b, kNow + 5);
    CHECK(choose().permit == ResponderHealth::Permit::kFailing);
    CHECK(choose().responder == 1);
    CHECK(choose({false, true}).responder == 0);
  }
  SECTION("nobody left") {
    CHECK(choose({true, true}).permit == ResponderHealth::Permit::kFailing);
  }
}

TEST_CASE("exchange: a failing responder is not asked second either", "[exchange]") {
  Fixture f;
  f.hosts.failed(f.second.host(), f.hosts.started(f.second.host(), 0), false);
  f.hosts.plan_probe(f.second.host(), {kNow + 60});
  f.first.answer = EngineFixture::always(kHttp404);
  f.run();
  CHECK(f.second.asked.empty());
  CHECK(f.failure()->responder == 0);
}

TEST_CASE("exchange: destroyed at any stage it leaves nothing behind", "[exchange]") {
  const long descriptors = open_descriptors();
  bool finished = false;
  for (int turns = 0; !finished; ++turns) {
    REQUIRE(turns < 200);
    Fixture f;
    f.first.answer = EngineFixture::always(kHttp404);
    f.start();
    for (int i = 0; i < turns && f.ends == 0; ++i) {
      f.loop.turn();
    }
    finished = f.ends > 0;
    f.exchange.reset();
    for (const auto& [name, host] : f.hosts.all()) {
      CHECK(host.in_flight == 0);
    }
    f.loop.pass(f.settings.timeout, 5000);
    CHECK(f.ends == (finished ? 1 : 0));
    CHECK(f.first.open() == 0);
    CHECK(f.second.open() == 0);
  }
  CHECK(open_descriptors() == descriptors);
}

}  // namespace
}  // namespace ocsp_plus::engine
