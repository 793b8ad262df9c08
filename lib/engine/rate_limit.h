// Limits how often something happens within a span of time.
#pragma once

#include <cstdint>
#include <utility>

#include "base/time.h"

namespace ocsp_plus::engine {

// Times are monotonic. A span begins with the first event after the previous span.
class RateLimit {
 public:
  static constexpr Millis kMinute = 60000;
  static constexpr Millis kHour = 60 * kMinute;

  explicit RateLimit(std::uint64_t most, Millis span = kMinute) : most_(most), span_(span), began_(-span) {}

  // Counts `events` that are permitted or held back together. false: held back, the span has had enough.
  bool permits(Millis now, std::uint64_t events = 1) {
    if (over(now)) {
      began_ = now;
      permitted_ = 0;
    }
    if (permitted_ < most_) {
      ++permitted_;
      return true;
    }
    held_back_ += events;
    return false;
  }

  // The events held back since the last call, once their span is over; 0 before.
  std::uint64_t take_held_back(Millis now) { return over(now) ? take_held_back() : 0; }
  std::uint64_t take_held_back() { return std::exchange(held_back_, 0); }

 private:
  bool over(Millis now) const { return now - began_ >= span_; }

  std::uint64_t most_;
  Millis span_;
  Millis began_;
  std::uint64_t permitted_ = 0;
  std::uint64_t held_back_ = 0;
};

}  // namespace ocsp_plus::engine
