#include "crypto/response_content.h"

#include <catch2/catch.hpp>

#include "tests/pki.h"

using namespace ocsp_plus;
using namespace ocsp_plus::testing;
using crypto::CertStatus;
using crypto::read_response_content;

namespace {

struct Fixture {
  Identity ca = make_ca("Root");
  Identity leaf = make_leaf(ca, "leaf.example", "http://ocsp.example/", {0x12, 0x34});
  Identity responder = make_responder(ca);
};

}  // namespace

TEST_CASE("response_content: what a response says", "[response_content]") {
  const Fixture fixture;
  ResponseSpec spec;
  spec.singles.resize(3);
  spec.singles[1].status = Status::kRevoked;
  spec.singles[1].hash = "SHA256";
  spec.singles[2].status = Status::kUnknown;
  spec.singles[2].next_update.reset();
  spec.singles[2].this_update = "20300601120000+0000";
  spec.certificates = {fixture.responder.der()};
  const auto content = read_response_content(make_response(spec, fixture.leaf, fixture.ca, fixture.responder));
  REQUIRE(content);
  CHECK(content->produced_at == kNow - kHour);
  CHECK(content->responder == "CN=Responder,O=ocsp_plus tests");
  CHECK(content->signature == "ecdsa-with-SHA256");
  CHECK(content->certificates == std::vector<std::string>{"CN=Responder,O=ocsp_plus tests"});
  REQUIRE(content->singles.size() == 3);
  const auto& good = content->singles[0];
  CHECK(good.serial == Bytes{0x12, 0x34});
  CHECK(good.hash == "sha1");
  CHECK(to_hex(good.issuer_key_hash) == to_hex(fixture.ca.issuer()->key_sha1()));
  CHECK(to_hex(good.issuer_name_hash) == to_hex(fixture.ca.issuer()->name_sha1()));
  CHECK(good.status == CertStatus::kGood);
  CHECK(good.this_update == kNow - kHour);
  CHECK(good.next_update == kNow + 3 * kDay);
  CHECK(good.revoked_at == 0);
  const auto& revoked = content->singles[1];
  CHECK(revoked.hash == "sha256");
  CHECK(revoked.status == CertStatus::kRevoked);
  CHECK(revoked.revoked_at == kNow - 2 * kDay);
  const auto& unknown = content->singles[2];
  CHECK(unknown.status == CertStatus::kUnknown);
  CHECK(unknown.this_update == 0);  // not in the one form that is allowed
  CHECK(unknown.next_update == 0);
}

TEST_CASE("response_content: a responder named by its key", "[response_content]") {
  const Fixture fixture;
  ResponseSpec spec;
  spec.by_key = true;
  const auto content = read_response_content(make_response(spec, fixture.leaf, fixture.ca, fixture.ca));
  REQUIRE(content);
  CHECK(content->responder == to_hex(key_sha1(fixture.ca.key)));
  CHECK(content->certificates.empty());
}

TEST_CASE("response_content: what is no answer", "[response_content][rfc6960-4.2.1]") {
  const Fixture fixture;
  const auto reason = [&fixture](const ResponseSpec& spec) {
    return read_response_content(make_response(spec, fixture.leaf, fixture.ca, fixture.ca)).error().reason;
  };
  ResponseSpec later;
  later.status = 3;
  CHECK(reason(later) == Reason::kTryLater);
  ResponseSpec other;
  other.type = "1.3.6.1.5.5.7.48.1.5";
  CHECK(reason(other) == Reason::kNotBasicResponse);
  ResponseSpec more;
  more.inner_trailing = {0};
  CHECK(reason(more) == Reason::kTrailingData);
}

TEST_CASE("response_content: what follows the response is passed over", "[response_content]") {
  const Fixture fixture;
  ResponseSpec more;
  more.trailing = {0x0d, 0x0a};
  const auto content = read_response_content(make_response(more, fixture.leaf, fixture.ca, fixture.ca));
  REQUIRE(content);
  CHECK(content->singles.size() == 1);
}

TEST_CASE("response_content: octets of anybody", "[response_content]") {
  const Fixture fixture;
  const Bytes whole = good_response(fixture.leaf, fixture.ca);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CHECK_FALSE(read_response_content({whole.data(), size}));
  }
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const int flip : {0x01, 0x20, 0x80, 0xff}) {
      Bytes bytes = whole;
      bytes[at] = static_cast<std::uint8_t>(bytes[at] ^ flip);
      (void)read_response_content(bytes);  // whatever comes of it: no crash, nothing read beyond the end
    }
  }
}
