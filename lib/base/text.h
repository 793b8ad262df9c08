// Text as protocols have it: ASCII, whatever the locale.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ocsp_plus {

constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
std::string lower(std::string_view text);
inline bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}
bool equals_ignoring_case(std::string_view a, std::string_view b);

// Returns `text` without the white space of RFC 9110 section 5.6.3 (spaces and tabs) on both sides.
std::string_view trim(std::string_view text);

// Decodes RFC 3986 section 2.1; a "%" without two hexadecimal digits behind it stays as it is.
std::string percent_decoded(std::string_view text);

// FNV-1a with 64 bits, the same in all processes. It keeps accidents apart, not attackers.
constexpr std::uint64_t kFnvBasis = 0xcbf29ce484222325;
std::uint64_t fnv1a(std::string_view text, std::uint64_t sum = kFnvBasis) noexcept;

}  // namespace ocsp_plus
