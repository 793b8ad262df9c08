#include "base/printable.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace ocsp_plus {
namespace {

struct Range {
  char32_t first, last;
};

// Ranges in ascending order; those of Cf as in Unicode 16.
constexpr std::array kUnsafe = {
    Range{0x0000, 0x001f},   Range{0x007f, 0x009f},   Range{0x00ad, 0x00ad},   Range{0x0600, 0x0605},
    Range{0x061c, 0x061c},   Range{0x06dd, 0x06dd},   Range{0x070f, 0x070f},   Range{0x0890, 0x0891},
    Range{0x08e2, 0x08e2},   Range{0x180e, 0x180e},   Range{0x200b, 0x200f},   Range{0x2028, 0x202e},
    Range{0x2060, 0x206f},   Range{0xfeff, 0xfeff},   Range{0xfff9, 0xfffb},   Range{0x110bd, 0x110bd},
    Range{0x110cd, 0x110cd}, Range{0x13430, 0x1343f}, Range{0x1bca0, 0x1bca3}, Range{0x1d173, 0x1d17a},
    Range{0xe0000, 0xe007f},
};

bool is_unsafe(char32_t code) {
  const auto* const range =
      std::find_if(kUnsafe.begin(), kUnsafe.end(), [code](const Range& each) { return code <= each.last; });
  return range != kUnsafe.end() && code >= range->first;
}

struct Lead {
  std::size_t bytes;
  unsigned char mask;       // bits of the lead byte that belong to the code point
  unsigned char low, high;  // range of the second byte
};

// Classifies a lead byte (RFC 3629 section 4), excluding overlong forms, surrogates and values above U+10FFFF.
Lead lead_of(unsigned char byte) {
  if (byte < 0x80) {
    return {1, 0x7f, 0, 0};
  }
  if (byte >= 0xc2 && byte <= 0xdf) {
    return {2, 0x1f, 0x80, 0xbf};
  }
  if (byte >= 0xe0 && byte <= 0xef) {
    return {3, 0x0f, static_cast<unsigned char>(byte == 0xe0 ? 0xa0 : 0x80),
            static_cast<unsigned char>(byte == 0xed ? 0x9f : 0xbf)};
  }
  if (byte >= 0xf0 && byte <= 0xf4) {
    return {4, 0x07, static_cast<unsigned char>(byte == 0xf0 ? 0x90 : 0x80),
            static_cast<unsigned char>(byte == 0xf4 ? 0x8f : 0xbf)};
  }
  return {0, 0, 0, 0};
}

constexpr std::size_t kLongest = 16;  // four bytes as \xNN

// Writes the printable form of `found`, the first character of `text`, to `out`. Returns its length.
std::size_t shown(std::string_view text, const Character& found, std::array<char, kLongest>* out) {
  static constexpr char kDigits[] = "0123456789abcdef";
  char* at = out->data();
  for (const char character : text.substr(0, found.bytes)) {
    if (found.kind == Character::Kind::kSafe) {
      *at++ = character;
      continue;
    }
    const auto byte = static_cast<unsigned char>(character);
    *at++ = '\\';
    *at++ = 'x';
    *at++ = kDigits[byte >> 4];
    *at++ = kDigits[byte & 0x0f];
  }
  return static_cast<std::size_t>(at - out->data());
}

}  // namespace

Character first_character(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  const Lead lead = lead_of(first);
  const Character invalid = {Character::Kind::kInvalid, first, 1};
  if (lead.bytes == 0 || text.size() < lead.bytes) {
    return invalid;
  }
  char32_t code = first & lead.mask;
  for (std::size_t i = 1; i < lead.bytes; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < (i == 1 ? lead.low : 0x80) || byte > (i == 1 ? lead.high : 0xbf)) {
      return invalid;
    }
    code = code << 6 | (byte & 0x3fU);
  }
  return {is_unsafe(code) ? Character::Kind::kUnsafe : Character::Kind::kSafe, code, lead.bytes};
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  std::array<char, kLongest> piece = {};
  while (!text.empty()) {
    const Character found = first_character(text);
    out.append(piece.data(), shown(text, found, &piece));
    text.remove_prefix(found.bytes);
  }
  return out;
}

std::size_t print_into(std::string_view text, char* to, std::size_t size) noexcept {
  std::size_t length = 0;
  std::array<char, kLongest> piece = {};
  while (!text.empty()) {
    const Character found = first_character(text);
    const std::size_t count = shown(text, found, &piece);
    if (length + count >= size) {
      break;
    }
    std::copy_n(piece.data(), count, to + length);
    length += count;
    text.remove_prefix(found.bytes);
  }
  to[length] = '\0';
  return length;
}

std::string printable_json(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  while (!json.empty()) {
    const Character found = first_character(json);
    if (found.kind == Character::Kind::kSafe || found.code < 0x20) {
      out.append(json.substr(0, found.bytes));
    } else if (found.code < 0x10000) {
      out += fmt::format("\\u{:04x}", static_cast<std::uint32_t>(found.code));
    } else {
      const std::uint32_t code = static_cast<std::uint32_t>(found.code) - 0x10000;
      out += fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + (code >> 10), 0xdc00 + (code & 0x3ff));
    }
    json.remove_prefix(found.bytes);
  }
  return out;
}

}  // namespace ocsp_plus
