// What ends an error is logged at the level of the error, so that no error_log level shows one without the other.
#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>

#include "engine/report.h"
#include "tests/fakes/engine_fixture.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;

struct Fixture : EngineFixture {
  Fixture() {
    for (std::size_t i = 0; i < 2; ++i) {
      ServerCertificate server_certificate;
      server_certificate.leaf = test_leaf(i).get();
      server_certificate.issuers = {test_ca().get()};
      server_certificate.responders = {"http://ocsp.example/x"};
      server_certificate.require = i == 1 ? Require::kOn : Require::kOff;
      catalog.add(server_certificate).value();
    }
  }
  const Target& plain() const { return *catalog.targets()[0]; }
  const Target& required() const { return *catalog.targets()[1]; }

  void fail(const Target& target, Reason reason, bool held = false) {
    report.failed(target, 0, {reason, ""}, held ? kNow + kHour : 0, kNow + 5, 1);
  }
  static Admission published(Reason reason = Reason::kOk, bool status_changed = false) {
    Admission made;
    made.action = Action::kPublish;
    made.verdict.reason = reason;
    made.verdict.cert_status = reason == Reason::kOk ? crypto::CertStatus::kGood : crypto::CertStatus::kRevoked;
    made.status_changed = status_changed;
    return made;
  }
  void answers(const Target& target) { report.verified(target, 0, published(), kNow + kHour, 1); }
  void kept_used(const Target& target, bool status_changed = false) {
    store::BlobHeader held = {};
    held.cert_status = static_cast<std::uint8_t>(crypto::CertStatus::kGood);
    report.kept_used(target, held, true, status_changed, kNow, kNow + kHour);
  }

  Report report{log, loop.clock};
};

using Levels = std::vector<LogLevel>;
const std::string kAgain = "responses arrive again: ";

TEST_CASE("report: responses that arrive again are as loud as the failure", "[report][recovery]") {
  Fixture f;
  SECTION("nothing was stapled") {
    f.fail(f.plain(), Reason::kTimeout);
    f.answers(f.plain());
    CHECK(f.log.levels(kAgain) == Levels{LogLevel::kError});
  }
  SECTION("a response was held") {
    f.fail(f.plain(), Reason::kTimeout, true);
    f.answers(f.plain());
    CHECK(f.log.levels(kAgain) == Levels{LogLevel::kWarn});
  }
  SECTION("clients were refused") {
    f.fail(f.required(), Reason::kTimeout);
    REQUIRE(f.log.lines[0].first == LogLevel::kCrit);
    f.answers(f.required());
    CHECK(f.log.levels(kAgain) == Levels{LogLevel::kCrit});
  }
  SECTION("clients were refused, first for one reason, then for another") {
    f.fail(f.required(), Reason::kTimeout);
    f.fail(f.required(), Reason::kConnectRefused);
    REQUIRE(f.log.lines[1].first == LogLevel::kError);  // crit once a minute
    f.answers(f.required());
    CHECK(f.log.levels(kAgain) == Levels{LogLevel::kCrit});
    SECTION("and that is over") {
      f.fail(f.required(), Reason::kConnectRefused);
      f.answers(f.required());
      CHECK(f.log.levels(kAgain) == Levels{LogLevel::kCrit, LogLevel::kError});
    }
    SECTION("and what fails quietly for the first reason recovers quietly") {
      f.fail(f.plain(), Reason::kTimeout);  // no news within the hour
      f.answers(f.plain());
      CHECK(f.log.levels(kAgain) == Levels{LogLevel::kCrit});
    }
  }
  SECTION("one of two goes on failing for another reason: one end for each line") {
    f.fail(f.required(), Reason::kTimeout);
    f.fail(f.plain(), Reason::kTimeout);
    f.fail(f.required(), Reason::kConnectRefused);
    f.answers(f.required());
    f.answers(f.plain());
    CHECK(f.log.levels(kAgain) == Levels{LogLevel::kError, LogLevel::kCrit});
  }
  SECTION("another certificate of the host goes on failing") {
    f.fail(f.required(), Reason::kTimeout);
    f.fail(f.plain(), Reason::kTimeout);
    f.answers(f.required());
    CHECK(f.log.levels(kAgain).empty());
    f.answers(f.plain());
    CHECK(f.log.levels(kAgain) == Levels{LogLevel::kCrit});
  }
}

TEST_CASE("report: a response made elsewhere is as loud as the line that nothing was stapled", "[report][recovery]") {
  Fixture f;
  struct Way {
    const char* line;
    LogLevel otherwise;
    std::function<void(const Target&)> come;
  };
  const Way way =
      GENERATE_REF(Way{"response from a file published", LogLevel::kNotice,
                       [&f](const Target& target) { f.report.file_admitted(target, "/f", Fixture::published()); }},
                   Way{"response from the shared store published", LogLevel::kNotice,
                       [&f](const Target& target) { f.report.share_published(target, Fixture::published()); }},
                   Way{"response taken from the cache directory", LogLevel::kInfo,
                       [&f](const Target& target) { f.kept_used(target); }});
  INFO(way.line);
  SECTION("nothing was stapled") {
    f.fail(f.plain(), Reason::kTimeout);
    way.come(f.plain());
    way.come(f.plain());
    CHECK(f.log.levels(way.line) == Levels{LogLevel::kError, way.otherwise});
  }
  SECTION("clients were refused") {
    f.fail(f.required(), Reason::kTimeout);
    way.come(f.required());
    CHECK(f.log.levels(way.line) == Levels{LogLevel::kCrit});
  }
  SECTION("a response was held: the responder's failure is not over") {
    f.fail(f.plain(), Reason::kTimeout, true);
    way.come(f.plain());
    CHECK(f.log.levels(way.line) == Levels{way.otherwise});
    f.answers(f.plain());
    CHECK(f.log.levels(kAgain) == Levels{LogLevel::kWarn});
  }
}

TEST_CASE("report: the end of a revocation is as loud as the revocation", "[report][recovery]") {
  Fixture f;
  const Admission lifted = Fixture::published(Reason::kOk, true);
  f.report.verified(f.plain(), 0, lifted, kNow + kHour, 1);
  f.report.file_admitted(f.plain(), "/f", lifted);
  f.report.share_published(f.plain(), lifted);
  f.kept_used(f.plain(), true);
  REQUIRE(f.log.lines.size() == 4);
  for (const auto& [level, line] : f.log.lines) {
    INFO(line);
    CHECK(level == LogLevel::kCrit);
    CHECK(line.find("ocsp_plus: CERTIFICATE IS NO LONGER REVOKED; response ") == 0);
  }
}

TEST_CASE("report: a file that is of use again is as loud as the line that it was not", "[report][recovery]") {
  Fixture f;
  const bool alone = GENERATE(false, true);
  const LogLevel level = alone ? LogLevel::kError : LogLevel::kWarn;
  f.report.file_ignored(f.plain(), "/one", {Reason::kUnreadable, ""}, alone);
  f.report.file_ignored(f.plain(), "/one", {Reason::kUnreadable, ""}, false);
  CHECK(f.log.levels("response from a file ignored") == Levels{level, LogLevel::kWarn});
  Admission admission = Fixture::published();
  SECTION("published") {
    f.report.file_admitted(f.plain(), "/two", admission);
    f.report.file_admitted(f.plain(), "/one", admission);
    f.report.file_admitted(f.plain(), "/one", admission);
    CHECK(f.log.levels("response from a file published") == Levels{LogLevel::kNotice, level, LogLevel::kNotice});
  }
  SECTION("not newer") {
    admission.action = Action::kKeep;
    f.report.file_admitted(f.plain(), "/one", admission);
    f.report.file_admitted(f.plain(), "/one", admission);
    CHECK(f.log.levels("response from a file is not newer") == Levels{level, LogLevel::kInfo});
  }
}

TEST_CASE("report: an issuer that was found is as loud as the line that it was missing", "[report][recovery]") {
  Fixture f;
  const std::string found = "the issuer of a certificate loaded per connection was found: certificate=";
  const auto level = GENERATE(LogLevel::kError, LogLevel::kWarn);
  f.report.loaded_taken(f.plain(), "");
  CHECK(f.log.levels(found).empty());
  f.report.loaded_without_issuer(level, f.plain(), crypto::IssuerFault::kAbsent);
  f.report.loaded_without_issuer(level, f.required(), crypto::IssuerFault::kAbsent);  // within the hour: only counted
  f.report.loaded_taken(f.required(), "");
  CHECK(f.log.levels(found).empty());
  f.report.loaded_taken(f.plain(), "");
  f.report.loaded_taken(f.plain(), "");
  CHECK(f.log.levels(found) == Levels{level});
}

TEST_CASE("report: the cache directory and the resolver", "[report][recovery]") {
  Fixture f;
  f.report.cache_fails({Reason::kDiskFull, ""}, 30);
  f.report.cache_works();
  CHECK(f.log.levels("the cache directory can") == Levels{LogLevel::kError, LogLevel::kError});
  f.report.resolver_failed({Reason::kOutOfMemory, ""});
  f.report.resolver_works();
  CHECK(f.log.levels("the resolver ") == Levels{LogLevel::kError, LogLevel::kError});
}

TEST_CASE("report: the shared store", "[report][recovery]") {
  using State = net::SharedStore::State;
  Fixture f;
  net::SharedStore::Status status;
  status.state = GENERATE(State::kDown, State::kReadOnly);
  status.last_error = Error{Reason::kStoreDenied, ""};
  const auto becomes = [&](State state) {
    status.state = state;
    f.report.share_state(status, false);
    return f.log.lines.back().first;
  };
  CHECK(becomes(status.state) == LogLevel::kWarn);
  CHECK(becomes(State::kUp) == LogLevel::kWarn);
}

}  // namespace
}  // namespace ocsp_plus::engine
