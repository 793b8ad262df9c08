#include "tests/fakes/blind_to_key_identifiers.h"

#include <dlfcn.h>

#include <cstdlib>

namespace {

constexpr int kOk = 0;                   // X509_V_OK
constexpr int kOtherKeyIdentifier = 30;  // X509_V_ERR_AKID_SKID_MISMATCH
bool is_blind = false;

}  // namespace

// Stands before OpenSSL's own for whatever is linked into this program. Without OpenSSL's header, whose versions
// differ in the constness of the two.
extern "C" int X509_check_issued(void* issuer, void* subject);

int X509_check_issued(void* issuer, void* subject) {
  static const auto next = reinterpret_cast<int (*)(void*, void*)>(dlsym(RTLD_NEXT, "X509_check_issued"));
  if (next == nullptr) {
    std::abort();
  }
  const int fault = next(issuer, subject);
  return is_blind && fault == kOtherKeyIdentifier ? kOk : fault;
}

namespace ocsp_plus::testing {

BlindToKeyIdentifiers::BlindToKeyIdentifiers(bool on) {
  is_blind = on;
}

BlindToKeyIdentifiers::~BlindToKeyIdentifiers() {
  is_blind = false;
}

}  // namespace ocsp_plus::testing
