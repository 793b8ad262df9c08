#include "store/blob_refs.h"

#include <algorithm>

namespace ocsp_plus::store {
namespace {

void read_claim(const StapleZone& zone, EntryIndex index, BlobKind kind, BlobRefs* refs) {
  const Entry& entry = zone.entry(index);
  const std::uint64_t word = word_of(zone, index, kind).load(std::memory_order_acquire);
  if (word == 0) {
    return;
  }
  BlobHeader header;
  const bool valid = word >> 32 != 0 && entry.generation.load(std::memory_order_relaxed) != 0 &&
                     zone.blob_header(word, kind == BlobKind::kIssuer ? nullptr : &entry.id, &header);
  if (valid) {
    refs->valid.push_back({{static_cast<std::uint32_t>(word), units_for(header.length)}, index, kind, word});
  } else {
    refs->invalid.push_back({{}, index, kind, word});
  }
}

bool same_issuer(const BlobRef& a, const BlobRef& b) {
  return a.kind == BlobKind::kIssuer && b.kind == BlobKind::kIssuer && a.range.offset == b.range.offset &&
         a.range.units == b.range.units;
}

// Of refs that overlap none can be trusted: the space of the one may be the other's by now.
void doom_overlapping(BlobRefs* refs) {
  std::vector<BlobRef>& valid = refs->valid;
  std::sort(valid.begin(), valid.end(),
            [](const BlobRef& a, const BlobRef& b) { return a.range.offset < b.range.offset; });
  std::vector<bool> bad(valid.size(), false);
  std::size_t reaching = 0;  // the ref that reaches furthest so far
  const auto end = [&](std::size_t i) { return valid[i].range.offset + valid[i].range.units; };
  for (std::size_t i = 1; i < valid.size(); ++i) {
    if (same_issuer(valid[reaching], valid[i])) {
      bad[i] = bad[reaching];
    } else if (valid[i].range.offset < end(reaching)) {
      bad[i] = bad[reaching] = true;
    }
    reaching = end(i) > end(reaching) ? i : reaching;
  }
  // An issuer that was found bad after others had been found the same.
  for (std::size_t i = valid.size(); i-- > 1;) {
    if (bad[i] != bad[i - 1] && same_issuer(valid[i], valid[i - 1])) {
      bad[i] = bad[i - 1] = true;
    }
  }
  for (std::size_t i = 1; i < valid.size(); ++i) {
    if (bad[i - 1] && same_issuer(valid[i], valid[i - 1])) {
      bad[i] = true;
    }
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < valid.size(); ++i) {
    if (bad[i]) {
      refs->invalid.push_back(valid[i]);
    } else {
      valid[kept++] = valid[i];
    }
  }
  valid.resize(kept);
}

}  // namespace

std::atomic<std::uint64_t>& word_of(const StapleZone& zone, EntryIndex entry, BlobKind kind) noexcept {
  switch (kind) {
    case BlobKind::kLeaf:
      return zone.loaded_words(entry).leaf;
    case BlobKind::kIssuer:
      return zone.loaded_words(entry).issuer;
    case BlobKind::kResponse:
      break;
  }
  return zone.entry(entry).word;
}

std::uint32_t units_for(std::size_t length) noexcept {
  return static_cast<std::uint32_t>((sizeof(BlobHeader) + length + kBlobAlign - 1) / kBlobAlign);
}

BlobRefs read_blob_refs(const StapleZone& zone) {
  BlobRefs refs;
  for (EntryIndex i = 0; i < zone.entries_used(); ++i) {
    read_claim(zone, i, BlobKind::kResponse, &refs);
    // Of a free entry the words may be left over from a process that was killed.
    if (zone.entry(i).generation.load(std::memory_order_relaxed) != 0) {
      read_claim(zone, i, BlobKind::kLeaf, &refs);
      read_claim(zone, i, BlobKind::kIssuer, &refs);
    }
  }
  doom_overlapping(&refs);
  return refs;
}

}  // namespace ocsp_plus::store
