// A socket address.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>

namespace ocsp_plus::net {

// An IPv4 or IPv6 address with its port, ready for connect(2).
struct Address {
  alignas(8) unsigned char storage[28] = {};  // a sockaddr_in or sockaddr_in6
  unsigned length = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(storage); }
  int family() const;             // AF_INET or AF_INET6; AF_UNSPEC where length is 0
  std::string to_string() const;  // "127.0.0.1:80", "[::1]:80"; "-" where length is 0
  void set_port(std::uint16_t port);

  // From whence it can be reached, by the registries of special-purpose addresses; of an IPv4 address inside an IPv6
  // one (mapped, translated, NAT64, 6to4, ISATAP) the narrower of both.
  enum class Scope {
    kLocal,    // this machine or its link: loopback, link-local, unspecified, the clouds' metadata; and what is the
               // address of no one machine: multicast, broadcast, reserved
    kPrivate,  // a network of somebody: private, carrier, documentation, whatever else is kept for special use
    kPublic,   // any machine of the internet
  };
  Scope scope() const;  // kLocal where length is 0
  bool is_public() const { return scope() == Scope::kPublic; }

  // From an IP literal, without brackets and zone; length 0 where it is none.
  static Address literal(const std::string& host, std::uint16_t port);
  // A literal with or without a port: "192.0.2.1", "192.0.2.1:53", "2001:db8::1", "[2001:db8::1]:53". Length 0 where
  // it is none, or the port is not within 1 to 65535.
  static Address parse(const std::string& text, std::uint16_t default_port);
  // From what the system or a library gave; length 0 where it is neither IPv4 nor IPv6.
  static Address from(const sockaddr* address, std::uint16_t port);
};

}  // namespace ocsp_plus::net
