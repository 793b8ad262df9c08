// A socket address.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <string>

namespace ocsp_plus::net {

// An IPv4 or IPv6 address with its port, or the path of a unix socket, as connect(2) takes it.
struct Address {
  alignas(8) unsigned char storage[sizeof(sockaddr_un)] = {};  // a sockaddr_in, sockaddr_in6 or sockaddr_un
  unsigned length = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(storage); }
  int family() const;                 // AF_INET, AF_INET6 or AF_UNIX; AF_UNSPEC if length is 0
  std::string to_string() const;      // "127.0.0.1:80", "[::1]:80", "unix:/path"; "-" if length is 0
  void set_port(std::uint16_t port);  // a unix socket has none

  // The range in which an address is reachable, from IANA's registries of special-purpose addresses. If an IPv6
  // address embeds an IPv4 address (mapped, translated, NAT64, 6to4, ISATAP), the narrower scope of the two.
  enum class Scope {
    kLocal,    // this machine or its link: loopback, link-local, unspecified, unix sockets, cloud metadata; also
               // multicast, broadcast, reserved
    kPrivate,  // one network: private, carrier-grade NAT, documentation, other special uses
    kPublic,   // the internet
  };
  Scope scope() const;  // kLocal if length is 0
  bool is_public() const { return scope() == Scope::kPublic; }
  bool is_loopback() const;  // 127.0.0.0/8 (mapped into IPv6 as well), ::1, or a unix socket

  // Parses an IP literal without brackets or zone; length 0 if `host` is not one.
  static Address literal(const std::string& host, std::uint16_t port);
  // Parses a literal with or without a port: "192.0.2.1", "192.0.2.1:53", "2001:db8::1", "[2001:db8::1]:53". Length 0
  // if `text` is no literal or its port is not within 1 to 65535.
  static Address parse(const std::string& text, std::uint16_t default_port);
  // The address of a unix socket; length 0 if `path` is empty or longer than the system permits (107 bytes).
  static Address unix_socket(const std::string& path);
  // Converts a sockaddr; length 0 if it is neither IPv4 nor IPv6.
  static Address from(const sockaddr* address, std::uint16_t port);
};

}  // namespace ocsp_plus::net
