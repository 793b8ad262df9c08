// The part of StapleZone that gives certificates their entries.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "store/blob_word.h"
#include "store/scoped_lock.h"
#include "store/staple_zone.h"
#include "store/zone_index.h"

namespace ocsp_plus::store {
namespace {

std::uint32_t next_generation(std::uint32_t generation) {
  return generation == UINT32_MAX ? 1 : generation + 1;  // 0 marks free entries
}

// The certificates that have no entry yet, each once.
std::size_t count_missing(const ZoneIndex& index, const std::vector<Registration>& registrations) {
  std::vector<CertificateId> missing;
  for (const Registration& registration : registrations) {
    if (index.find(registration.id) == kNoEntry) {
      missing.push_back(registration.id);
    }
  }
  std::sort(missing.begin(), missing.end());
  return static_cast<std::size_t>(std::unique(missing.begin(), missing.end()) - missing.begin());
}

// Up to `wanted` free entries, the last one to be taken first: those below the high-water mark, then untouched ones.
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

// Certificates that are loaded per connection give their entries up where `wanted` are missing, those first that were
// not used for longest; not those that are among the registrations.
void make_loaded_go(StapleZone& zone, std::size_t wanted, const std::vector<Registration>& registrations) {
  std::vector<CertificateId> named;
  named.reserve(registrations.size());
  for (const Registration& registration : registrations) {
    named.push_back(registration.id);
  }
  std::sort(named.begin(), named.end());
  std::vector<std::pair<UnixSeconds, EntryIndex>> loaded;
  for (EntryIndex i = 0; i < zone.entries_used(); ++i) {
    const auto state = zone.loaded(i);
    if (state.has_value() && !std::binary_search(named.begin(), named.end(), zone.entry(i).id)) {
      loaded.emplace_back(state->used, i);
    }
  }
  std::sort(loaded.begin(), loaded.end());
  for (std::size_t i = 0; i < std::min(wanted, loaded.size()); ++i) {
    const EntryIndex index = loaded[i].second;
    clear_word(zone.entry(index));
    ZoneIndex(zone).remove(index);
    zone.entry(index).generation.store(0, std::memory_order_release);
    zone.loaded_words(index).leaf.store(0, std::memory_order_release);
    zone.loaded_words(index).issuer.store(0, std::memory_order_release);
    zone.stats().loaded.evicted.fetch_add(1, std::memory_order_relaxed);
  }
}

void forget_response(StapleZone& zone, EntryIndex index) {
  zone.entry(index).word.store(0, std::memory_order_release);
  zone.set_attempt(index, Attempt{});
  zone.set_confirmed_at(index, 0);
  zone.set_detail(index, {});
}

void forget_loaded(StapleZone& zone, EntryIndex index) {
  zone.loaded_words(index).leaf.store(0, std::memory_order_relaxed);
  zone.loaded_words(index).issuer.store(0, std::memory_order_relaxed);
}

// Writes all of an entry: above the high-water mark it may hold anything.
void add(StapleZone& zone, ZoneIndex& zone_index, EntryIndex index, const Registration& registration,
         std::uint32_t generation) {
  Entry& entry = zone.entry(index);
  const bool untouched = index >= zone.entries_used();
  if (untouched) {
    entry.versions.store(0, std::memory_order_relaxed);  // a reused entry's goes on: see Entry::word
  }
  forget_response(zone, index);
  forget_loaded(zone, index);
  entry.stapled.store(0, std::memory_order_relaxed);
  entry.id = registration.id;
  entry.issuer_key = registration.issuer_key;
  entry.generation.store(generation, std::memory_order_release);
  if (untouched) {
    zone.header().entries.store(index + 1, std::memory_order_release);
  }
  zone_index.insert(index);
}

void keep(StapleZone& zone, EntryIndex index, const Registration& registration, std::uint32_t generation) {
  Entry& entry = zone.entry(index);
  // Where this configuration does not know the issuer, whoever fetched it for the one before us did.
  if (registration.issuer_key != kUnknownIssuer && entry.issuer_key != registration.issuer_key) {
    forget_response(zone, index);
    entry.issuer_key = registration.issuer_key;
  }
  entry.generation.store(generation, std::memory_order_release);
}

}  // namespace

Result<std::uint32_t> StapleZone::register_all(SharedLock& lock, const std::vector<Registration>& registrations,
                                               std::vector<EntryIndex>* entries) {
  const ScopedLock scope(lock);
  if (!scope.held()) {
    return fail(Reason::kZoneBusy, "another process is writing to the zone");
  }
  ZoneIndex index(*this);
  const std::size_t missing = count_missing(index, registrations);
  std::vector<EntryIndex> free = free_entries(*this, missing);
  if (free.size() < missing) {
    make_loaded_go(*this, missing - free.size(), registrations);
    free = free_entries(*this, missing);
  }
  if (free.size() < missing) {
    return fail(Reason::kZoneFull,
                fmt::format("{} of {} new certificates fit into the zone of {} bytes; {} certificates need {} bytes",
                            free.size(), missing, size(), registrations.size(), required_size(registrations.size())));
  }
  entries->clear();
  entries->reserve(registrations.size());
  // From here on nothing fails in a sound zone. A kill in between leaves entries of a generation that has not come
  // into being; the next registration takes its number and finds them.
  const std::uint32_t next = next_generation(generation());
  for (const Registration& registration : registrations) {
    EntryIndex found = index.find(registration.id);
    if (found != kNoEntry) {
      keep(*this, found, registration, next);
    } else if (free.empty()) {
      return fail(Reason::kInternal, "the zone changed under its lock: another process has scribbled on it");
    } else {
      found = free.back();
      free.pop_back();
      add(*this, index, found, registration, next);
    }
    entries->push_back(found);
  }
  header().generation.store(next, std::memory_order_release);
  return next;
}

}  // namespace ocsp_plus::store
