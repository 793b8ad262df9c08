#include "net/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <charconv>
#include <cstddef>
#include <cstring>

namespace ocsp_plus::net {
namespace {

static_assert(sizeof(sockaddr_in) <= sizeof(Address::storage));
static_assert(sizeof(sockaddr_in6) <= sizeof(Address::storage));

// Through memcpy, since `storage` is bytes and may not be looked at as another type.
template <typename T>
T load(const Address& address) {
  T socket_address;
  std::memcpy(&socket_address, address.storage, sizeof socket_address);
  return socket_address;
}

template <typename T>
Address store(const T& socket_address) {
  Address address;
  std::memcpy(address.storage, &socket_address, sizeof socket_address);
  address.length = sizeof socket_address;
  return address;
}

}  // namespace

int Address::family() const {
  return length == 0 ? AF_UNSPEC : load<sockaddr>(*this).sa_family;
}

std::string Address::to_string() const {
  char text[INET6_ADDRSTRLEN] = "";
  switch (family()) {
    case AF_INET: {
      const auto v4 = load<sockaddr_in>(*this);
      inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
      return fmt::format("{}:{}", text, ntohs(v4.sin_port));
    }
    case AF_INET6: {
      const auto v6 = load<sockaddr_in6>(*this);
      inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
      return fmt::format("[{}]:{}", text, ntohs(v6.sin6_port));
    }
    default:
      return "-";
  }
}

void Address::set_port(std::uint16_t port) {
  if (length != 0) {
    *this = from(get(), port);
  }
}

Address Address::literal(const std::string& host, std::uint16_t port) {
  sockaddr_in v4 = {};
  if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    return store(v4);
  }
  sockaddr_in6 v6 = {};
  if (inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    return store(v6);
  }
  return {};
}

Address Address::parse(const std::string& text, std::uint16_t default_port) {
  if (Address whole = literal(text, default_port); whole.length != 0) {
    return whole;
  }
  std::string host = text;
  std::uint16_t port = default_port;
  const std::size_t colon = text.rfind(':');
  if (colon != std::string::npos && text.back() != ']') {
    host.resize(colon);
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, port);
    if (error != std::errc() || stop != end || port == 0) {
      return {};
    }
  }
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  const Address address = literal(bracketed ? host.substr(1, host.size() - 2) : host, port);
  return bracketed == (address.family() == AF_INET6) ? address : Address();
}

Address Address::from(const sockaddr* address, std::uint16_t port) {
  if (address->sa_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, address, sizeof v4);
    v4.sin_port = htons(port);
    return store(v4);
  }
  if (address->sa_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, address, sizeof v6);
    v6.sin6_port = htons(port);
    return store(v6);
  }
  return {};
}

}  // namespace ocsp_plus::net
