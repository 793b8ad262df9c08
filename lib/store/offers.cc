#include "store/offers.h"

#include <algorithm>
#include <cstring>

namespace ocsp_plus::store {
namespace {

// OfferSlot::state: 0 where it is free; else a number that grows with each offer, so that no state comes back soon;
// the writer's pid; and whether it has finished.
constexpr std::uint64_t kFree = 0;
constexpr std::uint64_t kFull = 1u << 31;

std::uint64_t filling(std::uint32_t number, std::int32_t pid) {
  return std::uint64_t{number} << 32 | (static_cast<std::uint32_t>(pid) & (kFull - 1));
}

bool is_full(std::uint64_t state) {
  return (state & kFull) != 0;
}

std::int32_t pid_of(std::uint64_t state) {
  return static_cast<std::int32_t>(state & (kFull - 1));
}

// FNV-1a over eight bytes at a time: a few hundred steps for a chain. It tells accidents, not attacks.
std::uint64_t mix(std::uint64_t sum, const std::uint8_t* bytes, std::size_t size) {
  for (; size > 0;) {
    std::uint64_t word = 0;
    const std::size_t count = std::min<std::size_t>(size, 8);
    std::memcpy(&word, bytes, count);
    sum = (sum ^ word) * 0x100000001b3;
    sum ^= sum >> 29;
    bytes += count;
    size -= count;
  }
  return sum;
}

std::uint64_t checksum(std::uint64_t profile, const CertificateId& id, std::uint32_t leaf_length, ByteView der) {
  const std::uint64_t numbers[] = {profile, leaf_length, der.size()};
  std::uint64_t sum = 0xcbf29ce484222325;
  for (const std::uint64_t number : numbers) {
    sum = (sum ^ number) * 0x100000001b3;
  }
  return mix(mix(sum, id.data(), id.size()), der.data(), der.size());
}

// Where to begin to look: everybody elsewhere, so that few meet.
std::uint32_t first_slot(const StapleZone& zone, const CertificateId& id) {
  std::uint32_t number = 0;
  std::memcpy(&number, id.data(), sizeof(number));
  return number % zone.geometry().offer_slots;
}

void fill(OfferSlot& slot, std::uint64_t profile, const CertificateId& id, ByteView leaf,
          const std::vector<ByteView>& chain) noexcept {
  std::size_t length = leaf.size();
  std::memcpy(slot.der.data(), leaf.data(), leaf.size());
  for (const ByteView certificate : chain) {
    if (!certificate.empty() && certificate.size() <= kOfferBytes - length) {
      std::memcpy(slot.der.data() + length, certificate.data(), certificate.size());
      length += certificate.size();
    }
  }
  slot.profile = profile;
  slot.id = id;
  slot.leaf_length = static_cast<std::uint32_t>(leaf.size());
  slot.length = static_cast<std::uint32_t>(length);
  slot.checksum = checksum(profile, id, slot.leaf_length, {slot.der.data(), length});
}

}  // namespace

bool offers_have_room(const StapleZone& zone) noexcept {
  for (std::uint32_t i = 0; i < zone.geometry().offer_slots; ++i) {
    if (zone.offer_slot(i).state.load(std::memory_order_relaxed) == kFree) {
      return true;
    }
  }
  return false;
}

bool offer(const StapleZone& zone, std::int32_t pid, std::uint64_t profile, const CertificateId& id, ByteView leaf,
           const std::vector<ByteView>& chain) noexcept {
  const std::uint32_t slots = zone.geometry().offer_slots;
  LoadedCounters& counters = zone.board().loaded;
  if (slots == 0 || leaf.empty() || leaf.size() > kOfferBytes) {
    counters.dropped.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  const auto number = static_cast<std::uint32_t>(counters.handed.load(std::memory_order_relaxed));
  std::uint32_t at = first_slot(zone, id);
  for (std::uint32_t tried = 0; tried < slots; ++tried, at = (at + 1) % slots) {
    OfferSlot& slot = zone.offer_slot(at);
    std::uint64_t state = kFree;
    const std::uint64_t ours = filling(number, pid);
    if (!slot.state.compare_exchange_strong(state, ours, std::memory_order_acquire)) {
      continue;
    }
    fill(slot, profile, id, leaf, chain);
    state = ours;
    if (slot.state.compare_exchange_strong(state, ours | kFull, std::memory_order_release)) {
      counters.handed.fetch_add(1, std::memory_order_relaxed);
      return true;
    }
    break;  // we took so long that the slot was taken from us
  }
  counters.dropped.fetch_add(1, std::memory_order_relaxed);
  return false;
}

Offers::Offers(const StapleZone& zone, const Clock& clock)
    : zone_(zone), clock_(clock), watched_(zone.geometry().offer_slots) {}

std::optional<Offer> Offers::take() {
  for (std::uint32_t tried = 0; tried < watched_.size(); ++tried) {
    OfferSlot& slot = zone_.offer_slot(next_);
    next_ = static_cast<std::uint32_t>((next_ + 1) % watched_.size());
    const std::uint64_t state = slot.state.load(std::memory_order_acquire);
    if (!is_full(state)) {
      continue;
    }
    auto offer = take(slot, state);
    std::uint64_t seen = state;
    // Where somebody else has taken it as well (a holder that lost the lease), it is taken twice: no harm.
    slot.state.compare_exchange_strong(seen, kFree, std::memory_order_release);
    if (offer.has_value()) {
      return offer;
    }
    zone_.board().loaded.torn.fetch_add(1, std::memory_order_relaxed);
  }
  return std::nullopt;
}

std::optional<Offer> Offers::take(OfferSlot& slot, std::uint64_t full) {
  Offer offer;
  offer.profile = slot.profile;
  offer.id = slot.id;
  const std::uint32_t leaf_length = slot.leaf_length;
  const std::uint32_t length = slot.length;
  const std::uint64_t sum = slot.checksum;
  // The compiler must not go back to the shared bytes for a length that it has already checked.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (length > kOfferBytes || leaf_length == 0 || leaf_length > length) {
    return std::nullopt;
  }
  Bytes der(slot.der.begin(), slot.der.begin() + length);
  std::atomic_thread_fence(std::memory_order_acquire);
  if (checksum(offer.profile, offer.id, leaf_length, der) != sum ||
      slot.state.load(std::memory_order_relaxed) != full) {
    return std::nullopt;
  }
  offer.chain.assign(der.begin() + leaf_length, der.end());
  der.resize(leaf_length);
  offer.leaf = std::move(der);
  return offer;
}

void Offers::free_abandoned(bool (*alive)(std::int32_t pid)) {
  const Millis now = clock_.monotonic();
  for (std::uint32_t i = 0; i < watched_.size(); ++i) {
    std::atomic<std::uint64_t>& state = zone_.offer_slot(i).state;
    std::uint64_t seen = state.load(std::memory_order_relaxed);
    if (seen == kFree || is_full(seen)) {
      watched_[i] = {};
      continue;
    }
    if (watched_[i].state != seen) {
      watched_[i] = {seen, now};
      continue;  // at work for no longer than a beat
    }
    if (!alive(pid_of(seen)) || saturating_sub(now, watched_[i].since) >= kPatience) {
      if (state.compare_exchange_strong(seen, kFree, std::memory_order_relaxed)) {
        zone_.board().loaded.torn.fetch_add(1, std::memory_order_relaxed);
      }
      watched_[i] = {};
    }
  }
}

}  // namespace ocsp_plus::store
