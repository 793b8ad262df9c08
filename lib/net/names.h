// Tells which names need a resolver.
#pragma once

#include <string_view>

#include "net/url.h"

namespace ocsp_plus::net {

// Returns whether a name is loopback by itself and never looked up: "localhost" and names below it (RFC 6761 section
// 6.3).
bool is_localhost(std::string_view name);

// Returns whether the URL's host must be looked up before it can be connected to.
inline bool is_looked_up(const Url& url) {
  return !url.ip_literal && !is_localhost(url.host);
}

}  // namespace ocsp_plus::net
