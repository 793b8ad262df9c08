// Keeps a line of text in the zone. One process writes it, any other reads it. Its checksum lies in another word, so
// a reader sees the whole text or nothing, even if a writer was killed while writing it.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/text.h"

namespace ocsp_plus::store {

template <std::size_t kWords>
using TextWords = std::array<std::atomic<std::uint64_t>, kWords>;

// Returns the checksum of a text, never 0, which stands for no text.
inline std::uint32_t text_sum(std::string_view bytes) noexcept {
  return std::max(static_cast<std::uint32_t>(fnv1a(bytes)), 1u);
}

template <std::size_t kWords>
std::array<char, kWords * 8> load_text(const TextWords<kWords>& words) noexcept {
  std::array<char, kWords * 8> bytes;
  for (std::size_t i = 0; i < kWords; ++i) {
    const std::uint64_t word = words[i].load(std::memory_order_relaxed);
    std::memcpy(&bytes[8 * i], &word, 8);
  }
  return bytes;
}

// Writes any bytes; those that find no room are cut off, and an ellipsis says so. Leaves a text that is there already
// alone, so that no reader misses it meanwhile.
template <std::size_t kWords>
void write_text(TextWords<kWords>& words, std::atomic<std::uint32_t>& sum, std::string_view text) noexcept {
  std::array<char, kWords* 8> bytes = {};
  text.copy(bytes.data(), bytes.size());
  if (text.size() > bytes.size()) {
    std::fill(bytes.end() - 3, bytes.end(), '.');
  }
  const std::uint32_t wanted = text.empty() ? 0 : text_sum({bytes.data(), bytes.size()});
  if (sum.load(std::memory_order_relaxed) == wanted && (wanted == 0 || load_text(words) == bytes)) {
    return;
  }
  sum.store(0, std::memory_order_relaxed);
  if (wanted == 0) {
    return;
  }
  std::atomic_thread_fence(std::memory_order_release);
  for (std::size_t i = 0; i < kWords; ++i) {
    std::uint64_t word = 0;
    std::memcpy(&word, &bytes[8 * i], 8);
    words[i].store(word, std::memory_order_relaxed);
  }
  sum.store(wanted, std::memory_order_release);
}

// Returns the text; empty also if the checksum differs, since half of it is then another text.
template <std::size_t kWords>
std::string read_text(const TextWords<kWords>& words, const std::atomic<std::uint32_t>& sum) {
  const std::uint32_t wanted = sum.load(std::memory_order_acquire);
  if (wanted == 0) {
    return {};
  }
  const auto bytes = load_text(words);
  return text_sum({bytes.data(), bytes.size()}) == wanted
             ? std::string(bytes.begin(), std::find(bytes.begin(), bytes.end(), '\0'))
             : std::string();
}

}  // namespace ocsp_plus::store
