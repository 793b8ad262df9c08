// Loopback sockets for the fake servers. Failures throw.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "net/address.h"

namespace ocsp_plus::testing {

// Owns a descriptor.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Socket() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

// Returns a bound, non-blocking socket of `type` (SOCK_STREAM or SOCK_DGRAM); port 0: any free port.
inline Socket bound_socket(int type, const net::Address& address) {
  Socket socket(::socket(address.family(), type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  if (socket.get() < 0 || ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::bind(socket.get(), address.get(), address.length) != 0) {
    throw std::system_error(errno, std::generic_category(), "bind to " + address.to_string());
  }
  return socket;
}

inline Socket listening_socket(const net::Address& address) {
  Socket socket = bound_socket(SOCK_STREAM, address);
  if (::listen(socket.get(), 256) != 0) {
    throw std::system_error(errno, std::generic_category(), "listen on " + address.to_string());
  }
  return socket;
}

// Returns the address that a socket is bound to.
inline net::Address local_address(const Socket& socket) {
  net::Address address;
  socklen_t length = sizeof address.storage;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(address.storage), &length) != 0) {
    throw std::system_error(errno, std::generic_category(), "getsockname");
  }
  address.length = length;
  return address;
}

inline std::uint16_t port_of(const net::Address& address) {
  return static_cast<std::uint16_t>(address.storage[2] << 8 | address.storage[3]);
}

}  // namespace ocsp_plus::testing
