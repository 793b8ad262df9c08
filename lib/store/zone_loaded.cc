// The part of ZoneWriter that knows certificates which are loaded per connection.
#include <fmt/format.h>

#include <cstring>

#include "store/blob_word.h"
#include "store/scoped_lock.h"
#include "store/zone_index.h"
#include "store/zone_writer.h"

namespace ocsp_plus::store {

std::size_t ZoneWriter::loaded_bytes() const {
  return loaded_units_ * kBlobAlign;
}

// --- entries ---

void ZoneWriter::find_free() {
  free_.clear();
  for (EntryIndex i = zone_.entries_used(); i-- > 0;) {
    if (zone_.entry(i).generation.load(std::memory_order_relaxed) == 0) {
      free_.push_back(i);
    }
  }
}

// kNoEntry: none is free.
EntryIndex ZoneWriter::take_free() {
  while (!free_.empty()) {
    const EntryIndex index = free_.back();
    free_.pop_back();
    if (zone_.entry(index).generation.load(std::memory_order_relaxed) == 0) {
      return index;
    }
  }
  return zone_.entries_used() < zone_.capacity() ? zone_.entries_used() : kNoEntry;
}

// --- issuers, each once ---

// True: the first that points to it.
bool ZoneWriter::hold_issuer(EntryIndex entry, ArenaMap::Range range) {
  const auto [found, fresh] = issuers_.try_emplace(range.offset);
  SharedIssuer& issuer = found->second;
  if (fresh) {
    BlobHeader header;
    std::memcpy(&header, zone_.arena() + std::size_t{range.offset} * kBlobAlign, sizeof(header));
    issuer.range = range;
    issuer.id = header.id;
    issuer_offsets_.emplace(header.id, range.offset);
    loaded_units_ += range.units;
  }
  ++issuer.users;
  held_[entry].issuer = range.offset;
  return fresh;
}

void ZoneWriter::release_issuer(EntryIndex entry) {
  const auto found = issuers_.find(held_[entry].issuer);
  held_[entry].issuer = kNoIssuer;
  if (found == issuers_.end() || --found->second.users > 0) {
    return;
  }
  const auto by_id = issuer_offsets_.find(found->second.id);
  if (by_id != issuer_offsets_.end() && by_id->second == found->first) {
    issuer_offsets_.erase(by_id);
  }
  loaded_units_ -= found->second.range.units;
  retire(found->second.range);
  issuers_.erase(found);
}

// Where the issuer lies already; kNoIssuer. Its bytes are compared: another process may have scribbled on them.
std::uint32_t ZoneWriter::share_issuer(const LoadedCertificate& certificate) {
  const auto found = issuer_offsets_.find(certificate.issuer_id);
  if (found == issuer_offsets_.end()) {
    return kNoIssuer;
  }
  BlobHeader header;
  const bool same = zone_.blob_header(found->second, &certificate.issuer_id, &header) &&
                    header.length == certificate.issuer.size() &&
                    std::memcmp(zone_.arena() + std::size_t{found->second} * kBlobAlign + sizeof(header),
                                certificate.issuer.data(), header.length) == 0;
  return same ? found->second : kNoIssuer;
}

// --- in and out ---

// In one piece, since the order of what it writes is what survives a kill at any line.
// NOLINTNEXTLINE(readability-function-cognitive-complexity)
Result<EntryIndex> ZoneWriter::add_loaded(const LoadedCertificate& certificate) {
  if (certificate.leaf.empty() || certificate.leaf.size() > kMaxBlobLength ||
      certificate.issuer.size() > kMaxBlobLength) {
    return fail(Reason::kInvalidArgument, fmt::format("{} bytes are no certificate", certificate.leaf.size()));
  }
  const ScopedLock scope(lock_);
  if (auto ready = begin(scope.held()); !ready) {
    return tl::unexpected<Error>(ready.error());
  }
  // Now, or not at all: below, what is allocated is not in use yet.
  if (rebuilt_at_ != zone_.generation()) {
    rebuild();
    drop_invalid();
  }
  EntryIndex index = ZoneIndex(zone_).find(certificate.id);
  const bool known = index != kNoEntry;
  if (!known && (index = take_free()) == kNoEntry) {
    return fail(Reason::kZoneFull, fmt::format("all {} entries are in use", zone_.capacity()));
  }
  if (index >= held_.size()) {
    held_.resize(index + 1);
  }
  if (known) {
    unload(index);
  }
  std::uint32_t issuer = certificate.issuer.empty() ? kNoIssuer : share_issuer(certificate);
  const bool new_issuer = issuer == kNoIssuer && !certificate.issuer.empty();
  const ArenaMap::Range leaf = make_room(units_for(certificate.leaf.size()));
  const ArenaMap::Range room =
      leaf && new_issuer ? make_room(units_for(certificate.issuer.size())) : ArenaMap::Range();
  if (!leaf || (new_issuer && !room)) {
    arena_.release(leaf);
    return fail(Reason::kZoneFull,
                fmt::format("no room for {} bytes among {} free ones in a zone of {} bytes",
                            certificate.leaf.size() + certificate.issuer.size(), bytes_free(), zone_.size()));
  }
  BlobHeader header = {};
  header.id = certificate.id;
  header.length = static_cast<std::uint32_t>(certificate.leaf.size());
  write(leaf, header, certificate.leaf);
  if (new_issuer) {
    header.id = certificate.issuer_id;
    header.length = static_cast<std::uint32_t>(certificate.issuer.size());
    write(room, header, certificate.issuer);
    issuer = room.offset;
  }
  Entry& entry = zone_.entry(index);
  Loaded& loaded = zone_.loaded_words(index);
  if (!known) {
    if (index >= zone_.entries_used()) {
      entry.versions.store(0, std::memory_order_relaxed);  // above the high-water mark it may hold anything
    }
    entry.id = certificate.id;
    entry.stapled.store(0, std::memory_order_relaxed);
  }
  // Where its chain came without the issuer this time, what is held was admitted under the one that was known before.
  const bool other_issuer = certificate.issuer_key != kUnknownIssuer && entry.issuer_key != certificate.issuer_key;
  if (!known || other_issuer) {
    clear_word(entry);
    hold(index, {});
    zone_.set_attempt(index, Attempt{});
    zone_.set_confirmed_at(index, 0);
    zone_.set_detail(index, {});
    entry.issuer_key = certificate.issuer_key;
  }
  const std::uint32_t version = next_version(entry);
  entry.versions.store(version, std::memory_order_relaxed);
  loaded.issuer.store(issuer == kNoIssuer ? 0 : std::uint64_t{version} << 32 | issuer, std::memory_order_release);
  loaded.profile.store(certificate.profile, std::memory_order_relaxed);
  loaded.used.store(static_cast<std::uint32_t>(certificate.used), std::memory_order_relaxed);
  loaded.generation.store(zone_.generation(), std::memory_order_relaxed);
  // Last of all, and before the entry is in use: whoever is killed here leaves a free entry.
  loaded.leaf.store(std::uint64_t{version} << 32 | leaf.offset, std::memory_order_release);
  entry.generation.store(zone_.generation(), std::memory_order_release);
  held_[index].leaf = leaf;
  loaded_units_ += leaf.units + held_[index].response.units;
  if (issuer != kNoIssuer) {
    hold_issuer(index, new_issuer ? room : issuers_[issuer].range);
  }
  if (!known) {
    if (index >= zone_.entries_used()) {
      zone_.header().entries.store(index + 1, std::memory_order_release);
    }
    ZoneIndex(zone_).insert(index);
  }
  return index;
}

// Takes away what makes the entry a loaded one; the response and the rest of it stay.
void ZoneWriter::unload(EntryIndex index) {
  Loaded& loaded = zone_.loaded_words(index);
  loaded.leaf.store(0, std::memory_order_release);
  loaded.issuer.store(0, std::memory_order_release);
  if (index >= held_.size()) {
    return;
  }
  Held& held = held_[index];
  if (held.leaf) {
    loaded_units_ -= held.leaf.units + held.response.units;
    retire(held.leaf);
    held.leaf = {};
  }
  release_issuer(index);
}

Result<void> ZoneWriter::begin_with(bool locked, EntryIndex index, const CertificateId& id) {
  if (auto ready = begin(locked); !ready) {
    return ready;
  }
  if (index >= zone_.entries_used() || zone_.entry(index).generation.load(std::memory_order_relaxed) == 0 ||
      zone_.entry(index).id != id) {
    return fail(Reason::kInvalidArgument, fmt::format("entry {} belongs to another certificate", index));
  }
  return {};
}

Result<void> ZoneWriter::remove_loaded(EntryIndex index, const CertificateId& id) {
  const ScopedLock scope(lock_);
  if (auto ready = begin_with(scope.held(), index, id); !ready) {
    return ready;
  }
  if (zone_.loaded(index).has_value()) {
    remove(index);
  } else {
    unload(index);
  }
  return {};
}

Result<void> ZoneWriter::adopt_loaded(EntryIndex index, const CertificateId& id) {
  const ScopedLock scope(lock_);
  if (auto ready = begin_with(scope.held(), index, id); !ready) {
    return ready;
  }
  unload(index);
  return {};
}

}  // namespace ocsp_plus::store
