#include "net/connector.h"

#include <fmt/format.h>

#include <utility>

namespace ocsp_plus::net {

class Connector::Attempt : public Stream::User {
 public:
  Attempt(Connector& owner, const Address& the_address) : address(the_address), owner_(owner) {}

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

Connector::Connector(EventLoop& loop, std::vector<Address> addresses, Stream::User& user, ConnectionTally& tally,
                     Trace trace, Callback callback)
    : loop_(loop),
      addresses_(std::move(addresses)),
      user_(user),
      tally_(tally),
      trace_(std::move(trace)),
      callback_(std::move(callback)),
      timer_(loop.timer([this] { on_timer(); })) {}

Connector::~Connector() {
  for (const Attempt& each : attempts_) {
    ++tally_.of(each.address.family()).failed;
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

// The next that does not fail at once. Where none is left and none is under way, the timer tells, at once.
void Connector::start_one() {
  while (!addresses_.empty()) {
    attempts_.emplace_back(*this, addresses_.front());
    addresses_.erase(addresses_.begin());
    Attempt& attempt = attempts_.back();
    if (trace_) {
      trace_("connecting to " + attempt.address.to_string());
    }
    auto stream = Stream::connect(loop_, attempt.address, attempt);
    if (stream) {
      attempt.stream = std::move(*stream);
      return timer_->arm(kAttemptDelay);
    }
    ++tally_.of(attempt.address.family()).failed;
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

void Connector::won(Attempt& attempt) {
  timer_->disarm();
  std::unique_ptr<Stream> stream = std::move(attempt.stream);
  stream->hand_to(user_);
  ++tally_.of(attempt.address.family()).ok;
  // Those that were slower are as good as untried, should this one be of no use. They are in the order in which they
  // began: the ones before it had more time.
  bool earlier = true;
  for (const Attempt& each : attempts_) {
    if (&each == &attempt) {
      earlier = false;
      continue;
    }
    tally_.of(each.address.family()).failed += earlier ? 1 : 0;
    addresses_.push_back(each.address);
  }
  attempts_.clear();
  const Callback callback = callback_;
  callback(std::move(stream));  // may destroy this
}

void Connector::lost(Attempt& attempt, Error error) {
  ++tally_.of(attempt.address.family()).failed;
  attempts_.remove_if([&attempt](const Attempt& each) { return &each == &attempt; });
  remember(std::move(error));
  start_one();
}

}  // namespace ocsp_plus::net
