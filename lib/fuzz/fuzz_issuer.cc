// What a caIssuers URL leads to.
#include "crypto/issuer_document.h"
#include "fuzz/fuzz.h"
#include "tests/fakes/engine_house.h"

using namespace ocsp_plus;  // NOLINT: nothing but the target

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  x509_st* const leaf = testing::test_leaf(0).get();
  const ByteView document(data, size);
  const auto certificates = crypto::read_issuer_document(document);
  fuzz::promise(certificates ? !certificates->empty() && certificates->size() <= crypto::kMaxIssuerCandidates
                             : certificates.error().reason == Reason::kIssuerMalformed,
                "some certificates, but not many, or that it holds none");
  const auto issuer = crypto::issuer_from(document, leaf);
  if (!issuer) {
    fuzz::promise(
        issuer.error().reason == Reason::kIssuerMalformed || issuer.error().reason == Reason::kIssuerMismatch,
        "a document is refused as one");
    return 0;
  }
  fuzz::promise(crypto::has_issued(issuer->get(), leaf), "what comes out has signed the leaf");
  const auto der = crypto::to_der(issuer->get());
  const auto made = crypto::Issuer::create(issuer->get());
  fuzz::promise(der && made && (*made)->key_sha256() == testing::test_ca().issuer()->key_sha256(),
                "so it has the issuer's key");
  fuzz::promise(crypto::issuer_from(*der, leaf).has_value(), "what is kept can be read again");
  return 0;
}
