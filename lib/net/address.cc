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

struct Block4 {
  std::uint32_t network;
  int bits;
};

// IANA's registry of IPv4 special-purpose addresses (RFC 6890 and later), multicast, and what clouds answer at.
constexpr Block4 kSpecial4[] = {
    {0x00000000, 8},   // this network
    {0x0a000000, 8},   // private, RFC 1918
    {0x64400000, 10},  // between carriers and their customers, RFC 6598
    {0x7f000000, 8},   // loopback
    {0xa83f8110, 32},  // 168.63.129.16: Azure's metadata and DNS, from inside
    {0xa9fe0000, 16},  // link-local
    {0xac100000, 12},  // private
    {0xc0000000, 24},  // IETF protocol assignments
    {0xc0000200, 24},  // documentation
    {0xc0586300, 24},  // 6to4 relays
    {0xc0a80000, 16},  // private
    {0xc6120000, 15},  // benchmarks
    {0xc6336400, 24},  // documentation
    {0xcb007100, 24},  // documentation
    {0xe0000000, 3},   // multicast, reserved, broadcast
};

bool is_public4(std::uint32_t address) {
  for (const Block4& block : kSpecial4) {
    if ((address ^ block.network) >> (32 - block.bits) == 0) {
      return false;
    }
  }
  return true;
}

struct Block6 {
  std::uint8_t network[8];
  int bits;
};

// Of 2000::/3, all that was ever given out for the internet.
constexpr Block6 kSpecial6[] = {
    {{0x20, 0x01, 0x00}, 23},        // protocols: Teredo, benchmarks, ORCHID
    {{0x20, 0x01, 0x0d, 0xb8}, 32},  // documentation
    {{0x3f, 0xff, 0x00}, 20},        // documentation
};

bool within(const std::uint8_t* address, const Block6& block) {
  for (int bit = 0; bit < block.bits; ++bit) {
    if (((address[bit / 8] ^ block.network[bit / 8]) & (0x80 >> bit % 8)) != 0) {
      return false;
    }
  }
  return true;
}

std::uint32_t number_at(const std::uint8_t* bytes) {
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 | bytes[3];
}

bool is_public6(const std::uint8_t* address) {
  static constexpr Block6 kNat64 = {{0x00, 0x64, 0xff, 0x9b}, 64};  // RFC 6052; its last 32 bits before are zero, too
  static constexpr Block6 k6to4 = {{0x20, 0x02}, 16};               // RFC 3056
  static constexpr std::uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::memcmp(address, kMapped, sizeof kMapped) == 0) {
    return is_public4(number_at(address + 12));
  }
  if (within(address, kNat64) && number_at(address + 8) == 0) {
    return is_public4(number_at(address + 12));
  }
  if ((address[0] & 0xe0) != 0x20) {
    return false;
  }
  if (within(address, k6to4) && !is_public4(number_at(address + 2))) {
    return false;
  }
  // ISATAP, RFC 5214: 0000:5efe or 0200:5efe, then an IPv4 address.
  if ((number_at(address + 8) | 0x02000000) == 0x02005efe && !is_public4(number_at(address + 12))) {
    return false;
  }
  for (const Block6& block : kSpecial6) {
    if (within(address, block)) {
      return false;
    }
  }
  return true;
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

bool Address::is_public() const {
  switch (family()) {
    case AF_INET:
      return is_public4(ntohl(load<sockaddr_in>(*this).sin_addr.s_addr));
    case AF_INET6:
      return is_public6(load<sockaddr_in6>(*this).sin6_addr.s6_addr);
    default:
      return false;
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
