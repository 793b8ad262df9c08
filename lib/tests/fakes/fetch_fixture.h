// A responder, a DNS server for its name, and a fetch.
#pragma once

#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "net/fetch.h"
#include "tests/fakes/descriptors.h"
#include "tests/fakes/dns_server.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/tcp_server.h"

namespace ocsp_plus::testing {

constexpr Millis kPatience = 20000;
inline const std::string kBody = "not really DER";
inline const std::string kOk = http_reply("200 OK", "Content-Type: application/ocsp-response\r\n", kBody);

struct FetchFixture {
  ShiftedClock clock;
  PollLoop loop{clock};
  DnsServer dns{loop};
  TcpServer server{loop};
  std::unique_ptr<net::Resolver> resolver;
  std::unique_ptr<net::Transport> transport;
  std::unique_ptr<net::Fetch> fetch;
  std::optional<net::Fetch::Outcome> outcome;
  int calls = 0;

  FetchFixture() {
    net::ResolverOptions options;
    options.servers = {dns.address()};
    options.timeout = 2000;
    resolver = net::Resolver::create(loop, clock, options).value();
    transport = std::make_unique<net::Transport>(loop, clock, *resolver);
    DnsRecord record;
    record.a = {"127.0.0.1"};
    dns.set("ocsp.example", record);
  }

  std::string base(const std::string& host = "127.0.0.1") const {
    return "http://" + host + ":" + std::to_string(server.port());
  }

  net::FetchRequest request(const std::string& url) const {
    net::FetchRequest made;
    made.url = net::Url::parse(url).value();
    made.body = ByteView(std::string_view("\x30\x03\x02\x01\x00", 5)).copy();
    made.get_path = "MAMCAQA%3D";
    return made;
  }

  void start(net::FetchRequest made) {
    fetch = net::Fetch::start(*transport, std::move(made), [this](net::Fetch::Outcome result) {
      outcome = std::move(result);
      ++calls;
    });
    REQUIRE(calls == 0);  // never before it returns
  }

  void wait() {
    REQUIRE(loop.run_until([&] { return outcome.has_value(); }, kPatience));
    turns(3);
    CHECK(calls == 1);
  }

  net::Fetch::Outcome& run(net::FetchRequest made) {
    start(std::move(made));
    wait();
    return *outcome;
  }

  net::Fetch::Outcome& run(const std::string& url) { return run(request(url)); }

  void turns(int count) {
    for (int i = 0; i < count; ++i) {
      loop.run_until([] { return true; }, 0);
    }
  }

  // Polls for a condition that does not wake the loop, such as a closed descriptor.
  bool eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 2000 && !condition(); ++i) {
      loop.run_until(condition, 10);
    }
    return condition();
  }

  std::string loopback(int last_byte) const {
    return "127.0.0." + std::to_string(last_byte) + ":" + std::to_string(server.port());
  }
};

inline std::string body_of(const net::Fetch::Outcome& outcome) {
  return outcome ? std::string(ByteView(outcome->http.body).text()) : outcome.error().detail;
}

inline std::string first_line(const std::string& request) {
  return request.substr(0, request.find("\r\n"));
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace ocsp_plus::testing
