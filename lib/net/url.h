// Responder URLs, a narrow subset of RFC 3986. The parser is our own, because what it accepts decides where we
// connect.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ocsp_plus::net {

struct Url {
  bool https = false;
  std::string host;        // lower case; an IPv6 literal without its brackets
  std::uint16_t port = 0;  // always set: 80 or 443 if the URL has none
  std::string target;      // path and query as sent; at least "/"
  bool ip_literal = false;

  // Accepts http and https; a host of letters, digits, "-", "_" and ".", or an IP literal (not "127.1" or
  // "2130706433", which only some resolvers read as addresses); no user information; printable ASCII; at most 2048
  // bytes. Keeps percent-encodings and drops a fragment. Errors: kUrlMalformed, kUrlScheme.
  static Result<Url> parse(std::string_view text);

  // Resolves a Location header against this URL (absolute, "//host/…", "/path", relative path), RFC 3986 section 5;
  // dot segments are removed. Errors as parse().
  Result<Url> resolve(std::string_view reference) const;

  std::string to_string() const;  // without a default port
  std::string authority() const;  // "host[:port]" as the Host header wants it, brackets included
  std::string host_key() const;   // "host:port": the key for limits and health
};

}  // namespace ocsp_plus::net
