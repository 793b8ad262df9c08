// A TLS client that encrypts nothing.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/tls.h"

namespace ocsp_plus::testing {

// Passes all bytes through and accepts any handshake.
struct FakeTls : TlsClient {
  struct Session : TlsSession {
    Result<void> receive(ByteView bytes) override {
      if (!done) {
        done = true;
      } else {
        plain = bytes.copy();
      }
      return {};
    }
    bool established() const override { return done; }
    bool closed() const override { return false; }
    Result<void> send(ByteView bytes) override {
      out = bytes.copy();
      return {};
    }
    Bytes take_output() override { return std::exchange(out, {}); }
    Bytes take_plaintext() override { return std::exchange(plain, {}); }
    std::string describe() const override { return "fake"; }
    std::optional<TlsPeer> peer() const override { return std::nullopt; }
    bool done = false;
    Bytes out = ByteView(std::string_view("HELLO\r\n\r\n")).copy();
    Bytes plain;
  };
  Result<std::unique_ptr<TlsSession>> open(const std::string& host, unsigned) override {
    hosts.push_back(host);
    return std::make_unique<Session>();
  }
  std::vector<std::string> hosts;
};

}  // namespace ocsp_plus::testing
