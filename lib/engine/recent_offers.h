// Which certificates this worker has handed to the designated one of late, so that it does not do so in each
// handshake.
//
// Of a fixed size: where two certificates meet in one place, the older is forgotten and handed over once more.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "base/bytes.h"
#include "base/time.h"

namespace ocsp_plus::engine {

class RecentOffers {
 public:
  static constexpr Millis kAgain = 30000;  // what has come to nothing is handed over again

  bool is_due(const CertificateId& id, Millis now) const {
    const Place& place = places_[place_of(id)];
    return place.tag != tag_of(id) || saturating_sub(now, place.at) >= kAgain || now < place.at;
  }
  void note(const CertificateId& id, Millis now) { places_[place_of(id)] = {tag_of(id), now}; }

 private:
  struct Place {
    std::uint64_t tag = 0;
    Millis at = 0;
  };
  // Ids are SHA-256 sums: any part of one is a hash.
  static std::uint64_t tag_of(const CertificateId& id) {
    std::uint64_t tag = 0;
    std::memcpy(&tag, id.data() + 8, sizeof(tag));
    return tag | 1;
  }
  static std::size_t place_of(const CertificateId& id) {
    std::uint16_t place = 0;
    std::memcpy(&place, id.data() + 4, sizeof(place));
    return place % kPlaces;
  }

  static constexpr std::size_t kPlaces = 1024;
  std::array<Place, kPlaces> places_ = {};
};

}  // namespace ocsp_plus::engine
