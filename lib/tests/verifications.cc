#include "tests/fakes/verifications.h"

#include <dlfcn.h>

#include <cstdlib>

namespace {

std::size_t count = 0;
std::size_t responses = 0;

// The function of that name that OpenSSL has.
template <typename Function>
Function* next_of(const char* name) {
  auto* const next = reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
  if (next == nullptr) {
    std::abort();
  }
  return next;
}

}  // namespace

// These stand before OpenSSL's own for whatever is linked into this program. Without OpenSSL's header, whose versions
// differ in the constness of the arguments.
extern "C" int X509_verify(void* certificate, void* key);
extern "C" int ASN1_item_verify(void* item, void* algorithm, void* signature, void* content, void* key);

int X509_verify(void* certificate, void* key) {
  static auto* const next = next_of<int(void*, void*)>("X509_verify");
  ++count;
  return next(certificate, key);
}

int ASN1_item_verify(void* item, void* algorithm, void* signature, void* content, void* key) {
  static auto* const next = next_of<int(void*, void*, void*, void*, void*)>("ASN1_item_verify");
  ++responses;
  return next(item, algorithm, signature, content, key);
}

namespace ocsp_plus::testing {

std::size_t verifications() {
  return count;
}

std::size_t verified_responses() {
  return responses;
}

}  // namespace ocsp_plus::testing
