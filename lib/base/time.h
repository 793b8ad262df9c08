// Times as plain integers with their unit in the type's name, and arithmetic that saturates instead of wrapping:
// times come from certificates and responses that somebody else wrote.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ocsp_plus {

using UnixSeconds = std::int64_t;  // wall clock, seconds since 1970-01-01T00:00:00Z; decides validity
using Seconds = std::int64_t;      // a span
using Millis = std::int64_t;       // monotonic clock (one for all processes of the machine) or a span of it; timers

constexpr UnixSeconds kNever = INT64_MAX;

constexpr std::int64_t saturating_add(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) {
    return b > 0 ? INT64_MAX : INT64_MIN;
  }
  return sum;
}

constexpr std::int64_t saturating_sub(std::int64_t a, std::int64_t b) {
  std::int64_t difference = 0;
  if (__builtin_sub_overflow(a, b, &difference)) {
    return b < 0 ? INT64_MAX : INT64_MIN;
  }
  return difference;
}

// RFC 3339 in UTC, "2026-01-31T00:00:00Z"; kNever is "never".
std::string to_rfc3339(UnixSeconds time);

// Accepts exactly the form above ("Z" only). Empty for anything else.
std::optional<UnixSeconds> parse_rfc3339(std::string_view text);

// Seconds since the epoch of a proleptic Gregorian UTC date; the caller has checked the ranges of the fields.
UnixSeconds unix_seconds(int year, int month, int day, int hour, int minute, int second);

// A span for log lines: "45s", "12m", "3h", "2d" (two units where it helps: "1h 5m").
std::string to_span(Seconds span);

}  // namespace ocsp_plus
