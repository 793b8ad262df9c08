// Fuzzes an issuer document.
#include <vector>

#include "crypto/issuer_document.h"
#include "engine/issuer_search.h"
#include "fuzz/fuzz.h"
#include "tests/fakes/engine_fixture.h"

using namespace ocsp_plus;  // NOLINT: only the target

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  x509_st* const leaf = testing::test_leaf(0).get();
  const ByteView document(data, size);
  const auto certificates = crypto::read_issuer_document(document);
  fuzz::promise(certificates ? !certificates->empty() && certificates->size() <= crypto::kMaxIssuerCandidates
                             : certificates.error().reason == Reason::kIssuerMalformed,
                "some certificates, but not many, or that it holds none");
  if (!certificates) {
    return 0;
  }
  const auto search_in = [leaf](const std::vector<crypto::X509Ptr>& offered) {
    engine::IssuerPool pool;
    std::vector<x509_st*> borrowed;
    for (const crypto::X509Ptr& certificate : offered) {
      borrowed.push_back(certificate.get());
    }
    engine::IssuerSearch search(pool, testing::test_leaf(0).described().id, leaf, borrowed);
    search.finish();
    return search.found();
  };
  const engine::IssuerPtr issuer = search_in(*certificates);
  if (issuer == nullptr) {
    fuzz::promise(crypto::issuer_mismatch(*certificates).reason == Reason::kIssuerMismatch, "it is refused as one");
    return 0;
  }
  fuzz::promise(crypto::signed_by(leaf, issuer->certificate()), "what comes out has signed the leaf");
  fuzz::promise(issuer->key_sha256() == testing::test_ca().issuer()->key_sha256(), "so it has the issuer's key");
  const auto again = crypto::read_issuer_document(crypto::der_of(issuer->certificate()));
  fuzz::promise(again && search_in(*again) != nullptr, "what is kept can be read again");
  return 0;
}
