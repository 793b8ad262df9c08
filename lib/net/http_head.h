// The head of an HTTP response, mended before the parser sees it: a responder that writes sloppy HTTP may still sign
// what it sends. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ocsp_plus::net {

// The size of the head that `bytes` begin with, its empty line included; nothing where its end has not come yet.
// Lines end with CRLF, or with LF alone (RFC 9112 section 2.2). The first `searched` bytes are known to hold no end.
std::optional<std::size_t> head_size(std::string_view bytes, std::size_t searched = 0);

// The same head as RFC 9112 would have it:
// - every line ends with CRLF;
// - a status line that ends with its code gets the blank that has to follow (section 4);
// - "identity" is taken out of Transfer-Encoding, where it once meant that nothing was done (RFC 2616 section 3.6);
// - one Content-Length stands for several that are equal (section 6.3).
// Refused (kHttpMalformed) is what two readers may take for two things: a NUL; a CR that ends no line; white space
// before the first field; a field of framing that is folded; two lengths that differ, or a length beside another
// transfer coding. The rest is the parser's to judge.
//
// REQUIRES: `head` is of head_size().
Result<std::string> normal_head(std::string_view head);

}  // namespace ocsp_plus::net
