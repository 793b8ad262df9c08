// Fuzzes a DNS server's answer, through c-ares. If the first byte is odd, the input is the whole message except the
// query's id; if even, it is flags and counts (8 bytes) and the part after the echoed question. A valid "no such
// name" follows, so that an answer that c-ares discards does not cost a time-out.
#include <sys/socket.h>

#include <array>
#include <utility>

#include "base/poll_loop.h"
#include "fuzz/fuzz.h"
#include "net/resolver.h"
#include "tests/fakes/socket.h"

using namespace ocsp_plus;  // NOLINT: only the target

namespace {

class Server {
 public:
  Server(EventLoop& loop, ByteView input) : input_(input), socket_(local()) {
    watch_ = loop.watch(socket_.get(), [this](unsigned) { answer(); });
    watch_->set(IoWatch::kRead);
  }
  std::string address() const { return testing::local_address(socket_).to_string(); }

 private:
  static testing::Socket local() { return testing::bound_socket(SOCK_DGRAM, net::Address::literal("127.0.0.1", 0)); }

  void answer() {
    std::array<char, 1024> query;
    net::Address from;
    socklen_t length = sizeof from.storage;
    const ssize_t size =
        ::recvfrom(socket_.get(), query.data(), query.size(), 0, reinterpret_cast<sockaddr*>(from.storage), &length);
    if (size < 17) {
      return;
    }
    const std::string number(query.data(), 2);
    const std::string question(query.data() + 12, static_cast<std::size_t>(size) - 12);
    fuzz::Input input(input_.data(), input_.size());
    std::string hostile = number;
    if ((input.byte() & 1) != 0) {
      hostile += input.rest().text();
    } else {
      hostile += input.take(10).text();
      hostile.resize(12, '\0');
      hostile += question;
      hostile += input.rest().text();
    }
    const std::string no_such_name = number + std::string("\x85\x83\0\1\0\0\0\0\0\0", 10) + question;
    for (const std::string* each : {&std::as_const(hostile), &no_such_name}) {
      ::sendto(socket_.get(), each->data(), each->size(), 0, from.get(), length);
    }
  }

  ByteView input_;
  testing::Socket socket_;
  std::unique_ptr<IoWatch> watch_;
};

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 4096) {
    return 0;
  }
  const SystemClock clock;
  PollLoop loop(clock);
  Server server(loop, {data, size});
  net::ResolverOptions options;
  options.servers = {server.address()};
  options.timeout = 5;
  auto resolver = net::Resolver::create(loop, clock, options);
  fuzz::promise(resolver.has_value(), "a resolver is made");
  int calls = 0;
  const auto query = (*resolver)->resolve("ocsp.example", 8080, [&calls](Result<std::vector<net::Address>> answer) {
    ++calls;
    if (!answer) {
      fuzz::promise(answer.error().reason >= Reason::kDnsNotFound && answer.error().reason <= Reason::kDnsFailed,
                    "a failure is one of DNS");
      return;
    }
    fuzz::promise(!answer->empty() && answer->size() <= 16, "1 to 16 addresses");
    for (const net::Address& address : *answer) {
      fuzz::promise(address.length != 0 && testing::port_of(address) == 8080, "each with the port asked for");
    }
  });
  loop.run_until([&calls] { return calls != 0; }, 2000);
  fuzz::promise(calls == 1, "an answer comes, once");
  return 0;
}
