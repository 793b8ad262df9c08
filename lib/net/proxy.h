// An HTTP proxy that leads to responders.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "net/url.h"

namespace ocsp_plus::net {

struct Proxy {
  Url url;                    // http; without user and password
  std::string authorization;  // value of Proxy-Authorization (RFC 7617); empty: none. Never to be shown

  // "http://[user[:password]@]host[:port]", user and password percent-encoded where need be. kUrlMalformed,
  // kUrlScheme; their text shows neither user nor password.
  static Result<Proxy> parse(std::string_view text);
};

}  // namespace ocsp_plus::net
