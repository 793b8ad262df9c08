#include "net/http_fields.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "base/text.h"

namespace ocsp_plus::net {
namespace {

struct DateFields {
  int year = -1;
  int month = 0;
  int day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
};

int month_from(std::string_view name) {
  static constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                               "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto found = std::find(kMonths.begin(), kMonths.end(), name);
  return found == kMonths.end() ? 0 : static_cast<int>(found - kMonths.begin()) + 1;
}

// Matches `text` against a form: "Y", "D", "h", "m" and "s" stand for a digit, "_" for a digit or a space, "bbb" for
// the name of a month, every other character for itself. Returns false if it does not match.
bool match(std::string_view text, std::string_view form, DateFields& fields) {
  if (text.size() != form.size()) {
    return false;
  }
  fields.year = 0;
  for (std::size_t i = 0; i < form.size(); ++i) {
    int* field = nullptr;
    switch (form[i]) {
      case 'Y':
        field = &fields.year;
        break;
      case '_':
      case 'D':
        field = &fields.day;
        break;
      case 'h':
        field = &fields.hour;
        break;
      case 'm':
        field = &fields.minute;
        break;
      case 's':
        field = &fields.second;
        break;
      case 'b':
        fields.month = month_from(text.substr(i, 3));
        i += 2;
        continue;
      default:
        if (text[i] != form[i]) {
          return false;
        }
        continue;
    }
    if (form[i] == '_' && text[i] == ' ') {
      continue;
    }
    if (!is_digit(text[i])) {
      return false;
    }
    *field = *field * 10 + (text[i] - '0');
  }
  return true;
}

std::optional<UnixSeconds> to_time(const DateFields& fields) {
  if (fields.month == 0 || fields.day < 1 || fields.day > 31 || fields.hour > 23 || fields.minute > 59 ||
      fields.second > 60) {  // 60: the grammar allows a leap second
    return std::nullopt;
  }
  const UnixSeconds midnight = unix_seconds(fields.year, fields.month, fields.day, 0, 0, 0);
  // The 30th of February would become a day of March.
  if (to_rfc3339(midnight).substr(8, 2) !=
      std::string{static_cast<char>('0' + fields.day / 10), static_cast<char>('0' + fields.day % 10)}) {
    return std::nullopt;
  }
  return midnight + Seconds{fields.hour} * 3600 + Seconds{fields.minute} * 60 + fields.second;
}

// The day's name is redundant, so it only has to look like one.
bool is_day_name(std::string_view text) {
  return text.size() >= 3 &&
         std::all_of(text.begin(), text.end(), [](char c) { return lower(c) >= 'a' && lower(c) <= 'z'; });
}

// Cuts the first list member off `text`; commas inside quotes do not count.
std::string_view next_member(std::string_view& text) {
  bool quoted = false;
  std::size_t end = 0;
  for (; end < text.size() && (quoted || text[end] != ','); ++end) {
    if (text[end] == '"') {
      quoted = !quoted;
    } else if (quoted && text[end] == '\\') {
      ++end;
    }
  }
  const std::string_view member = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return trim(member);
}

}  // namespace

bool is_plain_coding(std::string_view content_encoding) {
  static constexpr std::array<std::string_view, 7> kPlain = {"identity", "none",  "binary", "8bit",
                                                             "7bit",     "utf-8", "utf8"};
  while (!content_encoding.empty()) {
    const std::string_view coding = next_member(content_encoding);
    const auto is_coding = [coding](std::string_view each) { return equals_ignoring_case(each, coding); };
    if (!coding.empty() && std::none_of(kPlain.begin(), kPlain.end(), is_coding)) {
      return false;
    }
  }
  return true;
}

std::optional<UnixSeconds> parse_http_date(std::string_view text) {
  text = trim(text);
  const std::size_t name_end = std::min(text.find_first_of(", "), text.size());
  if (!is_day_name(text.substr(0, name_end))) {
    return std::nullopt;
  }
  const std::string_view rest = text.substr(name_end);
  DateFields fields;
  if (match(rest, ", DD bbb YYYY hh:mm:ss GMT", fields) || match(rest, " bbb _D hh:mm:ss YYYY", fields = {})) {
    return to_time(fields);
  }
  if (match(rest, ", DD-bbb-YY hh:mm:ss GMT", fields = {})) {
    fields.year += fields.year < 70 ? 2000 : 1900;
    return to_time(fields);
  }
  return std::nullopt;
}

std::optional<Seconds> parse_delta_seconds(std::string_view text) {
  constexpr Seconds kLargest = Seconds{1} << 31;
  if (text.empty()) {
    return std::nullopt;
  }
  Seconds value = 0;
  for (char c : text) {
    if (!is_digit(c)) {
      return std::nullopt;
    }
    value = std::min(value * 10 + (c - '0'), kLargest);
  }
  return value;
}

std::optional<Seconds> parse_max_age(std::string_view cache_control) {
  while (!cache_control.empty()) {
    const std::string_view directive = next_member(cache_control);
    const std::size_t equals = directive.find('=');
    if (equals == std::string_view::npos || !equals_ignoring_case(directive.substr(0, equals), "max-age")) {
      continue;
    }
    std::string_view argument = directive.substr(equals + 1);
    if (argument.size() >= 2 && argument.front() == '"' && argument.back() == '"') {
      argument = argument.substr(1, argument.size() - 2);
    }
    return parse_delta_seconds(argument);
  }
  return std::nullopt;
}

}  // namespace ocsp_plus::net
