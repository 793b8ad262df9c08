// Shared by the fuzz targets. A target is one file that defines LLVMFuzzerTestOneInput, for libFuzzer (scripts/fuzz)
// or for standalone.cc, which replays files under any compiler.
//
// A finding is a crash, a sanitizer's report or a failed promise().
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace ocsp_plus::fuzz {

// Checks a guarantee of a header that must hold for every input.
inline void promise(bool holds, const char* what) {
  if (!holds) {
    std::fprintf(stderr, "broken promise: %s\n", what);
    std::abort();
  }
}

// Consumes an input from its front; bytes missing at its end are zero.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(data, size) {}

  bool empty() const { return rest_.empty(); }
  std::uint8_t byte() { return number(1) & 0xff; }
  std::uint64_t number(std::size_t bytes) {
    std::uint64_t value = 0;
    for (const std::uint8_t each : take(bytes)) {
      value = value << 8 | each;
    }
    return value;
  }
  ByteView take(std::size_t bytes) {
    const ByteView taken(rest_.data(), bytes < rest_.size() ? bytes : rest_.size());
    rest_ = ByteView(rest_.data() + taken.size(), rest_.size() - taken.size());
    return taken;
  }
  ByteView rest() const { return rest_; }

 private:
  ByteView rest_;
};

// A named initial input.
struct Seed {
  std::string name;
  Bytes bytes;
};

// Sorted as in a directory listing; see seeds*.cc.
std::vector<Seed> response_seeds();
std::vector<Seed> http_seeds();
std::vector<Seed> url_seeds();
std::vector<Seed> cache_seeds();
std::vector<Seed> issuer_seeds();
std::vector<Seed> zone_seeds();
std::vector<Seed> dns_seeds();
std::vector<Seed> resolver_seeds();
std::vector<Seed> redis_seeds();

}  // namespace ocsp_plus::fuzz
