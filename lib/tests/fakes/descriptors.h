// Counts this process's descriptors, to detect leaks.
#pragma once

#include <filesystem>
#include <iterator>

namespace ocsp_plus::testing {

inline long open_descriptors() {
  const std::filesystem::directory_iterator list("/proc/self/fd");
  return std::distance(begin(list), end(list));
}

}  // namespace ocsp_plus::testing
