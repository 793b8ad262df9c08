// The age and freshness of an answer according to HTTP. Pure. Header fields are not authenticated: they guide when to
// ask again, never what is believed.
#pragma once

#include <optional>

#include "base/time.h"
#include "net/http_response.h"

namespace ocsp_plus::engine {

// How far two correct clocks, a responder's and ours, may be apart.
constexpr Seconds kClocksDiffer = 300;

// When a newer response may exist (RFC 9919 section 5): from max-age less Age, else from Expires. Nothing where HTTP
// does not say.
std::optional<UnixSeconds> fresh_until(const net::HttpHead& head, UnixSeconds now);

// How long ago the answer left the responder (RFC 9111 section 4.2.3): its Age or, if that is more, the time since
// its Date; a Date that is no further back than clocks may differ does not count.
Seconds age_of(const net::HttpHead& head, UnixSeconds now);

// When the responder itself gave the answer: `now`, or, if a cache served it (it has an Age, or a Date further back
// than clocks may differ), its Date less its Age. Never after `now`.
UnixSeconds confirmed_at(const net::HttpHead& head, UnixSeconds now);

}  // namespace ocsp_plus::engine
