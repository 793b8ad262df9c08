// What verify() says of each case of the table, and what a verdict holds.
#include "crypto/verify.h"

#include <openssl/evp.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "crypto/response_file.h"
#include "tests/verify_cases.h"

namespace ocsp_plus::testing {
namespace {

using crypto::CertStatus;
using crypto::Verdict;

void run(const CaseTable& table) {
  for (const VerifyCase& c : table) {
    DYNAMIC_SECTION(c.name) {
      VerifySetup setup;
      c.change(setup);
      const Bytes response = setup.response();
      const crypto::Certificate certificate = setup.leaf->described();
      const auto issuer = setup.issuer->issuer();
      REQUIRE(queued_openssl_errors() == 0);
      const Verdict verdict =
          crypto::verify(crypto::cut_trailing(response), certificate, *issuer, setup.now, setup.policy);
      CHECK(queued_openssl_errors() == 0);
      INFO(verdict.detail);
      CHECK(token(verdict.reason) == token(c.expected));
      // A status is reported when, and only when, it is proven.
      CHECK((verdict.cert_status != CertStatus::kNone) == verdict.authentic());
      CHECK((verdict.revoked_at == 0 || verdict.reason == Reason::kRevoked));
      if (verdict.authentic()) {
        CHECK(verdict.expires > setup.now);
        CHECK(verdict.expires <= certificate.not_after);
      }
    }
  }
}

}  // namespace

TEST_CASE("verify: the table", "[verify][rfc6960-2.2][rfc6960-3.2][rfc6960-4][rfc5280-4.1.2.5.2]") {
  for (const CaseGroup& group : verify_cases()) {
    SECTION(group.name) {
      run(group.cases);
    }
  }
}

TEST_CASE("verify: the table is large enough, and every reason of its block is reached", "[verify]") {
  std::set<Reason> reached;
  std::set<std::string> names;
  std::size_t cases = 0;
  std::size_t accepted = 0;
  for (const CaseGroup& group : verify_cases()) {
    for (const VerifyCase& c : group.cases) {
      reached.insert(c.expected);
      INFO(c.name);
      CHECK(names.insert(c.name).second);
      ++cases;
      accepted += c.expected == Reason::kOk ? 1 : 0;
    }
  }
  CHECK(cases >= 150);
  CHECK(cases - accepted >= 60);  // defects, each of its own name
  CHECK(accepted * 3 >= cases);
  CHECK(reached.size() >= 30);
  const auto check = [&reached](int number, Reason reason, std::string_view text) {
    // 82 (not newer) is the engine's.
    if (number >= 1 && number <= 81) {
      INFO(text);
      CHECK(reached.count(reason) == 1);
    }
  };
#define OCSP_PLUS_REASON_CHECK(number, name, text, meaning) check(number, Reason::name, text);
  OCSP_PLUS_REASONS(OCSP_PLUS_REASON_CHECK)
#undef OCSP_PLUS_REASON_CHECK
}

TEST_CASE("verify: what a verdict holds", "[verify]") {
  VerifySetup setup;
  SECTION("times and status") {
    const Verdict verdict = setup.verify();
    CHECK(verdict.cert_status == CertStatus::kGood);
    CHECK(verdict.produced_at == kNow - kHour);
    CHECK(verdict.this_update == kNow - kHour);
    CHECK(verdict.next_update == kNow + 3 * kDay);
    CHECK(verdict.expires == kNow + 3 * kDay);
    CHECK(verdict.revoked_at == 0);
    CHECK(verdict.detail.empty());
  }
  SECTION("without nextUpdate it ends a day after thisUpdate") {
    setup.single().next_update.reset();
    CHECK(setup.verify().expires == kNow - kHour + kDay);
    CHECK(setup.verify().next_update == 0);
  }
  SECTION("it ends with the delegated signer") {
    setup.use_signer(delegate([](CertificateSpec& c) { c.not_after = kNow + 60; }));
    CHECK(setup.verify().expires == kNow + 60);
  }
  SECTION("it ends with the certificate") {
    setup.single().next_update = "20500101000000Z";
    CHECK(setup.verify().expires == kNow + 365 * kDay);
  }
  SECTION("of two good ones the times of the one that ends first") {
    setup.spec.singles = {single_with(Status::kGood), single_with(Status::kGood, "SHA256")};
    setup.spec.singles[1].next_update = generalized_time(kNow + 30);
    CHECK(setup.verify().expires == kNow + 30);
  }
  SECTION("revoked_at") {
    setup.single().status = Status::kRevoked;
    CHECK(setup.verify().revoked_at == kNow - 2 * kDay);
    CHECK(setup.verify().cert_status == CertStatus::kRevoked);
  }
  SECTION("an expired one still tells its times") {
    setup.now = kNow + 30 * kDay;
    const Verdict verdict = setup.verify();
    CHECK(verdict.reason == Reason::kExpired);
    CHECK(verdict.next_update == kNow + 3 * kDay);
    CHECK_FALSE(verdict.detail.empty());
  }
}

TEST_CASE("verify: what came in place of a response is shown", "[verify]") {
  const auto detail_of = [](std::string_view octets) {
    VerifySetup setup;
    setup.damage = [octets](Bytes& b) { b = ByteView(octets).copy(); };
    const Verdict verdict = setup.verify();
    CHECK(verdict.reason == Reason::kMalformedResponse);
    return verdict.detail;
  };
  CHECK(detail_of("<html>Log in</html>") == "its 19 octets begin with <html>Log in</html>");
  CHECK(detail_of(std::string(61, '!')) == "its 61 octets begin with " + std::string(60, '!'));
  CHECK(detail_of("") == "it is empty");
  // A damaged response is OpenSSL's to explain.
  CHECK(detail_of("0") != "its 1 octets begin with 0");
}

TEST_CASE("verify: no octet can be changed or cut away unnoticed", "[verify]") {
  const VerifyWorld& w = world();
  ResponseSpec spec;
  spec.certificates = {w.responder.der()};
  const Bytes response = make_response(spec, w.leaf, w.ca, w.responder);
  const crypto::Certificate certificate = w.leaf.described();
  const auto issuer = w.ca.issuer();
  REQUIRE(crypto::verify(response, certificate, *issuer, kNow, {}).reason == Reason::kOk);
  for (std::size_t i = 0; i < response.size(); ++i) {
    Bytes changed = response;
    changed[i] ^= static_cast<std::uint8_t>(1U << (i % 8));
    INFO("octet " << i);
    CHECK_FALSE(crypto::verify(changed, certificate, *issuer, kNow, {}).authentic());
    CHECK_FALSE(crypto::verify({response.data(), i}, certificate, *issuer, kNow, {}).authentic());
  }
  CHECK(queued_openssl_errors() == 0);
}

TEST_CASE("cut_trailing: the outer SEQUENCE and nothing else", "[verify]") {
  const auto cut = [](const Bytes& octets) { return crypto::cut_trailing(octets).copy(); };
  const Bytes whole = good_response(world().leaf, world().ca);
  for (const Bytes& more : {Bytes{}, Bytes{0x0a}, Bytes{0x00, 0x00}, Bytes(70000, 0x30), whole}) {
    CHECK(cut(der::join({whole, more})) == whole);
    CHECK(cut(der::join({error_response(3), more})) == error_response(3));
  }
  // What is no SEQUENCE stays as it is, for verify() to refuse.
  for (const Bytes& octets :
       {Bytes{}, Bytes{0x30}, Bytes{0x30, 0x05, 0x00}, Bytes{0x30, 0x80, 0x00, 0x00, 0x0a}, Bytes{0x31, 0x00, 0x0a},
        Bytes{0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x00}, ByteView("<html>busy</html>").copy()}) {
    CHECK(cut(octets) == octets);
  }
  CHECK(queued_openssl_errors() == 0);
}

TEST_CASE("verify: takes no octet for part of a response that was not cut off", "[verify]") {
  VerifySetup setup;
  setup.spec.trailing = {0x0a};
  const auto issuer = setup.issuer->issuer();
  const auto verdict = crypto::verify(setup.response(), setup.leaf->described(), *issuer, setup.now, setup.policy);
  CHECK(verdict.reason == Reason::kTrailingData);
  CHECK(verdict.detail == "1 octets follow the response");
}

TEST_CASE("verify: extreme clocks do not overflow", "[verify]") {
  VerifySetup setup;
  setup.now = INT64_MAX;
  CHECK(setup.verify().reason == Reason::kCertificateExpired);
  setup.now = INT64_MIN;
  CHECK(setup.verify().reason == Reason::kThisUpdateInFuture);
  setup.now = kNow;
  setup.policy.clock_skew = INT64_MAX;
  setup.policy.max_age_without_next_update = INT64_MAX;
  setup.single().next_update.reset();
  CHECK(setup.verify().reason == Reason::kOk);
}

TEST_CASE("verify: the first CertID's hash is one that OpenSSL provides, known to it or not", "[verify]") {
  VerifySetup setup;
  setup.spec.singles.insert(setup.spec.singles.begin(), single_with(Status::kGood, "SHA384"));
  const Bytes response = setup.response();
  const crypto::Certificate certificate = setup.leaf->described();
  const auto issuer = setup.issuer->issuer();
  CHECK(crypto::verify(response, certificate, *issuer, kNow, {}).reason == Reason::kOk);
  // As with a provider (FIPS) that lacks it.
  REQUIRE(EVP_set_default_properties(nullptr, "provider=nobody") == 1);
  const crypto::Verdict verdict = crypto::verify(response, certificate, *issuer, kNow, {});
  REQUIRE(EVP_set_default_properties(nullptr, "") == 1);
  CHECK(verdict.reason == Reason::kUnsupportedHash);
  CHECK(verdict.detail.find("sha384") != std::string::npos);
  CHECK(queued_openssl_errors() == 0);
  CHECK(crypto::verify(response, certificate, *issuer, kNow, {}).reason == Reason::kOk);
}

TEST_CASE("response_from_file: DER and PEM", "[response_file]") {
  const Bytes der = good_response(world().leaf, world().ca);
  CHECK(*crypto::response_from_file(ByteView(der).text()) == der);
  CHECK(crypto::response_from_file("")->empty());
  const std::string armour = "a comment\n-----BEGIN OCSP RESPONSE-----\nMAMKAQM=\n-----END OCSP RESPONSE-----\n";
  CHECK(*crypto::response_from_file(armour) == error_response(3));
  for (const char* broken : {"-----BEGIN OCSP RESPONSE-----\nMAMKAQM=\n", "-----BEGIN OCSP RESPONSE-----\n*\n",
                             "-----BEGIN CERTIFICATE-----\nMAMKAQM=\n-----END CERTIFICATE-----\n"}) {
    const auto result = crypto::response_from_file(broken);
    REQUIRE_FALSE(result);
    CHECK(result.error().reason == Reason::kUnreadable);
  }
  CHECK(queued_openssl_errors() == 0);
}

}  // namespace ocsp_plus::testing
