// The Random of processes that are no simulation.
#pragma once

#include "base/ports.h"

namespace ocsp_plus {

// Seeded from the system once; splitmix64 afterwards.
class SystemRandom : public Random {
 public:
  SystemRandom();
  std::uint64_t next() override;

 private:
  std::uint64_t state_;
};

}  // namespace ocsp_plus
