// OCSP responders on loopback that answer with a function's result and record each request and its time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/ports.h"
#include "tests/fakes/socket.h"

namespace ocsp_plus::testing {

inline std::string ocsp_reply(ByteView der, const std::string& headers = {}) {
  return "HTTP/1.1 200 OK\r\n" + headers + "Content-Length: " + std::to_string(der.size()) + "\r\n\r\n" +
         std::string(der.text());
}

class OcspServer {
 public:
  // Returns the bytes to send for a request's head, after which the connection closes. Empty: it stays open, silent.
  using Answer = std::function<std::string(const std::string& head)>;

  OcspServer(EventLoop& loop, const Clock& clock, Answer first_answer)
      : answer(std::move(first_answer)),
        loop_(loop),
        clock_(clock),
        socket_(listening_socket(net::Address::literal("127.0.0.1", 0))) {
    watch_ = loop.watch(socket_.get(), [this](unsigned) { on_accept(); });
    watch_->set(IoWatch::kRead);
  }

  std::string host() const { return "127.0.0.1:" + std::to_string(port_of(local_address(socket_))); }
  std::string url(const std::string& path = "") const { return "http://" + host() + "/" + path; }
  // The first part of the path, which names the certificate.
  static std::string path_of(const std::string& head) {
    const std::size_t start = head.find('/') + 1;
    return head.substr(start, head.find_first_of("/ ", start) - start);
  }

  struct Asked {
    UnixSeconds at;
    std::string path;
    bool no_cache;
  };

  Answer answer;
  Millis delay = 0;      // until the answer
  Millis stagger = 130;  // longer for each of ten in turn, so that no two answers coincide
  std::vector<Asked> asked;
  std::size_t open() const { return peers_.size(); }
  std::size_t most_open = 0;

 private:
  struct Peer {
    Socket socket;
    std::string head;
    std::unique_ptr<IoWatch> watch;
    std::unique_ptr<Timer> timer;
  };

  void on_accept() {
    const int fd = ::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      return;
    }
    peers_.push_back(std::make_unique<Peer>());
    Peer& peer = *peers_.back();
    peer.socket = Socket(fd);
    peer.watch = loop_.watch(fd, [this, &peer](unsigned) { on_readable(peer); });
    peer.watch->set(IoWatch::kRead);
    peer.timer = loop_.timer([this, &peer] { reply_to(peer); });
    most_open = std::max(most_open, peers_.size());
  }

  void on_readable(Peer& peer) {
    char buffer[4096];
    const ssize_t count = ::recv(peer.socket.get(), buffer, sizeof buffer, 0);
    if (count <= 0) {
      return drop(peer);
    }
    peer.head.append(buffer, static_cast<std::size_t>(count));
    if (peer.head.find("\r\n\r\n") == std::string::npos) {
      return;
    }
    asked.push_back({clock_.now(), path_of(peer.head), peer.head.find("no-cache") != std::string::npos});
    if (delay > 0) {
      return peer.timer->arm(delay + stagger * static_cast<Millis>(asked.size() % 10));
    }
    reply_to(peer);
  }

  void reply_to(Peer& peer) {
    const std::string reply = answer(peer.head);
    if (!reply.empty()) {
      ::send(peer.socket.get(), reply.data(), reply.size(), MSG_NOSIGNAL);
      drop(peer);
    }
  }

  void drop(Peer& peer) {
    peer.watch.reset();
    peers_.remove_if([&peer](const std::unique_ptr<Peer>& each) { return each.get() == &peer; });
  }

  EventLoop& loop_;
  const Clock& clock_;
  Socket socket_;
  std::unique_ptr<IoWatch> watch_;
  std::list<std::unique_ptr<Peer>> peers_;
};

}  // namespace ocsp_plus::testing
