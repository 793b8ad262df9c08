#include "engine/methods.h"

#include "store/shared_stats.h"

namespace ocsp_plus::engine {

bool other_method(Reason reason, unsigned status, bool request_mangled) {
  switch (reason) {
    case Reason::kMalformedRequest:
      return true;
    case Reason::kMalformedResponse:
      return status == 200;
    case Reason::kHttpStatus:
      return request_mangled || status == 400 || status == 403 || status == 404 || status == 405 || status == 501;
    default:
      return false;
  }
}

bool has_read_request(Reason reason) {
  return reason != Reason::kMalformedRequest && reason != Reason::kMalformedResponse;
}

std::optional<net::Method> Methods::worked(const Target& target, const net::Url& url) const {
  if (target.per_connection) {
    return std::nullopt;
  }
  const auto number = store::method_that_worked(zone_, url.to_string());
  const auto method = static_cast<net::Method>(number.value_or(0));
  return method == net::Method::kGet || method == net::Method::kPost ? std::optional<net::Method>(method)
                                                                     : std::nullopt;
}

void Methods::record(const Target& target, const net::Url& url, net::Method method, net::Method usual, bool read) {
  if (target.per_connection) {
    return;
  }
  const auto known = worked(target, url);
  if (known == method && !read) {
    store::record_method_failure(zone_, url.to_string());
  } else if (read && (known == method || (!known.has_value() && method != usual))) {
    store::record_method(zone_, url.to_string(), static_cast<std::uint32_t>(method));
  }
}

}  // namespace ocsp_plus::engine
