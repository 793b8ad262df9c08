#include "net/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <iterator>

namespace ocsp_plus::net {
namespace {

static_assert(sizeof(sockaddr_in) <= sizeof(Address::storage));
static_assert(sizeof(sockaddr_in6) <= sizeof(Address::storage));
static_assert(sizeof(sockaddr_un) <= sizeof(Address::storage));

// Copies with memcpy: `storage` is bytes, and reading it as another type would break aliasing rules.
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

using Scope = Address::Scope;

struct Block4 {
  std::uint32_t network;
  int bits;
  Scope scope;
};

// IANA's registry of IPv4 special-purpose addresses (RFC 6890 and later), multicast, and the clouds' metadata
// services. The first match decides.
constexpr Block4 kSpecial4[] = {
    {0x00000000, 8, Scope::kLocal},     // this network; 0.0.0.0 connects to loopback
    {0x0a000000, 8, Scope::kPrivate},   // private, RFC 1918
    {0x646464c8, 32, Scope::kLocal},    // 100.100.100.200: Alibaba's metadata
    {0x64400000, 10, Scope::kPrivate},  // between carriers and their customers, RFC 6598
    {0x7f000000, 8, Scope::kLocal},     // loopback
    {0xa83f8110, 32, Scope::kLocal},    // 168.63.129.16: Azure's metadata and DNS
    {0xa9fe0000, 16, Scope::kLocal},    // link-local, and most clouds' metadata
    {0xac100000, 12, Scope::kPrivate},  // private
    {0xc00000c0, 32, Scope::kLocal},    // 192.0.0.192: Oracle's metadata
    {0xc0000000, 24, Scope::kPrivate},  // IETF protocol assignments
    {0xc0000200, 24, Scope::kPrivate},  // documentation
    {0xc0586300, 24, Scope::kPrivate},  // 6to4 relays
    {0xc0a80000, 16, Scope::kPrivate},  // private
    {0xc6120000, 15, Scope::kPrivate},  // benchmarks
    {0xc6336400, 24, Scope::kPrivate},  // documentation
    {0xcb007100, 24, Scope::kPrivate},  // documentation
    {0xe0000000, 3, Scope::kLocal},     // multicast, reserved, broadcast
};

Scope scope4(std::uint32_t address) {
  for (const Block4& block : kSpecial4) {
    if ((address ^ block.network) >> (32 - block.bits) == 0) {
      return block.scope;
    }
  }
  return Scope::kPublic;
}

struct Block6 {
  std::uint8_t network[16];
  int bits;
};

// The first match decides.
struct Special6 {
  Block6 block;
  Scope scope;
};
constexpr Special6 kSpecial6[] = {
    {{{}, 96}, Scope::kLocal},            // unspecified, loopback, IPv4-compatible
    {{{0xfe, 0x80}, 10}, Scope::kLocal},  // link-local
    {{{0xff}, 8}, Scope::kLocal},         // multicast
    {{{0xfd, 0x00, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54}, 128}, Scope::kLocal},  // Amazon's metadata
    {{{0xfd, 0x20, 0x00, 0xce, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54}, 128}, Scope::kLocal},  // Google's
    {{{0x20, 0x01, 0x00}, 23}, Scope::kPrivate},        // protocols: Teredo, benchmarks, ORCHID
    {{{0x20, 0x01, 0x0d, 0xb8}, 32}, Scope::kPrivate},  // documentation
    {{{0x3f, 0xff, 0x00}, 20}, Scope::kPrivate},        // documentation
    {{{0x20}, 3}, Scope::kPublic},                      // global unicast
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

// Returns whether the address only represents an IPv4 address, whose scope then decides alone.
bool wraps_v4(const std::uint8_t* address) {
  static constexpr Block6 kWrappers[] = {
      {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96},  // mapped, RFC 4291
      {{0x00, 0x64, 0xff, 0x9b}, 96},                    // NAT64, RFC 6052
  };
  return std::any_of(std::begin(kWrappers), std::end(kWrappers),
                     [address](const Block6& block) { return within(address, block); });
}

// Returns the scope of an embedded IPv4 address to which packets are forwarded; kPublic if there is none.
Scope scope_inside(const std::uint8_t* address) {
  static constexpr Block6 k6to4 = {{0x20, 0x02}, 16};                                // RFC 3056
  static constexpr Block6 kTranslated = {{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96};  // RFC 2765
  static constexpr Block6 kLocalNat64 = {{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48};  // RFC 8215
  // ISATAP, RFC 5214: 0000:5efe or 0200:5efe, then an IPv4 address.
  const bool isatap = (number_at(address + 8) | 0x02000000) == 0x02005efe;
  Scope scope = Scope::kPublic;
  if (within(address, k6to4)) {
    scope = scope4(number_at(address + 2));
  }
  if (isatap || within(address, kTranslated) || within(address, kLocalNat64)) {
    scope = std::min(scope, scope4(number_at(address + 12)));
  }
  return scope;
}

Scope scope6(const std::uint8_t* address) {
  if (wraps_v4(address)) {
    return scope4(number_at(address + 12));
  }
  for (const Special6& special : kSpecial6) {
    if (within(address, special.block)) {
      return std::min(special.scope, scope_inside(address));
    }
  }
  return std::min(Scope::kPrivate, scope_inside(address));
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
    case AF_UNIX:
      return fmt::format("unix:{}", load<sockaddr_un>(*this).sun_path);
    default:
      return "-";
  }
}

void Address::set_port(std::uint16_t port) {
  if (length != 0 && family() != AF_UNIX) {
    *this = from(get(), port);
  }
}

Address::Scope Address::scope() const {
  switch (family()) {
    case AF_INET:
      return scope4(ntohl(load<sockaddr_in>(*this).sin_addr.s_addr));
    case AF_INET6:
      return scope6(load<sockaddr_in6>(*this).sin6_addr.s6_addr);
    default:
      return Scope::kLocal;
  }
}

bool Address::is_loopback() const {
  switch (family()) {
    case AF_INET:
      return ntohl(load<sockaddr_in>(*this).sin_addr.s_addr) >> 24 == 127;
    case AF_INET6: {
      const auto v6 = load<sockaddr_in6>(*this);
      const std::uint8_t* bytes = v6.sin6_addr.s6_addr;
      return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr) || (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) && bytes[12] == 127);
    }
    default:
      return family() == AF_UNIX;
  }
}

Address Address::unix_socket(const std::string& path) {
  sockaddr_un address = {};
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return {};
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return store(address);
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
