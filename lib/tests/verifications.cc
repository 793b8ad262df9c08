#include "tests/fakes/verifications.h"

#include <dlfcn.h>

#include <cstdlib>

namespace {

std::size_t count = 0;

}  // namespace

// Stands before OpenSSL's own for whatever is linked into this program. Without OpenSSL's header, whose versions
// differ in the constness of the two.
extern "C" int X509_verify(void* certificate, void* key);

int X509_verify(void* certificate, void* key) {
  static const auto next = reinterpret_cast<int (*)(void*, void*)>(dlsym(RTLD_NEXT, "X509_verify"));
  if (next == nullptr) {
    std::abort();
  }
  ++count;
  return next(certificate, key);
}

namespace ocsp_plus::testing {

std::size_t verifications() {
  return count;
}

}  // namespace ocsp_plus::testing
