#include "cli/handshake_attempt.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace ocsp_plus::cli {
namespace {

std::string size_of(const std::optional<Bytes>& staple) {
  return staple.has_value() ? fmt::format("a staple of {} bytes", staple->size()) : "no staple";
}

// Names the certificates after the server's own only as far as they have staples.
std::string sent(const crypto::TlsSeen& seen) {
  std::string text = fmt::format("{} certificates, {}", seen.chain.size(), size_of(seen.staples.front()));
  for (std::size_t i = 1; i < seen.staples.size(); ++i) {
    if (seen.staples[i].has_value()) {
      text += fmt::format(", at position {} {}", i, size_of(seen.staples[i]));
    }
  }
  return text;
}

}  // namespace

HandshakeAttempt::HandshakeAttempt(EventLoop& loop, const crypto::TlsHello& hello, Progress& progress,
                                   const Clock& clock)
    : loop_(loop), hello_(hello), progress_(progress), clock_(clock) {}

void HandshakeAttempt::start(std::vector<net::Address> addresses) {
  addresses_ = std::move(addresses);
  try_next();
}

Handshake HandshakeAttempt::take() {
  if (!done()) {
    refuse({Reason::kTimeout, fmt::format("no complete handshake in time, {}", where())});
  }
  return std::move(*result_);
}

void HandshakeAttempt::try_next() {
  while (next_ < addresses_.size()) {
    const net::Address& address = addresses_[next_++];
    say("connecting to " + address.to_string());
    if (connect_to(address)) {
      return;
    }
  }
  refuse(error_);
}

bool HandshakeAttempt::connect_to(const net::Address& address) {
  fd_ = ::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd_ < 0 || (::connect(fd_, address.get(), address.length) != 0 && errno != EINPROGRESS)) {
    remember(errno);
    hang_up();
    return false;
  }
  auto probe =
      crypto::TlsProbe::start(loop_, fd_, hello_, [this](crypto::TlsSeen seen) { on_seen(std::move(seen)); });
  if (!probe) {
    error_ = std::move(probe.error());
    hang_up();
    return false;
  }
  probe_ = std::move(*probe);
  return true;
}

void HandshakeAttempt::on_seen(crypto::TlsSeen seen) {
  hang_up();
  if (seen.end == crypto::TlsSeen::End::kSystem && seen.chain.empty()) {
    remember(seen.error);
    // Another address may be reachable; but once an address has answered, its result counts.
    return seen.answered ? refuse(error_) : try_next();
  }
  say(seen.chain.empty() ? seen.detail : sent(seen));
  result_.emplace();
  result_->hello = hello_;
  result_->seen = std::move(seen);
}

void HandshakeAttempt::remember(int error) {
  error_ = {error == ECONNREFUSED ? Reason::kConnectRefused
            : error == ECONNRESET ? Reason::kConnectionReset
            : error == ETIMEDOUT  ? Reason::kTimeout
                                  : Reason::kConnectUnreachable,
            fmt::format("{}: {}", addresses_[next_ - 1].to_string(), std::strerror(error))};
  say(error_.detail);
}

void HandshakeAttempt::refuse(Error error) {
  result_.emplace();
  result_->hello = hello_;
  result_->unreachable = std::move(error);
}

void HandshakeAttempt::hang_up() {
  probe_.reset();
  if (fd_ >= 0) {
    ::close(fd_);
    fd_ = -1;
  }
}

std::string HandshakeAttempt::where() const {
  return next_ == 0 ? "resolving" : "waiting for " + addresses_[next_ - 1].to_string();
}

void HandshakeAttempt::say(const std::string& what) {
  progress_.step(fmt::format("{}: {}", text_of(hello_), what), clock_.monotonic());
}

}  // namespace ocsp_plus::cli
