#include "engine/report.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/fakes/engine_fixture.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;

struct Fixture : EngineFixture {
  Fixture() {
    ServerCertificate server_certificate;
    server_certificate.leaf = test_leaf(1).get();
    server_certificate.issuers = {test_ca().get()};
    server_certificate.responders = {"http://ocsp.example/x"};
    catalog.add(server_certificate).value();
  }
  const Target& target() const { return *catalog.targets()[0]; }

  // The one line that was written.
  void expect(LogLevel level, const std::string& line) {
    REQUIRE(log.lines.size() == 1);
    CHECK(log.lines[0].first == level);
    CHECK(log.lines[0].second == line);
  }
  Admission admission(Action action, Reason reason) const {
    Admission made;
    made.action = action;
    made.verdict.reason = reason;
    made.verdict.cert_status = reason == Reason::kOk ? crypto::CertStatus::kGood : crypto::CertStatus::kRevoked;
    made.verdict.this_update = kNow;
    made.verdict.expires = kNow + kDay;
    return made;
  }

  Report report{log, loop.clock};
};

const std::string kWho = "certificate=\"leaf1.example\" serial=100001 responder=\"http://ocsp.example/x\" ";

TEST_CASE("report: published", "[report]") {
  Fixture f;
  f.report.verified(f.target(), 0, f.admission(Action::kPublish, Reason::kOk), kNow + kHour, 12);
  f.expect(LogLevel::kNotice, "ocsp_plus: response published: " + kWho +
                                  "status=good this_update=2030-06-01T12:00:00Z expires=2030-06-02T12:00:00Z "
                                  "next_attempt=2030-06-01T13:00:00Z took=12ms");
}

TEST_CASE("report: the shared store, quietly in the start helper", "[report][share]") {
  using State = net::SharedStore::State;
  const bool starting = GENERATE(false, true);
  Fixture f;
  const auto level = [starting](LogLevel loud) { return starting ? LogLevel::kInfo : loud; };
  net::SharedStore::Status status;
  status.place = "redis://a.example:6379";
  SECTION("it connects") {
    status.state = State::kUp;
    f.report.share_state(status, starting);
    f.expect(level(LogLevel::kNotice), "ocsp_plus: shared store connected: place=\"redis://a.example:6379\"");
  }
  status.last_error = Error{Reason::kStoreDenied, "READONLY \x1b"};
  SECTION("it is read only") {
    status.state = State::kReadOnly;
    f.report.share_state(status, starting);
    f.expect(level(LogLevel::kWarn),
             "ocsp_plus: the shared store refuses writes, responses are only read: place=\"redis://a.example:6379\" "
             "reason=store_denied detail=\"READONLY \\x1b\" failures=1");
  }
  SECTION("it is down for one reason and another, comes back, and goes down again") {
    for (int round = 0; round < 3; ++round) {
      for (const Reason reason : {Reason::kStoreTimeout, Reason::kStoreAuth}) {
        status.state = State::kDown;
        status.last_error = Error{reason, "detail"};
        f.report.share_state(status, starting);
        status.state = State::kUp;
        f.report.share_state(status, starting);
      }
    }
    const std::string place = "place=\"redis://a.example:6379\"";
    const std::string down =
        "ocsp_plus: the shared store cannot be used, this node asks responders on its own: " + place;
    REQUIRE(f.log.lines.size() == 4);
    for (std::size_t i = 0; i < 4; i += 2) {
      CHECK(f.log.lines[i].first == level(LogLevel::kWarn));
      CHECK(f.log.lines[i].second ==
            down + (i == 0 ? " reason=store_timeout" : " reason=store_auth") + " detail=\"detail\" failures=1");
      CHECK(f.log.lines[i + 1].first == level(LogLevel::kWarn));  // as loud as what it ends
    }
    CHECK(f.log.lines[1].second == "ocsp_plus: shared store connected: " + place);
    CHECK(f.log.lines[3].second == "ocsp_plus: the shared store can be used again: " + place);
  }
  SECTION("it cannot be set up") {
    f.report.share_failed(*status.last_error, starting);
    f.expect(level(LogLevel::kError),
             "ocsp_plus: the shared store cannot be set up, this node asks responders on its own: "
             "reason=store_denied detail=\"READONLY \\x1b\"");
  }
}

TEST_CASE("report: loaded without an issuer, or with one that does not fit", "[report]") {
  Fixture f;
  const auto level = GENERATE(LogLevel::kError, LogLevel::kWarn);
  SECTION("none") {
    f.report.loaded_without_issuer(level, f.target(), crypto::IssuerFault::kAbsent);
    f.expect(level,
             "ocsp_plus: no issuer found for a certificate loaded per connection: it gets no staple; append the "
             "issuer's certificate to what the server loads, or name it in ocsp_plus_trusted_certificate: "
             "certificate=\"leaf1.example\" serial=100001 certificates=1");
  }
  SECTION("another key") {
    f.report.loaded_without_issuer(level, f.target(), crypto::IssuerFault::kSignature);
    f.expect(
        level,
        "ocsp_plus: no issuer found for a certificate loaded per connection: it gets no staple; a certificate with "
        "its issuer's name was found, but its key does not fit, the signature of the certificate does not verify "
        "with it; load the right one in its place, or name it in ocsp_plus_trusted_certificate: "
        "certificate=\"leaf1.example\" serial=100001 certificates=1");
  }
}

TEST_CASE("report: what is said of CA certificates loaded per connection keeps nothing back of leaves", "[report]") {
  Fixture f;
  for (const LogLevel level : {LogLevel::kWarn, LogLevel::kError}) {
    f.report.loaded_without_issuer(level, f.target(), crypto::IssuerFault::kAbsent);
    f.report.loaded_refused(level, {Reason::kUnreadable, ""});
    f.report.loaded_too_large(level, store::Offer(), "", 1, false);
  }
  REQUIRE(f.log.lines.size() == 6);
  for (std::size_t i = 0; i < 6; ++i) {
    CHECK(f.log.lines[i].first == (i < 3 ? LogLevel::kWarn : LogLevel::kError));
  }
}

TEST_CASE("report: kept", "[report]") {
  Fixture f;
  f.report.verified(f.target(), 0, f.admission(Action::kKeep, Reason::kOk), kNow + kHour, 12);
  f.expect(LogLevel::kInfo, "ocsp_plus: response is not newer than the current one: " + kWho +
                                "status=good this_update=2030-06-01T12:00:00Z expires=2030-06-02T12:00:00Z "
                                "next_attempt=2030-06-01T13:00:00Z took=12ms");
}

TEST_CASE("report: revoked", "[report]") {
  Fixture f;
  f.report.verified(f.target(), 0, f.admission(Action::kPublish, Reason::kRevoked), kNow + kHour, 12);
  f.expect(LogLevel::kCrit, "ocsp_plus: CERTIFICATE IS REVOKED, replace it; response published: " + kWho +
                                "status=revoked this_update=2030-06-01T12:00:00Z expires=2030-06-02T12:00:00Z "
                                "next_attempt=2030-06-01T13:00:00Z took=12ms");
}

TEST_CASE("report: revoked, by a response that OpenSSL does not send", "[report]") {
  Fixture f;
  Admission admission = f.admission(Action::kPublish, Reason::kRevoked);
  admission.verdict.sendable = false;
  f.report.verified(f.target(), 0, admission, kNow + kHour, 12);
  f.expect(LogLevel::kCrit,
           "ocsp_plus: CERTIFICATE IS REVOKED, replace it; nothing is stapled, this OpenSSL does not send the "
           "response: " +
               kWho +
               "status=revoked this_update=2030-06-01T12:00:00Z expires=2030-06-02T12:00:00Z "
               "next_attempt=2030-06-01T13:00:00Z took=12ms");
}

TEST_CASE("report: failed while a response is held", "[report]") {
  Fixture f;
  f.report.failed(f.target(), 0, {Reason::kTimeout, "no \"answer\"\n"}, kNow + kHour, kNow + 65, 3);
  f.expect(LogLevel::kWarn, "ocsp_plus: no new response, keeping the current one: " + kWho +
                                "reason=timeout detail=\"no \\x22answer\\x22\\x0a\" expires=2030-06-01T13:00:00Z "
                                "next_attempt=2030-06-01T12:01:05Z in=1m 5s failures=3");
}

TEST_CASE("report: failed with nothing held", "[report]") {
  for (const UnixSeconds held_until : {UnixSeconds{0}, kNow}) {
    Fixture f;
    f.report.failed(f.target(), 7, {Reason::kUnknown, ""}, held_until, kNow + 5, 1);
    f.expect(LogLevel::kError,
             "ocsp_plus: no response, nothing is stapled: certificate=\"leaf1.example\" serial=100001 responder=\"\" "
             "reason=unknown detail=\"\" next_attempt=2030-06-01T12:00:05Z in=5s failures=1");
  }
}

TEST_CASE("report: what fails again is loud once an hour, and when something about it changes", "[report]") {
  Fixture f;
  struct Case {
    Seconds after;
    Reason reason;
    bool held;
    LogLevel level;
  };
  std::uint32_t failures = 0;
  Seconds passed = 0;
  const auto fail = [&](const Case& c) {
    f.loop.pass(1000 * (c.after - passed), 1000 * (c.after - passed) + 1);
    passed = c.after;
    const UnixSeconds now = f.loop.clock.now();
    f.report.failed(f.target(), 0, {c.reason, ""}, c.held ? now + kHour : 0, now + 5, ++failures);
    return f.log.lines.back().first;
  };
  for (const Case& c : {
           Case{0, Reason::kTimeout, true, LogLevel::kWarn},
           Case{60, Reason::kTimeout, true, LogLevel::kInfo},
           Case{120, Reason::kConnectRefused, true, LogLevel::kWarn},
           Case{180, Reason::kTimeout, true, LogLevel::kInfo},  // reasons that take turns are no news
           Case{200, Reason::kConnectRefused, true, LogLevel::kInfo},
           Case{240, Reason::kConnectRefused, false, LogLevel::kError},
           Case{3839, Reason::kConnectRefused, false, LogLevel::kInfo},
           Case{3840, Reason::kConnectRefused, false, LogLevel::kError},
       }) {
    INFO(c.after);
    CHECK(fail(c) == c.level);
  }
  f.loop.clock.jump(-kDay);  // says nothing of how long it is ago
  CHECK(fail({3900, Reason::kConnectRefused, false, LogLevel::kInfo}) == LogLevel::kInfo);
  SECTION("a success makes the next failure news") {
    f.log.lines.clear();
    f.report.verified(f.target(), 0, f.admission(Action::kKeep, Reason::kOk), kNow + kHour, 12);
    REQUIRE(f.log.lines.size() == 2);
    CHECK(f.log.lines[0].first == LogLevel::kError);  // as loud as what it ends
    CHECK(f.log.lines[0].second ==
          "ocsp_plus: responses arrive again: certificate=\"leaf1.example\" serial=100001 host=\"ocsp.example:80\" "
          "reason=connect_refused certificates=1");
    CHECK(fail({3901, Reason::kConnectRefused, false, LogLevel::kError}) == LogLevel::kError);
  }
  SECTION("nothing is known any more of one that has gone") {
    f.report.forget(f.target().certificate.id);
    f.log.lines.clear();
    f.report.verified(f.target(), 0, f.admission(Action::kKeep, Reason::kOk), kNow + kHour, 12);
    CHECK(f.log.lines.size() == 1);
  }
}

// Many certificates of a few hosts.
struct Crowd : EngineFixture {
  explicit Crowd(std::size_t certificates, std::size_t hosts = 1) {
    for (std::size_t i = 0; i < certificates; ++i) {
      const std::string url = "http://ocsp" + std::to_string(i % hosts) + ".example/x";
      ServerCertificate server_certificate;
      server_certificate.leaf = test_leaf(i).get();
      server_certificate.issuers = {test_ca().get()};
      server_certificate.responders = {url.c_str()};
      catalog.add(server_certificate).value();
    }
  }
  void fail(std::size_t i, Reason reason, bool held = false) {
    const UnixSeconds now = loop.clock.now();
    report.failed(*catalog.targets()[i], 0, {reason, ""}, held ? now + kHour : 0, now + 5, 1);
  }
  void succeed(std::size_t i) {
    Admission admission;
    admission.action = Action::kPublish;
    admission.verdict.reason = Reason::kOk;
    admission.verdict.cert_status = crypto::CertStatus::kGood;
    report.verified(*catalog.targets()[i], 0, admission, kNow + kHour, 1);
  }
  void pass(Seconds span) {
    loop.pass(1000 * span, 500, [this] { report.tick(); });
  }
  std::size_t loud() const {
    return static_cast<std::size_t>(std::count_if(log.lines.begin(), log.lines.end(),
                                                  [](const auto& line) { return line.first < LogLevel::kInfo; }));
  }

  Report report{log, loop.clock};
};

TEST_CASE("report: a host that fails for many certificates is told of in one line, and in a few with a count",
          "[report][flood]") {
  const bool held = GENERATE(true, false);
  const LogLevel level = held ? LogLevel::kWarn : LogLevel::kError;
  const std::string sentence = held ? "no new responses for several certificates, keeping the current ones: "
                                    : "no responses for several certificates, nothing is stapled for them: ";
  Crowd f(500);
  for (int round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < 500; ++i) {
      f.fail(i, Reason::kUnauthorized, held);
    }
  }
  CHECK(f.loud() == 1);
  f.log.lines.clear();
  f.pass(30);
  REQUIRE(f.loud() == 1);
  CHECK(f.log.lines[0].first == level);
  CHECK(f.log.lines[0].second ==
        "ocsp_plus: " + sentence + "host=\"ocsp0.example:80\" reason=unauthorized certificates=500 failures=1499");
  f.pass(kHour);
  CHECK(f.loud() == 1);  // nothing failed since
  f.fail(7, Reason::kUnauthorized, held);
  f.log.lines.clear();
  f.pass(1);
  REQUIRE(f.loud() == 1);
  CHECK(f.log.lines[0].second.find("certificates=500 failures=1") != std::string::npos);
  f.log.lines.clear();
  for (std::size_t i = 0; i < 500; ++i) {
    f.succeed(i);
  }
  CHECK(f.log.lines.back().second.find("host=\"ocsp0.example:80\" reason=unauthorized certificates=500") !=
        std::string::npos);
  CHECK(f.log.lines.back().first == level);
}

TEST_CASE("report: reasons that vary, and lines that come for each certificate, fill no log", "[report][flood]") {
  Crowd f(300);
  constexpr Reason kReasons[] = {Reason::kTimeout,     Reason::kUnauthorized, Reason::kTryLater,
                                 Reason::kUnknown,     Reason::kHttpStatus,   Reason::kMalformedResponse,
                                 Reason::kBadSignature};
  for (int minute = 0; minute < 5; ++minute) {
    f.log.lines.clear();
    for (std::size_t i = 0; i < 300; ++i) {
      f.fail(i, kReasons[(i + static_cast<std::size_t>(minute)) % 7], i % 2 == 0);
    }
    f.pass(60);
    CHECK(f.loud() <= (minute == 0 ? 28 : 14));
  }
  SECTION("at info, too") {
    f.log.lines.clear();
    for (int round = 0; round < 5; ++round) {
      for (std::size_t i = 0; i < 300; ++i) {
        f.fail(i, Reason::kTimeout);
      }
    }
    f.pass(61);
    CHECK(f.log.lines.size() <= 1000 + 14 + 1);
    CHECK(f.log.count("log lines were suppressed by the rate limit") == 1);
    CHECK(f.log.count(" info=") == 1);
  }
  SECTION("published ones") {
    f.log.lines.clear();
    for (std::size_t i = 0; i < 300; ++i) {
      f.succeed(i);
    }
    f.pass(61);
    CHECK(f.loud() <= 100 + 14 + 1);
    REQUIRE(f.log.lines.back().second.find("log lines were suppressed by the rate limit") != std::string::npos);
    CHECK(f.log.lines.back().first == LogLevel::kNotice);
    CHECK(f.log.lines.back().second.find("notice_and_louder=200") != std::string::npos);
  }
}

TEST_CASE("report: the first line of each host is said, however many fail", "[report][flood]") {
  Crowd f(200, 200);
  for (std::size_t i = 0; i < 200; ++i) {
    f.fail(i, Reason::kTimeout);
  }
  CHECK(f.log.count("no response, nothing is stapled") == 200);
  CHECK(f.loud() == 200);
  // Another reason of the same hosts is not.
  f.log.lines.clear();
  for (std::size_t i = 0; i < 200; ++i) {
    f.fail(i, Reason::kConnectRefused);
  }
  CHECK(f.loud() == 100);
}

TEST_CASE("report: what was held back is told when the report ends", "[report][flood]") {
  RecordingLog log;
  SteppedClock clock;
  {
    Report report(log, clock);
    for (int i = 0; i < 25; ++i) {
      report.clock_jumped(100);
    }
    CHECK(log.lines.size() == 10);
  }
  CHECK(log.count("the wall clock keeps jumping; check whether two services set it: jumps=25") == 1);
}

TEST_CASE("report: the worker's own lines", "[report]") {
  Fixture f;
  SECTION("taken") {
    f.report.lease_taken(2, 3, 40);
    f.expect(LogLevel::kInfo, "ocsp_plus: this is the designated worker now: slot=2 generation=3 certificates=40");
  }
  SECTION("lost") {
    f.report.lease_lost();
    f.expect(LogLevel::kInfo, "ocsp_plus: another worker is now the designated worker");
  }
  SECTION("jump") {
    f.report.clock_jumped(-7200);
    f.expect(LogLevel::kWarn, "ocsp_plus: the wall clock jumped, all certificates are rescheduled: by=-2h");
  }
  SECTION("resolver") {
    f.report.resolver_failed({Reason::kOutOfMemory, "no memory"});
    f.expect(LogLevel::kError,
             "ocsp_plus: the resolver cannot be set up, nothing is fetched: reason=out_of_memory "
             "detail=\"no memory\"");
  }
}

}  // namespace
}  // namespace ocsp_plus::engine
