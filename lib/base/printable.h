// Escapes untrusted text for display: certificates, responders, file names and URLs may contain characters that move
// a terminal's cursor, end a line or reverse the writing direction. Log lines, the command line, JSON and metrics all
// use these functions.
//
// Unsafe characters are control characters (C0, DEL, C1), line and paragraph separators, and format characters, among
// them bidirectional controls and zero-width characters: Unicode's general categories Cc, Zl, Zp and Cf.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ocsp_plus {

// The first character of a UTF-8 text (RFC 3629).
struct Character {
  enum class Kind { kSafe, kUnsafe, kInvalid };  // kInvalid: a byte that is part of no UTF-8 sequence
  Kind kind;
  char32_t code;      // the byte itself if kInvalid
  std::size_t bytes;  // 1 to 4
};
// REQUIRES: `text` is not empty.
Character first_character(std::string_view text);

// Returns `text` with each byte of an unsafe character or of invalid UTF-8 as \xNN. A backslash is safe, so text that
// is escaped already does not change.
std::string printable(std::string_view text);

// Writes printable(text) into a buffer of `size` bytes, NUL-terminated, cut between characters if it does not fit.
// Allocates nothing. Returns the length without the NUL. REQUIRES: `size` > 0.
std::size_t print_into(std::string_view text, char* to, std::size_t size) noexcept;

// Returns `json` with unsafe characters as \uNNNN, which a parser reads as the same text. Line feeds between tokens
// stay. REQUIRES: `json` is valid UTF-8 with the control characters in its strings escaped.
std::string printable_json(std::string_view json);

}  // namespace ocsp_plus
