// HTTP/1.x responses, parsed by Boost.Beast, which is confined to the .cc: no other file sees it. A head that is only
// sloppy is mended before (net/http_head.h).
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"
#include "net/http_fields.h"

namespace ocsp_plus::net {

// What guides the next look and the log. Headers are not authenticated: guidance only. A field whose value does not
// follow its grammar counts as absent, also "Expires: 0" (RFC 9111 section 5.3 would have it mean the past; here it
// is the habit of a framework and says nothing about the response).
struct HttpHead {
  unsigned status = 0;
  std::string content_type;
  std::string location;
  std::optional<UnixSeconds> date;
  std::optional<Seconds> max_age;  // Cache-Control
  std::optional<UnixSeconds> expires;
  std::optional<Seconds> age;
  std::optional<UnixSeconds> retry_after;  // as a point in time; seconds are counted from `now` given to feed()
  std::string etag;                        // as it stands, to be sent back; at most 256 bytes, else absent
  std::string last_modified;               // likewise
  bool from_proxy = false;                 // a proxy says that these are its own words (RFC 9209, and common ones)
  bool keep_alive = false;

  // What time it is by the Date of whoever made the response; a cache may have kept it since (RFC 9111 section 5.1).
  std::optional<UnixSeconds> time() const {
    return date.has_value() ? std::optional(saturating_add(*date, age.value_or(0))) : std::nullopt;
  }
};

struct HttpResponse {
  HttpHead head;
  Bytes body;
};

struct HttpLimits {
  std::size_t headers = std::size_t{16} * 1024;
  std::size_t body = std::size_t{64} * 1024;
  bool tunnel = false;  // the answer to a CONNECT: it ends with its header, and what follows is not HTTP
};

// Feed it bytes as they arrive until it is done or fails. 1xx responses are skipped. A body is refused as soon as it
// is known to be over the limit, by its Content-Length before it arrives. With a status other than 200 the response
// is complete as soon as its header is: nobody wants the body of an error page, however large or slow it is. Unless
// the body is of type application/ocsp-response, not packed and within the limit: responders say under 401 or 500
// what RFC 6960 has a body for. A redirect's is never read.
//
// Holds at most thrice the limits in memory.
class HttpResponseParser {
 public:
  explicit HttpResponseParser(HttpLimits limits);
  ~HttpResponseParser();
  HttpResponseParser(const HttpResponseParser&) = delete;
  HttpResponseParser& operator=(const HttpResponseParser&) = delete;

  // true: the response is complete; what follows it is ignored and the connection not fit for another exchange.
  // Errors: kHttpMalformed (also a content coding: none was asked for; what is no coding, such as "none", is passed
  // over), kHeadersTooLarge, kTooLarge. Nothing may be
  // fed after an error.
  Result<bool> feed(ByteView bytes);
  // The peer closed. true: complete (a body that runs to the end of the connection). kTruncated otherwise.
  Result<bool> finish();
  // REQUIRES: complete, not taken yet. `now` turns Retry-After seconds into a point in time.
  HttpResponse take(UnixSeconds now);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ocsp_plus::net
