// The HTTP method that a responder understands. It is stored in the zone, so that the next lease holder and the next
// configuration know it as well.
#pragma once

#include <optional>

#include "base/reason.h"
#include "engine/catalog.h"
#include "net/fetch.h"
#include "store/staple_zone.h"

namespace ocsp_plus::engine {

// Whether an answer refused for `reason` calls for the same request by the other method (RFC 6960 appendix A.1
// requires POST always, many CDNs want GET, and some responders know only one): an HTTP status that says so, a page
// or nothing in place of an OCSP response, `malformedRequest`, or a redirect that mangled the request. Any other OCSP
// response shows that the request was understood; a responder that hangs or is in trouble is not asked again.
// `status`: HTTP status, 0 without an answer.
bool other_method(Reason reason, unsigned status, bool request_mangled);

// Whether an answer shows that the responder has read the request: any OCSP response but `malformedRequest`.
bool has_read_request(Reason reason);

class Methods {
 public:
  explicit Methods(const store::StapleZone& zone) : zone_(zone) {}

  // The method that worked; nothing: unknown. Nothing is stored for certificates loaded per connection: the operator
  // does not choose their URLs.
  std::optional<net::Method> worked(const Target& target, const net::Url& url) const;
  // Records whether the responder has `read` a request by `method`. `usual`: by which it would be asked otherwise.
  void record(const Target& target, const net::Url& url, net::Method method, net::Method usual, bool read);

 private:
  store::StapleZone zone_;
};

}  // namespace ocsp_plus::engine
