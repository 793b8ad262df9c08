// Counts of engine::Sharing since it was made.
#pragma once

#include <cstdint>

namespace ocsp_plus::engine {

struct SharingTally {
  std::uint64_t looks = 0;      // certificates looked for
  std::uint64_t hits = 0;       // responses from the store that were committed
  std::uint64_t same = 0;       // those no newer than the held one
  std::uint64_t refused = 0;    // those that the gate refused
  std::uint64_t misses = 0;     // looks that found nothing, or nothing that this node can use
  std::uint64_t leases = 0;     // leases that this node got
  std::uint64_t elsewhere = 0;  // looks that found another node's lease or note
  std::uint64_t alone = 0;      // certificates whose patience ended, or that the store left alone
  std::uint64_t published = 0;
  std::uint64_t looks_failed = 0;         // certificates whose look failed
  std::uint64_t publications_failed = 0;  // each attempt
  std::uint64_t errors = 0;               // operations that failed
};

}  // namespace ocsp_plus::engine
