// What HTTP says of how old an answer is, and how long it is the newest. Pure. Header fields are not authenticated:
// they guide when to ask again, never what is believed.
#pragma once

#include <optional>

#include "base/time.h"
#include "net/http_response.h"

namespace ocsp_plus::engine {

// Two clocks that are right, a responder's and ours, may be so far apart.
constexpr Seconds kClocksDiffer = 300;

// When there may be something newer (RFC 9919 section 5): by max-age less Age, else by Expires. Nothing where HTTP
// does not say.
std::optional<UnixSeconds> fresh_until(const net::HttpHead& head, UnixSeconds now);

// When the responder itself gave the answer: now; of an answer that a cache has kept (it has an Age, or a Date that
// lies further back than clocks may differ), its Date less its Age. Never after `now`.
UnixSeconds confirmed_at(const net::HttpHead& head, UnixSeconds now);

}  // namespace ocsp_plus::engine
