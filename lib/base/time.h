// Times as plain integers with the unit in the type's name, and saturating arithmetic: certificates and responses are
// untrusted and may contain any time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ocsp_plus {

using UnixSeconds = std::int64_t;  // wall clock, seconds since 1970-01-01T00:00:00Z; decides validity
using Seconds = std::int64_t;      // a duration
using Millis = std::int64_t;       // monotonic clock (shared by the machine's processes) or a duration; timers

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

// Formats as RFC 3339 in UTC, "2026-01-31T00:00:00Z"; kNever is "never".
std::string to_rfc3339(UnixSeconds time);

// Parses exactly the form above ("Z" only); nothing for any other text.
std::optional<UnixSeconds> parse_rfc3339(std::string_view text);

// Converts a proleptic Gregorian UTC date to seconds since the epoch. REQUIRES: every field is in its range.
UnixSeconds unix_seconds(int year, int month, int day, int hour, int minute, int second);

// Formats a duration for log lines: "45s", "12m", "3h", "2d", with a second unit if it is not 0: "1h 5m".
std::string to_span(Seconds span);

}  // namespace ocsp_plus
