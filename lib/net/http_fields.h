// Parsers for HTTP header fields. The values are untrusted: a value that violates the grammar counts as absent,
// numbers saturate.
#pragma once

#include <optional>
#include <string_view>

#include "base/time.h"

namespace ocsp_plus::net {

// An HTTP-date in any of the three forms of RFC 9110 section 5.6.7. A two-digit year is 1970 to 2069.
std::optional<UnixSeconds> parse_http_date(std::string_view text);

// delta-seconds of RFC 9111 section 1.2.2: digits only, capped at 2^31.
std::optional<Seconds> parse_delta_seconds(std::string_view text);

// The first max-age of a Cache-Control field, quoted or not (RFC 9111 section 5.2); nothing if it is no number.
std::optional<Seconds> parse_max_age(std::string_view cache_control);

// Returns whether a Content-Encoding leaves the body unchanged: an empty value, "identity" (RFC 9110 section 8.4.1),
// or what some servers send in its place: "none", "binary", "8bit", "7bit", "UTF-8".
bool is_plain_coding(std::string_view content_encoding);

}  // namespace ocsp_plus::net
