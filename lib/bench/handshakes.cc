// bench_handshakes: makes full TLS handshakes with a status request, as many as the server can handle or at a given
// rate.
//
//   bench_handshakes --port PORT --name NAME [--names N [--order drawn|ascending]] [--tls 1.2|1.3]
//                    (--count N | --seconds S) [--connections C | --rate R] [--seed S]
//
// With --names the server names are NAME with "%d" replaced by 1 to N, in random order by the seed, or ascending and
// repeated. --rate starts R handshakes per second at random times by the seed, whether or not the server keeps up; a
// handshake's duration counts from its due time, so waiting is included. Without --rate, C connections (8) are kept
// busy.
//
// Prints one line: {"handshakes", "stapled", "failed", "seconds", "p50_us", "p99_us", "max_us"}.
//
// The client accepts every server signature (see EVP_DigestVerify below), so that its own work is not what is
// measured. One thread, epoll, no session resumption.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

// libssl finds this function before libcrypto's. Verifying costs a client more than signing costs the server.
extern "C" __attribute__((visibility("default"))) int EVP_DigestVerify(EVP_MD_CTX*, const unsigned char*, size_t,
                                                                       const unsigned char*, size_t) {
  return 1;
}

namespace {

template <auto F>
struct Free {
  template <typename T>
  void operator()(T* p) const {
    F(p);
  }
};
using SslPtr = std::unique_ptr<SSL, Free<SSL_free>>;
using CtxPtr = std::unique_ptr<SSL_CTX, Free<SSL_CTX_free>>;

double now() {
  timespec time = {};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

struct Options {
  int port = 0;
  std::string name;
  unsigned names = 1;
  bool ascending = false;
  int version = 0;
  std::size_t count = 0;
  double seconds = 0;
  std::size_t connections = 8;
  double rate = 0;
  unsigned seed = 1;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    const std::string value = argv[i + 1];
    if (option == "--port") {
      options.port = std::stoi(value);
    } else if (option == "--name") {
      options.name = value;
    } else if (option == "--names") {
      options.names = static_cast<unsigned>(std::stoul(value));
    } else if (option == "--order" && (value == "drawn" || value == "ascending")) {
      options.ascending = value == "ascending";
    } else if (option == "--tls" && (value == "1.2" || value == "1.3")) {
      options.version = value == "1.2" ? TLS1_2_VERSION : TLS1_3_VERSION;
    } else if (option == "--count") {
      options.count = std::stoul(value);
    } else if (option == "--seconds") {
      options.seconds = std::stod(value);
    } else if (option == "--connections") {
      options.connections = std::stoul(value);
    } else if (option == "--rate") {
      options.rate = std::stod(value);
    } else if (option == "--seed") {
      options.seed = static_cast<unsigned>(std::stoul(value));
    } else {
      throw std::invalid_argument("unknown option " + option + " " + value);
    }
  }
  if (argc % 2 == 0 || options.port == 0 || options.name.empty() || options.names == 0 ||
      (options.count == 0) == (options.seconds <= 0) || options.connections == 0) {
    throw std::invalid_argument("usage: bench_handshakes --port PORT --name NAME (--count N | --seconds S) ...");
  }
  return options;
}

class Bench {
 public:
  explicit Bench(const Options& options)
      : options_(options), epoll_(epoll_create1(EPOLL_CLOEXEC)), context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_min_proto_version(context_.get(), options.version);
    SSL_CTX_set_max_proto_version(context_.get(), options.version);
    SSL_CTX_set_session_cache_mode(context_.get(), SSL_SESS_CACHE_OFF);
    random_.seed(options.seed);
  }

  void run() {
    began_ = now();
    next_ = began_;
    while (begin_some() || under_way_ > 0) {
      std::array<epoll_event, 256> events = {};
      const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), timeout());
      for (int i = 0; i < count; ++i) {
        go_on(events[static_cast<std::size_t>(i)].data.fd);
      }
    }
    ended_ = now();
  }

  void print() {
    std::sort(took_.begin(), took_.end());
    const auto at = [this](double part) {
      return took_.empty() ? 0 : took_[static_cast<std::size_t>(part * static_cast<double>(took_.size() - 1))] * 1e6;
    };
    fmt::print(
        "{{\"handshakes\":{},\"stapled\":{},\"failed\":{},\"seconds\":{:.6f},\"p50_us\":{:.0f},"
        "\"p99_us\":{:.0f},\"max_us\":{:.0f}}}\n",
        took_.size(), stapled_, failed_, ended_ - began_, at(0.5), at(0.99), at(1));
  }

 private:
  struct Connection {
    SslPtr ssl;
    double due = 0;
  };

  bool more() const { return options_.count > 0 ? begun_ < options_.count : now() - began_ < options_.seconds; }

  // Returns false if all handshakes have begun.
  bool begin_some() {
    bool any = more();
    while (any && (options_.rate > 0 ? next_ <= now() && under_way_ < 10000 : under_way_ < options_.connections)) {
      begin();
      any = more();
    }
    return any;
  }

  int timeout() const {
    if (options_.rate <= 0 || !more()) {
      return 1000;
    }
    // Rounds down: waking a little early is better than a millisecond late.
    return static_cast<int>(std::clamp((next_ - now()) * 1000, 0.0, 1000.0));
  }

  void begin() {
    const double due = options_.rate > 0 ? next_ : now();
    if (options_.rate > 0) {
      next_ += std::exponential_distribution<double>(options_.rate)(random_);
    }
    ++begun_;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(options_.port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (fd < 0 || (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 && errno != EINPROGRESS)) {
      close(fd);
      ++failed_;
      return;
    }
    if (static_cast<std::size_t>(fd) >= connections_.size()) {
      connections_.resize(static_cast<std::size_t>(fd) + 1);
    }
    Connection& connection = connections_[static_cast<std::size_t>(fd)];
    connection = {SslPtr(SSL_new(context_.get())), due};
    SSL* ssl = connection.ssl.get();
    std::string name = options_.name;
    if (const auto place = name.find("%d"); place != std::string::npos) {
      const std::size_t number = options_.ascending ? begun_ - 1 : random_();
      name.replace(place, 2, std::to_string(number % options_.names + 1));
    }
    SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
    SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_STATUS_REQ_TYPE, TLSEXT_STATUSTYPE_ocsp, nullptr);
    SSL_set_fd(ssl, fd);
    SSL_set_connect_state(ssl);
    epoll_event event = {};
    event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    event.data.fd = fd;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
    ++under_way_;
  }

  void go_on(int fd) {
    Connection& connection = connections_[static_cast<std::size_t>(fd)];
    SSL* ssl = connection.ssl.get();
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl);
    if (result != 1) {
      const int error = SSL_get_error(ssl, result);
      if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        return;
      }
      ++failed_;
    } else {
      took_.push_back(now() - connection.due);
      const unsigned char* response = nullptr;
      stapled_ += SSL_ctrl(ssl, SSL_CTRL_GET_TLSEXT_STATUS_REQ_OCSP_RESP, 0, &response) > 0 ? 1 : 0;
    }
    connection.ssl.reset();
    close(fd);
    --under_way_;
  }

  const Options options_;
  int epoll_;
  CtxPtr context_;
  std::mt19937_64 random_;
  std::vector<Connection> connections_;  // by descriptor
  std::vector<double> took_;
  std::size_t begun_ = 0, under_way_ = 0, stapled_ = 0, failed_ = 0;
  double began_ = 0, ended_ = 0, next_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  try {
    signal(SIGPIPE, SIG_IGN);
    rlimit files = {};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
      files.rlim_cur = files.rlim_max;
      setrlimit(RLIMIT_NOFILE, &files);
    }
    Bench bench(parse(argc, argv));
    bench.run();
    bench.print();
    return 0;
  } catch (const std::exception& exception) {
    fmt::print(stderr, "bench_handshakes: {}\n", exception.what());
    return 2;
  }
}
