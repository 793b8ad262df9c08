// The issuers that a process knows, and the search among them.
#include "engine/issuer_pool.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "engine/issuer_search.h"
#include "tests/fakes/verifications.h"
#include "tests/pki.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;

// A CA of that name; each number has a certificate of its own, each key name a key.
Identity ca_of(const std::string& name, const std::string& key_name, std::uint8_t number = 1,
               bool key_identifiers = true) {
  CertificateSpec spec;
  spec.subject = name;
  spec.serial = {0x31, number};
  spec.ca = true;
  spec.key_identifiers = key_identifiers;
  return make_certificate(spec, key(KeyType::kP256, key_name), nullptr);
}

Identity leaf_of(const Identity& ca, const std::string& name = "leaf") {
  CertificateSpec spec;
  spec.subject = name;
  return make_certificate(spec, key(KeyType::kP256, "leaf"), &ca);
}

std::vector<CertificateId> ids(const std::vector<IssuerPtr>& issuers) {
  std::vector<CertificateId> all;
  for (const IssuerPtr& issuer : issuers) {
    all.push_back(issuer->id());
  }
  return all;
}

TEST_CASE("issuer pool: one object for each certificate", "[issuer]") {
  IssuerPool pool;
  const Identity ca = ca_of("CA", "one");
  const auto first = pool.intern(ca.get());
  REQUIRE(first);
  CHECK(*pool.intern(crypto::parse_der_certificates(ca.der()).front().get()) == *first);
  CHECK(pool.size() == 1);
  CHECK(*pool.intern(ca_of("CA", "one", 2).get()) != *first);
  CHECK(pool.size() == 2);
  CHECK_FALSE(pool.intern(with_unknown_key(ca).get()));
}

TEST_CASE("issuer pool: candidates by name, those with the leaf's key identifier first", "[issuer]") {
  IssuerPool pool;
  const Identity ca = ca_of("CA", "one");
  const Identity renewed = ca_of("CA", "one", 2);
  const Identity twin = ca_of("CA", "two");
  const Identity quiet = ca_of("CA", "three", 1, false);
  std::vector<IssuerPtr> users;
  for (const Identity* identity : {&twin, &quiet, &ca, &renewed}) {
    users.push_back(*pool.intern(identity->get()));
  }
  users.push_back(*pool.intern(ca_of("Another CA", "one").get()));
  const Identity leaf = leaf_of(ca);
  const CertificateId id = leaf.described().id;
  const auto found = ids(pool.candidates(id, leaf.get()));
  REQUIRE(found.size() == 4);
  CHECK((found[0] == ca.described().id || found[1] == ca.described().id));
  CHECK((found[0] == renewed.described().id || found[1] == renewed.described().id));
  CHECK(found[2] == quiet.described().id);
  CHECK(found[3] == twin.described().id);
  CHECK(pool.candidates(id, leaf_of(ca_of("Nobody", "one")).get()).empty());

  // What did not verify is not offered again, for this leaf. Once it may have been for want of memory.
  pool.note_mismatch(id, twin.described().id);
  CHECK_FALSE(pool.is_mismatch(id, twin.described().id));
  pool.note_mismatch(id, twin.described().id);
  CHECK(pool.is_mismatch(id, twin.described().id));
  CHECK(pool.candidates(id, leaf.get()).size() == 3);
  const Identity other = leaf_of(ca, "other");
  CHECK(pool.candidates(other.described().id, other.get()).size() == 4);

  // What nobody uses goes, a few at a time.
  users.erase(users.begin() + 1, users.end());
  for (int i = 0; i < 5; ++i) {
    pool.sweep(1);
  }
  CHECK(pool.size() == 1);
  CHECK(ids(pool.candidates(other.described().id, other.get())) == std::vector<CertificateId>{twin.described().id});
  users.clear();
  pool.sweep(10);
  CHECK(pool.size() == 0);
  CHECK(pool.candidates(other.described().id, other.get()).empty());
}

TEST_CASE("issuer search: a verification a step, and none that has failed twice", "[issuer]") {
  IssuerPool pool;
  std::vector<IssuerPtr> users;
  const Identity ca = ca_of("CA", "right", 1, false);
  std::vector<Identity> wrong;
  for (int i = 0; i < 20; ++i) {
    wrong.push_back(ca_of("CA", "wrong" + std::to_string(i), 1, false));
    users.push_back(*pool.intern(wrong.back().get()));
  }
  const Identity leaf = leaf_of(ca);
  const CertificateId id = leaf.described().id;
  {
    IssuerSearch search(pool, id, leaf.get(), {});
    IssuerSearch::Step step = IssuerSearch::Step::kMore;
    for (std::size_t steps = 1; steps <= 20; ++steps) {
      REQUIRE(step == IssuerSearch::Step::kMore);
      const std::size_t before = verifications();
      step = search.step();
      CHECK(verifications() == before + 1);
      CHECK(search.steps() == steps);
    }
    CHECK(step == IssuerSearch::Step::kNone);
    CHECK(search.found() == nullptr);
    CHECK(search.step() == IssuerSearch::Step::kNone);
  }
  CHECK(IssuerSearch(pool, id, leaf.get(), {}).finish() == IssuerSearch::Step::kNone);
  const std::size_t before = verifications();
  CHECK(IssuerSearch(pool, id, leaf.get(), {}).finish() == IssuerSearch::Step::kNone);
  CHECK(verifications() == before);

  // In a chain, between those that are known to be wrong.
  const std::vector<x509_st*> chain = {wrong[3].get(), ca.get()};
  IssuerSearch offered(pool, id, leaf.get(), chain);
  CHECK(offered.finish() == IssuerSearch::Step::kFound);
  CHECK(verifications() == before + 1);
  CHECK(offered.is_new());
  CHECK(offered.found()->id() == ca.described().id);
  CHECK(*pool.intern(ca.get()) == offered.found());
  // It is known from now on, and shared.
  const Identity second = leaf_of(ca, "second");
  IssuerSearch again(pool, second.described().id, second.get(), {ca.get()});
  CHECK(again.finish() == IssuerSearch::Step::kFound);
  CHECK_FALSE(again.is_new());
  CHECK(again.found() == offered.found());
}

TEST_CASE("issuer search: among more of one name than it takes at a time", "[issuer]") {
  IssuerPool pool;
  std::vector<IssuerPtr> users;
  const Identity ca = ca_of("CA", "right", 1, false);
  for (std::size_t i = 0; i <= IssuerPool::kMaxCandidates; ++i) {
    CertificateSpec spec;
    spec.subject = "CA";
    spec.serial = {0x32, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)};
    spec.ca = true;
    spec.key_identifiers = false;
    users.push_back(*pool.intern(make_certificate(spec, key(KeyType::kP256, "wrong"), nullptr).get()));
  }
  const Identity leaf = leaf_of(ca);
  const CertificateId id = leaf.described().id;
  CHECK(pool.candidates(id, leaf.get()).size() == IssuerPool::kMaxCandidates);
  users.push_back(*pool.intern(ca.get()));
  // Each search goes on where the one before has ended.
  IssuerSearch::Step step = IssuerSearch(pool, id, leaf.get(), {}).finish();
  for (int more = 0; more < 4 && step != IssuerSearch::Step::kFound; ++more) {
    step = IssuerSearch(pool, id, leaf.get(), {}).finish();
  }
  CHECK(step == IssuerSearch::Step::kFound);
  pool.forget_mismatches();
  CHECK(pool.candidates(id, leaf.get()).size() == IssuerPool::kMaxCandidates);
}

}  // namespace
}  // namespace ocsp_plus::engine
