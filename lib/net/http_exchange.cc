#include "net/http_exchange.h"

#include <fmt/format.h>

#include <utility>

namespace ocsp_plus::net {

HttpExchange::HttpExchange(const Clock& clock, Stream& stream, const std::string& request, HttpLimits limits,
                           Callback callback)
    : clock_(clock), stream_(stream), parser_(limits), callback_(std::move(callback)) {
  stream.hand_to(*this);
  stream.send(request);
}

void HttpExchange::on_data(ByteView bytes) {
  answered_ = true;
  take(parser_.feed(bytes));
}

void HttpExchange::on_end(std::optional<Error> error) {
  if (error) {
    return done(tl::unexpected<Error>(std::move(*error)));
  }
  take(parser_.finish());
}

void HttpExchange::take(const Result<bool>& complete) {
  if (!complete) {
    return done(fail(complete.error().reason,
                     fmt::format("answer of {}: {}", stream_.peer().to_string(), complete.error().detail)));
  }
  if (*complete) {
    done(parser_.take(clock_.now()));
  }
}

void HttpExchange::done(Result<HttpResponse> result) {
  const Callback callback = std::move(callback_);
  callback(std::move(result));  // may destroy this
}

}  // namespace ocsp_plus::net
