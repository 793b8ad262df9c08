#include "store/staple_zone.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "store/blob_reader.h"
#include "store/layout.h"
#include "store/zone_index.h"

namespace ocsp_plus::store {
namespace {

constexpr std::size_t kAlign = 64;

bool aligned(const void* base) {
  return base != nullptr && reinterpret_cast<std::uintptr_t>(base) % kAlign == 0;
}

}  // namespace

Result<StapleZone> StapleZone::format(void* base, std::size_t size, Memory memory) {
  if (!aligned(base)) {
    return fail(Reason::kInvalidArgument, "the zone is not aligned to 64 bytes");
  }
  const Geometry geometry = Geometry::of(size);
  if (geometry.capacity == 0) {
    return fail(Reason::kZoneFull,
                fmt::format("a zone of {} bytes holds nothing; {} bytes are the least", size, required_size(1)));
  }
  StapleZone zone(static_cast<std::uint8_t*>(base), geometry);
  zone.header().magic.store(0, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  // Entries and arena need no clearing: no process looks at an entry before register_all() has written it.
  const std::size_t from = sizeof(Header::magic);
  const std::size_t to = memory == Memory::kZeroed ? geometry.index : geometry.entries;
  std::memset(zone.base_ + from, 0, to - from);
  zone.header().layout_version.store(kLayoutVersion, std::memory_order_relaxed);
  zone.header().size.store(size, std::memory_order_relaxed);
  zone.header().magic.store(kMagic, std::memory_order_release);
  return zone;
}

Result<StapleZone> StapleZone::attach(void* base, std::size_t size) {
  const Geometry geometry = Geometry::of(size);
  if (!aligned(base) || geometry.capacity == 0) {
    return fail(Reason::kInvalidArgument, "the memory cannot be a zone: too small or not aligned to 64 bytes");
  }
  StapleZone zone(static_cast<std::uint8_t*>(base), geometry);
  if (zone.header().magic.load(std::memory_order_acquire) != kMagic) {
    return fail(Reason::kInvalidArgument, "the memory holds no zone");
  }
  const std::uint32_t version = zone.header().layout_version.load(std::memory_order_relaxed);
  const std::uint64_t bytes = zone.header().size.load(std::memory_order_relaxed);
  if (version != kLayoutVersion || bytes != size) {
    return fail(Reason::kInvalidArgument,
                fmt::format("the zone is of layout {} and {} bytes, not of layout {} and {} bytes", version, bytes,
                            kLayoutVersion, size));
  }
  return zone;
}

EntryIndex StapleZone::find(const CertificateId& id) const noexcept {
  return ZoneIndex(*this).find(id);
}

CertificateId StapleZone::id(EntryIndex index) const noexcept {
  return is_used(index) ? entry(index).id : CertificateId{};
}

IssuerKey StapleZone::issuer_key(EntryIndex index) const noexcept {
  return is_used(index) ? entry(index).issuer_key : kUnknownIssuer;
}

bool StapleZone::is_used(EntryIndex index) const noexcept {
  return index < entries_used() && entry(index).generation.load(std::memory_order_acquire) != 0;
}

StapleZone::Read StapleZone::copy(EntryIndex index, const CertificateId& id, Allocate allocate, Release release,
                                  Copy* out) const noexcept {
  return index < capacity() ? copy_blob(*this, {entry(index).word, &entry(index).length}, &id, allocate, release, out)
                            : Read::kNone;
}

// Fetches the entry's own cache line, the header and the start of the response; the processor then goes on by itself.
void StapleZone::expect(EntryIndex index, std::uint32_t place) const noexcept {
  constexpr std::size_t kAhead = sizeof(BlobHeader) + 4 * kBlobAlign;
  const std::size_t offset = std::size_t{place} * kBlobAlign;
  if (index >= capacity() || offset + kAhead > arena_bytes()) {
    return;
  }
  __builtin_prefetch(&entry(index));
  for (std::size_t line = 0; line < kAhead; line += kBlobAlign) {
    __builtin_prefetch(arena() + offset + line);
  }
}

std::optional<BlobHeader> StapleZone::peek(EntryIndex index, const CertificateId& id) const noexcept {
  return index < capacity() ? peek_blob(*this, entry(index).word, id) : std::nullopt;
}

std::optional<Bytes> StapleZone::read(EntryIndex index, const CertificateId& id, BlobHeader* header) const {
  return index < capacity() ? read_blob(*this, {entry(index).word, &entry(index).length}, &id, header) : std::nullopt;
}

std::uint32_t StapleZone::generation() const noexcept {
  return header().generation.load(std::memory_order_acquire);
}

std::uint32_t StapleZone::entries_used() const noexcept {
  return std::min(header().entries.load(std::memory_order_acquire), capacity());
}

}  // namespace ocsp_plus::store
