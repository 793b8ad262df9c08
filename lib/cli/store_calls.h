// Calls of the shared store, for commands that have nothing else to do meanwhile.
#pragma once

#include <optional>
#include <utility>

#include "base/poll_loop.h"
#include "base/result.h"
#include "net/shared_store.h"

namespace ocsp_plus::cli {

// Starts an operation and runs the loop until it has ended; the store's timeouts see to it that it does. `start`
// takes the operation's callback and returns its query.
template <typename T, typename Start>
Result<T> complete(PollLoop& loop, const Start& start) {
  std::optional<Result<T>> result;
  const auto query = start([&result](Result<T> ended) { result = std::move(ended); });
  loop.run_until([&result] { return result.has_value(); }, kNever);
  return std::move(*result);
}

}  // namespace ocsp_plus::cli
