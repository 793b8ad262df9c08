#include "store/discovery_queue.h"

#include <algorithm>
#include <cstring>

#include "store/layout.h"

namespace ocsp_plus::store {
namespace {

// OfferSlot::state. 0: the slot is free. Else: a number that grows with each offer, so that no state comes back soon;
// the writer's pid; and whether the writer has finished.
constexpr std::uint64_t kFree = 0;
constexpr std::uint64_t kFull = 1u << 31;

constexpr std::size_t kMaxLabel = 256;  // bytes; the name of a certificate that is too large

bool is_full(std::uint64_t state) {
  return (state & kFull) != 0;
}

std::uint64_t sum_of(std::uint64_t profile, const CertificateId& id, std::uint32_t leaf_length, ByteView der) {
  return checksum(der, checksum({id.data(), id.size()}, profile ^ std::uint64_t{leaf_length} << 32 ^ der.size()));
}

// Slots of one kind.
struct Slots {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  std::size_t bytes = 0;  // behind each slot
};

// Returns the slots for an offer of so many bytes. The notice of one that is too large goes into a common slot.
Slots slots_for(const StapleZone& zone, std::size_t bytes) {
  const Geometry& geometry = zone.geometry();
  return bytes > kOfferBytes && bytes <= geometry.large_offer_bytes
             ? Slots{geometry.offer_slots, geometry.large_offer_slots, geometry.large_offer_bytes}
             : Slots{0, geometry.offer_slots, kOfferBytes};
}

std::uint8_t* bytes_of(OfferSlot& slot) {
  return reinterpret_cast<std::uint8_t*>(&slot + 1);
}

// The contents of a slot: `first`, and those of `others` that fit.
struct Content {
  std::uint64_t profile = 0;
  const CertificateId& id;
  std::uint32_t leaf_length = 0;
  ByteView first;
  const std::vector<ByteView>& others;
};

void fill(OfferSlot& slot, const Content& content, std::size_t room) noexcept {
  std::uint8_t* const bytes = bytes_of(slot);
  std::size_t length = content.first.size();
  std::memcpy(bytes, content.first.data(), length);
  for (const ByteView other : content.others) {
    if (!other.empty() && other.size() <= room - length) {
      std::memcpy(bytes + length, other.data(), other.size());
      length += other.size();
    }
  }
  slot.profile = content.profile;
  slot.id = content.id;
  slot.leaf_length = content.leaf_length;
  slot.length = static_cast<std::uint32_t>(length);
  slot.checksum = sum_of(content.profile, content.id, content.leaf_length, {bytes, length});
}

// Puts an offer into one of these slots. false: none of them is free.
bool put(const StapleZone& zone, const Slots& slots, std::int32_t pid, const Content& content) noexcept {
  const std::uint64_t ours = pid_word(static_cast<std::uint32_t>(counted(zone, Counter::kHanded)), pid) & ~kFull;
  // Each certificate begins at another slot, so that few workers meet. Ids are hashes.
  std::uint32_t at = slots.count == 0 ? 0 : (content.id[0] << 8 | content.id[1]) % slots.count;
  for (std::uint32_t tried = 0; tried < slots.count; ++tried, at = (at + 1) % slots.count) {
    OfferSlot& slot = zone.offer_slot(slots.first + at);
    std::uint64_t state = kFree;
    if (!slot.state.compare_exchange_strong(state, ours, std::memory_order_acquire)) {
      continue;
    }
    fill(slot, content, slots.bytes);
    state = ours;
    if (slot.state.compare_exchange_strong(state, ours | kFull, std::memory_order_release)) {
      count(zone, Counter::kHanded);
      return true;
    }
    break;  // we took so long that the lease holder freed the slot
  }
  count(zone, Counter::kDropped);
  return false;
}

}  // namespace

std::size_t max_offer_bytes(const StapleZone& zone) noexcept {
  const Geometry& geometry = zone.geometry();
  return geometry.large_offer_slots > 0 ? geometry.large_offer_bytes : geometry.offer_slots > 0 ? kOfferBytes : 0;
}

bool is_offered(const StapleZone& zone, std::uint64_t profile, const CertificateId& id) noexcept {
  const std::uint32_t slots = zone.geometry().offer_slots + zone.geometry().large_offer_slots;
  for (std::uint32_t i = 0; i < slots; ++i) {
    const OfferSlot& slot = zone.offer_slot(i);
    if (is_full(slot.state.load(std::memory_order_acquire)) && slot.profile == profile && slot.id == id) {
      return true;
    }
  }
  return false;
}

bool offers_have_room(const StapleZone& zone, std::size_t bytes) noexcept {
  const Slots slots = slots_for(zone, bytes);
  for (std::uint32_t i = 0; i < slots.count; ++i) {
    if (zone.offer_slot(slots.first + i).state.load(std::memory_order_relaxed) == kFree) {
      return true;
    }
  }
  return false;
}

bool offer(const StapleZone& zone, std::int32_t pid, std::uint64_t profile, const CertificateId& id, ByteView leaf,
           const std::vector<ByteView>& chain) noexcept {
  const std::size_t most = max_offer_bytes(zone);
  if (leaf.empty() || leaf.size() > most) {
    count(zone, Counter::kDropped);
    return false;
  }
  std::size_t bytes = leaf.size();
  for (const ByteView certificate : chain) {
    bytes += certificate.size();
  }
  return put(zone, slots_for(zone, std::min(bytes, most)), pid,
             {profile, id, static_cast<std::uint32_t>(leaf.size()), leaf, chain});
}

bool offer_too_large(const StapleZone& zone, std::int32_t pid, std::uint64_t profile, const CertificateId& id,
                     std::size_t bytes, std::string_view label) noexcept {
  const auto length = static_cast<std::uint32_t>(std::min<std::size_t>(bytes, UINT32_MAX));
  const std::string_view text = label.substr(0, kMaxLabel);
  const ByteView view(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  return put(zone, slots_for(zone, bytes), pid, {profile, id, length, view, {}});
}

DiscoveryQueue::DiscoveryQueue(const StapleZone& zone, const Clock& clock)
    : zone_(zone), clock_(clock), watched_(zone.geometry().offer_slots + zone.geometry().large_offer_slots) {}

std::optional<Offer> DiscoveryQueue::take() {
  for (std::uint32_t tried = 0; tried < watched_.size(); ++tried) {
    const std::uint32_t at = next_;
    next_ = static_cast<std::uint32_t>((next_ + 1) % watched_.size());
    OfferSlot& slot = zone_.offer_slot(at);
    const std::uint64_t state = slot.state.load(std::memory_order_acquire);
    if (!is_full(state)) {
      continue;
    }
    auto offer = take(at, state);
    std::uint64_t seen = state;
    // If another process takes it as well (a holder that lost the lease), it is taken twice, which does no harm.
    slot.state.compare_exchange_strong(seen, kFree, std::memory_order_release);
    if (offer.has_value()) {
      return offer;
    }
    count(zone_, Counter::kTorn);
  }
  return std::nullopt;
}

std::optional<Offer> DiscoveryQueue::take(std::uint32_t at, std::uint64_t full) {
  OfferSlot& slot = zone_.offer_slot(at);
  Offer offer;
  offer.profile = slot.profile;
  offer.id = slot.id;
  const std::uint32_t leaf_length = slot.leaf_length;
  const std::uint32_t length = slot.length;
  const std::uint64_t sum = slot.checksum;
  // The compiler must not read a length again from the shared bytes after it has checked it.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  const bool too_large = leaf_length > max_offer_bytes(zone_);
  const Geometry& geometry = zone_.geometry();
  const std::size_t room = at < geometry.offer_slots ? kOfferBytes : geometry.large_offer_bytes;
  if (leaf_length == 0 || length > (too_large ? kMaxLabel : room) || (leaf_length > length && !too_large)) {
    return std::nullopt;
  }
  Bytes bytes(bytes_of(slot), bytes_of(slot) + length);
  std::atomic_thread_fence(std::memory_order_acquire);
  if (sum_of(offer.profile, offer.id, leaf_length, bytes) != sum ||
      slot.state.load(std::memory_order_relaxed) != full) {
    return std::nullopt;
  }
  if (too_large) {
    offer.too_large = leaf_length;
    offer.label.assign(bytes.begin(), bytes.end());
    return offer;
  }
  offer.chain.assign(bytes.begin() + leaf_length, bytes.end());
  bytes.resize(leaf_length);
  offer.leaf = std::move(bytes);
  return offer;
}

void DiscoveryQueue::free_abandoned(bool (*alive)(std::int32_t pid)) {
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
      continue;  // its writer has worked for no longer than a tick
    }
    if (!alive(pid_of(seen)) || saturating_sub(now, watched_[i].since) >= kPatience) {
      if (state.compare_exchange_strong(seen, kFree, std::memory_order_relaxed)) {
        count(zone_, Counter::kTorn);
      }
      watched_[i] = {};
    }
  }
}

}  // namespace ocsp_plus::store
