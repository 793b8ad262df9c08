// How the words of an entry are swung. For the files of this room.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "store/layout.h"

namespace ocsp_plus::store {

// A version's generation: larger than any that this entry had, never 0.
inline std::uint32_t next_version(Entry& entry) {
  const std::uint32_t versions = entry.versions.load(std::memory_order_relaxed);
  const auto held = static_cast<std::uint32_t>(entry.word.load(std::memory_order_relaxed) >> 32);
  const std::uint32_t next = std::max(versions, held) + 1;
  return next == 0 ? 1 : next;
}

// Clears the word and keeps its generation in mind.
inline void clear_word(Entry& entry) {
  const auto held = static_cast<std::uint32_t>(entry.word.load(std::memory_order_relaxed) >> 32);
  entry.versions.store(std::max(entry.versions.load(std::memory_order_relaxed), held), std::memory_order_relaxed);
  entry.word.store(0, std::memory_order_release);
}

}  // namespace ocsp_plus::store
