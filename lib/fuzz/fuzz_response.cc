// Fuzzes an OCSP response for a certificate of the test PKI, whose keys are fixed.
#include "crypto/verify.h"
#include "fuzz/fuzz.h"
#include "tests/pki.h"

using namespace ocsp_plus;  // NOLINT: only the target

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const testing::Identity ca = testing::make_ca("CA");
  static const testing::Identity leaf = testing::make_leaf(ca, "leaf.example", "http://ocsp.example/");
  static const crypto::Certificate certificate = leaf.described();
  static const std::unique_ptr<crypto::Issuer> issuer = ca.issuer();

  const ByteView octets(data, size);
  const ByteView response = crypto::cut_trailing(octets);
  fuzz::promise(response.data() == octets.data() && response.size() <= octets.size(), "a response is what begins");
  fuzz::promise(crypto::cut_trailing(response) == response, "what is cut is cut");
  fuzz::promise(response.size() == octets.size() ||
                    !crypto::verify(octets, certificate, *issuer, testing::kNow, {}).authentic(),
                "nothing is authentic with more behind it");
  for (const UnixSeconds now : {testing::kNow, testing::kNow + 2 * testing::kDay}) {
    const crypto::Verdict verdict = crypto::verify(response, certificate, *issuer, now, {});
    fuzz::promise(testing::queued_openssl_errors() == 0, "OpenSSL's error queue is empty afterwards");
    fuzz::promise(verdict.reason != Reason::kNotChecked, "a verdict has a reason");
    fuzz::promise((verdict.cert_status != crypto::CertStatus::kNone) == verdict.authentic(),
                  "a status is told when it is proven, and only then");
    if (verdict.authentic()) {
      fuzz::promise(now < verdict.expires && verdict.expires <= certificate.not_after,
                    "what is authentic is in time");
      fuzz::promise(verdict.this_update <= now + 300, "and not of the future");
    }
  }
  return 0;
}
