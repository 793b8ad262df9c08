#include "engine/offers.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>

#include "store/counters.h"
#include "store/discovery_queue.h"

namespace ocsp_plus::engine {
namespace {

constexpr std::size_t kMaxIssuerCandidates = 8;  // of one name

// Ids are SHA-256 sums: any part of one is a hash.
std::uint64_t tag_of(const CertificateId& id) {
  std::uint64_t tag = 0;
  std::memcpy(&tag, id.data() + 8, sizeof(tag));
  return tag | 1;
}

std::size_t place_of(const CertificateId& id) {
  std::uint16_t place = 0;
  std::memcpy(&place, id.data() + 4, sizeof(place));
  return place;
}

std::vector<x509_st*> issuers_among(x509_st* certificate, const CertificateRange& sent) {
  std::vector<x509_st*> issuers;
  for (x509_st* candidate : sent) {
    if (issuers.size() < kMaxIssuerCandidates && crypto::has_issuer_name(certificate, candidate)) {
      issuers.push_back(candidate);
    }
  }
  return issuers;
}

// Copies the certificate and its candidate issuers into the discovery queue. false: the queue is full.
bool hand_over(const store::StapleZone& zone, std::uint64_t profile, const CertificateId& id, x509_st* certificate,
               const std::vector<x509_st*>& issuers) {
  const std::size_t most = store::max_offer_bytes(zone);
  const std::size_t own_size = crypto::der_size(certificate);
  std::size_t least = own_size, all = own_size;
  for (x509_st* issuer : issuers) {
    const std::size_t size = crypto::der_size(issuer);
    least = issuer == issuers.front() ? own_size + size : std::min(least, own_size + size);
    all += size;
  }
  // The certificates are encoded only once there is room for them.
  if (!store::offers_have_room(zone, least > most ? least : std::min(all, most))) {
    store::count(zone, store::Counter::kDropped);
    return false;
  }
  if (least > most) {
    return store::offer_too_large(zone, getpid(), profile, id, least, crypto::label_of(certificate));
  }
  std::vector<Bytes> der;
  der.reserve(issuers.size());
  for (x509_st* issuer : issuers) {
    der.push_back(crypto::der_of(issuer));
  }
  return store::offer(zone, getpid(), profile, id, crypto::der_of(certificate), {der.begin(), der.end()});
}

}  // namespace

bool Offers::is_due(const store::StapleZone& zone, std::uint64_t profile, const CertificateId& id,
                    Millis now) noexcept {
  if (places_ != nullptr) {
    const Place& place = (*places_)[place_of(id) % kPlaces];
    if (place.tag == tag_of(id) && saturating_sub(now, place.at) < kAgain && now >= place.at) {
      return false;
    }
  }
  if (!store::is_offered(zone, profile, id)) {
    return true;
  }
  note(id, now);
  return false;
}

void Offers::offer(const store::StapleZone& zone, std::uint64_t profile, const CertificateId& id,
                   x509_st* certificate, const CertificateRange& sent, Millis now) noexcept {
  try {
    if (hand_over(zone, profile, id, certificate, issuers_among(certificate, sent))) {
      note(id, now);
    }
  } catch (const std::exception&) {
  }
}

// Notes nothing where memory was short.
void Offers::note(const CertificateId& id, Millis now) noexcept {
  if (places_ == nullptr) {
    places_.reset(new (std::nothrow) std::array<Place, kPlaces>());
  }
  if (places_ != nullptr) {
    (*places_)[place_of(id) % kPlaces] = {tag_of(id), now};
  }
}

}  // namespace ocsp_plus::engine
