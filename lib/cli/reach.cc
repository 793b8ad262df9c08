#include "cli/reach.h"

#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <string_view>
#include <utility>

#include "base/descriptor.h"
#include "net/address.h"
#include "net/url.h"

namespace ocsp_plus::cli {
namespace {

// Request sent on each connection; its answer is not read. `openssl ocsp -port` serves nobody any more after a
// connection on which nothing was asked.
constexpr std::string_view kQuestion = "GET / HTTP/1.0\r\n\r\n";

// A connection that is being made. It stays until all others are there, so that the question is read.
class Attempt {
 public:
  Attempt(EventLoop& loop, const net::Address& address)
      : address_(address), fd_(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    if (fd_.get() < 0 || (::connect(fd_.get(), address.get(), address.length) != 0 && errno != EINPROGRESS)) {
      end(errno);
      return;
    }
    watch_ = loop.watch(fd_.get(), [this](unsigned) { connected(); });
    if (watch_ == nullptr || !watch_->set(IoWatch::kWrite)) {
      end(ENOMEM);
    }
  }

  bool done() const { return done_; }
  // Adds what came of it to that of the family's other addresses.
  void tell(Reach* reach) const {
    Reach::Family& family = address_.family() == AF_INET ? reach->ipv4 : reach->ipv6;
    if (done_ && error_ == 0) {
      family = {Reach::State::kConnected, {}};
    } else if (family.state == Reach::State::kNoAddress) {
      family = {Reach::State::kFailed,
                address_.to_string() + ": " + (done_ ? errno_text(error_) : std::string("no answer in time"))};
    }
  }

 private:
  void connected() {
    int error = 0;
    socklen_t size = sizeof(error);
    error = ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
    if (error == 0) {
      (void)::send(fd_.get(), kQuestion.data(), kQuestion.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    end(error);
  }
  void end(int error) {
    done_ = true;
    error_ = error;
    watch_.reset();
  }

  net::Address address_;
  Descriptor fd_;
  std::unique_ptr<IoWatch> watch_;
  bool done_ = false;
  int error_ = 0;
};

class HostReach {
 public:
  HostReach(PollLoop& loop, net::Resolver& resolver, const std::string& host) : loop_(loop) {
    reach_.host = host;
    const auto url = net::Url::parse("http://" + host + "/");
    if (!url) {
      reach_.dns = url.error().detail;
    } else if (url->ip_literal) {
      try_all({net::Address::literal(url->host, url->port)});
    } else {
      query_ = resolver.resolve(url->host, url->port, [this](Result<std::vector<net::Address>> found) {
        query_.reset();
        if (found) {
          try_all(*found);
        } else {
          reach_.dns = found.error().detail;
        }
      });
    }
  }

  bool done() const {
    return query_ == nullptr &&
           std::all_of(attempts_.begin(), attempts_.end(), [](const auto& attempt) { return attempt->done(); });
  }
  Reach take() {
    if (query_ != nullptr) {
      reach_.dns = "no answer in time";
    }
    for (const auto& attempt : attempts_) {
      attempt->tell(&reach_);
    }
    return std::move(reach_);
  }

 private:
  void try_all(const std::vector<net::Address>& addresses) {
    for (const net::Address& address : addresses) {
      attempts_.push_back(std::make_unique<Attempt>(loop_, address));
    }
  }

  PollLoop& loop_;
  Reach reach_;
  std::unique_ptr<net::Resolver::Query> query_;
  std::vector<std::unique_ptr<Attempt>> attempts_;
};

// There is a connection to each host at once, and a certificate may name a thousand that say nothing: the others must
// not be without one because of what a shell permits by default.
void use_all_descriptors() {
  struct rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
  }
}

}  // namespace

std::vector<Reach> reach_hosts(PollLoop& loop, net::Resolver& resolver, const std::vector<std::string>& hosts,
                               Millis timeout) {
  use_all_descriptors();
  std::vector<std::unique_ptr<HostReach>> all;
  all.reserve(hosts.size());
  for (const std::string& host : hosts) {
    all.push_back(std::make_unique<HostReach>(loop, resolver, host));
  }
  const auto timer = loop.timer([] {});
  timer->arm(0);  // a turn of the loop waits for something, and all may be done
  (void)loop.run_until(
      [&] { return std::all_of(all.begin(), all.end(), [](const auto& host) { return host->done(); }); }, timeout);
  std::vector<Reach> reached;
  reached.reserve(all.size());
  for (const auto& host : all) {
    reached.push_back(host->take());
  }
  return reached;
}

std::string_view token(Reach::State state) {
  constexpr std::array<std::string_view, 3> kTokens = {"no_address", "connected", "failed"};
  return kTokens[static_cast<std::size_t>(state)];
}

}  // namespace ocsp_plus::cli
