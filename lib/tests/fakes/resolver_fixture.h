// A resolver that queries a fake server.
#pragma once

#include <catch2/catch.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "net/address_cache.h"
#include "net/resolver.h"
#include "tests/fakes/descriptors.h"
#include "tests/fakes/dns_server.h"
#include "tests/fakes/fake_clock.h"

namespace ocsp_plus::testing {

constexpr Millis kDnsPatience = 10000;

struct ResolverFixture {
  ShiftedClock clock;
  PollLoop loop{clock};
  DnsServer dns{loop};
  std::unique_ptr<net::Resolver> resolver;

  explicit ResolverFixture(net::ResolverOptions options = {}) {
    if (options.servers.empty()) {
      options.servers = {dns.address()};
    }
    resolver = net::Resolver::create(loop, clock, options).value();
  }

  struct Asked {
    std::unique_ptr<net::Resolver::Query> query;
    std::optional<net::Addresses> answer;
    int calls = 0;
  };

  std::unique_ptr<Asked> start(const std::string& host, std::uint16_t port = 80) {
    auto asked = std::make_unique<Asked>();
    asked->query = resolver->resolve(host, port, [raw = asked.get()](net::Addresses answer) {
      raw->answer = std::move(answer);
      ++raw->calls;
    });
    CHECK(asked->calls == 0);  // never before it returns
    return asked;
  }

  net::Addresses ask(const std::string& host, std::uint16_t port = 80) {
    const auto asked = start(host, port);
    REQUIRE(loop.run_until([&] { return asked->answer.has_value(); }, kDnsPatience));
    turns(3);
    CHECK(asked->calls == 1);
    return *asked->answer;
  }

  void turns(int count) {
    for (int i = 0; i < count; ++i) {
      loop.run_until([] { return true; }, 0);
    }
  }
};

inline std::vector<std::string> texts(const net::Addresses& addresses) {
  std::vector<std::string> result;
  if (addresses) {
    for (const net::Address& address : *addresses) {
      result.push_back(address.to_string());
    }
  }
  return result;
}

using Texts = std::vector<std::string>;

inline DnsRecord with_a(std::vector<std::string> a) {
  DnsRecord record;
  record.a = std::move(a);
  return record;
}

inline net::ResolverOptions impatient() {
  net::ResolverOptions options;
  options.timeout = 50;
  return options;
}

}  // namespace ocsp_plus::testing
