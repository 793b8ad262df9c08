#include "base/time.h"

#include <fmt/format.h>

#include <array>

namespace ocsp_plus {
namespace {

constexpr Seconds kMinute = 60;
constexpr Seconds kHour = 60 * kMinute;
constexpr Seconds kDay = 24 * kHour;

// Howard Hinnant's days_from_civil / civil_from_days, from his public description of the algorithms.
std::int64_t days_from_civil(std::int64_t year, int month, int day) {
  year -= month <= 2 ? 1 : 0;
  const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  const std::int64_t year_of_era = year - era * 400;
  const std::int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const std::int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468;
}

}  // namespace

UnixSeconds unix_seconds(int year, int month, int day, int hour, int minute, int second) {
  return days_from_civil(year, month, day) * kDay + hour * kHour + minute * kMinute + second;
}

std::string to_rfc3339(UnixSeconds time) {
  // RFC 3339 has no years after 9999; such a time is as good as never.
  constexpr UnixSeconds kLast = 253402300799;
  constexpr UnixSeconds kFirst = -62167219200;
  if (time > kLast) {
    return "never";
  }
  if (time < kFirst) {
    time = kFirst;
  }
  std::int64_t days = time / kDay;
  std::int64_t rest = time % kDay;
  if (rest < 0) {
    rest += kDay;
    --days;
  }
  const std::int64_t shifted = days + 719468;
  const std::int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
  const std::int64_t day_of_era = shifted - era * 146097;
  const std::int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const std::int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::int64_t shifted_month = (5 * day_of_year + 2) / 153;
  const std::int64_t day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
  const std::int64_t month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  const std::int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", year, month, day, rest / kHour, rest / kMinute % 60,
                     rest % 60);
}

std::optional<UnixSeconds> parse_rfc3339(std::string_view text) {
  static constexpr std::string_view kForm = "dddd-dd-ddTdd:dd:ddZ";
  if (text.size() != kForm.size()) {
    return std::nullopt;
  }
  std::array<int, 6> field = {};
  std::size_t index = 0;
  for (std::size_t i = 0; i < kForm.size(); ++i) {
    if (kForm[i] == 'd') {
      if (text[i] < '0' || text[i] > '9') {
        return std::nullopt;
      }
      field[index] = field[index] * 10 + (text[i] - '0');
    } else if (text[i] != kForm[i]) {
      return std::nullopt;
    } else {
      ++index;
    }
  }
  const auto [year, month, day, hour, minute, second] = field;
  if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 59) {
    return std::nullopt;
  }
  const UnixSeconds time = unix_seconds(year, month, day, hour, minute, second);
  // The 31st of a 30-day month would be formatted as another day.
  return to_rfc3339(time) == text ? std::optional<UnixSeconds>(time) : std::nullopt;
}

std::string to_span(Seconds span) {
  const char* sign = span < 0 ? "-" : "";
  if (span < 0) {
    span = span == INT64_MIN ? INT64_MAX : -span;
  }
  struct Unit {
    Seconds length;
    char name;
  };
  static constexpr std::array<Unit, 4> kUnits = {{{kDay, 'd'}, {kHour, 'h'}, {kMinute, 'm'}, {1, 's'}}};
  for (std::size_t i = 0; i + 1 < kUnits.size(); ++i) {
    if (span >= kUnits[i].length) {
      const Seconds lesser = span % kUnits[i].length / kUnits[i + 1].length;
      return lesser == 0 ? fmt::format("{}{}{}", sign, span / kUnits[i].length, kUnits[i].name)
                         : fmt::format("{}{}{} {}{}", sign, span / kUnits[i].length, kUnits[i].name, lesser,
                                       kUnits[i + 1].name);
    }
  }
  return fmt::format("{}{}s", sign, span);
}

}  // namespace ocsp_plus
