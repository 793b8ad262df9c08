// The HTTP proxy through which responders are reached.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "net/url.h"

namespace ocsp_plus::net {

struct Proxy {
  Url url;                    // http; without the credentials
  std::string authorization;  // value of Proxy-Authorization (RFC 7617); empty: none. Must never be shown

  // "http://[user[:password]@]host[:port]", user and password percent-encoded if necessary. Errors: kUrlMalformed,
  // kUrlScheme; their text shows no credentials.
  static Result<Proxy> parse(std::string_view text);
};

}  // namespace ocsp_plus::net
