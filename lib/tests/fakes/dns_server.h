// A DNS server on loopback, UDP and TCP, that answers the configured names and NXDOMAIN for all others.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/poll_loop.h"
#include "tests/fakes/socket.h"

namespace ocsp_plus::testing {

constexpr int kDnsA = 1;
constexpr int kDnsAaaa = 28;

struct DnsRecord {
  std::vector<std::string> a;
  std::vector<std::string> aaaa;
  std::uint32_t ttl = 60;
  int rcode = 0;              // 2 SERVFAIL, 3 NXDOMAIN, 5 REFUSED
  bool silent = false;        // never answers
  bool silent_aaaa = false;   // never answers queries for AAAA, like some servers
  bool truncate = false;      // over UDP: only the TC flag
  bool cut_short = false;     // the answer ends before its records
  std::string alias_of = {};  // first a CNAME to this name, which has the addresses
  std::uint32_t alias_ttl = 60;
};

class DnsServer {
 public:
  // `port` 0: any.
  explicit DnsServer(EventLoop& loop, const std::string& address = "127.0.0.1", std::uint16_t port = 0)
      : loop_(loop) {
    listen(address, port);
    udp_watch_ = loop.watch(udp_.get(), [this](unsigned) { on_datagram(); });
    udp_watch_->set(IoWatch::kRead);
    tcp_watch_ = loop.watch(tcp_.get(), [this](unsigned) { on_accept(); });
    tcp_watch_->set(IoWatch::kRead);
  }

  void set(const std::string& name, DnsRecord record) { records_[name] = std::move(record); }

  std::string address() const { return local_address(udp_).to_string(); }
  int asked(int type) const { return asked_.count(type) != 0 ? asked_.at(type) : 0; }
  int asked() const { return asked(kDnsA) + asked(kDnsAaaa); }
  int asked_by_tcp() const { return asked_by_tcp_; }

 private:
  struct Peer {
    Socket socket;
    std::string received;
    std::unique_ptr<IoWatch> watch;
  };

  // Finds a port that is free for both UDP and TCP.
  void listen(const std::string& address, std::uint16_t port) {
    for (int attempt = 0;; ++attempt) {
      udp_ = bound_socket(SOCK_DGRAM, net::Address::literal(address, port));
      try {
        tcp_ = listening_socket(local_address(udp_));
        return;
      } catch (const std::system_error&) {
        if (attempt == 20 || port != 0) {
          throw;
        }
      }
    }
  }

  void on_datagram() {
    char buffer[1024];
    net::Address from;
    socklen_t length = sizeof from.storage;
    const ssize_t count =
        ::recvfrom(udp_.get(), buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(from.storage), &length);
    if (count <= 0) {
      return;
    }
    const std::string answer = answer_to(std::string(buffer, static_cast<std::size_t>(count)), true);
    if (!answer.empty()) {
      ::sendto(udp_.get(), answer.data(), answer.size(), 0, from.get(), length);
    }
  }

  void on_accept() {
    const int fd = ::accept4(tcp_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      return;
    }
    peers_.push_back(std::make_unique<Peer>());
    Peer& peer = *peers_.back();
    peer.socket = Socket(fd);
    peer.watch = loop_.watch(fd, [this, &peer](unsigned) { on_stream(peer); });
    peer.watch->set(IoWatch::kRead);
  }

  void on_stream(Peer& peer) {
    char buffer[1024];
    const ssize_t count = ::recv(peer.socket.get(), buffer, sizeof buffer, 0);
    if (count <= 0) {
      peer.watch.reset();
      peers_.remove_if([&peer](const std::unique_ptr<Peer>& each) { return each.get() == &peer; });
      return;
    }
    peer.received.append(buffer, static_cast<std::size_t>(count));
    while (peer.received.size() >= 2 && peer.received.size() >= 2 + number(peer.received, 0)) {
      const std::size_t size = number(peer.received, 0);
      ++asked_by_tcp_;
      std::string answer = answer_to(peer.received.substr(2, size), false);
      peer.received.erase(0, 2 + size);
      answer = two(answer.size()) + answer;
      ::send(peer.socket.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
    }
  }

  static std::size_t number(const std::string& bytes, std::size_t at) {
    return static_cast<std::size_t>(static_cast<unsigned char>(bytes.at(at))) << 8 |
           static_cast<unsigned char>(bytes.at(at + 1));
  }
  static std::string two(std::size_t value) {
    return {static_cast<char>(value >> 8 & 0xff), static_cast<char>(value & 0xff)};
  }
  static std::string encoded(const std::string& name) {
    std::string result;
    for (std::size_t start = 0; start < name.size();) {
      const std::size_t end = std::min(name.find('.', start), name.size());
      result += static_cast<char>(end - start) + name.substr(start, end - start);
      start = end + 1;
    }
    return result + '\0';
  }
  static std::string resource(const std::string& owner, int type, std::uint32_t ttl, const std::string& data) {
    return owner + two(static_cast<std::size_t>(type)) + two(1) + two(ttl >> 16) + two(ttl & 0xffff) +
           two(data.size()) + data;
  }

  // Returns the answer; empty: none is sent.
  std::string answer_to(const std::string& query, bool udp) {
    std::string name;
    std::size_t at = 12;
    while (at < query.size() && query[at] != 0) {
      name += (name.empty() ? "" : ".") + query.substr(at + 1, static_cast<std::size_t>(query[at]));
      at += static_cast<std::size_t>(query[at]) + 1;
    }
    const std::string question = query.substr(12, at + 5 - 12);
    const int type = static_cast<int>(number(query, at + 1));
    ++asked_[type];
    DnsRecord record;
    record.rcode = 3;
    if (const auto found = records_.find(name); found != records_.end()) {
      record = found->second;
    }
    if (record.silent || (record.silent_aaaa && type == kDnsAaaa)) {
      return {};
    }
    const bool truncated = udp && record.truncate;
    std::vector<std::string> resources;
    if (!truncated && record.rcode == 0) {
      resources = resources_for(record, type);
    }
    std::string answer = query.substr(0, 2) + static_cast<char>(truncated ? 0x87 : 0x85) +
                         static_cast<char>(0x80 | record.rcode) + two(1) + two(resources.size()) + two(0) + two(0) +
                         question;
    for (const std::string& each : record.cut_short ? std::vector<std::string>() : resources) {
      answer += each;
    }
    return answer;
  }

  static std::vector<std::string> resources_for(const DnsRecord& record, int type) {
    std::vector<std::string> resources;
    std::string owner = "\xc0\x0c";  // the name in the question
    if (!record.alias_of.empty()) {
      const std::string target = encoded(record.alias_of);
      resources.push_back(resource(owner, 5, record.alias_ttl, target));
      owner = target;
    }
    for (const std::string& text : type == kDnsA ? record.a : record.aaaa) {
      const net::Address address = net::Address::literal(text, 0);
      const auto* bytes = reinterpret_cast<const char*>(address.storage);
      resources.push_back(
          resource(owner, type, record.ttl, type == kDnsA ? std::string(bytes + 4, 4) : std::string(bytes + 8, 16)));
    }
    return resources;
  }

  EventLoop& loop_;
  Socket udp_;
  Socket tcp_;
  std::unique_ptr<IoWatch> udp_watch_;
  std::unique_ptr<IoWatch> tcp_watch_;
  std::list<std::unique_ptr<Peer>> peers_;
  std::map<std::string, DnsRecord> records_;
  std::map<int, int> asked_;
  int asked_by_tcp_ = 0;
};

}  // namespace ocsp_plus::testing
