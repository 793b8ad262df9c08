// Parses HTTP/1.x responses with Boost.Beast, which only the .cc includes. net/http_head.h repairs a sloppy head
// first.
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

// The header fields that influence the next attempt and the log. Headers are not authenticated: they are hints. A
// field that violates its grammar counts as absent, "Expires: 0" too (RFC 9111 section 5.3 reads it as the past, but
// web frameworks send it by default, whatever the response).
struct HttpHead {
  unsigned status = 0;
  std::string content_type;
  std::string location;
  std::optional<UnixSeconds> date;
  std::optional<Seconds> max_age;  // Cache-Control
  std::optional<UnixSeconds> expires;
  std::optional<Seconds> age;
  std::optional<UnixSeconds> retry_after;  // a point in time; seconds count from take()'s `now`
  std::string etag;                        // verbatim, to be sent back; absent if over 256 bytes
  std::string last_modified;               // as `etag`
  bool from_proxy = false;  // a proxy marks the response as its own (RFC 9209, and common proxies' headers)
  bool keep_alive = false;

  // The origin server's current time: Date, plus the Age that an HTTP cache adds (RFC 9111 section 5.1).
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
  bool tunnel = false;  // the response to CONNECT: it ends with its header, and no HTTP follows
};

// An incremental parser: feed it bytes as they arrive until it completes or fails. It skips 1xx responses. It refuses
// a body over the limit as soon as possible, by Content-Length before the body arrives. A response with a status
// other than 200 is complete with its header, so that a large or slow error page costs nothing. Exception: a body of
// type application/ocsp-response that is not encoded and within the limit is read, because some responders send OCSP
// errors with 401 or 500. A redirect's body is never read.
//
// Uses at most three times the limits in memory.
class HttpResponseParser {
 public:
  explicit HttpResponseParser(HttpLimits limits);
  ~HttpResponseParser();
  HttpResponseParser(const HttpResponseParser&) = delete;
  HttpResponseParser& operator=(const HttpResponseParser&) = delete;

  // Returns true when the response is complete; bytes after it are ignored and make the connection unfit for reuse.
  // Errors: kHttpMalformed (also for a content coding, since none was requested, but see is_plain_coding()),
  // kHeadersTooLarge, kTooLarge. Feed nothing after an error.
  Result<bool> feed(ByteView bytes);
  // Call when the peer has closed. Returns true if that completes the response (a body that ends with the
  // connection), else kTruncated.
  Result<bool> finish();
  // REQUIRES: complete, not taken yet. `now` turns Retry-After seconds into a point in time.
  HttpResponse take(UnixSeconds now);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ocsp_plus::net
