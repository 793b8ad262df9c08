#include "responder_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

namespace responder {
namespace {

long monotonic_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

Fields parse_fields(const std::string& text) {
  Fields fields;
  size_t start = 0;
  while (start <= text.size()) {
    size_t end = text.find_first_of("\n&", start);
    if (end == std::string::npos) {
      end = text.size();
    }
    const std::string field = text.substr(start, end - start);
    const size_t equals = field.find('=');
    if (equals != std::string::npos) {
      fields[field.substr(0, equals)] = percent_decode(field.substr(equals + 1));
    }
    start = end + 1;
  }
  return fields;
}

// The request is in a POST's body or in a GET's path, there behind a prefix of any depth.
bool find_request(const HttpRequest& http, Request* request) {
  if (http.method == "POST") {
    return Answerer::parse(http.body, request);
  }
  std::string path = percent_decode(http.path.substr(0, http.path.find('?')));
  while (!path.empty()) {
    path.erase(0, 1);  // the slash
    if (Answerer::parse(base64_decode(path), request)) {
      return true;
    }
    const size_t slash = path.find('/');
    path.erase(0, slash == std::string::npos ? path.size() : slash);
  }
  return false;
}

}  // namespace

Server::Server() : answerer_(settings_), epoll_(epoll_create1(EPOLL_CLOEXEC)) {}

bool Server::listen_on(const std::string& address, int port, bool control) {
  sockaddr_storage storage{};
  socklen_t size = 0;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  if (inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<uint16_t>(port));
    size = sizeof(sockaddr_in);
  } else if (inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(static_cast<uint16_t>(port));
    size = sizeof(sockaddr_in6);
  } else {
    return false;
  }
  const int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    return false;
  }
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (storage.ss_family == AF_INET6) {
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  }
  if (bind(fd, reinterpret_cast<sockaddr*>(&storage), size) != 0 || listen(fd, 4096) != 0) {
    const int error = errno;
    ::close(fd);
    errno = error;
    return false;
  }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  listeners_[fd] = {fd, port, control, true};
  return true;
}

// A refused port stays bound, so nobody else can take it meanwhile.
void Server::apply_refusals() {
  for (auto& [fd, listener] : listeners_) {
    const bool open = listener.control || settings_.peek_fault({listener.port, ""}).name != "refuse";
    if (open == listener.open) {
      continue;
    }
    if (open) {
      listen(fd, 4096);
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.fd = fd;
      epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
    } else {
      epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
      shutdown(fd, SHUT_RDWR);
    }
    listener.open = open;
  }
}

void Server::watch(Connection& c, bool want_write) {
  if (c.want_write == want_write) {
    return;
  }
  c.want_write = want_write;
  epoll_event event{};
  event.events = want_write ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.fd = c.fd;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, c.fd, &event);
}

void Server::close(Connection& c, bool reset) {
  auto timer = timer_of_.find(c.fd);
  if (timer != timer_of_.end()) {
    timers_.erase(timer->second);
    timer_of_.erase(timer);
  }
  if (reset) {
    const linger hard{1, 0};
    setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  }
  if (!c.control) {
    set_working(c, false);
    stats_.closed(c.port);
  }
  const int fd = c.fd;
  ::close(fd);
  connections_.erase(fd);
}

void Server::set_working(Connection& c, bool working) {
  if (c.working != working) {
    c.working = working;
    stats_.working(c.port, working);
  }
}

// Whom a client has left before it came again counts no more: epoll may tell of the new connection first.
void Server::close_the_gone() {
  std::vector<pollfd> polled;
  for (const auto& [fd, c] : connections_) {
    if (!c->control) {
      polled.push_back({fd, POLLRDHUP, 0});
    }
  }
  poll(polled.data(), polled.size(), 0);
  for (const pollfd& one : polled) {
    if ((one.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) {
      close(*connections_.at(one.fd), false);
    }
  }
}

void Server::accept_all(Listener& listener) {
  for (;;) {
    const int fd = accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      return;
    }
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    close_the_gone();
    auto made = std::make_unique<Connection>();
    Connection& c = *made;
    c.fd = fd;
    c.port = listener.port;
    c.control = listener.control;
    connections_[fd] = std::move(made);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
    if (c.control) {
      continue;
    }
    stats_.opened(c.port);
    set_working(c, true);
    const Scope scope{c.port, ""};
    const std::string fault = settings_.peek_fault(scope).name;
    if (fault == "hang_after_connect") {
      settings_.take_fault(scope);
      c.deaf = true;
    } else if (fault == "reset_on_connect") {
      settings_.take_fault(scope);
      close(c, true);
    }
  }
}

void Server::readable(Connection& c) {
  char buffer[16384];
  for (;;) {
    const ssize_t got = recv(c.fd, buffer, sizeof buffer, 0);
    if (got > 0) {
      if (!c.deaf) {
        c.in.append(buffer, static_cast<size_t>(got));
      }
      continue;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
      break;
    }
    close(c, false);
    return;
  }
  if (c.script.empty() && c.out.empty() && !c.deaf) {
    next_request(c);
  }
}

void Server::next_request(Connection& c) {
  const int fd = c.fd;
  for (;;) {
    HttpRequest request;
    const Parsed parsed = take_request(&c.in, &request);
    if (parsed == Parsed::kIncomplete) {
      return;
    }
    if (parsed == Parsed::kBroken) {
      c.in.clear();
      c.script = plain(400, "text/plain", "bad request\n", false);
    } else if (c.control) {
      control(c, request);
    } else if (request.path.compare(0, 7, "/files/") == 0) {
      c.script = files(request);
    } else {
      ocsp(c, request);
    }
    if (!advance(c) || connections_.count(fd) == 0 || !c.script.empty() || !c.out.empty() || c.deaf) {
      return;
    }
  }
}

Script Server::files(const HttpRequest& request) {
  Seen seen;
  seen.time = wall_clock();
  seen.method = request.method;
  seen.serial = "file";
  seen.hash = "-";
  seen.fault = "none";
  seen.target = request.target;
  seen.host = request.host;
  stats_.request(seen);
  auto it = files_.find(request.path.substr(7));
  std::ifstream in(it == files_.end() ? "" : it->second.path, std::ios::binary);
  if (!in) {
    return plain(404, "text/plain", "no such file\n", request.keep_alive);
  }
  const std::string body(std::istreambuf_iterator<char>(in), {});
  return plain(200, it->second.type, body, request.keep_alive);
}

void Server::ocsp(Connection& c, const HttpRequest& http) {
  Request request;
  const bool found = find_request(http, &request);
  const Scope scope{c.port, found ? request.serial : ""};
  Fault fault = settings_.take_fault(scope);
  Seen seen;
  seen.time = wall_clock();
  seen.method = http.method;
  seen.port = c.port;
  seen.serial = found ? request.serial : "-";
  seen.hash = found ? request.hash : "-";
  seen.nonce = request.nonce;
  const auto asked = http.headers.find("cache-control");
  seen.no_cache = asked != http.headers.end() && asked->second == "no-cache";
  seen.conditional = http.headers.count("if-none-match") + http.headers.count("if-modified-since") != 0;
  seen.fault = fault.name;
  seen.target = http.target;
  seen.host = http.host;
  seen.url_size = http.target[0] == '/' ? 7 + http.host.size() + http.target.size() : http.target.size();
  stats_.request(seen);
  if (!found && fault.name == "none") {
    fault.name = "malformed_request";
  }
  set_working(c, true);
  c.script = play(http, answerer_.answer(request, c.port, fault), fault, settings_, scope);
}

std::string Server::command(const Fields& fields) {
  const auto field = [&fields](const char* key) {
    auto it = fields.find(key);
    return it == fields.end() ? std::string() : it->second;
  };
  if (fields.count("add_issuer") != 0) {
    return answerer_.add_issuer(field("add_issuer"), field("cert"), field("key"));
  }
  if (fields.count("add_signer") != 0) {
    return answerer_.add_signer(field("add_signer"), field("cert"), field("key"));
  }
  if (fields.count("add_file") != 0) {
    files_[field("add_file")] = {field("path"), field("type")};
    return "";
  }
  if (fields.count("clear_stats") != 0) {
    stats_.clear();
    return "";
  }
  if (fields.count("drop_connections") != 0) {
    for (auto it = connections_.begin(); it != connections_.end();) {
      Connection& c = *it++->second;
      if (!c.control) {
        close(c, true);
      }
    }
    return "";
  }
  answerer_.forget();
  return settings_.apply(fields);
}

void Server::control(Connection& c, const HttpRequest& request) {
  const size_t question = request.path.find('?');
  const std::string path = request.path.substr(0, question);
  const Fields query = parse_fields(question == std::string::npos ? "" : request.path.substr(question + 1));
  std::string error, body = "ok\n";
  if (path == "/control" && request.method == "POST") {
    if (!query.empty()) {
      error = command(query);
    }
    for (size_t start = 0; start < request.body.size() && error.empty();) {
      size_t end = request.body.find("\n\n", start);
      end = end == std::string::npos ? request.body.size() : end;
      const Fields fields = parse_fields(request.body.substr(start, end - start));
      if (!fields.empty()) {
        error = command(fields);
      }
      start = end + 2;
    }
    apply_refusals();
  } else if (path == "/control/stats") {
    body = stats_.totals();
  } else if (path == "/control/requests") {
    body = stats_.requests(query.count("since") != 0 ? std::strtoul(query.at("since").c_str(), nullptr, 10) : 0);
  } else {
    c.script = plain(404, "text/plain", "no such thing\n", request.keep_alive);
    return;
  }
  c.script = error.empty() ? plain(200, "text/plain", body, request.keep_alive)
                           : plain(400, "text/plain", error + "\n", request.keep_alive);
}

bool Server::flush(Connection& c) {
  while (!c.out.empty()) {
    const ssize_t sent = send(c.fd, c.out.data(), c.out.size(), MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EAGAIN || errno == EINTR) {
        watch(c, true);
        return true;
      }
      close(c, false);
      return false;
    }
    c.out.erase(0, static_cast<size_t>(sent));
  }
  watch(c, false);
  return true;
}

bool Server::advance(Connection& c) {
  while (c.out.empty() && !c.script.empty()) {
    Step& step = c.script.front();
    if (step.wait_ms > 0) {
      if (timer_of_.count(c.fd) == 0) {
        timer_of_[c.fd] = timers_.emplace(monotonic_ms() + step.wait_ms, c.fd);
      }
      return true;
    }
    if (!step.data.empty()) {
      c.out.swap(step.data);
      if (!flush(c)) {
        return false;
      }
      continue;
    }
    const Step::End end = step.end;
    c.script.pop_front();
    if (end == Step::End::kHang) {
      c.deaf = true;
      c.script.clear();
      return true;
    }
    if (end == Step::End::kClose && !c.control) {
      // A client that still sends must see the answer, not a reset.
      shutdown(c.fd, SHUT_WR);
      c.deaf = true;
      c.script.clear();
      set_working(c, false);
      return true;
    }
    if (end != Step::End::kNone) {
      close(c, end == Step::End::kReset);
      return false;
    }
  }
  if (c.script.empty() && c.out.empty()) {
    set_working(c, false);
  }
  return true;
}

void Server::run() {
  std::vector<epoll_event> events(1024);
  for (;;) {
    long timeout = -1;
    if (!timers_.empty()) {
      timeout = std::max(0L, timers_.begin()->first - monotonic_ms());
    }
    const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), static_cast<int>(timeout));
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<size_t>(i)];
      const int fd = event.data.fd;
      auto listener = listeners_.find(fd);
      if (listener != listeners_.end()) {
        accept_all(listener->second);
        continue;
      }
      auto it = connections_.find(fd);
      if (it == connections_.end()) {
        continue;
      }
      Connection& c = *it->second;
      if ((event.events & EPOLLOUT) != 0 && (!flush(c) || !advance(c))) {
        continue;
      }
      if ((event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        readable(c);
      } else if (c.script.empty() && c.out.empty() && !c.deaf) {
        next_request(c);
      }
    }
    const long now = monotonic_ms();
    while (!timers_.empty() && timers_.begin()->first <= now) {
      const int fd = timers_.begin()->second;
      timers_.erase(timers_.begin());
      timer_of_.erase(fd);
      Connection& c = *connections_.at(fd);
      c.script.front().wait_ms = 0;
      if (advance(c) && c.script.empty() && c.out.empty() && !c.deaf) {
        next_request(c);
      }
    }
  }
}

}  // namespace responder
