#include "engine/report.h"

#include <catch2/catch.hpp>

#include "tests/fakes/engine_house.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;

struct Fixture : EngineHouse {
  Fixture() {
    Mention mention;
    mention.leaf = test_leaf(1).get();
    mention.issuers = {test_ca().get()};
    mention.responders = {"http://ocsp.example/x"};
    catalog.add(mention).value();
  }
  const Target& target() const { return catalog.target(0); }

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

  Report report{log};
};

const std::string kWho = "certificate=\"leaf1.example\" serial=100001 responder=\"http://ocsp.example/x\" ";

TEST_CASE("report: published", "[report]") {
  Fixture f;
  f.report.verified(f.target(), 0, f.admission(Action::kPublish, Reason::kOk), kNow + kHour, 12);
  f.expect(LogLevel::kNotice, "ocsp_plus: response published: " + kWho +
                                  "status=good this_update=2030-06-01T12:00:00Z valid_until=2030-06-02T12:00:00Z "
                                  "next_look=2030-06-01T13:00:00Z took=12ms");
}

TEST_CASE("report: loaded without an issuer, or with one that does not fit", "[report]") {
  Fixture f;
  SECTION("none") {
    f.report.loaded_without_issuer(f.target(), crypto::IssuerFault::kAbsent, kNow);
    f.expect(LogLevel::kWarn,
             "ocsp_plus: no issuer found for a certificate loaded per connection: it gets no staple; append the "
             "issuer's certificate to what the server loads, or name it in ocsp_plus_trusted_certificate: "
             "certificate=\"leaf1.example\" serial=100001 certificates=1");
  }
  SECTION("another key") {
    f.report.loaded_without_issuer(f.target(), crypto::IssuerFault::kSignature, kNow);
    f.expect(
        LogLevel::kWarn,
        "ocsp_plus: no issuer found for a certificate loaded per connection: it gets no staple; a certificate of "
        "its issuer's name is there, but its key does not fit, the signature of the certificate does not verify "
        "with it; load the right one in its place, or name it in ocsp_plus_trusted_certificate: "
        "certificate=\"leaf1.example\" serial=100001 certificates=1");
  }
}

TEST_CASE("report: kept", "[report]") {
  Fixture f;
  f.report.verified(f.target(), 0, f.admission(Action::kKeep, Reason::kOk), kNow + kHour, 12);
  f.expect(LogLevel::kInfo, "ocsp_plus: response is no newer than the one held: " + kWho +
                                "status=good this_update=2030-06-01T12:00:00Z valid_until=2030-06-02T12:00:00Z "
                                "next_look=2030-06-01T13:00:00Z took=12ms");
}

TEST_CASE("report: revoked", "[report]") {
  Fixture f;
  f.report.verified(f.target(), 0, f.admission(Action::kPublish, Reason::kRevoked), kNow + kHour, 12);
  f.expect(LogLevel::kCrit, "ocsp_plus: CERTIFICATE IS REVOKED, replace it; response published: " + kWho +
                                "status=revoked this_update=2030-06-01T12:00:00Z valid_until=2030-06-02T12:00:00Z "
                                "next_look=2030-06-01T13:00:00Z took=12ms");
}

TEST_CASE("report: failed while a response is held", "[report]") {
  Fixture f;
  f.report.failed(f.target(), 0, {Reason::kTimeout, "no \"answer\"\n"}, kNow + kHour, kNow + 65, 3, kNow);
  f.expect(LogLevel::kWarn, "ocsp_plus: no new response, the one held goes on: " + kWho +
                                "reason=timeout detail=\"no \\x22answer\\x22\\x0a\" valid_until=2030-06-01T13:00:00Z "
                                "next_attempt=2030-06-01T12:01:05Z in=1m 5s failures=3");
}

TEST_CASE("report: failed with nothing held", "[report]") {
  for (const UnixSeconds held_until : {UnixSeconds{0}, kNow}) {
    Fixture f;
    f.report.failed(f.target(), 7, {Reason::kUnknown, ""}, held_until, kNow + 5, 1, kNow);
    f.expect(LogLevel::kError,
             "ocsp_plus: no response, nothing is stapled: certificate=\"leaf1.example\" serial=100001 responder=\"\" "
             "reason=unknown detail=\"\" next_attempt=2030-06-01T12:00:05Z in=5s failures=1");
  }
}

TEST_CASE("report: what fails again is loud once an hour, and when something about it changes", "[report]") {
  Fixture f;
  struct Case {
    UnixSeconds at;
    Reason reason;
    bool held;
    LogLevel level;
  };
  std::uint32_t failures = 0;
  for (const Case& c : {
           Case{kNow, Reason::kTimeout, true, LogLevel::kWarn},
           Case{kNow + 60, Reason::kTimeout, true, LogLevel::kInfo},
           Case{kNow + 120, Reason::kConnectRefused, true, LogLevel::kWarn},
           Case{kNow + 180, Reason::kConnectRefused, true, LogLevel::kInfo},
           Case{kNow + 240, Reason::kConnectRefused, false, LogLevel::kError},
           Case{kNow + 3839, Reason::kConnectRefused, false, LogLevel::kInfo},
           Case{kNow + 3840, Reason::kConnectRefused, false, LogLevel::kError},
           Case{kNow - kDay, Reason::kConnectRefused, false, LogLevel::kError},  // the clock was set back
       }) {
    INFO(c.at - kNow);
    f.report.failed(f.target(), 0, {c.reason, ""}, c.held ? c.at + kHour : 0, c.at + 5, ++failures, c.at);
    CHECK(f.log.lines.back().first == c.level);
  }
  f.report.verified(f.target(), 0, f.admission(Action::kPublish, Reason::kOk), kNow + kHour, 12);
  f.report.failed(f.target(), 0, {Reason::kConnectRefused, ""}, 0, kNow + 5, 1, kNow - kDay);
  CHECK(f.log.lines.back().first == LogLevel::kError);
}

TEST_CASE("report: the worker's own lines", "[report]") {
  Fixture f;
  SECTION("taken") {
    f.report.lease_taken(2, 3, 40);
    f.expect(LogLevel::kInfo, "ocsp_plus: this is the designated worker now: slot=2 generation=3 certificates=40");
  }
  SECTION("lost") {
    f.report.lease_lost();
    f.expect(LogLevel::kInfo, "ocsp_plus: another worker is the designated one now");
  }
  SECTION("jump") {
    f.report.clock_jumped(-7200);
    f.expect(LogLevel::kWarn, "ocsp_plus: the wall clock jumped, everything is planned anew: by=-2h");
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
