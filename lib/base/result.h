// Result<T> holds a T or an Error: expected failures are values. Exceptions report only allocation failures and
// programming errors, and stop at the C ABI (capi/).
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

#include "base/reason.h"

namespace ocsp_plus {

struct Error {
  Reason reason = Reason::kInternal;
  std::string detail;  // for people: names the object and the remedy, if there is one
};

template <typename T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(Reason reason, std::string detail = {}) {
  return tl::unexpected<Error>(Error{reason, std::move(detail)});
}

}  // namespace ocsp_plus
