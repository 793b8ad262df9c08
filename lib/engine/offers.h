// Offers the lease holder certificates that a handshake has met and the zone does not have (store/discovery_queue.h).
//
// This process remembers what it has offered of late, so that it does not do so in each handshake. The memory is of a
// fixed size: where two certificates meet in one place, the older is forgotten and offered once more.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"
#include "crypto/certificate.h"
#include "store/staple_zone.h"

namespace ocsp_plus::engine {

// Certificates of a chain, borrowed.
struct CertificateRange {
  x509_st* const* first = nullptr;
  x509_st* const* last = nullptr;
  x509_st* const* begin() const { return first; }
  x509_st* const* end() const { return last; }
};

class Offers {
 public:
  static constexpr Millis kAgain = 30000;  // until an offer that has come to nothing is repeated

  // Returns whether to offer the certificate: not if this process did so a moment ago, or the queue has it. `id`: the
  // certificate's. `profile`: the key of the server's Profile.
  bool is_due(const store::StapleZone& zone, std::uint64_t profile, const CertificateId& id, Millis now) noexcept;

  // Offers a certificate with those that may have issued it. Without room or memory it does nothing: there will be
  // another handshake. `sent`: certificates sent beside it; those of its issuer's name are offered, some at most.
  void offer(const store::StapleZone& zone, std::uint64_t profile, const CertificateId& id, x509_st* certificate,
             const CertificateRange& sent, Millis now) noexcept;

 private:
  struct Place {
    std::uint64_t tag = 0;
    Millis at = 0;
  };
  static constexpr std::size_t kPlaces = 1024;

  void note(const CertificateId& id, Millis now) noexcept;

  std::unique_ptr<std::array<Place, kPlaces>> places_;  // nullptr until the first offer
};

}  // namespace ocsp_plus::engine
