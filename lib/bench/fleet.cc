// The engine of many nodes in one process, cold at once, that share responses through a real Redis: how many requests
// reach the responder. Some nodes may hang: the responder never answers them.
//
//   bench_fleet --place unix:/path [--nodes N] [--certificates N] [--hanging N] [--delay MS]
//
// Prints one line: {"requests", "most": for one certificate, "seconds": until all nodes that do not hang staple all
// certificates, "missing": certificates of such nodes that are not stapled after a minute}.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/poll_loop.h"
#include "net/redis_place.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/sharing_node.h"

namespace ocsp_plus {
namespace {

using namespace testing;

constexpr Seconds kValidity = 3 * kDay;
constexpr Millis kLongest = 60000;
constexpr Millis kTick = 500;

struct Options {
  std::string place;
  std::size_t nodes = 100;
  std::size_t certificates = 200;
  std::size_t hanging = 0;
  Millis delay = 300;
};

Options read_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    if (option == "--place") {
      options.place = argv[i + 1];
    } else if (option == "--nodes") {
      options.nodes = std::stoul(argv[i + 1]);
    } else if (option == "--certificates") {
      options.certificates = std::stoul(argv[i + 1]);
    } else if (option == "--hanging") {
      options.hanging = std::stoul(argv[i + 1]);
    } else if (option == "--delay") {
      options.delay = std::stol(argv[i + 1]);
    } else {
      throw std::invalid_argument("unknown option " + option);
    }
  }
  if (argc % 2 == 0 || options.place.empty() || options.hanging >= options.nodes) {
    throw std::invalid_argument(
        "usage: bench_fleet --place PLACE [--nodes N] [--certificates N] [--hanging N] [--delay MS]");
  }
  return options;
}

class Fleet {
 public:
  explicit Fleet(const Options& options)
      : options_(options), server_(loop_, clock_, [this](const std::string& head) { return answer(head); }) {
    server_.delay = options.delay;
    server_.stagger = 0;
    for (std::size_t i = 0; i < options.nodes; ++i) {
      nodes_.push_back(std::make_unique<SharingNode>(loop_, clock_, i + 1));
      for (std::size_t number = 0; number < options.certificates; ++number) {
        nodes_.back()->add(number, server_.url(fmt::format("{}-{}", number, i)));
      }
    }
  }

  void run() {
    for (const auto& node : nodes_) {
      node->begin([&](auto on_state) {
        net::SharedStoreOptions options;
        options.places = {net::RedisPlace::parse(options_.place).value()};
        options.prefix = "bench";
        options.timeout = 5000;  // a hundred nodes have one processor here
        options.most_response = 65536;
        return net::SharedStore::create(loop_, clock_, node->random, *node->resolver, options, std::move(on_state));
      });
    }
    timer_ = loop_.timer([this] { tick(); });
    timer_->arm(0);
    const Millis began = clock_.monotonic();
    (void)loop_.run_until([this] { return missing() == 0; }, kLongest);
    seconds_ = static_cast<double>(clock_.monotonic() - began) / 1000;
  }

  void print() const {
    std::map<std::string, std::size_t> asked;
    std::size_t most = 0;
    for (const auto& one : server_.asked) {
      most = std::max(most, ++asked[one.path.substr(0, one.path.find('-'))]);
    }
    fmt::print("{{\"requests\":{},\"most\":{},\"seconds\":{:.1f},\"missing\":{}}}\n", server_.asked.size(), most,
               seconds_, missing());
  }

 private:
  // The nodes with the lowest numbers hang.
  std::string answer(const std::string& head) const {
    const std::string path = OcspServer::path_of(head);
    if (std::stoul(path.substr(path.find('-') + 1)) < options_.hanging) {
      return {};
    }
    const UnixSeconds now = clock_.now();
    return ocsp_reply(good_response(test_leaf(std::stoul(path)), test_ca(), now, now + kValidity));
  }
  void tick() {
    for (const auto& node : nodes_) {
      node->refresher->tick();
    }
    timer_->arm(kTick);
  }
  std::size_t missing() const {
    std::size_t count = 0;
    for (std::size_t i = options_.hanging; i < nodes_.size(); ++i) {
      count += options_.certificates - nodes_[i]->stapled_count();
    }
    return count;
  }

  const Options options_;
  ShiftedClock clock_;
  PollLoop loop_{clock_};
  OcspServer server_;
  std::vector<std::unique_ptr<SharingNode>> nodes_;
  std::unique_ptr<Timer> timer_;
  double seconds_ = 0;
};

}  // namespace
}  // namespace ocsp_plus

int main(int argc, char** argv) {
  try {
    ocsp_plus::Fleet fleet(ocsp_plus::read_options(argc, argv));
    fleet.run();
    fleet.print();
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  }
  return 0;
}
