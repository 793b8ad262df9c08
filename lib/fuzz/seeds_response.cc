// Seeds of fuzz_response: placeholder until the table of verify cases is shared.
#include "fuzz/fuzz.h"
#include "tests/pki.h"

namespace ocsp_plus::fuzz {

std::vector<Seed> response_seeds() {
  return {};
}

}  // namespace ocsp_plus::fuzz
