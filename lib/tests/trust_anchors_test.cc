#include "crypto/trust_anchors.h"

#include <catch2/catch.hpp>
#include <utility>

#include "tests/pki.h"

using namespace ocsp_plus;
using namespace ocsp_plus::testing;
using crypto::TrustAnchors;

namespace {

std::vector<crypto::X509Ptr> copies(const std::vector<const Identity*>& identities) {
  std::string pem;
  for (const Identity* identity : identities) {
    pem += identity->pem();
  }
  return crypto::parse_pem_certificates(pem).value();
}

}  // namespace

TEST_CASE("trust_anchors: where a chain leads", "[trust_anchors]") {
  const Identity root = make_ca("Root");
  const Identity other = make_ca("Other", KeyType::kP384);
  const Identity ca = make_intermediate(root, "CA");
  const Identity leaf = make_leaf(ca, "leaf.example", "");
  const auto by_root = TrustAnchors::of(copies({&root})).value();
  const auto by_ca = TrustAnchors::of(copies({&ca})).value();
  const auto by_other = TrustAnchors::of(copies({&other})).value();
  CHECK(by_root.objection(copies({&leaf, &ca}), kNow).empty());
  CHECK(by_root.objection(copies({&leaf, &other, &ca}), kNow).empty());
  CHECK(by_ca.objection(copies({&leaf}), kNow).empty());
  CHECK_FALSE(by_root.objection(copies({&leaf}), kNow).empty());
  CHECK_FALSE(by_other.objection(copies({&leaf, &ca}), kNow).empty());
  CHECK(by_root.objection(copies({&leaf, &ca}), kNow + 20 * 365 * kDay) == "certificate has expired");
  CHECK_FALSE(by_root.objection({}, kNow).empty());
}

TEST_CASE("trust_anchors: who issued a certificate", "[trust_anchors]") {
  const Identity root = make_ca("Root");
  const Identity ca = make_intermediate(root, "CA");
  const Identity leaf = make_leaf(ca, "leaf.example", "");
  const auto anchors = TrustAnchors::of(copies({&root, &ca})).value();
  const auto issuer = anchors.issuer_of(leaf.get());
  REQUIRE(issuer != nullptr);
  CHECK(crypto::describe(issuer.get())->id == ca.described().id);
  CHECK(TrustAnchors::of(copies({&root}))->issuer_of(leaf.get()) == nullptr);
  CHECK(TrustAnchors::of_system()->issuer_of(leaf.get()) == nullptr);
}
