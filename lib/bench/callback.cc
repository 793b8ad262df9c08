// bench_callback: measures the status callback of a handshake: op_staple() on a zone in shared memory (find, copy,
// check, count), compared with malloc() and memcpy() of the same bytes, each response in a heap block of its own.
// Both ways know where to begin from a dense table: addresses of server and certificate here, address and size there.
//
//   bench_callback [--certificates N] [--operations N] [--rounds N]
//
// Readers are separate processes, each with a worker number of its own, as in nginx. They are timed with and without
// a writer that replaces responses at the highest rate a designated worker could reach (kPublications per second).
// Times are processor time, medians over the rounds; the ways alternate within a round. Then more readers than
// processors check a digest in every copy during constant writing; a wrong byte ends the program with status 1.
//
// Prints one line: nanoseconds per operation by way, certificates, readers and writer, and the number of checked
// copies.
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "base/poll_loop.h"
#include "crypto/verify.h"
#include "ocsp_plus/ocsp_plus.h"
#include "store/lease.h"
#include "store/zone_writer.h"
#include "tests/fakes/mmap_zone.h"
#include "tests/pki.h"

namespace ocsp_plus {
namespace {

using testing::TestRandom;

constexpr std::size_t kShortest = 300;
constexpr std::size_t kLongest = 2500;
constexpr std::uint64_t kPublications = 5000;  // per second; twice what one core can verify
constexpr unsigned kCheckers = 6;
constexpr UnixSeconds kTime = testing::kNow;

struct Options {
  std::size_t certificates = 1000;
  std::size_t operations = 1000000;
  unsigned rounds = 5;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    const std::size_t value = std::stoul(argv[i + 1]);
    if (option == "--certificates") {
      options.certificates = value;
    } else if (option == "--operations") {
      options.operations = value;
    } else if (option == "--rounds") {
      options.rounds = static_cast<unsigned>(value);
    } else {
      throw std::invalid_argument("unknown option " + option);
    }
  }
  if (argc % 2 == 0 || options.certificates == 0 || options.operations == 0 || options.rounds == 0) {
    throw std::invalid_argument("usage: bench_callback [--certificates N] [--operations N] [--rounds N]");
  }
  return options;
}

// A digest of a response except its first eight bytes, which store it.
std::uint64_t digest(const unsigned char* data, std::size_t size) {
  std::uint64_t hash = size;
  for (; size >= 8; data += 8, size -= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, data, 8);
    hash = (hash ^ word) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 29;
  }
  return hash;
}

Bytes make_response(TestRandom& random) {
  Bytes bytes = random.bytes(kShortest + random.below(kLongest - kShortest + 1));
  const std::uint64_t sum = digest(bytes.data() + 8, bytes.size() - 8);
  std::memcpy(bytes.data(), &sum, sizeof(sum));
  return bytes;
}

bool whole(const unsigned char* der, std::size_t size) {
  std::uint64_t sum = 0;
  std::memcpy(&sum, der, sizeof(sum));
  return size >= kShortest && sum == digest(der + 8, size - 8);
}

// Shared by all processes.
struct Shared {
  testing::PidLock::Word lock{0};
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> checked{0};
  std::atomic<std::uint64_t> published{0};
  std::atomic<unsigned> ready{0};
  std::array<double, kCheckers> nanoseconds{};
};

template <typename T>
T* share() {
  void* memory = mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    throw std::runtime_error("mmap() failed");
  }
  return new (memory) T;
}

double processor_ns() {
  timespec time = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

class Process {
 public:
  explicit Process(const std::function<bool()>& body) : pid_(fork()) {
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      _exit(body() ? 0 : 1);
    }
  }
  // Waits for the process and returns whether it succeeded.
  bool wait() const {
    int status = 0;
    return pid_ > 0 && waitpid(pid_, &status, 0) == pid_ && status == 0;
  }

 private:
  pid_t pid_;
};

class Bench {
 public:
  explicit Bench(const Options& options)
      : options_(options),
        shared_(share<Shared>()),
        memory_(store::default_size(options.certificates, false)),
        config_(op_config_create()),
        lock_(&shared_->lock) {
    const testing::Identity ca = testing::make_ca("Bench CA");
    const auto issuer = ca.issuer();
    TestRandom random(1);
    for (std::size_t i = 0; i < options.certificates; ++i) {
      const Bytes serial = {1, static_cast<std::uint8_t>(i >> 16), static_cast<std::uint8_t>(i >> 8),
                            static_cast<std::uint8_t>(i)};
      add(testing::make_leaf(ca, fmt::format("h{}.example", i), "http://ocsp.example/", serial), ca,
          issuer->key_sha256());
      responses_.push_back(make_response(random));
    }
    open();
    Publisher publisher(*this);
    for (std::size_t i = 0; i < options.certificates; ++i) {
      publisher.publish(i, responses_[i]);
    }
  }
  ~Bench() { op_config_destroy(config_); }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  bool run() {
    for (unsigned round = 0; round < options_.rounds; ++round) {
      for (const bool writer : {false, true}) {
        for (const unsigned readers : {1u, 2u}) {
          for (const std::size_t among : {std::size_t{1}, options_.certificates}) {
            for (const bool staple : {round % 2 == 0, round % 2 != 0}) {
              took_[{staple, among, readers, writer}].push_back(time(staple, among, readers, writer));
            }
          }
        }
      }
    }
    return check();
  }

  void print() {
    std::string out = "{\"took\":[";
    const char* separator = "";
    for (auto& [what, all] : took_) {
      std::sort(all.begin(), all.end());
      const auto [staple, among, readers, writer] = what;
      out += fmt::format("{}{{\"way\":\"{}\",\"certificates\":{},\"readers\":{},\"writer\":{},\"ns\":{:.1f}}}",
                         separator, staple ? "staple" : "copy", among, readers, writer, all[all.size() / 2]);
      separator = ",";
    }
    fmt::print("{}],\"checked\":{},\"published\":{}}}\n", out, shared_->checked.load(), shared_->published.load());
  }

 private:
  // The lease holder, which publishes responses.
  class Publisher {
   public:
    explicit Publisher(Bench& bench)
        : bench_(bench), zone_(bench.memory_.attach()), writer_(zone_, bench.lock_, clock_, take(), getpid()) {}

    void publish(std::size_t index, const Bytes& response) {
      store::BlobHeader header = {};
      header.id = bench_.ids_[index];
      header.issuer_key = bench_.issuer_key_;
      header.this_update = kTime - 3600;
      header.expires = header.next_update = kTime + 86400;
      header.cert_status = static_cast<std::uint32_t>(crypto::CertStatus::kGood);
      if (!writer_.publish(zone_.find(bench_.ids_[index]), header, response)) {
        throw std::runtime_error("a response cannot be published");
      }
    }

   private:
    std::uint32_t take() {
      const store::ProcessIdentity self = {getpid(), 0, zone_.generation()};
      // The previous holder has ended.
      const auto epoch = store::acquire_lease(zone_, bench_.lock_, self, clock_, [](std::int32_t) { return false; });
      return epoch.value();
    }

    Bench& bench_;
    SystemClock clock_;
    store::StapleZone zone_;
    store::ZoneWriter writer_;
  };

  // A server for each, as in the configuration of a host with many sites.
  void add(testing::Identity leaf, const testing::Identity& ca, const std::array<std::uint8_t, 32>& key) {
    op_server_directives_t directives = {};
    x509_st* issuer = ca.get();
    directives.trusted = &issuer;
    directives.ntrusted = 1;
    op_error_t error = {};
    op_server_t* const server = op_server_create(config_, &directives, &error);
    if (server == nullptr || op_server_add(server, leaf.get(), nullptr, 0, {}, &error) != OP_OK) {
      throw std::runtime_error(error.text);
    }
    shown_.push_back({server, leaf.get()});
    ids_.push_back(leaf.described().id);
    issuer_key_ = key;
    leaves_.push_back(std::move(leaf));
  }

  void open() {
    op_settings_t settings;
    op_settings_defaults(&settings);
    op_error_t error = {};
    const op_lock_ops_t lock = {
        &lock_, [](void* ctx) { return static_cast<int>(static_cast<testing::PidLock*>(ctx)->try_lock()); },
        [](void* ctx) { static_cast<testing::PidLock*>(ctx)->unlock(); }};
    if (op_config_set(config_, &settings, &error) != OP_OK ||
        op_config_open_zone(config_, memory_.data(), memory_.size(), 1, nullptr, 0, &lock, 0, &error) != OP_OK) {
      throw std::runtime_error(error.text);
    }
  }

  // What a connection knows without looking anything up.
  struct Shown {
    op_server_t* server;
    x509_st* leaf;
  };
  // The staple that the connection gets; the caller frees it.
  struct Staple {
    unsigned char* der = nullptr;
    std::size_t len = 0;
  };
  bool staple_one(std::size_t index, unsigned worker, Staple* staple) const {
    static constexpr op_connection_ops_t kConnection = {
        [](void*, x509_st**, std::size_t) { return std::size_t{0}; },
        [](void* ctx, const op_response_t* responses, std::size_t) {
          *static_cast<Staple*>(ctx) = {responses->der, responses->len};
          return std::size_t{1};
        },
        std::malloc, std::free};
    op_hello_t hello;
    hello.ctx = staple;
    hello.connection = &kConnection;
    hello.leaf = shown_[index].leaf;
    hello.tls13 = 1;
    hello.foreign = 0;
    hello.memory = 0;
    hello.now_s = kTime;
    hello.monotonic_ms = 0;
    hello.worker = worker;
    op_decision_t decision;
    op_staple(shown_[index].server, &hello, &decision);
    return decision.outcome == OP_STAPLED;
  }

  // One reader's operations, in an order that the processor cannot predict.
  bool staple_all(std::size_t among, unsigned worker) const {
    TestRandom random(among);
    for (std::size_t i = 0; i < options_.operations; ++i) {
      Staple staple;
      if (!staple_one(random.below(among), worker, &staple)) {
        return false;
      }
      std::free(staple.der);
    }
    return true;
  }

  bool copy_all(std::size_t among) const {
    TestRandom random(among);
    for (std::size_t i = 0; i < options_.operations; ++i) {
      const Bytes& from = responses_[random.below(among)];
      void* to = std::malloc(from.size());
      if (to == nullptr) {
        return false;
      }
      std::memcpy(to, from.data(), from.size());
      asm volatile("" : : "g"(to) : "memory");  // prevents the compiler from removing the copy
      std::free(to);
    }
    return true;
  }

  bool write_until_stopped(std::uint64_t a_second) {
    Publisher publisher(*this);
    TestRandom random(7);
    while (!shared_->stop) {
      publisher.publish(random.below(options_.certificates), make_response(random));
      ++shared_->published;
      if (a_second != 0) {
        const timespec pause = {0, static_cast<long>(1000000000 / a_second)};
        nanosleep(&pause, nullptr);
      }
    }
    return true;
  }

  // Returns nanoseconds per operation, the mean of the readers.
  double time(bool staple, std::size_t among, unsigned readers, bool writer) {
    shared_->stop = false;
    shared_->ready = 0;
    std::vector<Process> all;
    std::vector<Process> writers;
    if (writer) {
      writers.emplace_back([this] { return write_until_stopped(kPublications); });
    }
    for (unsigned reader = 0; reader < readers; ++reader) {
      all.emplace_back([=] {
        for (++shared_->ready; shared_->ready < readers;) {
        }
        const double began = processor_ns();
        const bool fine = staple ? staple_all(among, reader) : copy_all(among);
        shared_->nanoseconds[reader] = (processor_ns() - began) / static_cast<double>(options_.operations);
        return fine;
      });
    }
    bool fine = std::all_of(all.begin(), all.end(), [](const Process& process) { return process.wait(); });
    shared_->stop = true;
    fine = std::all_of(writers.begin(), writers.end(), [](const Process& process) { return process.wait(); }) && fine;
    if (!fine) {
      throw std::runtime_error("a response was not there");
    }
    double sum = 0;
    for (unsigned reader = 0; reader < readers; ++reader) {
      sum += shared_->nanoseconds[reader];
    }
    return sum / readers;
  }

  bool check() {
    shared_->stop = false;
    const Process writer([this] { return write_until_stopped(0); });
    std::vector<Process> all;
    for (unsigned reader = 0; reader < kCheckers; ++reader) {
      all.emplace_back([=] {
        TestRandom random(reader);
        for (std::size_t i = 0; i < options_.operations / 10; ++i) {
          Staple staple;
          if (!staple_one(random.below(options_.certificates), reader, &staple) || !whole(staple.der, staple.len)) {
            return false;
          }
          std::free(staple.der);
          ++shared_->checked;
        }
        return true;
      });
    }
    bool fine = true;
    for (const Process& process : all) {
      fine = process.wait() && fine;
    }
    shared_->stop = true;
    return writer.wait() && fine;
  }

  const Options options_;
  Shared* shared_;
  testing::MmapZone memory_;
  op_config_t* config_;
  testing::PidLock lock_;
  std::vector<CertificateId> ids_;
  std::vector<testing::Identity> leaves_;
  std::vector<Shown> shown_;
  std::array<std::uint8_t, 32> issuer_key_ = {};
  std::vector<Bytes> responses_;
  std::map<std::tuple<bool, std::size_t, unsigned, bool>, std::vector<double>> took_;
};

}  // namespace
}  // namespace ocsp_plus

int main(int argc, char** argv) {
  try {
    ocsp_plus::Bench bench(ocsp_plus::parse(argc, argv));
    const bool fine = bench.run();
    bench.print();
    if (!fine) {
      fmt::print(stderr, "bench_callback: a copy was not what had been published\n");
    }
    return fine ? 0 : 1;
  } catch (const std::exception& exception) {
    fmt::print(stderr, "bench_callback: {}\n", exception.what());
    return 2;
  }
}
