// A TCP server on loopback that plays one script per connection. It parses only as much HTTP as it needs to detect
// the end of a request.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/poll_loop.h"
#include "tests/fakes/socket.h"

namespace ocsp_plus::testing {

struct Script {
  // What follows the reply: an orderly close, RST, silence, or another request for the next script.
  enum class End { kClose, kReset, kHold, kNext };

  std::string reply;  // sent when the request is complete
  End end = End::kClose;
  bool at_once = false;   // sent on accept, before any request
  std::size_t piece = 0;  // bytes per step; 0: all at once
  Millis pause = 0;       // between the steps; 0: one step per turn of the loop
};

// A response with a Content-Length; `headers` are lines, each with its "\r\n".
inline std::string http_reply(const std::string& status, const std::string& headers, const std::string& body) {
  return "HTTP/1.1 " + status + "\r\n" + headers + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         body;
}

class TcpServer {
 public:
  // `port` 0: any. `loop` must outlive the server.
  explicit TcpServer(EventLoop& loop, const std::string& address = "127.0.0.1", std::uint16_t port = 0)
      : loop_(loop), socket_(listening_socket(net::Address::literal(address, port))) {
    watch_ = loop.watch(socket_.get(), [this](unsigned) { on_accept(); });
    watch_->set(IoWatch::kRead);
  }

  // Scripts are used in this order; a connection without a script is held open, silent.
  void play(Script script) { scripts_.push_back(std::move(script)); }
  void play(const std::string& reply, Script::End end = Script::End::kClose) {
    Script script;
    script.reply = reply;
    script.end = end;
    play(std::move(script));
  }

  std::uint16_t port() const { return port_of(local_address(socket_)); }
  const std::vector<std::string>& requests() const { return requests_; }  // the complete ones
  int accepted() const { return accepted_; }
  std::size_t open_connections() const { return peers_.size(); }

 private:
  struct Peer {
    Socket socket;
    Script script;
    std::string request;
    bool answering = false;
    std::size_t sent = 0;
    std::unique_ptr<IoWatch> watch;
    std::unique_ptr<Timer> timer;
  };

  static bool is_complete(const std::string& request) {
    const std::size_t end = request.find("\r\n\r\n");
    if (end == std::string::npos) {
      return false;
    }
    const std::size_t field = request.find("Content-Length: ");
    const std::size_t body = field == std::string::npos ? 0 : std::strtoul(request.c_str() + field + 16, nullptr, 10);
    return request.size() >= end + 4 + body;
  }

  void on_accept() {
    const int fd = ::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      return;
    }
    ++accepted_;
    peers_.push_back(std::make_unique<Peer>());
    Peer& peer = *peers_.back();
    peer.socket = Socket(fd);
    take_script(peer);
    peer.watch = loop_.watch(fd, [this, &peer](unsigned) { on_readable(peer); });
    peer.watch->set(IoWatch::kRead);
    peer.timer = loop_.timer([this, &peer] { step(peer); });
    if (peer.script.at_once) {
      answer(peer);
    }
  }

  void take_script(Peer& peer) {
    peer.script = Script();
    peer.script.end = Script::End::kHold;
    if (!scripts_.empty()) {
      peer.script = std::move(scripts_.front());
      scripts_.pop_front();
    }
  }

  void on_readable(Peer& peer) {
    char buffer[4096];
    const ssize_t count = ::recv(peer.socket.get(), buffer, sizeof buffer, 0);
    if (count <= 0) {
      return drop(peer);
    }
    const bool complete_before = is_complete(peer.request);
    peer.request.append(buffer, static_cast<std::size_t>(count));
    if (!complete_before && is_complete(peer.request)) {
      requests_.push_back(peer.request);
      answer(peer);
    }
  }

  void answer(Peer& peer) {
    if (!std::exchange(peer.answering, true)) {
      peer.timer->arm(0);
    }
  }

  void step(Peer& peer) {
    const std::string& reply = peer.script.reply;
    const std::size_t rest = reply.size() - peer.sent;
    const std::size_t piece = peer.script.piece == 0 ? rest : std::min(rest, peer.script.piece);
    const ssize_t count = ::send(peer.socket.get(), reply.data() + peer.sent, piece, MSG_NOSIGNAL);
    peer.sent += count > 0 ? static_cast<std::size_t>(count) : 0;
    if (peer.sent < reply.size()) {
      return peer.timer->arm(peer.script.pause);
    }
    if (peer.script.end == Script::End::kHold) {
      return;
    }
    if (peer.script.end == Script::End::kNext) {
      peer.request.clear();
      peer.answering = false;
      peer.sent = 0;
      return take_script(peer);
    }
    if (peer.script.end == Script::End::kReset) {
      const linger at_once = {1, 0};
      ::setsockopt(peer.socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    drop(peer);
  }

  void drop(Peer& peer) {
    peer.watch.reset();  // before the socket, which the destructor would close first
    peers_.remove_if([&peer](const std::unique_ptr<Peer>& each) { return each.get() == &peer; });
  }

  EventLoop& loop_;
  Socket socket_;
  std::unique_ptr<IoWatch> watch_;
  std::deque<Script> scripts_;
  std::vector<std::string> requests_;
  std::list<std::unique_ptr<Peer>> peers_;
  int accepted_ = 0;
};

}  // namespace ocsp_plus::testing
