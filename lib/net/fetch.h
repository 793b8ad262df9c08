// One exchange with one responder URL: resolve, connect to one address after the other, send, parse, follow up to
// three redirects; one deadline for all of it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/ports.h"
#include "base/result.h"
#include "net/http_response.h"
#include "net/resolver.h"
#include "net/url.h"

namespace ocsp_plus::net {

// Told each step of an exchange in words, for people who look for a fault: names, addresses, the request (lines that
// begin with ">"), the answer's header ("<"), why a step failed. Bytes of others are quoted in it.
using Trace = std::function<void(const std::string& step)>;

struct FetchRequest {
  Url url;
  Bytes body;              // the DER of the OCSP request
  std::string get_path;    // the same for a GET: base64, percent-encoded
  Millis timeout = 10000;  // DNS to last byte, redirects included
  bool no_cache = false;   // sends Cache-Control: no-cache, after a cache on the way gave a response that had ended
  HttpLimits limits;
  Trace trace;  // empty: nobody listens
};

struct FetchResponse {
  HttpResponse http;  // status 200; content type is not judged: some responders send it wrong
  Address peer;       // who answered
  Millis took = 0;
  bool get = true;  // asked by GET or by POST
};

// Errors carry the HTTP status, address or errno in their text. kHttpStatus for anything but 200 after redirects;
// kUrlScheme for https, which is not supported yet; a deadline that ends while the name is resolved is kDnsTimeout.
// An Error from an HTTP answer may come with guidance (Retry-After): `retry_after` of the failure below.
class Fetch {
 public:
  struct Failure : Error {
    std::optional<UnixSeconds> retry_after;  // from a 429 or 503
    std::optional<UnixSeconds> date;         // the responder's Date, where there was an answer
  };
  using Outcome = tl::expected<FetchResponse, Failure>;
  using Callback = std::function<void(Outcome)>;

  virtual ~Fetch() = default;  // cancels: DNS, socket and timers end, the callback is not called any more

  // GET where scheme, host, path and encoded request together are at most 255 bytes, POST otherwise (RFC 9919
  // section 6.1) and where the URL has a query. Redirects: only to the same scheme, at most three, none twice; a POST
  // stays a POST. While more addresses follow, one gets half of the time that is left, a second at least, until its
  // first byte is here; then all of it. Of several addresses the last one's error is told, unless that is only
  // kConnectUnreachable. The callback is called once, from the loop, never before start() returns; it may destroy the
  // Fetch.
  // `loop`, `clock` and `resolver` must outlive the Fetch.
  static std::unique_ptr<Fetch> start(EventLoop& loop, const Clock& clock, Resolver& resolver, FetchRequest request,
                                      Callback callback);
};

}  // namespace ocsp_plus::net
