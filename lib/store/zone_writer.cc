#include "store/zone_writer.h"

#include <fmt/format.h>

#include "store/entry_state.h"
#include "store/layout.h"
#include "store/zone_index.h"

namespace ocsp_plus::store {
namespace {

void write(const WriterState& state, ArenaMap::Range range, const CertificateId& id, ByteView der) {
  BlobHeader header = {};
  header.id = id;
  header.length = static_cast<std::uint32_t>(der.size());
  state.write(range, header, der);
}

}  // namespace

Error ZoneWriter::no_room(std::size_t bytes) const {
  return {Reason::kZoneFull, fmt::format("no room for {} bytes among {} free ones in a zone of {} bytes", bytes,
                                         bytes_free(), state_.zone().size())};
}

Result<void> ZoneWriter::publish(EntryIndex index, BlobHeader header, ByteView der) {
  const StapleZone& zone = state_.zone();
  if (index >= zone.capacity() || der.empty() || der.size() > kMaxBlobLength) {
    return fail(Reason::kInvalidArgument, fmt::format("entry {}: {} bytes are no response", index, der.size()));
  }
  const ScopedLock scope(state_.lock());
  RETURN_IF_ERROR(state_.begin(scope.held(), index, header.id));
  Entry& entry = zone.entry(index);
  if (entry.issuer_key != header.issuer_key) {
    return fail(Reason::kInvalidArgument, fmt::format("entry {} belongs to another issuer key", index));
  }
  ArenaMap::Range range = state_.arena().allocate(units_for(der.size()));
  if (!range) {
    // A registration may have cleared words; we would otherwise count their space as used for ever.
    state_.catch_up();
    range = state_.arena().allocate(units_for(der.size()));
  }
  if (!range) {
    return tl::unexpected<Error>(no_room(der.size()));
  }
  header.length = static_cast<std::uint32_t>(der.size());
  state_.hold(index, range);
  state_.write(range, header, der);
  state_.vouch(index, header, der);
  set_word(entry, range.offset, header.length);
  return {};
}

Result<void> ZoneWriter::set_issuer_key(EntryIndex index, const CertificateId& id, const IssuerKey& key) {
  const StapleZone& zone = state_.zone();
  const ScopedLock scope(state_.lock());
  RETURN_IF_ERROR(state_.begin(scope.held(), index, id));
  Entry& entry = zone.entry(index);
  if (entry.issuer_key == key) {
    return {};
  }
  if (entry.issuer_key != kUnknownIssuer) {
    // The lease is ours, so the generation in it is ours as well.
    if (zone.header().lease.generation.load(std::memory_order_relaxed) != zone.generation()) {
      return fail(Reason::kInvalidArgument,
                  fmt::format("a newer configuration knows another issuer of entry {}", index));
    }
    state_.drop(index);
  }
  entry.issuer_key = key;
  return {};
}

Result<void> ZoneWriter::drop(EntryIndex index) {
  const ScopedLock scope(state_.lock());
  RETURN_IF_ERROR(state_.begin(scope.held()));
  if (index >= state_.zone().entries_used()) {
    return fail(Reason::kInvalidArgument, fmt::format("there is no entry {}", index));
  }
  state_.drop(index);
  return {};
}

Result<std::size_t> ZoneWriter::remove_stale(std::uint32_t oldest_living) {
  const StapleZone& zone = state_.zone();
  const ScopedLock scope(state_.lock());
  RETURN_IF_ERROR(state_.begin(scope.held()));
  const std::uint32_t newest = zone.generation();
  std::size_t removed = 0;
  for (EntryIndex i = 0; i < zone.entries_used(); ++i) {
    const std::uint32_t generation = zone.entry(i).generation.load(std::memory_order_relaxed);
    if (generation != 0 && generation < oldest_living && generation != newest && !state_.owns(i) &&
        !per_connection_state(zone, i).has_value()) {
      state_.remove(i);
      ++removed;
    }
  }
  return removed;
}

// One function, since the order of its writes is what survives a kill at any line.
// NOLINTNEXTLINE(readability-function-cognitive-complexity)
Result<EntryIndex> ZoneWriter::add_per_connection(const PerConnectionCertificate& certificate) {
  if (certificate.leaf.empty() || certificate.leaf.size() > kMaxBlobLength ||
      certificate.issuer.size() > kMaxBlobLength) {
    return fail(Reason::kInvalidArgument, fmt::format("{} bytes are no certificate", certificate.leaf.size()));
  }
  const StapleZone& zone = state_.zone();
  const ScopedLock scope(state_.lock());
  RETURN_IF_ERROR(state_.begin(scope.held()));
  state_.catch_up();  // before anything is allocated
  EntryIndex index = zone.find(certificate.id);
  const bool known = index != kNoEntry;
  const bool with_issuer = !certificate.issuer.empty();
  const auto find_issuer = [&] {
    return with_issuer ? state_.find_issuer(certificate.issuer_id, certificate.issuer) : WriterState::kNoIssuer;
  };
  const auto room_for_issuer = [&] { return state_.arena().allocate(units_for(certificate.issuer.size())); };
  // The room for another issuer comes first: a known certificate that gets none keeps what it has. Its own leaf, and
  // an issuer that only it has, leave as much room as they take.
  ArenaMap::Range room =
      with_issuer && find_issuer() == WriterState::kNoIssuer ? room_for_issuer() : ArenaMap::Range();
  if (with_issuer && !room && find_issuer() == WriterState::kNoIssuer) {
    return tl::unexpected<Error>(no_room(certificate.issuer.size()));
  }
  if (known) {
    state_.drop_certificate(index);
  }
  std::uint32_t issuer = find_issuer();
  const bool new_issuer = with_issuer && issuer == WriterState::kNoIssuer;
  const ArenaMap::Range leaf = state_.arena().allocate(units_for(certificate.leaf.size()));
  room = leaf && new_issuer && !room ? room_for_issuer() : room;
  const auto give_back = [&] {
    state_.arena().release(leaf);
    state_.arena().release(room);
  };
  if (!leaf || (new_issuer && !room)) {
    give_back();
    return tl::unexpected<Error>(no_room(certificate.leaf.size() + certificate.issuer.size()));
  }
  if (!known && (index = state_.take_free()) == kNoEntry) {
    give_back();
    return fail(Reason::kZoneFull, fmt::format("all {} entries are in use", zone.capacity()));
  }
  write(state_, leaf, certificate.id, certificate.leaf);
  if (new_issuer) {
    write(state_, room, certificate.issuer_id, certificate.issuer);
    issuer = room.offset;
  }
  Entry& entry = zone.entry(index);
  if (!known) {
    reset_entry(zone, index);
    entry.id = certificate.id;
  }
  // If its chain came without the issuer this time, the held response was admitted under the issuer known before.
  const bool other_issuer = certificate.issuer_key != kUnknownIssuer && entry.issuer_key != certificate.issuer_key;
  if (!known || other_issuer) {
    state_.drop(index);
    forget_response(zone, index);
    entry.issuer_key = certificate.issuer_key;
  }
  const std::uint64_t version = std::uint64_t{next_version(entry)} << 32;
  entry.issuer.store(issuer == WriterState::kNoIssuer ? 0 : version | issuer, std::memory_order_release);
  entry.profile.store(certificate.profile, std::memory_order_relaxed);
  entry.used.store(static_cast<std::uint32_t>(certificate.used), std::memory_order_relaxed);
  entry.per_connection.store(zone.generation(), std::memory_order_relaxed);
  // The leaf is written last, and before the entry is in use: a process killed here leaves a free entry.
  entry.leaf.store(version | leaf.offset, std::memory_order_release);
  entry.generation.store(zone.generation(), std::memory_order_release);
  state_.hold_certificate(index, leaf);
  if (with_issuer) {
    state_.hold_issuer(index, new_issuer ? room : ArenaMap::Range{issuer, units_for(certificate.issuer.size())});
  }
  if (index >= zone.entries_used()) {
    zone.header().entries.store(index + 1, std::memory_order_release);
  }
  if (!known) {
    ZoneIndex(zone).insert(index);
  }
  return index;
}

Result<void> ZoneWriter::remove_per_connection(EntryIndex index, const CertificateId& id) {
  const ScopedLock scope(state_.lock());
  RETURN_IF_ERROR(state_.begin(scope.held(), index, id));
  if (per_connection_state(state_.zone(), index).has_value()) {
    state_.remove(index);
  } else {
    state_.drop_certificate(index);
  }
  return {};
}

Result<void> ZoneWriter::adopt_per_connection(EntryIndex index, const CertificateId& id) {
  const ScopedLock scope(state_.lock());
  RETURN_IF_ERROR(state_.begin(scope.held(), index, id));
  state_.drop_certificate(index);
  return {};
}

}  // namespace ocsp_plus::store
