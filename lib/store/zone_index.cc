#include "store/zone_index.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "store/layout.h"

namespace ocsp_plus::store {

namespace {

std::uint32_t mask(const StapleZone& zone) {
  return zone.geometry().index_slots - 1;
}

std::uint32_t most_probes(const StapleZone& zone) {
  return std::min(zone.geometry().index_slots, ZoneIndex::kMaxProbes);
}

// Returns the slot where the search for an id begins. Ids are SHA-256 sums: any part of one is a hash.
std::uint32_t home(const StapleZone& zone, const CertificateId& id) {
  std::uint32_t hash = 0;
  std::memcpy(&hash, id.data(), sizeof(hash));
  return hash & mask(zone);
}

// Returns the entry in use that a slot names; kNoEntry also for tombstones, and for slots that another process has
// written over: a search passes over those and an insertion may take them.
EntryIndex load(const StapleZone& zone, std::uint32_t slot, bool* ends_search) {
  const std::uint32_t value = zone.index_slot(slot).load(std::memory_order_acquire);
  *ends_search = value == kEmptySlot;
  // The high-water mark is raised before a slot is written.
  return value == kEmptySlot || value == kTombstone || !zone.is_used(value - 1) ? kNoEntry : value - 1;
}

// Makes a slot a tombstone. If a search would end right behind it, this slot and the tombstones in front of it become
// empty instead: no certificate can lie beyond them, so no reader misses one, and years of renewals leave no trail.
void give_up(const StapleZone& zone, std::uint32_t slot) {
  zone.index_slot(slot).store(kTombstone, std::memory_order_release);
  if (zone.index_slot((slot + 1) & mask(zone)).load(std::memory_order_relaxed) != kEmptySlot) {
    return;
  }
  for (std::uint32_t slots = 0; slots <= mask(zone); ++slots, slot = (slot - 1) & mask(zone)) {
    if (zone.index_slot(slot).load(std::memory_order_relaxed) != kTombstone) {
      return;
    }
    zone.index_slot(slot).store(kEmptySlot, std::memory_order_release);
  }
}

}  // namespace

EntryIndex ZoneIndex::find(const CertificateId& id) const noexcept {
  std::uint32_t slot = home(zone_, id);
  for (std::uint32_t probes = 0; probes < most_probes(zone_); ++probes, slot = (slot + 1) & mask(zone_)) {
    bool ends_search = false;
    const EntryIndex entry = load(zone_, slot, &ends_search);
    if (ends_search) {
      return kNoEntry;
    }
    // The id of an entry that is being reused may be half written: it then equals no id that is looked for.
    if (entry != kNoEntry && std::memcmp(zone_.entry(entry).id.data(), id.data(), id.size()) == 0) {
      return entry;
    }
  }
  return kNoEntry;
}

bool ZoneIndex::try_insert(EntryIndex entry) noexcept {
  std::uint32_t slot = home(zone_, zone_.entry(entry).id);
  for (std::uint32_t probes = 0; probes < most_probes(zone_); ++probes, slot = (slot + 1) & mask(zone_)) {
    bool ends_search = false;
    if (load(zone_, slot, &ends_search) == kNoEntry) {
      zone_.index_slot(slot).store(entry + 1, std::memory_order_release);
      return true;
    }
  }
  return false;
}

void ZoneIndex::insert(EntryIndex entry) noexcept {
  if (!try_insert(entry) && !rebuilt_) {
    // There are twice as many slots as entries, so another process must have written names into all of them.
    rebuilt_ = true;
    rebuild(entry);
  }
}

// `first` wins over an entry of the same certificate, which the damaged index may have hidden from an earlier search.
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
  std::uint32_t slot = home(zone_, zone_.entry(entry).id);
  for (std::uint32_t probes = 0; probes < most_probes(zone_); ++probes, slot = (slot + 1) & mask(zone_)) {
    const std::uint32_t value = zone_.index_slot(slot).load(std::memory_order_relaxed);
    if (value == kEmptySlot) {
      return;
    }
    if (value == entry + 1) {
      give_up(zone_, slot);
      return;
    }
  }
}

}  // namespace ocsp_plus::store
