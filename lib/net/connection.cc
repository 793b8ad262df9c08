#include "net/connection.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>

namespace ocsp_plus::net {
namespace {

constexpr std::size_t kReadSize = 16 * 1024;

Reason reason_from(int error) {
  switch (error) {
    case ECONNREFUSED:
      return Reason::kConnectRefused;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case EADDRNOTAVAIL:  // no address of our own in this family
    case EAFNOSUPPORT:
      return Reason::kConnectUnreachable;
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
      return Reason::kConnectionReset;
    case ETIMEDOUT:
      return Reason::kTimeout;
    default:
      return Reason::kNetworkError;
  }
}

bool try_again(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

}  // namespace

Connection::Connection(const Clock& clock, const Address& address, std::string request, HttpLimits limits,
                       Callback callback)
    : clock_(clock),
      address_(address),
      request_(std::move(request)),
      callback_(std::move(callback)),
      parser_(limits) {}

Connection::~Connection() {
  watch_.reset();
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

Result<std::unique_ptr<Connection>> Connection::open(EventLoop& loop, const Clock& clock, const Address& address,
                                                     std::string request, HttpLimits limits, Callback callback) {
  std::unique_ptr<Connection> connection(
      new Connection(clock, address, std::move(request), limits, std::move(callback)));
  if (auto started = connection->start(loop); !started) {
    return tl::unexpected<Error>(std::move(started.error()));
  }
  return connection;
}

Result<void> Connection::start(EventLoop& loop) {
  fd_ = ::socket(address_.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd_ < 0) {
    return tl::unexpected<Error>(system_error("socket for", errno));
  }
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // a courtesy; failing changes nothing that matters
  if (::connect(fd_, address_.get(), address_.length) != 0 && errno != EINPROGRESS && errno != EINTR) {
    return tl::unexpected<Error>(system_error("connect to", errno));
  }
  // A connection that stood at once is writable, and is noticed in the same way as any other.
  watch_ = loop.watch(fd_, [this](unsigned ready) { on_ready(ready); });
  if (watch_ == nullptr || !watch_->set(IoWatch::kWrite)) {
    return fail(Reason::kNetworkError,
                fmt::format("connect to {}: the event loop has no free slot", address_.to_string()));
  }
  return {};
}

void Connection::on_ready(unsigned ready) {
  if (stage_ == Stage::kConnecting && !connected()) {
    return;  // and destroyed, maybe
  }
  if (stage_ == Stage::kSending && !send_rest()) {
    return;
  }
  if ((ready & IoWatch::kRead) != 0) {
    receive();
  }
}

bool Connection::connected() {
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length) != 0) {
    error = errno;
  }
  if (error != 0) {
    end_with(system_error("connect to", error));
    return false;
  }
  stage_ = Stage::kSending;
  return true;
}

// False: it ended the connection.
bool Connection::send_rest() {
  while (sent_ < request_.size()) {
    const ssize_t count = ::send(fd_, request_.data() + sent_, request_.size() - sent_, MSG_NOSIGNAL);
    if (count < 0 && try_again(errno)) {
      break;
    }
    if (count < 0) {
      // The responder may have answered early and closed. Its answer, or the error, is there to be received.
      sent_ = request_.size();
      break;
    }
    sent_ += static_cast<std::size_t>(count);
  }
  const bool all = sent_ == request_.size();
  if (all) {
    stage_ = Stage::kWaiting;
  }
  if (!watch_->set(all ? IoWatch::kRead : IoWatch::kRead | IoWatch::kWrite)) {
    end_with(
        {Reason::kNetworkError, fmt::format("send to {}: the event loop has no free slot", address_.to_string())});
    return false;
  }
  return true;
}

// One read per call: the loop comes again while there is more, and serves others in between.
void Connection::receive() {
  std::array<std::uint8_t, kReadSize> buffer;
  const ssize_t count = ::recv(fd_, buffer.data(), buffer.size(), 0);
  if (count < 0 && try_again(errno)) {
    return;
  }
  if (count < 0) {
    return end_with(system_error("receive from", errno));
  }
  if (count > 0) {
    stage_ = Stage::kReceiving;
  }
  const Result<bool> complete =
      count == 0 ? parser_.finish() : parser_.feed({buffer.data(), static_cast<std::size_t>(count)});
  if (!complete) {
    return end_with(answer_error(complete.error()));
  }
  if (*complete) {
    // Where exchanges with one responder should share a connection, this is the place to hand the socket back: the
    // request would have to ask for it, and `head.keep_alive` says whether the responder agreed.
    end(parser_.take(clock_.now()));
  }
}

void Connection::end(Outcome outcome) {
  watch_.reset();
  const Callback callback = std::move(callback_);
  callback(std::move(outcome));  // may destroy this
}

Error Connection::system_error(const char* what, int error) const {
  return {reason_from(error),
          fmt::format("{} {}: {}", what, address_.to_string(), std::generic_category().message(error))};
}

Error Connection::answer_error(Error error) const {
  return {error.reason, fmt::format("answer of {}: {}", address_.to_string(), error.detail)};
}

}  // namespace ocsp_plus::net
