#include "store/zone_registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "store/entry_state.h"
#include "store/layout.h"
#include "store/zone_index.h"

namespace ocsp_plus::store {
namespace {

std::uint32_t next_generation(std::uint32_t generation) {
  return generation == UINT32_MAX ? 1 : generation + 1;  // 0 marks free entries
}

// Returns the ids in order, each once.
std::vector<CertificateId> ids_of(const std::vector<Registration>& registrations) {
  std::vector<CertificateId> ids;
  ids.reserve(registrations.size());
  for (const Registration& registration : registrations) {
    ids.push_back(registration.id);
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

// Returns up to `wanted` free entries, to be used from the end: those below the high-water mark, then untouched ones.
std::vector<EntryIndex> free_entries(const StapleZone& zone, std::size_t wanted) {
  std::vector<EntryIndex> free;
  free.reserve(wanted);
  const EntryIndex used = zone.entries_used();
  for (EntryIndex i = 0; i < used && free.size() < wanted; ++i) {
    if (zone.entry(i).generation.load(std::memory_order_relaxed) == 0) {
      free.push_back(i);
    }
  }
  for (EntryIndex i = used; i < zone.capacity() && free.size() < wanted; ++i) {
    free.push_back(i);
  }
  std::reverse(free.begin(), free.end());
  return free;
}

// Returns up to `wanted` entries of certificates loaded per connection that may be evicted: none that is named.
std::vector<EntryIndex> evictable(const StapleZone& zone, std::size_t wanted,
                                  const std::vector<CertificateId>& named) {
  return least_recently_used(zone, wanted, [&](EntryIndex each) {
    return !std::binary_search(named.begin(), named.end(), zone.entry(each).id);
  });
}

void add(const StapleZone& zone, ZoneIndex& zone_index, EntryIndex index, const Registration& registration,
         std::uint32_t generation) {
  Entry& entry = zone.entry(index);
  reset_entry(zone, index);
  entry.id = registration.id;
  entry.issuer_key = registration.issuer_key;
  entry.generation.store(generation, std::memory_order_release);
  if (index >= zone.entries_used()) {
    zone.header().entries.store(index + 1, std::memory_order_release);
  }
  zone_index.insert(index);
}

void keep(const StapleZone& zone, EntryIndex index, const Registration& registration, std::uint32_t generation) {
  Entry& entry = zone.entry(index);
  // If this configuration does not know the issuer, the entry keeps the one fetched for an earlier configuration.
  if (registration.issuer_key != kUnknownIssuer && entry.issuer_key != registration.issuer_key) {
    forget_response(zone, index);
    entry.issuer_key = registration.issuer_key;
  }
  entry.generation.store(generation, std::memory_order_release);
}

// Replaces the word of that pid's slot; pid 0: of a free slot. false: there is none.
bool replace_worker(const StapleZone& zone, std::int32_t pid, std::uint64_t word) {
  for (std::size_t i = 0; i < kWorkerSlots; ++i) {
    std::uint64_t seen = zone.worker_slot(i).load(std::memory_order_relaxed);
    if (pid_of(seen) == pid && zone.worker_slot(i).compare_exchange_strong(seen, word)) {
      return true;
    }
  }
  return false;
}

void lower_to(std::atomic<std::uint32_t>& least, std::uint32_t generation) {
  std::uint32_t seen = least.load(std::memory_order_relaxed);
  while ((seen == 0 || generation < seen) && !least.compare_exchange_weak(seen, generation)) {
  }
}

}  // namespace

Result<std::uint32_t> register_all(const StapleZone& zone, SharedLock& lock,
                                   const std::vector<Registration>& registrations, std::vector<EntryIndex>* entries) {
  const ScopedLock scope(lock);
  if (!scope.held()) {
    return fail(Reason::kZoneBusy, "another process is writing to the zone");
  }
  ZoneIndex index(zone);
  const std::vector<CertificateId> ids = ids_of(registrations);
  const auto missing = static_cast<std::size_t>(
      std::count_if(ids.begin(), ids.end(), [&](const CertificateId& id) { return index.find(id) == kNoEntry; }));
  std::vector<EntryIndex> free = free_entries(zone, missing);
  const std::vector<EntryIndex> evicted =
      free.size() < missing ? evictable(zone, missing - free.size(), ids) : std::vector<EntryIndex>();
  if (free.size() + evicted.size() < missing) {
    return fail(Reason::kZoneFull,
                fmt::format("{} of {} new certificates fit into the zone of {} bytes; {} certificates need {} bytes",
                            free.size() + evicted.size(), missing, zone.size(), registrations.size(),
                            required_size(registrations.size())));
  }
  for (const EntryIndex entry : evicted) {
    free_entry(zone, entry);
    count(zone, Counter::kEvicted);
    free.push_back(entry);
  }
  entries->clear();
  entries->reserve(registrations.size());
  // Nothing below fails in a sound zone. A kill in between leaves entries of a generation that does not exist yet;
  // the next registration takes its number and finds them.
  const std::uint32_t next = next_generation(zone.generation());
  for (const Registration& registration : registrations) {
    EntryIndex found = index.find(registration.id);
    if (found != kNoEntry) {
      keep(zone, found, registration, next);
    } else if (free.empty()) {
      return fail(Reason::kInternal, "the zone changed under its lock: another process has scribbled on it");
    } else {
      found = free.back();
      free.pop_back();
      add(zone, index, found, registration, next);
    }
    entries->push_back(found);
  }
  zone.header().generation.store(next, std::memory_order_release);
  return next;
}

bool worker_started(const StapleZone& zone, std::int32_t pid, std::uint32_t generation) noexcept {
  const std::uint64_t word = pid_word(generation, pid);
  // A process that is gone has left any slot with our pid: two living processes do not share a pid.
  if (replace_worker(zone, pid, word) || replace_worker(zone, 0, word)) {
    return true;
  }
  lower_to(zone.header().unlisted_generation, std::max(generation, std::uint32_t{1}));
  return false;
}

void worker_stopped(const StapleZone& zone, std::int32_t pid) noexcept {
  replace_worker(zone, pid, 0);
}

std::uint32_t oldest_living_generation(const StapleZone& zone, bool (*alive)(std::int32_t pid)) noexcept {
  std::uint32_t oldest = zone.generation();
  for (std::size_t i = 0; i < kWorkerSlots; ++i) {
    std::uint64_t seen = zone.worker_slot(i).load(std::memory_order_acquire);
    if (seen == 0) {
      continue;
    }
    if (alive(pid_of(seen))) {
      oldest = std::min(oldest, number_of(seen));
    } else {
      zone.worker_slot(i).compare_exchange_strong(seen, 0);
    }
  }
  const std::uint32_t unlisted = zone.header().unlisted_generation.load(std::memory_order_relaxed);
  return unlisted == 0 ? oldest : std::min(oldest, unlisted);
}

}  // namespace ocsp_plus::store
