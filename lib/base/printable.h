// Text that others wrote, on its way to people: certificates, responders, file names and URLs may hold anything,
// including what moves a terminal's cursor, ends a line or reverses the direction of writing. The one place that
// knows which characters those are; log lines, the command line, JSON and metrics are all written through it.
//
// Unsafe are control characters (C0, DEL, C1), line and paragraph separators, and format characters (Unicode's
// general categories Cc, Zl, Zp and Cf), among them those for bidirectional text and those that take no room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ocsp_plus {

// One character at the beginning of a text, RFC 3629.
struct Character {
  enum class Kind { kSafe, kUnsafe, kInvalid };  // kInvalid: a byte that is part of no UTF-8 sequence
  Kind kind;
  char32_t code;      // of kInvalid the byte
  std::size_t bytes;  // 1 to 4
};
// REQUIRES: `text` is not empty.
Character first_character(std::string_view text);

// Each byte of what is unsafe or no UTF-8 as \xNN. What is escaped already stays as it is: a backslash is safe.
std::string printable(std::string_view text);

// The same into a buffer of `size` bytes, terminated; cut where it does not fit, between characters. Allocates
// nothing. Returns the length. REQUIRES: `size` > 0.
std::size_t print_into(std::string_view text, char* to, std::size_t size) noexcept;

// A JSON text with unsafe characters as \uNNNN, which means the same to who parses it. `json` is valid UTF-8, and
// control characters in its strings are escaped already; line feeds between its tokens stay.
std::string printable_json(std::string_view json);

}  // namespace ocsp_plus
