// One HTTP request and its response on an open stream. Private to Fetch.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/ports.h"
#include "net/http_response.h"
#include "net/stream.h"

namespace ocsp_plus::net {

class HttpExchange : public Stream::User {
 public:
  // Errors: those of Stream and HttpResponseParser; kTruncated if the peer closed early. Their text names the
  // address.
  using Callback = std::function<void(Result<HttpResponse>)>;

  // REQUIRES: `stream` is open. Becomes the stream's user and sends `request`, the complete text. The callback is
  // called once, from the loop, and may destroy the exchange and the stream.
  HttpExchange(const Clock& clock, Stream& stream, const std::string& request, HttpLimits limits, Callback callback);

  bool answered() const { return answered_; }  // a byte has arrived

 private:
  void on_open() override {}
  void on_data(ByteView bytes) override;
  void on_end(std::optional<Error> error) override;
  void take(const Result<bool>& complete);
  void done(Result<HttpResponse> result);

  const Clock& clock_;
  Stream& stream_;
  HttpResponseParser parser_;
  Callback callback_;
  bool answered_ = false;
};

}  // namespace ocsp_plus::net
