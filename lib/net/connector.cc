#include "net/connector.h"

#include <fmt/format.h>

#include <utility>

namespace ocsp_plus::net {

class Connector::ConnectionAttempt : public Stream::User {
 public:
  ConnectionAttempt(Connector& owner, const Address& the_address) : address(the_address), owner_(owner) {}

  void on_open() override { owner_.won(*this); }
  void on_data(ByteView) override {}
  void on_end(std::optional<Error> error) override {
    owner_.lost(*this, error ? std::move(*error) : Error{Reason::kConnectionReset, address.to_string()});
  }

  const Address address;
  std::unique_ptr<Stream> stream;

 private:
  Connector& owner_;
};

Connector::Connector(EventLoop& loop, std::vector<Address> addresses, Stream::User& user, OnAttempt on_attempt,
                     Trace trace, Callback callback)
    : loop_(loop),
      addresses_(std::move(addresses)),
      user_(user),
      on_attempt_(std::move(on_attempt)),
      trace_(std::move(trace)),
      callback_(std::move(callback)),
      timer_(loop.timer([this] { on_timer(); })) {}

Connector::~Connector() {
  for (const ConnectionAttempt& each : attempts_) {
    tell(each.address, Reason::kTimeout);
  }
}

void Connector::tell(const Address& address, Reason outcome) const {
  if (on_attempt_) {
    on_attempt_(address.family(), outcome);
  }
}

void Connector::next() {
  start_one();
}

void Connector::remember(Error error) {
  if (trace_ && (more() || !attempts_.empty())) {
    trace_(fmt::format("{}: {}", token(error.reason), error.detail));
  }
  if (!error_ || error.reason != Reason::kConnectUnreachable) {
    error_ = std::move(error);
  }
}

// Starts the next address that does not fail immediately. If none is left or in progress, the timer reports that in
// the loop's next turn.
void Connector::start_one() {
  while (!addresses_.empty()) {
    attempts_.emplace_back(*this, addresses_.front());
    addresses_.erase(addresses_.begin());
    ConnectionAttempt& attempt = attempts_.back();
    if (trace_) {
      trace_("connecting to " + attempt.address.to_string());
    }
    auto stream = Stream::connect(loop_, attempt.address, attempt);
    if (stream) {
      attempt.stream = std::move(*stream);
      return timer_->arm(kAttemptDelay);
    }
    tell(attempt.address, stream.error().reason);
    attempts_.pop_back();
    remember(std::move(stream.error()));
  }
  if (attempts_.empty()) {
    timer_->arm(0);
  }
}

void Connector::on_timer() {
  if (!attempts_.empty() || !addresses_.empty()) {
    return start_one();
  }
  const Callback callback = callback_;
  callback(tl::unexpected<Error>(error_.value_or(Error{Reason::kDnsNoAddress, "no address to connect to"})));
}

void Connector::won(ConnectionAttempt& attempt) {
  timer_->disarm();
  std::unique_ptr<Stream> stream = std::move(attempt.stream);
  stream->hand_to(user_);
  tell(attempt.address, Reason::kOk);
  // Slower attempts become untried addresses again, in case this connection is useless. Attempts are in starting
  // order: those that started before the winner had more time, so they count as failed.
  bool earlier = true;
  for (const ConnectionAttempt& each : attempts_) {
    if (&each == &attempt) {
      earlier = false;
      continue;
    }
    if (earlier) {
      tell(each.address, Reason::kTimeout);
    }
    addresses_.push_back(each.address);
  }
  attempts_.clear();
  const Callback callback = callback_;
  callback(std::move(stream));  // may destroy this
}

void Connector::lost(ConnectionAttempt& attempt, Error error) {
  tell(attempt.address, error.reason);
  attempts_.remove_if([&attempt](const ConnectionAttempt& each) { return &each == &attempt; });
  remember(std::move(error));
  start_one();
}

}  // namespace ocsp_plus::net
