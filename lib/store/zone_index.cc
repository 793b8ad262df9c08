#include "store/zone_index.h"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace ocsp_plus::store {

// Ids are SHA-256 sums: any part of one is a hash.
std::uint32_t ZoneIndex::home(const CertificateId& id) const noexcept {
  std::uint32_t hash = 0;
  std::memcpy(&hash, id.data(), sizeof(hash));
  return hash & (zone_.geometry().index_slots - 1);
}

std::uint32_t ZoneIndex::most_probes() const noexcept {
  return std::min(zone_.geometry().index_slots, kMaxProbes);
}

std::uint32_t ZoneIndex::after(std::uint32_t slot) const noexcept {
  return (slot + 1) & (zone_.geometry().index_slots - 1);
}

std::uint32_t ZoneIndex::before(std::uint32_t slot) const noexcept {
  return (slot - 1) & (zone_.geometry().index_slots - 1);
}

// The entry in use that a slot names; kNoEntry for tombstones, and for slots that somebody scribbled on: those are
// passed over in a search and may be taken by an insertion.
EntryIndex ZoneIndex::load(std::uint32_t slot, bool* ends_search) const noexcept {
  const std::uint32_t value = zone_.index_slot(slot).load(std::memory_order_acquire);
  *ends_search = value == kEmptySlot;
  // The high-water mark is raised before a slot is written.
  if (value == kEmptySlot || value == kTombstone || value > zone_.entries_used()) {
    return kNoEntry;
  }
  const EntryIndex entry = value - 1;
  return zone_.entry(entry).generation.load(std::memory_order_acquire) != 0 ? entry : kNoEntry;
}

EntryIndex ZoneIndex::find(const CertificateId& id) const noexcept {
  std::uint32_t slot = home(id);
  for (std::uint32_t probes = 0; probes < most_probes(); ++probes, slot = after(slot)) {
    bool ends_search = false;
    const EntryIndex entry = load(slot, &ends_search);
    if (ends_search) {
      return kNoEntry;
    }
    // The id of an entry that is being reused may be half written: it equals no id that anybody asks for then.
    if (entry != kNoEntry && std::memcmp(zone_.entry(entry).id.data(), id.data(), id.size()) == 0) {
      return entry;
    }
  }
  return kNoEntry;
}

bool ZoneIndex::try_insert(EntryIndex entry) noexcept {
  std::uint32_t slot = home(zone_.entry(entry).id);
  for (std::uint32_t probes = 0; probes < most_probes(); ++probes, slot = after(slot)) {
    bool ends_search = false;
    if (load(slot, &ends_search) == kNoEntry) {
      zone_.index_slot(slot).store(entry + 1, std::memory_order_release);
      return true;
    }
  }
  return false;
}

void ZoneIndex::insert(EntryIndex entry) noexcept {
  if (!try_insert(entry) && !rebuilt_) {
    // There are twice as many slots as entries: somebody scribbled names all over them.
    rebuilt_ = true;
    rebuild(entry);
  }
}

// `first` wins over an entry of the same certificate, which the scribbling may have hidden when it was looked for.
void ZoneIndex::rebuild(EntryIndex first) noexcept {
  for (std::uint32_t slot = 0; slot < zone_.geometry().index_slots; ++slot) {
    zone_.index_slot(slot).store(kEmptySlot, std::memory_order_relaxed);
  }
  try_insert(first);
  for (EntryIndex entry = 0; entry < zone_.entries_used(); ++entry) {
    const Entry& self = zone_.entry(entry);
    if (self.generation.load(std::memory_order_relaxed) != 0 && find(self.id) == kNoEntry) {
      try_insert(entry);
    }
  }
}

void ZoneIndex::remove(EntryIndex entry) noexcept {
  std::uint32_t slot = home(zone_.entry(entry).id);
  for (std::uint32_t probes = 0; probes < most_probes(); ++probes, slot = after(slot)) {
    const std::uint32_t value = zone_.index_slot(slot).load(std::memory_order_relaxed);
    if (value == kEmptySlot) {
      return;
    }
    if (value == entry + 1) {
      give_up(slot);
      return;
    }
  }
}

// A tombstone, unless the search would end right behind it: then this slot, and the tombstones in front of it, become
// empty again. No certificate can lie beyond them, so no reader misses one; and years of renewals leave no trail.
void ZoneIndex::give_up(std::uint32_t slot) noexcept {
  zone_.index_slot(slot).store(kTombstone, std::memory_order_release);
  if (zone_.index_slot(after(slot)).load(std::memory_order_relaxed) != kEmptySlot) {
    return;
  }
  for (std::uint32_t slots = 0;
       slots < zone_.geometry().index_slots && zone_.index_slot(slot).load(std::memory_order_relaxed) == kTombstone;
       ++slots) {
    zone_.index_slot(slot).store(kEmptySlot, std::memory_order_release);
    slot = before(slot);
  }
}

}  // namespace ocsp_plus::store
