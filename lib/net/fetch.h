// Fetches one URL, a responder's or an issuer document's: resolves, connects (optionally through a proxy and over
// TLS), sends, parses and follows up to three redirects, all within one deadline.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ports.h"
#include "base/result.h"
#include "base/tls.h"
#include "net/http_response.h"
#include "net/trace.h"
#include "net/transport.h"
#include "net/url.h"

namespace ocsp_plus::net {

// Validators of a response, with which a later request asks whether it has changed (RFC 9110 section 13.1).
struct Validators {
  std::string etag;
  std::string last_modified;

  bool empty() const { return etag.empty() && last_modified.empty(); }
};

// How an OCSP request is sent (RFC 6960 appendix A.1): in the path, or as the body.
enum class Method { kGet = 1, kPost = 2 };  // shared memory stores the numbers

struct FetchRequest {
  Url url;
  Bytes body;                    // the DER of the OCSP request
  std::string get_path;          // the request in base64, percent-encoded, for a GET
  std::optional<Method> method;  // nothing: usual_method()
  std::string accept;            // not empty: media types of a document to GET in place of an OCSP response
  Millis timeout = 10000;        // DNS to last byte, redirects included
  bool no_cache = false;         // sends Cache-Control: no-cache, after an HTTP cache served an expired response
  Validators validators;         // not empty: 304 (not modified) is an answer too; GET only
  TlsClient* tls = nullptr;      // for https; must outlive the Transport. nullptr: https fails with kTlsFailed
  HttpLimits limits;
  Trace trace;  // empty: no trace
  // Returns whether an address may be connected to; called after DNS and again after each redirect. nullptr: all may.
  // Other addresses are skipped; kAddressForbidden if none is left. Behind a proxy, which resolves names itself, only
  // IP literals in URLs are checked.
  bool (*permits)(const Address& address) = nullptr;
  // Url::host_key() of hosts that the operator has configured: a redirect may lead to them whatever their addresses
  // (net/redirect.h).
  std::vector<std::string> named;
};

// Returns whether the request can be sent by GET. A URL with a query needs POST: RFC 6960 forms a GET's URL by
// appending, and does not say what that means after a query.
bool can_get(const FetchRequest& request);
// Returns GET if scheme, host, path and encoded request have at most 255 bytes in all, else POST (RFC 9919 section
// 6.1).
Method usual_method(const FetchRequest& request);

struct FetchResponse {
  // Status 200, or 304 if validators were sent, with any content type: some responders send a wrong one. Any other
  // status only with a body of type application/ocsp-response; then the head's caching fields and validators are left
  // out, because they describe the error.
  HttpResponse http;
  Address peer;  // the server that answered; the proxy if there is one
  Millis took = 0;
  bool get = true;  // sent by GET; false: by POST
  Validators validators;

  unsigned status() const { return http.head.status; }
  bool not_modified() const { return status() == 304; }
  bool under_error() const { return status() != 200 && !not_modified(); }
};

// Errors name the HTTP status, address or errno in their text. kHttpStatus: a final status other than 200 without an
// OCSP response; kRedirectForbidden: net/redirect.h permits no address; kDnsTimeout: the deadline passed while the
// name was being resolved. With a proxy, errors on the way to it and the proxy's own errors are kProxyFailed,
// kProxyAuth or kProxyRefused.
class Fetch {
 public:
  struct Failure : Error {
    Failure(Error error = {}) : Error(std::move(error)) {}  // whatever failed, without the rest

    std::optional<UnixSeconds> retry_after;  // asked for with a 429 or 503
    unsigned status = 0;                     // the HTTP answer's; 0: there was none
    bool request_mangled = false;            // a redirect dropped slashes from a GET's request
    // The proxy itself fails or refuses our credentials, whatever the responder's state.
    bool of_proxy() const { return reason == Reason::kProxyAuth || (reason == Reason::kProxyFailed && status == 0); }
    std::optional<UnixSeconds> date;  // the server's time, if it answered
  };
  using Outcome = tl::expected<FetchResponse, Failure>;
  using Callback = std::function<void(Outcome)>;

  virtual ~Fetch() = default;  // cancels DNS, socket and timers; the callback will not run

  // Starts a fetch with request.method, or POST if can_get() is false. Follows at most three redirects, to the same
  // scheme or from http to https, no URL twice, and none into the internal network (net/redirect.h); a POST stays a
  // POST. A redirect that drops slashes from a GET's request is not followed, because the request would be another
  // one (kHttpStatus, request_mangled). Connections are kept for the next fetch if the peer allows it; an idle
  // connection that fails is replaced once, without an error.
  //
  // Addresses are raced as net/connector.h describes. While untried addresses are left, a connected one must send its
  // first byte within half of the remaining time, at least a second; then it may use all of it. The error is the last
  // address's, unless that is only kConnectUnreachable. The callback is called once, from the loop, never before
  // start() returns; it may destroy the Fetch. `transport` must outlive the Fetch.
  static std::unique_ptr<Fetch> start(Transport& transport, FetchRequest request, Callback callback);
};

}  // namespace ocsp_plus::net
