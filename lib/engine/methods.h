// By which method a responder is asked, and what worked: told to the zone, so that the next holder of the lease and
// the next configuration know it as well.
#pragma once

#include <optional>

#include "base/reason.h"
#include "engine/catalog.h"
#include "net/fetch.h"
#include "store/staple_zone.h"

namespace ocsp_plus::engine {

// Whether an answer that was refused for `reason` calls for the same request by the other method (RFC 6960 appendix
// A.1 wants POST always, many CDNs want GET, and some responders know one only): statuses of HTTP that say so, a page
// or nothing where an OCSP response should be, `malformedRequest`, a redirect that mangled the request. An OCSP
// response that says anything else has understood it, and a responder that hangs or is in trouble is not asked more.
// `status`: of the HTTP answer, 0 where there was none.
bool other_method(Reason reason, unsigned status, bool request_mangled);

// Whether an answer shows that the responder has read the request: any OCSP response but `malformedRequest`.
bool has_read_request(Reason reason);

class Methods {
 public:
  explicit Methods(const store::StapleZone& zone) : zone_(zone) {}

  // What worked; nothing: nobody knows. Of certificates that are loaded per connection, whose URLs others decide,
  // nothing is kept.
  std::optional<net::Method> worked(const Target& target, const net::Url& url) const;
  // It was asked by `method`, and has read the request or not; `usual`: by which it would be asked otherwise.
  void record(const Target& target, const net::Url& url, net::Method method, net::Method usual, bool read);

 private:
  store::StapleZone zone_;
};

}  // namespace ocsp_plus::engine
