// One TCP connection that carries one HTTP request and its response. For Fetch; nobody else needs it.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "base/ports.h"
#include "base/result.h"
#include "net/address.h"
#include "net/http_response.h"

namespace ocsp_plus::net {

class Connection {
 public:
  enum class Stage { kConnecting, kSending, kWaiting, kReceiving };

  // With a stage before kReceiving not one byte of an answer had come: another address may be tried.
  struct Failure : Error {
    Stage stage = Stage::kConnecting;
  };
  using Outcome = tl::expected<HttpResponse, Failure>;
  using Callback = std::function<void(Outcome)>;

  // Starts to connect. `request` is everything that is sent. The callback is called once, from the loop, and may
  // destroy the connection; an address that fails at once is an Error here and nothing is called. There is no timer:
  // whoever loses patience destroys the connection.
  // Errors, here and later: kConnectRefused, kConnectUnreachable, kConnectionReset, kTimeout (the system's own),
  // kNetworkError, kTruncated and those of HttpResponseParser. Their text names the address.
  static Result<std::unique_ptr<Connection>> open(EventLoop& loop, const Clock& clock, const Address& address,
                                                  std::string request, HttpLimits limits, Callback callback);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Stage stage() const { return stage_; }

 private:
  Connection(const Clock& clock, const Address& address, std::string request, HttpLimits limits, Callback callback);
  Result<void> start(EventLoop& loop);
  void on_ready(unsigned ready);
  bool connected();
  bool send_rest();
  void receive();
  void end(Outcome outcome);
  void end_with(Error error) { end(tl::unexpected<Failure>(Failure{{std::move(error)}, stage_})); }
  Error system_error(const char* what, int error) const;
  Error answer_error(Error error) const;

  const Clock& clock_;
  const Address address_;
  const std::string request_;
  std::size_t sent_ = 0;
  Callback callback_;
  Stage stage_ = Stage::kConnecting;
  HttpResponseParser parser_;
  int fd_ = -1;
  std::unique_ptr<IoWatch> watch_;  // must go before fd_ is closed
};

}  // namespace ocsp_plus::net
