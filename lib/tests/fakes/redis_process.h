// A real redis-server or valkey-server on a unix socket in a directory of its own, ended by its process id.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "net/redis_reply.h"
#include "tests/fakes/scratch_directory.h"
#include "tests/fakes/socket.h"

namespace ocsp_plus::testing {

class RedisProcess {
 public:
  // Returns the path of a server that is installed; empty: none is.
  static std::string program() {
    const char* const path = std::getenv("PATH");
    for (const char* const name : {"redis-server", "valkey-server"}) {
      std::string_view rest = path == nullptr ? "/usr/bin" : path;
      while (!rest.empty()) {
        const std::string_view directory = rest.substr(0, rest.find(':'));
        rest.remove_prefix(std::min(directory.size() + 1, rest.size()));
        const std::string file = std::string(directory) + "/" + name;
        if (::access(file.c_str(), X_OK) == 0) {
          return file;
        }
      }
    }
    return {};
  }
  // Says that a test is skipped if no server is installed.
  static bool missing() {
    if (!program().empty()) {
      return false;
    }
    WARN("neither redis-server nor valkey-server is installed: skipped");
    return true;
  }

  // `settings` are lines of its configuration: {"maxmemory 1mb"}. With a `port` it listens on 127.0.0.1 as well. As a
  // sentinel it takes what sentinels have. REQUIRES: !missing().
  enum class Role { kServer, kSentinel };
  explicit RedisProcess(const std::vector<std::string>& settings = {}, std::uint16_t port = 0,
                        Role role = Role::kServer) {
    const std::string configuration = directory_.string() + "/conf";
    std::ofstream file(configuration);
    file << "port " << port << "\nbind 127.0.0.1\nunixsocket " << socket() << "\ndir " << directory_.string()
         << "\nlogfile " << directory_.string() << "/log\n";
    if (role == Role::kServer) {
      file << "save \"\"\nappendonly no\n";
    }
    for (const std::string& each : settings) {
      file << each << "\n";
    }
    file.close();
    std::vector<std::string> words = {program(), configuration};
    if (role == Role::kSentinel) {
      words.emplace_back("--sentinel");
    }
    std::vector<char*> argv;
    for (std::string& word : words) {
      argv.push_back(word.data());
    }
    argv.push_back(nullptr);
    pid_ = fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      execv(argv[0], argv.data());
      _exit(127);
    }
    for (int i = 0; i < 2000 && !answers(); ++i) {
      REQUIRE(waitpid(pid_, nullptr, WNOHANG) == 0);
      ::poll(nullptr, 0, 10);
    }
    REQUIRE(answers());
  }
  ~RedisProcess() {
    signal(SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  RedisProcess(const RedisProcess&) = delete;
  RedisProcess& operator=(const RedisProcess&) = delete;

  void signal(int number) const { ::kill(pid_, number); }
  std::string socket() const { return directory_.string() + "/redis.sock"; }
  std::string place() const { return "unix:" + socket(); }
  // A port of 127.0.0.1 that nobody has at this moment, and below those that the system gives to connections of
  // others in the next one.
  static std::uint16_t free_port() {
    constexpr unsigned kFirst = 12000, kPorts = 8000;
    static unsigned next = static_cast<unsigned>(getpid()) * 7;
    for (unsigned tries = 0;; ++tries) {
      const auto port = static_cast<std::uint16_t>(kFirst + next++ % kPorts);
      try {
        return port_of(local_address(bound_socket(SOCK_STREAM, net::Address::literal("127.0.0.1", port))));
      } catch (const std::system_error&) {
        if (tries == kPorts) {
          throw;
        }
      }
    }
  }
  const ScratchDirectory& directory() const { return directory_; }

  // Asks with a connection of its own, and waits. Fails the test if there is no reply.
  net::RedisReply ask(const std::vector<std::string>& words) const {
    net::RedisReply reply;
    REQUIRE(try_to_ask(words, &reply));
    INFO(reply.text);
    return reply;
  }
  // The reply as text: that of a string, or the number.
  std::string text(const std::vector<std::string>& words) const {
    const net::RedisReply reply = ask(words);
    return reply.is(net::RedisReply::Kind::kInteger) ? std::to_string(reply.integer) : reply.text;
  }
  std::string sha1(const std::string& bytes) const {
    return text({"EVAL", "return redis.sha1hex(ARGV[1])", "0", bytes});
  }

 private:
  bool answers() const {
    net::RedisReply reply;
    return try_to_ask({"PING"}, &reply) && reply.is_status("PONG");
  }

  bool try_to_ask(const std::vector<std::string>& words, net::RedisReply* reply) const {
    const net::Address address = net::Address::unix_socket(socket());
    const Socket peer(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(peer.get(), address.get(), address.length) != 0) {
      return false;
    }
    const std::string text = net::redis_command({words.begin(), words.end()});
    std::size_t sent = 0;
    while (sent < text.size()) {
      const ssize_t count = ::send(peer.get(), text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (count <= 0) {
        return false;
      }
      sent += static_cast<std::size_t>(count);
    }
    net::RedisReader reader(net::RedisReader::kMostBuffered);
    char buffer[16384];
    for (;;) {
      pollfd ready = {peer.get(), POLLIN, 0};
      if (::poll(&ready, 1, 20000) != 1) {
        return false;
      }
      const ssize_t count = ::recv(peer.get(), buffer, sizeof buffer, 0);
      if (count <= 0) {
        return false;
      }
      reader.feed(ByteView(std::string_view(buffer, static_cast<std::size_t>(count))));
      auto next = reader.next();
      if (!next) {
        return false;
      }
      if (*next) {
        *reply = std::move(**next);
        return true;
      }
    }
  }

  ScratchDirectory directory_;
  pid_t pid_ = -1;
};

}  // namespace ocsp_plus::testing
