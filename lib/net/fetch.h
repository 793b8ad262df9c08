// One exchange with one URL, a responder's or that of a document: resolve, connect, through a proxy and over TLS
// where that is asked for, send, parse, follow up to three redirects; one deadline for all of it.
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

// What a response came with, by which a later request asks whether it is still the same (RFC 9110 section 13.1).
struct Validators {
  std::string etag;
  std::string last_modified;

  bool empty() const { return etag.empty() && last_modified.empty(); }
};

// How an OCSP request travels (RFC 6960 appendix A.1): in the path, or as the body.
enum class Method { kGet = 1, kPost = 2 };  // the numbers stand in shared memory

struct FetchRequest {
  Url url;
  Bytes body;                    // the DER of the OCSP request
  std::string get_path;          // the same for a GET: base64, percent-encoded
  std::optional<Method> method;  // nothing: usual_method()
  std::string accept;        // not empty: media types of a document that is asked for in place of a response, by GET
  Millis timeout = 10000;    // DNS to last byte, redirects included
  bool no_cache = false;     // sends Cache-Control: no-cache, after a cache on the way gave a response that had ended
  Validators validators;     // not empty: "nothing new" (304) is an answer too; with GET only
  TlsClient* tls = nullptr;  // for https, also after a redirect; outlives the Transport. nullptr: kTlsFailed
  HttpLimits limits;
  Trace trace;  // empty: nobody listens
  // Which addresses may be connected to, asked after DNS and again after each redirect; nullptr: any. Others are
  // passed over; where none is left it is kAddressForbidden. Behind a proxy, which resolves by itself, only addresses
  // that stand in the URL are looked at.
  bool (*permits)(const Address& address) = nullptr;
  // Url::host_key() of those whom the operator has named: a redirect may lead to them wherever they are
  // (net/redirect.h).
  std::vector<std::string> named;
};

// A URL that has a query can be asked by POST only: what both mean together nobody knows, since RFC 6960 forms the
// URL of a GET by appending.
bool can_get(const FetchRequest& request);
// GET where scheme, host, path and encoded request together are at most 255 bytes, POST otherwise (RFC 9919 section
// 6.1).
Method usual_method(const FetchRequest& request);

struct FetchResponse {
  // Status 200 or, where validators were sent, 304; the content type is not judged: some responders send it wrong. Or
  // any other status, with a body of type application/ocsp-response: then the head's word on caching and validators
  // is left out, for it is about the error.
  HttpResponse http;
  Address peer;  // who answered; a proxy where there is one
  Millis took = 0;
  bool get = true;  // asked by GET or by POST
  Validators validators;

  unsigned status() const { return http.head.status; }
  bool not_modified() const { return status() == 304; }
  bool under_error() const { return status() != 200 && !not_modified(); }
};

// Errors carry the HTTP status, address or errno in their text. kHttpStatus for anything but 200 after redirects,
// where no OCSP response came with it; kRedirectForbidden where the rule of net/redirect.h leaves no address; a
// deadline that ends while the name is resolved is kDnsTimeout. Where there is a proxy, what goes wrong on the way to
// it or is its own word is kProxyFailed, kProxyAuth or kProxyRefused. An Error from an HTTP answer may come with
// guidance (Retry-After): `retry_after` of the failure below.
class Fetch {
 public:
  struct Failure : Error {
    std::optional<UnixSeconds> retry_after;  // from a 429 or 503
    unsigned status = 0;                     // of the HTTP answer, where there was one
    bool request_mangled = false;            // a redirect of a GET leads to where its request has lost slashes
    // It is the proxy that fails or does not let us in, whatever lies behind it.
    bool of_proxy() const { return reason == Reason::kProxyAuth || (reason == Reason::kProxyFailed && status == 0); }
    std::optional<UnixSeconds> date;  // what time it was by it, where there was an answer
  };
  using Outcome = tl::expected<FetchResponse, Failure>;
  using Callback = std::function<void(Outcome)>;

  virtual ~Fetch() = default;  // cancels: DNS, socket and timers end, the callback is not called any more

  // By request.method; a GET that cannot be is a POST. Redirects: to the same scheme or from http to https, at most
  // three, none twice, and never inside (net/redirect.h); a POST stays a POST. One that leads a GET to where its
  // request has lost slashes is not followed: there it asks for nothing (kHttpStatus, request_mangled). Connections
  // are kept for the next fetch where the peer allows; one that was closed under a request is replaced silently,
  // once.
  //
  // Addresses are raced as net/connector.h says. While there are more, one that is connected gets half of the time
  // that is left, a second at least, until its first byte is here; then all of it. Of several addresses the last
  // one's error is told, unless that is only kConnectUnreachable. The callback is called once, from the loop, never
  // before start() returns; it may destroy the Fetch. `transport` must outlive the Fetch.
  static std::unique_ptr<Fetch> start(Transport& transport, FetchRequest request, Callback callback);
};

}  // namespace ocsp_plus::net
