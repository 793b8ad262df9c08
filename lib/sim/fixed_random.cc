#include "sim/fixed_random.h"

#define OPENSSL_SUPPRESS_DEPRECATED  // RAND_METHOD: its modern replacement, a provider, takes a hundred lines
#include <openssl/rand.h>

#include "sim/prng.h"

namespace ocsp_plus::sim {
namespace {

int fill(unsigned char* to, int size) {
  static Prng prng(20300601);
  for (int i = 0; i < size; ++i) {
    to[i] = static_cast<unsigned char>(prng.next());
  }
  return 1;
}

int ready() {
  return 1;
}

}  // namespace

void fix_openssl_random() {
  static const RAND_METHOD method = {nullptr, fill, nullptr, nullptr, fill, ready};
  RAND_set_rand_method(&method);
}

}  // namespace ocsp_plus::sim
