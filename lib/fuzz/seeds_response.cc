// Seeds of fuzz_response: every case of the verify table.
#include "fuzz/fuzz.h"
#include "tests/verify_cases.h"

namespace ocsp_plus::fuzz {

std::vector<Seed> response_seeds() {
  std::vector<Seed> seeds;
  for (const testing::CaseGroup& group : testing::verify_cases()) {
    for (const testing::VerifyCase& each : group.cases) {
      testing::VerifySetup setup;
      each.change(setup);
      seeds.push_back({testing::file_name(each.name), setup.response()});
    }
  }
  return seeds;
}

}  // namespace ocsp_plus::fuzz
