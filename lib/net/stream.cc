#include "net/stream.h"

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

constexpr std::size_t kReadSize = std::size_t{16} * 1024;

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

Stream::Stream(EventLoop& loop, const Address& address, User& user) : loop_(loop), address_(address), user_(&user) {}

Stream::~Stream() {
  watch_.reset();
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

Result<std::unique_ptr<Stream>> Stream::connect(EventLoop& loop, const Address& address, User& user) {
  std::unique_ptr<Stream> stream(new Stream(loop, address, user));
  RETURN_IF_ERROR(stream->start());
  return stream;
}

Result<void> Stream::start() {
  fd_ = ::socket(address_.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd_ < 0) {
    return tl::unexpected<Error>(system_error("socket for", errno));
  }
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // an optimization; failure does not matter
  if (::connect(fd_, address_.get(), address_.length) != 0 && errno != EINPROGRESS && errno != EINTR) {
    return tl::unexpected<Error>(system_error("connect to", errno));
  }
  // A connection that is established immediately is writable, and is noticed like any other.
  watch_ = loop_.watch(fd_, [this](unsigned ready) { on_ready(ready); });
  if (watch_ == nullptr || !watch_->set(IoWatch::kWrite)) {
    return fail(Reason::kNetworkError,
                fmt::format("connect to {}: the event loop has no free slot", address_.to_string()));
  }
  return {};
}

void Stream::start_tls(std::unique_ptr<TlsSession> session) {
  tls_ = std::move(session);
  out_ += ByteView(tls_->take_output()).text();
  watch_->set(IoWatch::kRead | IoWatch::kWrite);
}

void Stream::send(std::string_view bytes) {
  if (tls_ == nullptr) {
    out_ += bytes;
  } else if (tls_->send(ByteView(bytes))) {
    out_ += ByteView(tls_->take_output()).text();
  }
  // Flushes from the loop, so that the user is never called from inside.
  watch_->set(IoWatch::kRead | IoWatch::kWrite);
}

void Stream::send_now() {
  if (connected_ && !out_.empty()) {
    (void)::send(fd_, out_.data(), out_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
}

void Stream::on_ready(unsigned ready) {
  if (!connected_) {
    if (check_connected()) {
      connected_ = true;
      watch_->set(IoWatch::kRead);
      user_->on_open();
    }
    return;
  }
  if ((ready & IoWatch::kWrite) != 0) {
    flush();
  }
  if ((ready & IoWatch::kRead) != 0) {
    receive();
  }
}

bool Stream::check_connected() {
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length) != 0) {
    error = errno;
  }
  if (error != 0) {
    end(system_error("connect to", error));
  }
  return error == 0;
}

void Stream::flush() {
  while (!out_.empty()) {
    const ssize_t count = ::send(fd_, out_.data(), out_.size(), MSG_NOSIGNAL);
    if (count < 0 && try_again(errno)) {
      break;
    }
    if (count < 0) {
      // The peer may have answered early and closed; its answer can still be received. The error is kept, because the
      // system may report it only once.
      send_error_ = errno;
      out_.clear();
      break;
    }
    out_.erase(0, static_cast<std::size_t>(count));
  }
  // If the loop refuses to watch, the stream stays silent until the user's timeout.
  watch_->set(out_.empty() ? IoWatch::kRead : IoWatch::kRead | IoWatch::kWrite);
}

// Reads once per call: the loop calls again while there is more, and serves other descriptors in between.
void Stream::receive() {
  std::array<std::uint8_t, kReadSize> buffer;
  const ssize_t count = ::recv(fd_, buffer.data(), buffer.size(), 0);
  if (count < 0 && try_again(errno)) {
    return;
  }
  if (count < 0) {
    return end(system_error("receive from", errno));
  }
  if (count == 0 && send_error_ != 0) {
    return end(system_error("send to", send_error_));
  }
  if (count == 0) {
    if (tls_ != nullptr && !tls_->established()) {
      return end(
          Error{Reason::kTlsFailed, fmt::format("TLS with {}: closed within the handshake", address_.to_string())});
    }
    return end(std::nullopt);
  }
  send_error_ = 0;  // the peer did answer
  const ByteView bytes(buffer.data(), static_cast<std::size_t>(count));
  if (tls_ == nullptr) {
    return user_->on_data(bytes);
  }
  on_ciphertext(bytes);
}

void Stream::on_ciphertext(ByteView bytes) {
  const std::weak_ptr<bool> here = alive_;
  const bool before = tls_->established();
  const Result<void> taken = tls_->receive(bytes);
  // TLS output is sent even after a failure: an alert tells the server why.
  out_ += ByteView(tls_->take_output()).text();
  flush();
  if (!taken) {
    return end(
        Error{taken.error().reason, fmt::format("TLS with {}: {}", address_.to_string(), taken.error().detail)});
  }
  const Bytes plaintext = tls_->take_plaintext();
  const bool closed = tls_->closed();
  if (!before && tls_->established()) {
    user_->on_open();
  }
  if (!here.expired() && !plaintext.empty()) {
    user_->on_data(plaintext);
  }
  if (!here.expired() && closed) {
    end(std::nullopt);
  }
}

void Stream::end(std::optional<Error> error) {
  watch_->set(0);  // a user that keeps the stream must not be called repeatedly
  user_->on_end(std::move(error));
}

Error Stream::system_error(const char* what, int error) const {
  return {reason_from(error),
          fmt::format("{} {}: {}", what, address_.to_string(), std::generic_category().message(error))};
}

}  // namespace ocsp_plus::net
