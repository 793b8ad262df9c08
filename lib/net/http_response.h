// HTTP/1.x responses, parsed by Boost.Beast, which is confined to the .cc: no other file sees it.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"

namespace ocsp_plus::net {

// What guides the next look and the log. Headers are not authenticated: guidance only.
struct HttpHead {
  unsigned status = 0;
  std::string content_type;
  std::string location;
  std::optional<UnixSeconds> date;
  std::optional<Seconds> max_age;  // Cache-Control
  std::optional<UnixSeconds> expires;
  std::optional<Seconds> age;
  std::optional<UnixSeconds> retry_after;  // as a point in time; seconds are counted from `now` given to feed()
  bool keep_alive = false;
};

struct HttpResponse {
  HttpHead head;
  Bytes body;
};

struct HttpLimits {
  std::size_t headers = 16 * 1024;
  std::size_t body = 64 * 1024;
};

// Feed it bytes as they arrive until it is done or fails. 1xx responses are skipped. A body is refused as soon as it
// is known to be over the limit, by its Content-Length before it arrives.
class HttpResponseParser {
 public:
  explicit HttpResponseParser(HttpLimits limits);
  ~HttpResponseParser();
  HttpResponseParser(const HttpResponseParser&) = delete;
  HttpResponseParser& operator=(const HttpResponseParser&) = delete;

  // true: the response is complete. Errors: kHttpMalformed, kHeadersTooLarge, kTooLarge.
  Result<bool> feed(ByteView bytes);
  // The peer closed. true: complete (a body that runs to the end of the connection). kTruncated otherwise.
  Result<bool> finish();
  // REQUIRES: complete. `now` turns Retry-After seconds into a point in time.
  HttpResponse take(UnixSeconds now);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// An HTTP-date in any of the three forms of RFC 9110 section 5.6.7.
std::optional<UnixSeconds> parse_http_date(std::string_view text);

}  // namespace ocsp_plus::net
