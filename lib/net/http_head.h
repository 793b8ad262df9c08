// Repairs the head of an HTTP response before the parser sees it: a responder with sloppy HTTP may still send valid
// OCSP responses. Pure functions.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ocsp_plus::net {

// Returns the size of the head at the start of `bytes`, its empty line included; nothing if the head is incomplete.
// Lines end with CRLF or LF (RFC 9112 section 2.2). The first `searched` bytes are known to contain no end.
std::optional<std::size_t> head_size(std::string_view bytes, std::size_t searched = 0);

// Returns the head in the form of RFC 9112:
// - every line ends with CRLF;
// - a status line that ends with its code gets the required space after it (section 4);
// - "identity" is removed from Transfer-Encoding, where it meant "not encoded" (RFC 2616 section 3.6);
// - several equal Content-Length fields become one (section 6.3).
// Refuses what two parsers may read differently (kHttpMalformed): a NUL; a CR inside a line; white space before the
// first field; a folded framing field; two different lengths, or a length beside a transfer coding. The parser checks
// the rest.
//
// REQUIRES: `head` has the size that head_size() returned.
Result<std::string> normal_head(std::string_view head);

}  // namespace ocsp_plus::net
