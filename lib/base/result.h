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

// Hands the error of `result`, a Result<T>, on to the caller of the function it stands in; goes on where there is
// none. The function returns a Result itself.
#define RETURN_IF_ERROR(result)                                         \
  if (auto&& returned_if_error = (result); !returned_if_error) {        \
    return tl::unexpected<Error>(std::move(returned_if_error).error()); \
  }

}  // namespace ocsp_plus
