#include "engine/admit.h"

#include <catch2/catch.hpp>
#include <optional>

#include "store/zone_registry.h"
#include "tests/fakes/engine_fixture.h"
#include "tests/fakes/verifications.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;
using crypto::CertStatus;

// --- the table, pure ---------------------------------------------------------------------------------------------

struct Held {
  CertStatus status;
  UnixSeconds this_update, expires;
};

Action decide_on(const std::optional<Held>& held, Reason reason, UnixSeconds this_update, UnixSeconds expires,
                 bool confirmed = true) {
  std::optional<store::BlobHeader> header;
  if (held.has_value()) {
    header.emplace();
    header->cert_status = static_cast<std::uint8_t>(held->status);
    header->this_update = held->this_update;
    header->expires = held->expires;
  }
  crypto::Verdict verdict;
  verdict.reason = reason;
  verdict.cert_status = reason == Reason::kOk        ? CertStatus::kGood
                        : reason == Reason::kRevoked ? CertStatus::kRevoked
                                                     : CertStatus::kUnknown;
  verdict.this_update = this_update;
  verdict.expires = expires;
  return decide(header, verdict, 300, {kNow, confirmed});
}

constexpr Reason kGood = Reason::kOk;
constexpr Reason kRevoked = Reason::kRevoked;
constexpr UnixSeconds kUpdate = kNow - kDay;  // thisUpdate of what is held
constexpr UnixSeconds kEnd = kNow + kDay;     // of what is held and valid
const std::optional<Held> kNone;
const std::optional<Held> kGoodValid = Held{CertStatus::kGood, kUpdate, kEnd};
const std::optional<Held> kGoodEnded = Held{CertStatus::kGood, kUpdate, kNow};
const std::optional<Held> kGoodAhead = Held{CertStatus::kGood, kNow + 301, kEnd};  // by more than clocks may differ
const std::optional<Held> kRevokedAhead = Held{CertStatus::kRevoked, kNow + 301, kEnd};
const std::optional<Held> kRevokedValid = Held{CertStatus::kRevoked, kUpdate, kEnd};
const std::optional<Held> kRevokedEnded = Held{CertStatus::kRevoked, kUpdate, kNow};

TEST_CASE("admit: old state and new answer, each cell", "[admit]") {
  struct Case {
    const char* name;
    std::optional<Held> held;
    Reason reason;
    Seconds later;   // thisUpdate, against the one held
    Seconds longer;  // its end, against kEnd
    Action action;
  };
  for (const Case& c : {
           Case{"none, good", kNone, kGood, 0, 0, Action::kPublish},
           Case{"none, revoked", kNone, kRevoked, 0, 0, Action::kPublish},
           Case{"good, newer", kGoodValid, kGood, 1, 0, Action::kPublish},
           Case{"good, newer but ends earlier", kGoodValid, kGood, 1, -60, Action::kPublish},
           Case{"good, the same", kGoodValid, kGood, 0, 0, Action::kKeep},
           Case{"good, the same for longer", kGoodValid, kGood, 0, 1, Action::kPublish},
           Case{"good, older", kGoodValid, kGood, -1, 60, Action::kKeep},
           Case{"good, revoked and newer", kGoodValid, kRevoked, 1, 0, Action::kPublish},
           Case{"good, revoked at the same time", kGoodValid, kRevoked, 0, 0, Action::kPublish},
           Case{"good, revoked and older", kGoodValid, kRevoked, -60, -60, Action::kPublish},
           Case{"good ended, newer", kGoodEnded, kGood, 1, 0, Action::kPublish},
           Case{"good ended, older", kGoodEnded, kGood, -1, 0, Action::kKeep},
           Case{"good ended, revoked", kGoodEnded, kRevoked, -1, 0, Action::kPublish},
           Case{"good ahead, older", kGoodAhead, kGood, 0, 0, Action::kPublish},
           Case{"good ahead, revoked", kGoodAhead, kRevoked, 0, 0, Action::kPublish},
           Case{"revoked ahead, good and older", kRevokedAhead, kGood, 0, 0, Action::kKeep},
           Case{"revoked ahead, revoked and older", kRevokedAhead, kRevoked, 0, 0, Action::kPublish},
           Case{"revoked, good and newer", kRevokedValid, kGood, 1, 0, Action::kPublish},
           Case{"revoked, good at the same time", kRevokedValid, kGood, 0, 0, Action::kKeep},
           Case{"revoked, good at the same time for longer", kRevokedValid, kGood, 0, 60, Action::kKeep},
           Case{"revoked, good and older", kRevokedValid, kGood, -1, 60, Action::kKeep},
           Case{"revoked, revoked and newer", kRevokedValid, kRevoked, 1, 0, Action::kPublish},
           Case{"revoked, revoked at the same time", kRevokedValid, kRevoked, 0, 0, Action::kKeep},
           Case{"revoked, revoked and older", kRevokedValid, kRevoked, -1, 60, Action::kKeep},
           Case{"revoked ended, good and newer", kRevokedEnded, kGood, 1, 0, Action::kPublish},
           Case{"revoked ended, good and older", kRevokedEnded, kGood, -1, 0, Action::kKeep},
           Case{"revoked ended, good at the same time", kRevokedEnded, kGood, 0, 0, Action::kKeep},
           Case{"revoked ended, revoked and older", kRevokedEnded, kRevoked, -1, 0, Action::kPublish},
       }) {
    INFO(c.name);
    CHECK(decide_on(c.held, c.reason, kUpdate + c.later, kEnd + c.longer) == c.action);
  }
}

TEST_CASE("admit: what is held keeps its place while the responder's clock does not confirm ours", "[admit]") {
  CHECK(decide_on(kGoodAhead, kGood, kUpdate, kEnd, false) == Action::kKeep);
  CHECK(decide_on(kRevokedAhead, kRevoked, kUpdate, kEnd, false) == Action::kKeep);
  CHECK(decide_on(kGoodAhead, kRevoked, kUpdate, kEnd, false) == Action::kPublish);
}

TEST_CASE("admit: nothing but good and revoked ever enters", "[admit]") {
#define OCSP_PLUS_TEST_REASON(number, name, token, meaning) Reason::name,
  for (const Reason reason : {OCSP_PLUS_REASONS(OCSP_PLUS_TEST_REASON)}) {
#undef OCSP_PLUS_TEST_REASON
    if (reason == kGood || reason == kRevoked) {
      continue;
    }
    for (const auto& held : {kNone, kGoodValid, kGoodEnded, kGoodAhead, kRevokedValid, kRevokedEnded}) {
      INFO(token(reason));
      CHECK(decide_on(held, reason, kUpdate + 1, kEnd + 1) == Action::kRefuse);
    }
  }
}

// --- through a real zone -----------------------------------------------------------------------------------------

struct Fixture : EngineFixture {
  explicit Fixture(std::size_t zone_size = 64 << 10) : EngineFixture(zone_size) {
    index = add(1, {&server()});
    register_all();
  }
  const Target& target() const { return *catalog.targets()[index]; }
  Admission admit(const Bytes& response) {
    return gate.admit(target(), response, store::Source::kNetwork, {loop.clock.now()});
  }
  Bytes made(Status status, Seconds this_update, Seconds next_update) const {
    const UnixSeconds now = loop.clock.now();
    return simple_response(test_leaf(1), test_ca(), status, now + this_update, now + next_update);
  }
  std::optional<Bytes> bytes_held() const { return zone.read(target().entry, target().certificate.id); }

  std::size_t index = 0;
  store::ZoneWriter writer{zone, lock, loop.clock, 0, 0};
  Gate gate{zone, writer, settings.policy};
};

TEST_CASE("admit: what is published is the response, with its times", "[admit]") {
  Fixture f;
  CHECK_FALSE(f.gate.held(f.target()));
  const Bytes response = f.made(Status::kGood, -60, kDay);
  const Admission admission = f.admit(response);
  CHECK(admission.action == Action::kPublish);
  CHECK(admission.stored == Reason::kOk);
  CHECK(f.bytes_held() == response);
  const auto held = f.gate.held(f.target());
  REQUIRE(held);
  CHECK(held->this_update == f.loop.clock.now() - 60);
  CHECK(held->expires == f.loop.clock.now() + kDay);
  CHECK(held->admitted_at == f.loop.clock.now());
  CHECK(held->source == store::Source::kNetwork);
  CHECK(held->cert_status == static_cast<std::uint8_t>(CertStatus::kGood));
  CHECK(held->issuer_key == f.target().issuer->key_sha256());
}

TEST_CASE("admit: what OpenSSL would not send", "[admit]") {
  Fixture f;
  crypto::VerifyPolicy policy = f.settings.policy;
  policy.must_be_sendable = true;
  Gate gate(f.zone, f.writer, policy);
  const UnixSeconds now = f.loop.clock.now();
  ResponseSpec spec;
  spec.produced_at = generalized_time(now - 60);
  spec.singles.resize(2);
  spec.singles[0].hash = "SHA256";
  spec.singles[0].serial = Bytes{0x2b};  // another certificate's
  for (SingleSpec& single : spec.singles) {
    single.this_update = generalized_time(now - 60);
    single.next_update = generalized_time(now + kDay);
  }
  const auto admit = [&] {
    return gate.admit(f.target(), make_response(spec, test_leaf(1), test_ca(), test_ca()), store::Source::kNetwork,
                      {now});
  };
  // A good one is of no use here.
  const Admission good = admit();
  CHECK(good.action == Action::kRefuse);
  CHECK(good.verdict.reason == Reason::kNotSendable);
  // A revocation takes the place of a good response, and is not stapled.
  REQUIRE(f.admit(f.made(Status::kGood, -60, kDay)).action == Action::kPublish);
  CHECK(is_staplable(*gate.held(f.target()), now, policy.clock_skew));
  spec.singles[1].status = Status::kRevoked;
  CHECK(admit().action == Action::kPublish);
  const auto held = gate.held(f.target());
  REQUIRE(held);
  CHECK(held->cert_status == static_cast<std::uint8_t>(CertStatus::kRevoked));
  CHECK_FALSE(is_staplable(*held, now, policy.clock_skew));
}

TEST_CASE("admit: the table through a real zone", "[admit]") {
  struct New {
    Status status;
    Seconds this_update;
  };
  struct Case {
    const char* name;
    std::optional<New> first;
    bool ended;  // by the time of the second one
    New second;
    bool taken;
  };
  for (const Case& c : {
           Case{"none, good", {}, false, {Status::kGood, -60}, true},
           Case{"none, revoked", {}, false, {Status::kRevoked, -60}, true},
           Case{"none, unknown", {}, false, {Status::kUnknown, -60}, false},
           Case{"good, newer", New{Status::kGood, -60}, false, {Status::kGood, -30}, true},
           Case{"good, older", New{Status::kGood, -60}, false, {Status::kGood, -90}, false},
           Case{"good, revoked and older", New{Status::kGood, -60}, false, {Status::kRevoked, -90}, true},
           Case{"good, unknown", New{Status::kGood, -60}, false, {Status::kUnknown, -30}, false},
           Case{"good ended, newer", New{Status::kGood, -60}, true, {Status::kGood, -30}, true},
           Case{"good ended, unknown", New{Status::kGood, -60}, true, {Status::kUnknown, -30}, false},
           Case{"good ended, revoked", New{Status::kGood, -60}, true, {Status::kRevoked, -30}, true},
           Case{"revoked, newer good", New{Status::kRevoked, -60}, false, {Status::kGood, -30}, true},
           Case{"revoked, older good", New{Status::kRevoked, -60}, false, {Status::kGood, -90}, false},
           Case{"revoked, same good", New{Status::kRevoked, -60}, false, {Status::kGood, -60}, false},
           Case{"revoked, unknown", New{Status::kRevoked, -60}, false, {Status::kUnknown, -30}, false},
           Case{"revoked ended, older good", New{Status::kRevoked, -60}, true, {Status::kGood, -2 * kDay}, false},
           Case{
               "revoked ended, older revoked", New{Status::kRevoked, -60}, true, {Status::kRevoked, -2 * kDay}, true},
       }) {
    INFO(c.name);
    Fixture f;
    if (c.first) {
      REQUIRE(f.admit(f.made(c.first->status, c.first->this_update, kHour)).stored == Reason::kOk);
    }
    if (c.ended) {
      f.loop.clock.advance(kHour * 1000);
    }
    const auto before = f.bytes_held();
    const Bytes second = f.made(c.second.status, c.second.this_update, 2 * kHour);
    CHECK((f.admit(second).action == Action::kPublish) == c.taken);
    CHECK(f.bytes_held() == (c.taken ? std::optional<Bytes>(second) : before));
  }
}

TEST_CASE("admit: what follows the response is cut off, wherever it came from", "[admit]") {
  for (const store::Source source : {store::Source::kNetwork, store::Source::kFile, store::Source::kCache}) {
    Fixture f;
    const Bytes response = f.made(Status::kGood, -60, kDay);
    const Bytes octets = der::join({response, {0x0d, 0x0a}});
    const Admission admission = f.gate.admit(f.target(), octets, source, {f.loop.clock.now()});
    CHECK(admission.action == Action::kPublish);
    CHECK(f.bytes_held() == response);
  }
}

TEST_CASE("admit: whatever is not proven stays outside", "[admit]") {
  Fixture f;
  const Identity stranger = make_ca("Stranger");
  const UnixSeconds now = f.loop.clock.now();
  ResponseSpec broken;
  broken.break_signature = true;
  Bytes cut = f.made(Status::kGood, -60, kDay);
  cut.resize(cut.size() / 2);
  struct Case {
    const char* name;
    Bytes response;
    Reason reason;
  };
  for (const Case& c : {
           Case{"nothing", {}, Reason::kMalformedResponse},
           Case{"half", cut, Reason::kMalformedResponse},
           Case{"tryLater", error_response(3), Reason::kTryLater},
           Case{"a broken signature", make_response(broken, test_leaf(1), test_ca(), test_ca()),
                Reason::kBadSignature},
           Case{"a foreign signer", make_response({}, test_leaf(1), test_ca(), stranger), Reason::kSignerNotFound},
           Case{"another certificate's", good_response(test_leaf(2), test_ca()), Reason::kOtherSerial},
           Case{"ended", good_response(test_leaf(1), test_ca(), now - kDay, now), Reason::kExpired},
           Case{"of the future", good_response(test_leaf(1), test_ca(), now + kHour, now + kDay),
                Reason::kThisUpdateInFuture},
       }) {
    INFO(c.name);
    const Admission admission = f.admit(c.response);
    CHECK(admission.action == Action::kRefuse);
    CHECK(token(admission.verdict.reason) == token(c.reason));
    CHECK_FALSE(f.bytes_held());
  }
}

TEST_CASE("admit: the zone cannot take it", "[admit]") {
  Fixture f;
  const Bytes first = f.made(Status::kGood, -60, kDay);
  REQUIRE(f.admit(first).stored == Reason::kOk);
  const Bytes second = f.made(Status::kGood, -30, kDay);

  SECTION("busy: the same again does it later") {
    f.lock.busy = true;
    CHECK(f.admit(second).action == Action::kPublish);
    CHECK(f.admit(second).stored == Reason::kZoneBusy);
    CHECK(f.bytes_held() == first);
    f.lock.busy = false;
    CHECK(f.admit(second).stored == Reason::kOk);
    CHECK(f.bytes_held() == second);
  }
  SECTION("busy: the same is verified once, another of its own") {
    const Bytes third = f.made(Status::kRevoked, -20, kDay);
    f.lock.busy = true;
    const std::size_t before = verified_responses();
    for (int i = 0; i < 3; ++i) {
      CHECK(f.admit(second).stored == Reason::kZoneBusy);
    }
    CHECK(verified_responses() == before + 1);
    CHECK(f.admit(third).stored == Reason::kZoneBusy);
    CHECK(verified_responses() == before + 2);
    f.lock.busy = false;
    CHECK(f.admit(third).stored == Reason::kOk);
    CHECK(verified_responses() == before + 2);
    CHECK(f.bytes_held() == third);
    CHECK(f.admit(third).action == Action::kKeep);
    CHECK(verified_responses() == before + 3);
  }
  SECTION("busy: the response ends while it waits") {
    const Bytes brief = f.made(Status::kGood, -20, 60);
    f.lock.busy = true;
    CHECK(f.admit(brief).stored == Reason::kZoneBusy);
    f.lock.busy = false;
    f.loop.clock.advance(61000);
    const Admission late = f.admit(brief);
    CHECK(late.action == Action::kRefuse);
    CHECK(late.verdict.reason == Reason::kExpired);
    CHECK(f.bytes_held() == first);
  }
  SECTION("the lease is another's") {
    f.zone.header().lease.word = std::uint64_t{1} << 32 | 4711;
    CHECK(f.admit(second).stored == Reason::kLeaseLost);
    CHECK(f.bytes_held() == first);
  }
  SECTION("a newer configuration knows another issuer key") {
    std::vector<store::EntryIndex> entries;
    REQUIRE(store::register_all(f.zone, f.lock, {{f.target().certificate.id, test_id(9)}}, &entries));
    CHECK(f.admit(second).stored == Reason::kInvalidArgument);
    CHECK_FALSE(f.bytes_held());
  }
}

TEST_CASE("admit: the zone is full", "[admit]") {
  Fixture f;
  // A response that carries more certificates than the zone has bytes.
  ResponseSpec spec;
  const std::size_t room = f.writer.bytes_free();
  for (std::size_t size = 0; size < room; size += test_leaf(1).der().size()) {
    spec.certificates.push_back(test_leaf(1).der());
  }
  const Admission admission = f.admit(make_response(spec, test_leaf(1), test_ca(), test_ca()));
  CHECK(admission.action == Action::kPublish);
  CHECK(admission.stored == Reason::kZoneFull);
  CHECK_FALSE(f.bytes_held());
}

}  // namespace
}  // namespace ocsp_plus::engine
