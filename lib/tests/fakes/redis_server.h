// A server on loopback that speaks as much of the protocol of Redis as tests want, faults included.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/poll_loop.h"
#include "tests/fakes/socket.h"

namespace ocsp_plus::testing {

using Words = std::vector<std::string>;

inline std::string bulk(const std::string& text) {
  return "$" + std::to_string(text.size()) + "\r\n" + text + "\r\n";
}
inline std::string array(const std::vector<std::string>& encoded) {
  std::string text = "*" + std::to_string(encoded.size()) + "\r\n";
  for (const std::string& each : encoded) {
    text += each;
  }
  return text;
}

class RedisServer {
 public:
  explicit RedisServer(EventLoop& loop, const net::Address& address = net::Address::literal("127.0.0.1", 0))
      : loop_(loop), socket_(listening_socket(address)) {
    watch_ = loop.watch(socket_.get(), [this](unsigned) { on_accept(); });
    watch_->set(IoWatch::kRead);
  }

  // What a healthy server answers.
  static std::string healthy(const Words& words) {
    return words[0] == "PING"   ? "+PONG\r\n"
           : words[0] == "ROLE" ? array({bulk("master"), ":0\r\n", "*0\r\n"})
                                : "+OK\r\n";
  }

  // Returns the bytes that answer a command; none: silence.
  std::function<std::string(const Words&)> answer = healthy;
  std::string close_after;  // the command after whose answer the connection is closed
  std::string greeting;     // sent on accept
  std::size_t piece = 0;    // bytes sent in one turn of the loop; 0: all

  std::uint16_t port() const { return port_of(local_address(socket_)); }
  std::string place() const { return "redis://127.0.0.1:" + std::to_string(port()); }
  // The commands seen, each in one line, arguments behind spaces.
  const std::vector<std::string>& commands() const { return commands_; }
  int seen(const std::string& command) const {
    return static_cast<int>(std::count(commands_.begin(), commands_.end(), command));
  }
  int accepted() const { return accepted_; }
  std::size_t open_connections() const { return peers_.size(); }
  void close_all() {
    while (!peers_.empty()) {
      drop(*peers_.front());
    }
  }

 private:
  struct Peer {
    Socket socket;
    std::string received;
    std::string out;
    bool closing = false;
    std::unique_ptr<IoWatch> watch;
    std::unique_ptr<Timer> timer;
  };

  void on_accept() {
    const int fd = ::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      return;
    }
    ++accepted_;
    peers_.push_back(std::make_unique<Peer>());
    Peer& peer = *peers_.back();
    peer.socket = Socket(fd);
    peer.watch = loop_.watch(fd, [this, &peer](unsigned) { on_readable(peer); });
    peer.watch->set(IoWatch::kRead);
    peer.timer = loop_.timer([this, &peer] { step(peer); });
    if (!greeting.empty()) {
      peer.out = greeting;
      peer.timer->arm(0);
    }
  }

  // Takes the first complete command from `bytes`; none if there is none.
  static Words take_command(std::string& bytes) {
    Words words;
    std::size_t at = bytes.find("\r\n");
    if (bytes.empty() || bytes[0] != '*' || at == std::string::npos) {
      return {};
    }
    const auto count = std::strtoul(bytes.c_str() + 1, nullptr, 10);
    at += 2;
    while (words.size() < count) {
      const std::size_t end = bytes.find("\r\n", at);
      if (end == std::string::npos) {
        return {};
      }
      const auto size = std::strtoul(bytes.c_str() + at + 1, nullptr, 10);
      if (bytes.size() < end + 2 + size + 2) {
        return {};
      }
      words.push_back(bytes.substr(end + 2, size));
      at = end + 2 + size + 2;
    }
    bytes.erase(0, at);
    return words;
  }

  void on_readable(Peer& peer) {
    char buffer[16384];
    const ssize_t count = ::recv(peer.socket.get(), buffer, sizeof buffer, 0);
    if (count <= 0) {
      return drop(peer);
    }
    peer.received.append(buffer, static_cast<std::size_t>(count));
    for (Words words = take_command(peer.received); !words.empty(); words = take_command(peer.received)) {
      std::string line;
      for (const std::string& word : words) {
        line += (line.empty() ? "" : " ") + word;
      }
      commands_.push_back(line);
      peer.out += answer(words);
      if (words[0] == close_after) {
        peer.closing = true;
        break;
      }
    }
    peer.timer->arm(0);
  }

  void step(Peer& peer) {
    const std::size_t size = piece == 0 ? peer.out.size() : std::min(piece, peer.out.size());
    const ssize_t count = ::send(peer.socket.get(), peer.out.data(), size, MSG_NOSIGNAL);
    peer.out.erase(0, count > 0 ? static_cast<std::size_t>(count) : 0);
    if (!peer.out.empty()) {
      return peer.timer->arm(0);
    }
    if (peer.closing) {
      drop(peer);
    }
  }

  void drop(Peer& peer) {
    peer.watch.reset();  // before the socket, which the destructor would close first
    peers_.remove_if([&peer](const std::unique_ptr<Peer>& each) { return each.get() == &peer; });
  }

  EventLoop& loop_;
  Socket socket_;
  std::unique_ptr<IoWatch> watch_;
  std::vector<std::string> commands_;
  std::list<std::unique_ptr<Peer>> peers_;
  int accepted_ = 0;
};

}  // namespace ocsp_plus::testing
