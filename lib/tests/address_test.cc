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
