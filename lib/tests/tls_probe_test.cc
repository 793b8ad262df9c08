// Servers that are none: what a TLS server staples is for t/cli_check.t.
#include "crypto/tls_probe.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <memory>
#include <optional>
#include <string>

#include "base/poll_loop.h"

using namespace ocsp_plus;
using crypto::TlsProbe;
using crypto::TlsSeen;
using crypto::TlsVersion;

namespace {

struct Pair {
  Pair() { REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0); }
  ~Pair() {
    probe.reset();
    close(ends[0]);
    hang_up();
  }
  void hang_up() {
    if (ends[1] >= 0) {
      close(ends[1]);
    }
    ends[1] = -1;
  }
  void start(TlsVersion version, crypto::KeyKind key = crypto::KeyKind::kOther) {
    probe = TlsProbe::start(loop, ends[0], {version, "www.example.com", key}, [this](TlsSeen result) {
              seen = std::move(result);
              probe.reset();  // as callers may
            }).value();
  }
  std::string hello() {
    std::string bytes(4096, '\0');
    ssize_t got = -1;
    REQUIRE(loop.run_until([&] { return (got = recv(ends[1], bytes.data(), bytes.size(), 0)) > 0; }, 20000));
    bytes.resize(static_cast<std::size_t>(got));
    return bytes;
  }
  const TlsSeen& answer(const std::string& bytes, bool then_hang_up) {
    REQUIRE(send(ends[1], bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
    if (then_hang_up) {
      hang_up();
    }
    REQUIRE(loop.run_until([&] { return seen.has_value(); }, 20000));
    return *seen;
  }

  SystemClock clock;
  PollLoop loop{clock};
  int ends[2] = {-1, -1};
  std::unique_ptr<TlsProbe> probe;
  std::optional<TlsSeen> seen;
};

}  // namespace

TEST_CASE("tls_probe: it asks for a status, by name", "[tls_probe][rfc6066-8]") {
  for (const TlsVersion version : {TlsVersion::k12, TlsVersion::k13}) {
    Pair pair;
    pair.start(version);
    const std::string hello = pair.hello();
    CHECK(hello.find("www.example.com") != std::string::npos);
    // extension status_request: type 5, five octets: ocsp, no responders, no extensions
    CHECK(hello.find(std::string("\0\x05\0\x05\x01\0\0\0\0", 9)) != std::string::npos);
    CHECK_FALSE(pair.seen.has_value());
  }
}

// What it reads is the plain message.
TEST_CASE("tls_probe: it takes no compressed certificates", "[tls_probe][rfc8879]") {
  Pair pair;
  pair.start(TlsVersion::k13);
  const std::string hello = pair.hello();
  for (const char algorithms : {1, 2, 3}) {
    // extension compress_certificate: type 27, the list of algorithms with two lengths before it
    const char size = static_cast<char>(2 * algorithms);
    CHECK(hello.find(std::string("\0\x1b\0", 3) + static_cast<char>(size + 1) + size + '\0') == std::string::npos);
  }
}

TEST_CASE("tls_probe: what is no handshake", "[tls_probe]") {
  struct Case {
    const char* what;
    std::string bytes;
    bool hang_up;
    TlsSeen::End end;
    int alert;
  };
  const Case cases[] = {
      {"nothing, and the end", "", true, TlsSeen::End::kBroken, 0},
      {"HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n", false, TlsSeen::End::kPlainHttp, 0},
      {"not quite HTTP", "HTTQ/1.1 400 Bad Request\r\n\r\n", false, TlsSeen::End::kBroken, 0},
      {"half a record", std::string("\x16\x03\x03\x40\0\x02", 6), true, TlsSeen::End::kBroken, 0},
      {"zeros", std::string(20000, '\0'), false, TlsSeen::End::kBroken, 0},
      {"internal_error", std::string("\x15\x03\x03\0\x02\x02\x50", 7), false, TlsSeen::End::kAlert, 80},
      {"unrecognized_name", std::string("\x15\x03\x03\0\x02\x02\x70", 7), true, TlsSeen::End::kAlert, 112},
      {"protocol_version", std::string("\x15\x03\x03\0\x02\x02\x46", 7), false, TlsSeen::End::kNotSupported, 0},
  };
  for (const Case& c : cases) {
    for (const TlsVersion version : {TlsVersion::k12, TlsVersion::k13}) {
      DYNAMIC_SECTION(c.what << ", TLS " << token(version)) {
        Pair pair;
        pair.start(version);
        pair.hello();
        const TlsSeen& seen = pair.answer(c.bytes, c.hang_up);
        INFO(seen.detail);
        CHECK(seen.end == c.end);
        CHECK(seen.alert == c.alert);
        CHECK(seen.chain.empty());
        CHECK(seen.staples.empty());
        CHECK_FALSE(seen.detail.empty());
        CHECK(seen.answered == !c.bytes.empty());
      }
    }
  }
}

TEST_CASE("tls_probe: destroyed before its end, it says nothing", "[tls_probe]") {
  Pair pair;
  pair.start(TlsVersion::k13);
  pair.hello();
  pair.probe.reset();
  send(pair.ends[1], "x", 1, MSG_NOSIGNAL);
  pair.loop.run_until([] { return false; }, 1);
  CHECK_FALSE(pair.seen.has_value());
}

// What the server chooses its certificate by; t/cli_check_pair.t has servers with two.
TEST_CASE("tls_probe: it offers signatures of one kind of key alone", "[tls_probe][rfc8446-4.2.3]") {
  const std::string ecdsa_p256("\x04\x03", 2);
  const std::string rsa_pss("\x08\x04", 2);
  // extension signature_algorithms: type 13, and two lengths
  const auto offered = [](const std::string& hello) {
    for (std::size_t at = hello.find(std::string("\0\x0d\0", 3)); at != std::string::npos;
         at = hello.find(std::string("\0\x0d\0", 3), at + 1)) {
      const auto size = static_cast<unsigned char>(hello[at + 3]);
      if (hello[at + 4] == 0 && static_cast<unsigned char>(hello[at + 5]) + 2 == size) {
        return hello.substr(at + 6, size - 2U);
      }
    }
    return std::string();
  };
  for (const TlsVersion version : {TlsVersion::k12, TlsVersion::k13}) {
    for (const auto key : {crypto::KeyKind::kRsa, crypto::KeyKind::kEc, crypto::KeyKind::kOther}) {
      Pair pair;
      pair.start(version, key);
      const std::string algorithms = offered(pair.hello());
      CHECK((algorithms.find(ecdsa_p256) != std::string::npos) == (key != crypto::KeyKind::kRsa));
      CHECK((algorithms.find(rsa_pss) != std::string::npos) == (key != crypto::KeyKind::kEc));
    }
  }
}
