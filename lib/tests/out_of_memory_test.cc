// Every path of the engine with its first allocation failing, then its second, and so on until it needs no more:
// through the C ABI, as nginx goes, and with everybody's allocations, OpenSSL's and c-ares' among them. Nothing may
// leave the C ABI but a refusal, nothing may leak (the sanitizer build looks), and the next try has to work.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <new>
#include <string>

#include "capi/config.h"
#include "crypto/issuer_document.h"
#include "store/cache_files.h"
#include "tests/fakes/engine_fixture.h"
#include "tests/fakes/failing_memory.h"

namespace ocsp_plus::testing {
namespace {

namespace fs = std::filesystem;
using Inside = FailingMemory::Inside;
using Outside = FailingMemory::Outside;

constexpr std::size_t kZoneSize = 1 << 20;

// What nginx is to the core. Only what the core does may fail.
struct CHost {
  SteppedLoop loop;
  RecordingLog log;
  LocalLock lock;
  op_host_ops_t host = {};
  op_lock_ops_t locks = {};

  CHost() {
    host.ctx = locks.ctx = host.log.ctx = this;
    host.io_add = [](void* ctx, int fd, void (*callback)(void*, unsigned), void* data) -> void* {
      const Outside outside;
      auto then = [callback, data](unsigned ready) {
        const Inside inside;
        callback(data, ready);
      };
      return self(ctx).loop.watch(fd, then).release();
    };
    host.io_set = [](void*, void* io, unsigned interest) {
      const Outside outside;
      return static_cast<IoWatch*>(io)->set(interest) ? 1 : 0;
    };
    host.io_del = [](void*, void* io) { delete static_cast<IoWatch*>(io); };
    host.timer_add = [](void* ctx, void (*callback)(void*), void* data) -> void* {
      const Outside outside;
      auto then = [callback, data] {
        const Inside inside;
        callback(data);
      };
      return self(ctx).loop.timer(then).release();
    };
    host.timer_set = [](void*, void* timer, std::int64_t after) {
      const Outside outside;
      after < 0 ? static_cast<Timer*>(timer)->disarm() : static_cast<Timer*>(timer)->arm(after);
    };
    host.timer_del = [](void*, void* timer) { delete static_cast<Timer*>(timer); };
    host.now_s = [](void* ctx) { return self(ctx).loop.clock.now(); };
    host.monotonic_ms = [](void* ctx) { return self(ctx).loop.clock.monotonic(); };
    host.log.log_enabled = [](void*, int level) { return level <= 7 ? 1 : 0; };
    host.log.log_write = [](void* ctx, int level, const char* text, std::size_t size) {
      const Outside outside;
      self(ctx).log.write(static_cast<LogLevel>(level), {text, size});
    };
    locks.trylock = [](void* ctx) { return self(ctx).lock.try_lock() ? 1 : 0; };
    locks.unlock = [](void* ctx) { self(ctx).lock.unlock(); };
  }

  static CHost& self(void* ctx) { return *static_cast<CHost*>(ctx); }
};

struct ConfigDeleter {
  void operator()(op_config_t* config) const { op_config_destroy(config); }
};
using Config = std::unique_ptr<op_config_t, ConfigDeleter>;
struct WorkerDeleter {
  void operator()(op_worker_t* worker) const { op_worker_stop(worker); }
};
using Worker = std::unique_ptr<op_worker_t, WorkerDeleter>;

op_str_t text(const std::string& from) {
  return {from.data(), from.size()};
}

struct Configuration {
  const Identity* leaf = &test_leaf(0);
  const Identity* issuer = &test_ca();
  std::string responder = "http://127.0.0.1:1/";
  std::string cache;
  MmapZone memory{kZoneSize};
  CHost host;
  Config config;
  op_server_t* server = nullptr;

  op_status_t create() {
    const Inside inside;
    config.reset(op_config_create());
    return config != nullptr ? OP_OK : OP_ERROR;
  }
  op_status_t set() {
    const std::string dns = "127.0.0.1:1";
    const op_str_t resolver = text(dns);
    op_settings_t settings;
    op_error_t error = {};
    op_settings_defaults(&settings);
    settings.resolvers = &resolver;
    settings.nresolvers = 1;
    settings.cache = text(cache);
    const Inside inside;
    return op_config_set(config.get(), &settings, &error);
  }
  // The server's certificate; `server` stays where the first try has made it.
  op_status_t add() {
    x509_st* candidate = issuer != nullptr ? issuer->get() : nullptr;
    const op_str_t url = text(responder);
    op_error_t error = {};
    op_server_directives_t directives = {};
    directives.trusted = &candidate;
    directives.ntrusted = issuer != nullptr ? 1 : 0;
    directives.responders = &url;
    directives.nresponders = 1;
    const Inside inside;
    server = op_server_create(config.get(), &directives, &error);
    return server == nullptr ? OP_ERROR : op_server_add(server, leaf->get(), nullptr, 0, {}, &error);
  }
  // Writes nothing where all is well.
  op_status_t find() {
    op_error_t error = {};
    host.log.lines.clear();
    const Inside inside;
    return op_config_findings(config.get(), &host.host.log, &error);
  }
  op_status_t open_zone() {
    op_error_t error = {};
    const Inside inside;
    return op_config_open_zone(config.get(), memory.data(), kZoneSize, 1, nullptr, 0, &host.locks,
                               host.loop.clock.monotonic(), &error);
  }
  op_status_t start() {
    op_error_t error = {};
    const Inside inside;
    return op_start(config.get(), &host.host.log, &host.locks, 4711, 0, nullptr, &error);
  }
  op_outcome_t staple(UnixSeconds now) { return staple(now, leaf->get()); }
  op_outcome_t staple(UnixSeconds now, x509_st* shown) {
    static constexpr op_connection_ops_t kConnection = {
        [](void*, x509_st** to, std::size_t) {
          *to = test_ca().get();
          return std::size_t{1};
        },
        [](void*, const op_response_t* responses, std::size_t n) {
          std::for_each_n(responses, n, [](const op_response_t& response) { ::operator delete(response.der); });
          return n;
        },
        [](std::size_t size) -> void* { return ::operator new(size, std::nothrow); },
        [](void* released) { ::operator delete(released); }};
    op_hello_t hello = {};
    op_decision_t decision = {};
    hello.connection = &kConnection;
    hello.leaf = shown;
    hello.now_s = now;
    hello.monotonic_ms = host.loop.clock.monotonic();
    const Inside inside;
    op_staple(server, &hello, &decision);
    return decision.outcome;
  }
  // All of it, and nothing fails.
  void set_up() {
    REQUIRE(create() == OP_OK);
    REQUIRE(set() == OP_OK);
    REQUIRE(add() == OP_OK);
    REQUIRE(open_zone() == OP_OK);
  }
};

// A refusal is allowed once, and only where memory was out.
template <typename Step>
void refused_at_most_once(Step step) {
  if (step() != OP_OK) {
    REQUIRE(FailingMemory::failed());
    REQUIRE(step() == OP_OK);
  }
}

// Runs `path` with each of its allocations failing in turn, once it has planned that; how many there were.
template <typename Path>
long fail_each(Path path) {
  path(0);  // OpenSSL keeps what it makes at its first use, also a failure of it; nginx has used it long before us
  for (long nth = 1;; ++nth) {
    INFO("allocation " << nth);
    path(nth);
    if (!FailingMemory::failed()) {
      return nth - 1;
    }
  }
}

TEST_CASE("out of memory: a certificate is added to the configuration and the zone opened", "[out_of_memory]") {
  REQUIRE(FailingMemory::reaches_everybody());
  const long allocations = fail_each([](long nth) {
    Configuration c;
    FailingMemory::plan(nth);
    refused_at_most_once([&] { return c.create(); });
    refused_at_most_once([&] { return c.set(); });
    refused_at_most_once([&] { return c.add(); });
    if (c.config->catalog.targets().empty()) {
      // OpenSSL does not report that it ran out of memory while hashing: the certificate seems unreadable.
      REQUIRE(FailingMemory::failed());
      REQUIRE(c.config->catalog.unusable().size() == 1);
      REQUIRE(c.add() == OP_OK);
    }
    const engine::Target& target = *c.config->catalog.targets()[0];
    if (target.issuer == nullptr) {
      // OpenSSL does not tell that it ran out of memory where it compares keys and names.
      REQUIRE(FailingMemory::failed());
      REQUIRE(c.add() == OP_OK);
    }
    REQUIRE(target.stapleable());
    if (target.certificate.label() != "leaf0.example") {
      // OpenSSL 3.5 does not tell it of every extension either; then subjectAltName seems to be absent.
      REQUIRE(FailingMemory::failed());
      REQUIRE(target.certificate.label() == "CN=leaf0,O=ocsp_plus tests");
    }
    refused_at_most_once([&] { return c.find(); });
    // OpenSSL does not tell it where it hashes a certificate either: a trusted one then seems to be of no use.
    REQUIRE((c.host.log.lines.empty() || FailingMemory::failed()));
    op_zone_size_t size = {};
    op_zone_size(c.config.get(), &size);
    REQUIRE(size.certificates == 1);
    refused_at_most_once([&] { return c.open_zone(); });
    REQUIRE_FALSE(c.host.lock.held);
    REQUIRE(c.staple(kNow) == OP_NO_STAPLE);
  });
  CHECK(allocations > 20);
}

TEST_CASE("out of memory: the lease is taken, a response fetched, admitted, kept and stapled", "[out_of_memory]") {
  std::string directory = (fs::temp_directory_path() / "ocsp_plus_memory_XXXXXX").string();
  REQUIRE(mkdtemp(directory.data()) != nullptr);
  const long allocations = fail_each([&directory](long nth) {
    Configuration c;
    const Bytes response = good_response(test_leaf(0), test_ca());
    OcspServer responder(c.host.loop, c.host.loop.clock, [&](const std::string&) { return ocsp_reply(response); });
    c.responder = responder.url();
    c.cache = directory;
    FailingMemory::plan(0);
    c.set_up();
    FailingMemory::plan(nth);
    Worker worker;
    refused_at_most_once([&] {
      op_error_t error = {};
      const Inside inside;
      worker.reset(op_worker_start(c.config.get(), &c.host.host, &c.host.locks, 4711, 0, &error));
      return worker != nullptr ? OP_OK : OP_ERROR;
    });
    // A response that is published is kept a turn later; back-off begins at five seconds.
    const std::string file = directory + "/" + store::CacheFiles::file_name(test_leaf(0).described().id);
    for (int second = 0; second < 300 && !fs::exists(file); ++second) {
      c.host.loop.pass(1000);
    }
    REQUIRE(fs::remove(file));
    worker.reset();
    REQUIRE_FALSE(c.host.lock.held);
    REQUIRE(responder.open() == 0);
    refused_at_most_once([&] { return c.staple(c.host.loop.clock.now()) == OP_STAPLED ? OP_OK : OP_ERROR; });
  });
  fs::remove_all(directory);
  CHECK(allocations > 200);
}

TEST_CASE("out of memory: an issuer is fetched and kept, and a response after it", "[out_of_memory]") {
  std::string directory = (fs::temp_directory_path() / "ocsp_plus_memory_XXXXXX").string();
  REQUIRE(mkdtemp(directory.data()) != nullptr);
  const long allocations = fail_each([&directory](long nth) {
    Configuration c;
    OcspServer host(c.host.loop, c.host.loop.clock, [&](const std::string&) { return ocsp_reply(test_ca().der()); });
    CertificateSpec spec;
    spec.subject = "without issuer";
    spec.ca_issuers_urls = {host.url("ca.der")};
    const Identity leaf = make_certificate(spec, key(KeyType::kP256, "leaf"), &test_ca());
    const Bytes response = good_response(leaf, test_ca());
    OcspServer responder(c.host.loop, c.host.loop.clock, [&](const std::string&) { return ocsp_reply(response); });
    c.responder = responder.url();
    c.cache = directory;
    c.leaf = &leaf;
    c.issuer = nullptr;
    FailingMemory::plan(0);
    c.set_up();
    FailingMemory::plan(nth);
    Worker worker;
    refused_at_most_once([&] {
      op_error_t error = {};
      const Inside inside;
      worker.reset(op_worker_start(c.config.get(), &c.host.host, &c.host.locks, 4711, 0, &error));
      return worker != nullptr ? OP_OK : OP_ERROR;
    });
    const std::string file = directory + "/" + store::CacheFiles::file_name(leaf.described().id);
    const std::string issuer =
        directory + "/" +
        store::CacheFiles::file_name(*crypto::issuer_reference(leaf.get()), store::FileKind::kIssuer);
    for (int second = 0; second < 300 && !fs::exists(file); ++second) {
      c.host.loop.pass(1000);
    }
    REQUIRE(fs::remove(file));
    fs::remove(issuer);  // one that could not be kept is fetched again
    worker.reset();
    REQUIRE_FALSE(c.host.lock.held);
    REQUIRE(responder.open() + host.open() == 0);
    refused_at_most_once([&] { return c.staple(c.host.loop.clock.now()) == OP_STAPLED ? OP_OK : OP_ERROR; });
  });
  fs::remove_all(directory);
  CHECK(allocations > 200);
}

TEST_CASE("out of memory: a certificate loaded per connection is handed over, fetched and stapled",
          "[out_of_memory]") {
  const long allocations = fail_each([](long nth) {
    Configuration c;
    const Bytes response = good_response(test_leaf(1), test_ca());
    OcspServer responder(c.host.loop, c.host.loop.clock, [&](const std::string&) { return ocsp_reply(response); });
    const std::string url = responder.url();
    c.responder = url;
    FailingMemory::plan(0);
    REQUIRE(c.create() == OP_OK);
    REQUIRE(c.set() == OP_OK);
    FailingMemory::plan(nth);
    const op_str_t asked = text(url);
    op_server_directives_t directives = {};
    directives.responders = &asked;
    directives.nresponders = 1;
    directives.loads = 1;
    refused_at_most_once([&] {
      op_error_t error = {};
      const Inside inside;
      c.server = op_server_create(c.config.get(), &directives, &error);
      return c.server != nullptr ? OP_OK : OP_ERROR;
    });
    refused_at_most_once([&] { return c.open_zone(); });
    Worker worker;
    refused_at_most_once([&] {
      op_error_t error = {};
      const Inside inside;
      worker.reset(op_worker_start(c.config.get(), &c.host.host, &c.host.locks, 4711, 0, &error));
      return worker != nullptr ? OP_OK : OP_ERROR;
    });
    // A handshake a second; what came to nothing is handed over again after a while.
    op_outcome_t outcome = OP_NO_STAPLE;
    for (int second = 0; second < 300 && outcome != OP_STAPLED; ++second) {
      outcome = c.staple(c.host.loop.clock.now(), test_leaf(1).get());
      c.host.loop.pass(1000);
    }
    REQUIRE(outcome == OP_STAPLED);
    worker.reset();
    REQUIRE_FALSE(c.host.lock.held);
  });
  CHECK(allocations > 200);
}

TEST_CASE("out of memory: the start helper reads the cache directory", "[out_of_memory]") {
  std::string directory = (fs::temp_directory_path() / "ocsp_plus_memory_XXXXXX").string();
  REQUIRE(mkdtemp(directory.data()) != nullptr);
  const UnixSeconds now = SystemClock().now();
  const Bytes response = good_response(test_leaf(0), test_ca(), now - kHour, now + kDay);
  REQUIRE(store::CacheFiles::open(directory, 65536)->save(test_leaf(0).described().id, {response, 0}));
  const long allocations = fail_each([&](long nth) {
    Configuration c;
    c.cache = directory;
    FailingMemory::plan(0);
    c.set_up();
    FailingMemory::plan(nth);
    // What cannot be read is passed over, so the helper may well end without a word.
    if (c.start() != OP_OK || c.staple(now) != OP_STAPLED) {
      REQUIRE(FailingMemory::failed());
      REQUIRE(c.start() == OP_OK);
    }
    refused_at_most_once([&] { return c.staple(now) == OP_STAPLED ? OP_OK : OP_ERROR; });
    REQUIRE_FALSE(c.host.lock.held);
  });
  fs::remove_all(directory);
  CHECK(allocations > 100);
}

TEST_CASE("out of memory: the cache directory is looked at and prepared", "[out_of_memory]") {
  std::string scratch = (fs::temp_directory_path() / "ocsp_plus_memory_XXXXXX").string();
  REQUIRE(mkdtemp(scratch.data()) != nullptr);
  const op_cache_user_t user = {geteuid(), getegid(), geteuid() == 0 ? 1 : 0};
  const long allocations = fail_each([&](long nth) {
    Configuration c;
    c.cache = scratch + "/a-name-that-no-string-keeps-in-itself";
    FailingMemory::plan(0);
    c.set_up();
    FailingMemory::plan(nth);
    const auto check = [&] {
      op_text_t said = {};
      const Inside inside;
      return op_cache_check(c.config.get(), &user, &said) == OP_CACHE_FINE ? OP_OK : OP_ERROR;
    };
    const auto prepare = [&] {
      op_error_t said = {};
      const Inside inside;
      return op_cache_prepare(c.config.get(), &user, &said);
    };
    refused_at_most_once(check);
    REQUIRE_FALSE(fs::exists(c.cache));
    refused_at_most_once(prepare);
    refused_at_most_once(check);
    REQUIRE(fs::remove(c.cache));
  });
  fs::remove_all(scratch);
  CHECK(allocations > 3);
}

}  // namespace
}  // namespace ocsp_plus::testing
