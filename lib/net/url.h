// Responder URLs. The one small parser that is our own: responder URLs are a narrow subset (RFC 3986), and what is
// accepted here decides whom we connect to.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ocsp_plus::net {

struct Url {
  bool https = false;
  std::string host;        // lower case; an IPv6 literal without its brackets
  std::uint16_t port = 0;  // always set: 80 or 443 where the URL names none
  std::string target;      // path and query as they are sent; at least "/"
  bool ip_literal = false;

  // http or https, a host of letters, digits, "-", "_" and "." or an IP literal (not "127.1" or "2130706433", which
  // are addresses to some and names to others), no user information, printable ASCII only, percent-encodings kept as
  // they are, at most 2048 bytes; a fragment is dropped. kUrlMalformed, or kUrlScheme for another scheme.
  static Result<Url> parse(std::string_view text);

  // Resolves a Location header against this URL (absolute, "//host/…", "/path", relative path), RFC 3986 section 5;
  // dot segments are removed. Errors as parse().
  Result<Url> resolve(std::string_view reference) const;

  std::string to_string() const;  // without a default port
  std::string authority() const;  // "host[:port]" as the Host header wants it, brackets included
  std::string host_key() const;   // "host:port": what limits and health are counted by
};

}  // namespace ocsp_plus::net
