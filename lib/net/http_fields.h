// Values of the HTTP header fields that guide the next look. All of it was written by somebody else: what does not
// follow the grammar counts as absent, numbers saturate.
#pragma once

#include <optional>
#include <string_view>

#include "base/time.h"

namespace ocsp_plus::net {

// An HTTP-date in any of the three forms of RFC 9110 section 5.6.7. A two-digit year is 1970 to 2069.
std::optional<UnixSeconds> parse_http_date(std::string_view text);

// delta-seconds of RFC 9111 section 1.2.2: digits only; what is larger than 2^31 is 2^31.
std::optional<Seconds> parse_delta_seconds(std::string_view text);

// The first max-age of a Cache-Control field, also when it is quoted (RFC 9111 section 5.2). An argument that is no
// number makes it absent.
std::optional<Seconds> parse_max_age(std::string_view cache_control);

// Whether a Content-Encoding says that the body is as it is: nothing at all, "identity" (RFC 9110 section 8.4.1), or
// what is written there in its place by those who mean a type or a charset: "none", "binary", "8bit", "7bit",
// "UTF-8".
bool is_plain_coding(std::string_view content_encoding);

}  // namespace ocsp_plus::net
