#include "store/geometry.h"

#include <algorithm>

#include "store/layout.h"

namespace ocsp_plus::store {
namespace {

constexpr std::size_t kLine = 64;             // each part begins on a cache line
constexpr std::size_t kBytesPerEntry = 2048;  // of the whole zone: a common response is 500 to 2000 bytes long
constexpr std::size_t kMinArena = 4096;       // less would hold no response
constexpr std::size_t kPage = 4096;
constexpr std::size_t kMinHosts = 16;
constexpr std::size_t kMaxHosts = 512;
constexpr std::size_t kMinDefault = 8 << 20;
constexpr std::size_t kPlannedResponse = 3072;
constexpr std::size_t kBytesPerOffer = 256 << 10;  // of the zone: the queue takes 1/32 of it, up to kMaxOffers
constexpr std::size_t kMaxOffers = 64;
// The large slots take another 1/16 of the zone at most: one slot whose size grows with the zone, then up to four.
constexpr std::size_t kLargeOfferShare = 16;
constexpr std::size_t kMaxLargeOffers = 4;
// A certificate loaded per connection lies in the zone beside its response: it counts as two.
constexpr std::size_t kLeastPerConnection = std::size_t{2} * 32;
constexpr std::size_t kPlannedPerConnection = std::size_t{2} * 10000;

// Bounds the capacity, so that 32 bits still count twice as many index slots.
constexpr std::size_t kMaxCapacity = 1u << 30;
// Bounds the arena, so that offsets, and the number of units, fit into the lower half of Entry::word.
constexpr std::size_t kMaxArena = std::size_t{UINT32_MAX} * kBlobAlign;

constexpr std::size_t align_up(std::size_t value, std::size_t to) {
  return (value + to - 1) / to * to;
}

std::size_t power_of_two(std::size_t least) {
  std::size_t power = 1;
  while (power < least) {
    power *= 2;
  }
  return power;
}

}  // namespace

Geometry Geometry::of(std::size_t size) {
  Geometry geometry;
  geometry.size = size;
  const std::size_t capacity = std::min(size / kBytesPerEntry, kMaxCapacity);
  const std::size_t slots = power_of_two(2 * capacity);
  const std::size_t hosts = std::clamp(capacity / 8, kMinHosts, kMaxHosts);
  geometry.stats = align_up(sizeof(Header), kLine);
  geometry.workers = align_up(geometry.stats + sizeof(SharedStats), kLine);
  geometry.counters = align_up(geometry.workers + kWorkerSlots * sizeof(WorkerSlot), kLine);
  geometry.hosts = align_up(geometry.counters + kCounterSlots * sizeof(HandshakeCounters), kLine);
  geometry.methods = align_up(geometry.hosts + hosts * sizeof(HostSlot), kLine);
  geometry.index = align_up(geometry.methods + hosts * sizeof(MethodSlot), kLine);
  const std::size_t offers = std::min(size / kBytesPerOffer, kMaxOffers);
  geometry.offers = align_up(geometry.index + slots * sizeof(IndexSlot), kLine);
  geometry.large_offers = align_up(geometry.offers + offers * (sizeof(OfferSlot) + kOfferBytes), kLine);
  const std::size_t large_slot =
      std::min(size / kLargeOfferShare / kLine * kLine, sizeof(OfferSlot) + kLargeOfferBytes);
  const std::size_t large = offers == 0 ? 0 : std::min(size / kLargeOfferShare / large_slot, kMaxLargeOffers);
  geometry.entries = align_up(geometry.large_offers + large * large_slot, kLine);
  geometry.details = align_up(geometry.entries + capacity * sizeof(Entry), kLine);
  geometry.staple_counts = align_up(geometry.details + capacity * sizeof(Detail), kLine);
  geometry.staple_count_row = align_up(capacity * sizeof(StapleCount), kLine);
  geometry.arena = geometry.staple_counts + kStapleCountRows * geometry.staple_count_row;
  if (geometry.arena + kMinArena > size) {
    return geometry;
  }
  geometry.offer_slots = static_cast<std::uint32_t>(offers);
  geometry.large_offer_slots = static_cast<std::uint32_t>(large);
  geometry.large_offer_bytes = large == 0 ? 0 : large_slot - sizeof(OfferSlot);
  geometry.host_slots = static_cast<std::uint32_t>(hosts);
  geometry.index_slots = static_cast<std::uint32_t>(slots);
  geometry.capacity = static_cast<std::uint32_t>(capacity);
  geometry.arena_bytes = std::min(size - geometry.arena, kMaxArena) / kBlobAlign * kBlobAlign;
  return geometry;
}

std::size_t required_size(std::size_t certificates, bool loads) {
  certificates = std::min(certificates, kMaxCapacity / 2 - kLeastPerConnection) + (loads ? kLeastPerConnection : 0);
  const std::size_t responses = certificates + certificates / 4 + 1;
  const std::size_t arena = responses * (sizeof(BlobHeader) + kPlannedResponse);
  // The arena's share changes only slightly with the size: a few steps of 1/64 reach it.
  std::size_t size = align_up(arena + kMinArena, kPage);
  for (;;) {
    const Geometry geometry = Geometry::of(size);
    if (geometry.arena_bytes >= std::min(arena, kMaxArena) && geometry.capacity >= 2 * certificates &&
        (!loads || geometry.offer_slots > 0)) {
      return size;
    }
    size = align_up(size + size / 64 + 1, kPage);
  }
}

std::size_t default_size(std::size_t certificates, bool loads) {
  const std::size_t configured = std::max(2 * required_size(certificates, loads), kMinDefault);
  return power_of_two(
      loads ? std::max(configured, required_size(std::min(certificates, kMaxCapacity) + kPlannedPerConnection, true))
            : configured);
}

}  // namespace ocsp_plus::store
