// The simulator's only source of randomness: a run depends on its seed only.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace ocsp_plus::sim {

// splitmix64: fast, and the same on every machine.
class Prng {
 public:
  explicit Prng(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // from <= result <= to
  std::int64_t between(std::int64_t from, std::int64_t to) {
    return from + static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(to - from + 1));
  }
  bool chance(int percent) { return between(1, 100) <= percent; }
  // Log-uniform, for faults of every length: 1 to 10 is as likely as 10 to 100.
  std::int64_t spread(std::int64_t from, std::int64_t to) {
    const double part = static_cast<double>(next() >> 11) / 9007199254740992.0;
    const double low = std::log(static_cast<double>(from));
    const double high = std::log(static_cast<double>(to));
    return static_cast<std::int64_t>(std::exp(low + (high - low) * part));
  }
  // An independent stream, so that draws in one part of the world do not affect the others.
  Prng split() { return Prng(next()); }

 private:
  std::uint64_t state_;
};

}  // namespace ocsp_plus::sim
