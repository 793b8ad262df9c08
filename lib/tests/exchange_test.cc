#include "engine/exchange.h"

#include <catch2/catch.hpp>
#include <optional>

#include "crypto/verify.h"
#include "tests/fakes/descriptors.h"
#include "tests/fakes/engine_house.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;

// One certificate with two responders, judged as the refresher would in short.
struct Fixture : EngineHouse {
  Fixture() {
    resolver = net::Resolver::create(loop, loop.clock, settings.resolver).value();
    transport = std::make_unique<net::Transport>(loop, loop.clock, *resolver);
    add(1, {&first, &second});
  }

  void start() {
    REQUIRE(Exchange::choose(hosts, catalog.target(0), {}, loop.clock.now()).permit == Hosts::Permit::kGo);
    exchange = std::make_unique<Exchange>(
        Exchange::Environment{loop.clock, random, *transport, tls, hosts, turns, settings}, catalog.target(0),
        Exchange::choose(hosts, catalog.target(0), {}, loop.clock.now()).responder, known,
        [this](const net::FetchResponse& response, std::size_t responder, Error* why) {
          judged.push_back(responder);
          return judge(response, why);
        },
        [this](Exchange::End ended) {
          end = std::move(ended);
          ++ends;
          exchange.reset();
        });
    CHECK(ends == 0);
  }
  Answer judge(const net::FetchResponse& response, Error* why) {
    const Target& target = catalog.target(0);
    const auto verdict = crypto::verify(response.http.body, target.certificate, *target.issuer, loop.clock.now(), {});
    *why = {verdict.reason, verdict.detail};
    switch (verdict.reason) {
      case Reason::kOk:
        return Answer::kAccepted;
      case Reason::kExpired:
        return Answer::kEnded;
      case Reason::kTryLater:
        return Answer::kHostTrouble;
      default:
        return Answer::kRefused;
    }
  }
  void run() {
    start();
    loop.pass(settings.timeout, 1000);
    REQUIRE(ends == 1);
    CHECK(exchange == nullptr);
    for (const auto& [name, host] : hosts.all()) {
      CHECK(host.in_flight == 0);
    }
    CHECK(hosts.failing_in_flight() == 0);
  }
  Hosts::Host health(const OcspServer& server) const {
    const auto found = hosts.all().find(server.host());
    return found == hosts.all().end() ? Hosts::Host() : found->second;
  }

  OcspServer& first = server();
  OcspServer& second = server();
  std::unique_ptr<net::Resolver> resolver;
  TlsClients tls;
  std::unique_ptr<net::Transport> transport;
  std::optional<Exchange::Known> known;
  Hosts hosts{16};
  Turns turns{loop};
  std::unique_ptr<Exchange> exchange;
  std::vector<std::size_t> judged;
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
  };
  const std::vector<Reply> replies = {
      {"good", {}, Reason::kOk, false},
      {"tryLater", error_reply(3), Reason::kTryLater, true},
      {"unauthorized", error_reply(6), Reason::kUnauthorized, false},
      {"garbage", "hello\r\n\r\n", Reason::kHttpMalformed, true},
      {"404", kHttp404, Reason::kHttpStatus, true},
      {"503", kHttp503, Reason::kHttpStatus, true},
      {"silence", "", Reason::kTimeout, true},
  };
  for (const Reply& one : replies) {
    for (const Reply& two : replies) {
      INFO(one.name << ", then " << two.name);
      Fixture f;
      f.first.answer = one.text ? EngineHouse::always(*one.text) : f.good_answers(kDay);
      f.second.answer = two.text ? EngineHouse::always(*two.text) : f.good_answers(kDay);
      f.run();

      const bool accepted_first = one.reason == Reason::kOk;
      // The deadline is one for both: silence uses up half of it.
      const bool asked_second = !accepted_first;
      CHECK(f.first.asked.size() == 1);
      CHECK(f.second.asked.size() == (asked_second ? 1 : 0));
      CHECK(f.end->hosts.size() == (asked_second ? 2 : 1));
      const Reply& last = asked_second ? two : one;
      REQUIRE(f.end->failure.has_value() == (last.reason != Reason::kOk));
      if (f.end->failure) {
        CHECK(token(f.end->failure->error.reason) == token(last.reason));
        CHECK(f.end->failure->responder == (asked_second ? 1 : 0));
        CHECK(f.end->failure->error.retry_after.has_value() == (last.text == kHttp503));
      }
      CHECK(f.hosts.failing(f.first.host()) == one.host_fails);
      CHECK((f.health(f.first).state == Hosts::State::kUp) == !one.host_fails);
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
    f.first.answer = EngineHouse::always(under(c.status, error_response(c.response)));
    f.second.answer = f.first.answer;
    f.run();
    REQUIRE(f.end->failure.has_value());
    const net::Fetch::Failure& error = f.end->failure->error;
    CHECK(token(error.reason) == token(c.reason));
    CHECK(error.status == std::stoul(c.status));
    CHECK(error.detail ==
          "HTTP " + std::string(c.status).substr(0, 3) + ": the response status is " + std::to_string(c.response));
    CHECK(f.judged == std::vector<std::size_t>{0, 1});
    CHECK((f.health(f.first).strikes > 0) == c.host_fails);
  }
  Fixture f;
  const UnixSeconds now = f.loop.clock.now();
  f.first.answer = EngineHouse::always(under("500 Oops", good_response(test_leaf(1), test_ca(), now, now + kDay)));
  f.run();
  CHECK_FALSE(f.end->failure.has_value());
  CHECK(f.judged == std::vector<std::size_t>{0});
}

// The first sends us on to another port of this machine.
TEST_CASE("exchange: a redirect leads to a responder that is named, and to nobody else here", "[exchange]") {
  Fixture f;
  const auto moved = [](const std::string& to) {
    return "HTTP/1.1 302 Found\r\nLocation: " + to + "\r\nContent-Length: 0\r\n\r\n";
  };
  SECTION("named") {
    f.first.answer = EngineHouse::always(moved(f.second.url("1")));
    f.second.answer = f.good_answers(kDay);
    f.run();
    CHECK_FALSE(f.end->failure.has_value());
    CHECK(f.second.asked.size() == 1);
  }
  SECTION("not named") {
    OcspServer& inside = f.server(f.good_answers(kDay));
    f.first.answer = EngineHouse::always(moved(inside.url("control?refresh=all")));
    f.second.answer = f.first.answer;
    f.run();
    REQUIRE(f.end->failure.has_value());
    CHECK(token(f.end->failure->error.reason) == "redirect_forbidden");
    CHECK(inside.asked.empty());
  }
}

TEST_CASE("exchange: the next probe is planned by the back-off or what the host asked for", "[exchange]") {
  Fixture f;
  SECTION("back-off") {
    f.first.answer = EngineHouse::always(kHttp404);
    f.run();
    CHECK(f.hosts.next_probe(f.first.host()) == kNow + 5);
  }
  SECTION("Retry-After") {
    f.first.answer = EngineHouse::always(kHttp503);
    f.run();
    CHECK(f.hosts.next_probe(f.first.host()) == kNow + 100);
  }
}

TEST_CASE("exchange: one deadline for all", "[exchange]") {
  Fixture f;
  f.second.answer = EngineHouse::hang();
  f.first.answer = EngineHouse::hang();
  f.start();
  f.loop.pass(f.settings.timeout - 1, 1000);
  CHECK(f.ends == 0);
  f.loop.pass(1);
  CHECK(f.ends == 1);
  CHECK(f.end->failure->error.reason == Reason::kTimeout);
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
    CHECK_FALSE(f.end->failure);
    CHECK(f.first.asked.size() == 2);
    CHECK(f.second.asked.empty());
  }
  SECTION("the responder has nothing else") {
    f.first.answer = f.second.answer = EngineHouse::always(old);
    f.run();
    REQUIRE(f.end->failure);
    CHECK(f.end->failure->error.reason == Reason::kExpired);
    CHECK(f.first.asked.size() == 2);
    CHECK(f.second.asked.size() == 1);
    CHECK(f.judged == std::vector<std::size_t>{0, 0, 1});
  }
}

// A request's CertID by SHA-256 is longer.
bool by_sha256(const std::string& head) {
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
      CHECK_FALSE(f.end->failure);
      CHECK(hashes == std::vector<bool>{!wants_sha256, wants_sha256});
      hashes.clear();
      f.ends = 0;
      f.run();
      CHECK_FALSE(f.end->failure);
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
    CHECK_FALSE(f.end->failure);
  }
  SECTION("auto, what no hash would change") {
    f.settings.certid_auto = true;
    refusal = kHttp503;
    f.run();
    CHECK(hashes == std::vector<bool>{false});
  }
}

TEST_CASE("exchange: validators go to the responder they came from", "[exchange][rfc9110-13.1]") {
  Fixture f;
  f.known = Exchange::Known{1, {"\"one\"", ""}};
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
    return Exchange::choose(f.hosts, f.catalog.target(0), asked, kNow);
  };
  const std::string a = f.first.host();
  const std::string b = f.second.host();
  const auto fail = [&](const std::string& host, UnixSeconds next_probe) {
    f.hosts.failed(host, f.hosts.started(host), false);
    f.hosts.plan_probe(host, {next_probe});
  };
  SECTION("in order") {
    CHECK(choose().responder == 0);
    CHECK(choose({true, false}).responder == 1);
  }
  SECTION("a failing one is left out") {
    fail(a, kNow + 5);
    CHECK(choose().permit == Hosts::Permit::kGo);
    CHECK(choose().responder == 1);
  }
  SECTION("a busy one rather than a failing one") {
    fail(a, kNow + 5);
    f.hosts.started(b);
    CHECK(choose().permit == Hosts::Permit::kBusy);
    CHECK(choose().responder == 1);
  }
  SECTION("of two that fail, the one that is probed first") {
    fail(a, kNow + 9);
    fail(b, kNow + 5);
    CHECK(choose().permit == Hosts::Permit::kFailing);
    CHECK(choose().responder == 1);
    CHECK(choose({false, true}).responder == 0);
  }
  SECTION("nobody left") {
    CHECK(choose({true, true}).permit == Hosts::Permit::kFailing);
  }
}

TEST_CASE("exchange: a failing responder is not asked second either", "[exchange]") {
  Fixture f;
  f.hosts.failed(f.second.host(), f.hosts.started(f.second.host()), false);
  f.hosts.plan_probe(f.second.host(), {kNow + 60});
  f.first.answer = EngineHouse::always(kHttp404);
  f.run();
  CHECK(f.second.asked.empty());
  CHECK(f.end->failure->responder == 0);
}

TEST_CASE("exchange: destroyed at any stage it leaves nothing behind", "[exchange]") {
  const long descriptors = open_descriptors();
  bool finished = false;
  for (int turns = 0; !finished; ++turns) {
    REQUIRE(turns < 200);
    Fixture f;
    f.first.answer = EngineHouse::always(kHttp404);
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
