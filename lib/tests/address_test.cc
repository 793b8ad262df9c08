#include "net/address.h"

#include <catch2/catch.hpp>

using namespace ocsp_plus;
using net::Address;

TEST_CASE("address: texts", "[address]") {
  struct Case {
    const char* text;
    const char* result;  // "-": refused
  };
  const Case cases[] = {
      {"127.0.0.1", "127.0.0.1:53"},
      {"127.0.0.1:1", "127.0.0.1:1"},
      {"127.0.0.1:65535", "127.0.0.1:65535"},
      {"::1", "[::1]:53"},
      {"[::1]", "[::1]:53"},
      {"[2001:DB8::1]:54", "[2001:db8::1]:54"},
      {"", "-"},
      {":53", "-"},
      {"localhost", "-"},
      {"127.0.0.1:", "-"},
      {"127.0.0.1:0", "-"},
      {"127.0.0.1:65536", "-"},
      {"127.0.0.1:5x", "-"},
      {"127.0.0.1:-5", "-"},
      {"[127.0.0.1]:53", "-"},
      {"[::1", "-"},
      {"[::1]:", "-"},
      {"[::1]53", "-"},
      {"[]:53", "-"},
      {"127.0.0.1,127.0.0.2", "-"},
  };
  for (const Case& c : cases) {
    DYNAMIC_SECTION(c.text) {
      CHECK(Address::parse(c.text, 53).to_string() == c.result);
    }
  }
  CHECK(Address().family() == AF_UNSPEC);
  CHECK(Address::literal("::1", 80).family() == AF_INET6);
  CHECK(Address::literal("[::1]", 80).length == 0);
  Address address = Address::literal("192.0.2.1", 80);
  address.set_port(81);
  CHECK(address.to_string() == "192.0.2.1:81");
}

TEST_CASE("address: which may be any machine of the internet", "[address][rfc6890]") {
  const char* const open[] = {
      "1.1.1.1",          "9.255.255.255",   "11.0.0.0",        "100.63.255.255",     "100.128.0.0",
      "126.255.255.255",  "128.0.0.0",       "169.253.255.255", "169.255.0.0",        "172.15.255.255",
      "172.32.0.0",       "192.0.1.0",       "192.0.3.0",       "192.167.255.255",    "192.169.0.0",
      "198.17.255.255",   "198.20.0.0",      "223.255.255.255", "168.63.129.15",      "168.63.129.17",
      "2001:200::1",      "2606:4700::1111", "2a00:1450::1",    "2002:101:101::1",    "::ffff:1.1.1.1",
      "64:ff9b::1.1.1.1", "2001:db7::1",     "3ffe:ffff::1",    "2a00::5efe:101:101", "2a00::200:5efe:101:101",
  };
  const char* const closed[] = {
      "0.0.0.0",
      "0.255.255.255",
      "10.0.0.1",
      "10.255.255.255",
      "100.64.0.1",
      "100.127.255.255",
      "127.0.0.1",
      "127.255.255.255",
      "168.63.129.16",
      "169.254.169.254",
      "172.16.0.1",
      "172.31.255.255",
      "192.0.0.192",
      "192.0.2.1",
      "192.88.99.1",
      "192.168.1.1",
      "198.18.0.1",
      "198.19.255.255",
      "198.51.100.1",
      "203.0.113.1",
      "224.0.0.1",
      "239.255.255.255",
      "240.0.0.1",
      "255.255.255.255",
      "::",
      "::1",
      "::7f00:1",
      "::ffff:0:1.1.1.1",
      "::ffff:127.0.0.1",
      "::ffff:10.1.2.3",
      "64:ff9b::7f00:1",
      "64:ff9b::169.254.169.254",
      "64:ff9b:1::1.1.1.1",
      "100::1",
      "2001::1",
      "2001:1ff:ffff::1",
      "2001:db8::1",
      "2002:7f00:1::1",
      "2002:c0a8:101::1",
      "2a00::5efe:10.0.0.1",
      "2a00::200:5efe:127.0.0.1",
      "3fff::1",
      "3fff:fff::1",
      "5f00::1",
      "fc00::1",
      "fd00:ec2::254",
      "fe80::1",
      "fec0::1",
      "ff02::1",
      "4000::1",
  };
  for (const char* text : open) {
    CAPTURE(text);
    REQUIRE(Address::parse(text, 80).length != 0);
    CHECK(Address::parse(text, 80).is_public());
  }
  for (const char* text : closed) {
    CAPTURE(text);
    REQUIRE(Address::parse(text, 80).length != 0);
    CHECK_FALSE(Address::parse(text, 80).is_public());
  }
  CHECK_FALSE(Address().is_public());
}

TEST_CASE("address: a unix socket", "[address]") {
  const std::string path = "/run/" + std::string(102, 'x');
  const Address address = Address::unix_socket(path);
  CHECK(address.family() == AF_UNIX);
  CHECK(address.to_string() == "unix:" + path);
  CHECK_FALSE(address.is_public());
  CHECK(address.scope() == Address::Scope::kLocal);
  CHECK(address.is_loopback());
  Address same = address;
  same.set_port(80);
  CHECK(same.to_string() == address.to_string());
  CHECK(Address::unix_socket(path + "x").length == 0);
  CHECK(Address::unix_socket("").length == 0);
}

TEST_CASE("address: which is this machine's own", "[address]") {
  for (const char* const text : {"127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"}) {
    CAPTURE(text);
    CHECK(Address::parse(text, 80).is_loopback());
  }
  for (const char* const text :
       {"0.0.0.0", "10.0.0.1", "126.0.0.1", "128.0.0.1", "::", "::2", "::ffff:10.0.0.1", "fe80::1"}) {
    CAPTURE(text);
    CHECK_FALSE(Address::parse(text, 80).is_loopback());
  }
  CHECK_FALSE(Address().is_loopback());
}
