// Connections with TLS to a server made of OpenSSL.
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <array>
#include <catch2/catch.hpp>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/poll_loop.h"
#include "crypto/ossl.h"
#include "crypto/tls_client.h"
#include "net/redis_connection.h"
#include "tests/fakes/dns_server.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/socket.h"
#include "tests/pki.h"

using namespace ocsp_plus;
using namespace ocsp_plus::testing;

namespace {

using SslCtxPtr = crypto::OpenSslPtr<SSL_CTX, SSL_CTX_free>;
using SslPtr = crypto::OpenSslPtr<SSL, SSL_free>;

constexpr Millis kPatience = 20000;

// Answers each PING with PONG.
class TlsServer {
 public:
  TlsServer(EventLoop& loop, const Identity& leaf, const Identity* asks_for, int version)
      : loop_(loop),
        socket_(listening_socket(net::Address::literal("127.0.0.1", 0))),
        context_(SSL_CTX_new(TLS_server_method())) {
    const crypto::ErrorsSetAside aside;
    REQUIRE(SSL_CTX_use_certificate(context_.get(), leaf.get()) == 1);
    REQUIRE(SSL_CTX_use_PrivateKey(context_.get(), leaf.key) == 1);
    REQUIRE(SSL_CTX_set_max_proto_version(context_.get(), version) == 1);
    if (asks_for != nullptr) {
      X509_STORE_add_cert(SSL_CTX_get_cert_store(context_.get()), asks_for->get());
      SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    }
    watch_ = loop.watch(socket_.get(), [this](unsigned) { on_accept(); });
    watch_->set(IoWatch::kRead);
  }

  std::uint16_t port() const { return port_of(local_address(socket_)); }
  int pings() const { return pings_; }
  const std::string& shown() const { return shown_; }  // the subject of the client's certificate, and its issuers

 private:
  struct Peer {
    Socket socket;
    SslPtr ssl;
    BIO* in = nullptr;  // owned by ssl
    BIO* out = nullptr;
    std::unique_ptr<IoWatch> watch;
  };

  void on_accept() {
    const int fd = ::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    peers_.push_back(std::make_unique<Peer>());
    Peer& peer = *peers_.back();
    peer.socket = Socket(fd);
    peer.ssl.reset(SSL_new(context_.get()));
    peer.in = BIO_new(BIO_s_mem());
    peer.out = BIO_new(BIO_s_mem());
    SSL_set_bio(peer.ssl.get(), peer.in, peer.out);
    SSL_set_accept_state(peer.ssl.get());
    peer.watch = loop_.watch(fd, [this, &peer](unsigned) { on_readable(peer); });
    peer.watch->set(IoWatch::kRead);
  }

  void on_readable(Peer& peer) {
    const crypto::ErrorsSetAside aside;
    std::array<char, 16384> bytes;
    const ssize_t count = ::recv(peer.socket.get(), bytes.data(), bytes.size(), 0);
    if (count <= 0) {
      peer.watch.reset();
      return peers_.remove_if([&peer](const auto& each) { return each.get() == &peer; });
    }
    BIO_write(peer.in, bytes.data(), static_cast<int>(count));
    if (SSL_do_handshake(peer.ssl.get()) == 1) {
      const crypto::X509Ptr shown(SSL_get1_peer_certificate(peer.ssl.get()));
      if (shown != nullptr) {
        shown_ = crypto::label_of(shown.get()) + "+" +
                 std::to_string(sk_X509_num(SSL_get_peer_cert_chain(peer.ssl.get())));
      }
      const int got = SSL_read(peer.ssl.get(), bytes.data(), bytes.size());
      if (got > 0 && std::string(bytes.data(), static_cast<std::size_t>(got)).find("PING") != std::string::npos) {
        ++pings_;
        SSL_write(peer.ssl.get(), "+PONG\r\n", 7);
      }
    }
    std::string out(BIO_ctrl_pending(peer.out), '\0');
    BIO_read(peer.out, out.data(), static_cast<int>(out.size()));
    ::send(peer.socket.get(), out.data(), out.size(), MSG_NOSIGNAL);
  }

  EventLoop& loop_;
  Socket socket_;
  SslCtxPtr context_;
  std::unique_ptr<IoWatch> watch_;
  std::list<std::unique_ptr<Peer>> peers_;
  int pings_ = 0;
  std::string shown_;
};

// Around the system's time, which OpenSSL goes by.
struct World {
  static CertificateSpec spec(const std::string& name, Seconds from = -kDay, Seconds until = kDay) {
    const UnixSeconds now = SystemClock().now();
    CertificateSpec made;
    made.subject = name;
    made.dns_names = {name};
    made.not_before = now + from;
    made.not_after = now + until;
    return made;
  }
  static Identity make_root(const std::string& name) {
    CertificateSpec made = spec(name);
    made.ca = true;
    return make_certificate(made, key(KeyType::kP256, name), nullptr);
  }
  Identity leaf(const CertificateSpec& made, const Identity& issuer) const {
    return make_certificate(made, key(KeyType::kP256, made.subject), &issuer);
  }
  static std::string key_pem(const Identity& identity, bool with_pass_phrase = false) {
    const crypto::ErrorsSetAside aside;
    const crypto::BioPtr out(BIO_new(BIO_s_mem()));
    char phrase[] = "phrase";
    REQUIRE(PEM_write_bio_PrivateKey(out.get(), identity.key, with_pass_phrase ? EVP_aes_128_cbc() : nullptr,
                                     reinterpret_cast<unsigned char*>(phrase), with_pass_phrase ? 6 : 0, nullptr,
                                     nullptr) == 1);
    char* text = nullptr;
    const long size = BIO_get_mem_data(out.get(), &text);
    return {text, static_cast<std::size_t>(size)};
  }

  Identity ca = make_root("Redis CA");
  Identity other_ca = make_root("Another CA");
};

struct Tls : net::RedisConnection::User {
  World world;
  ShiftedClock clock;
  PollLoop loop{clock};
  DnsServer dns{loop};
  std::unique_ptr<net::Resolver> resolver;
  std::unique_ptr<TlsClient> client;
  std::unique_ptr<net::RedisConnection> connection;
  int ups = 0;
  std::optional<Error> end;

  Tls() {
    net::ResolverOptions options;
    options.servers = {dns.address()};
    resolver = net::Resolver::create(loop, clock, options).value();
    DnsRecord record;
    record.a = {"127.0.0.1"};
    dns.set("cache.example", record);
  }

  void on_up() override { ++ups; }
  void on_end(Error error) override {
    end = std::move(error);
    connection.reset();
  }

  void run(const TlsServer& server, const crypto::ClientCertificate* shown,
           const std::string& host = "cache.example") {
    std::vector<crypto::X509Ptr> trusted;
    trusted.push_back(crypto::up_ref(world.ca.get()));
    client = crypto::make_tls_client(crypto::TrustAnchors::of(trusted).value(), shown).value();
    again(server, host);
  }
  void again(const TlsServer& server, const std::string& host = "cache.example") {
    ups = 0;
    end.reset();
    net::RedisConnectionOptions options;
    options.place = net::RedisPlace::parse("rediss://:SECRET@" + host + ":" + std::to_string(server.port())).value();
    options.place.password.clear();
    options.tls = client.get();
    options.timeout = kPatience;
    options.most_string = 1000;
    connection = std::make_unique<net::RedisConnection>(loop, clock, *resolver, options, *this);
    REQUIRE(loop.run_until([this] { return ups > 0 || end; }, 2 * kPatience));
  }
};

}  // namespace

TEST_CASE("redis_tls: the server's certificate is checked", "[redis][rfc9525]") {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    Tls t;
    struct Case {
      const char* what;
      Identity leaf;
      const char* token;  // empty: it comes up
    };
    const Case cases[] = {
        {"right", t.world.leaf(World::spec("cache.example"), t.world.ca), ""},
        {"another name", t.world.leaf(World::spec("other.example"), t.world.ca), "tls_name"},
        {"of another CA", t.world.leaf(World::spec("cache.example"), t.world.other_ca), "tls_certificate"},
        {"expired", t.world.leaf(World::spec("cache.example", -2 * kDay, -kDay), t.world.ca), "tls_certificate"},
        {"not yet valid", t.world.leaf(World::spec("cache.example", kDay, 2 * kDay), t.world.ca), "tls_certificate"},
    };
    for (const Case& each : cases) {
      CAPTURE(version, each.what);
      const TlsServer server(t.loop, each.leaf, nullptr, version);
      t.run(server, nullptr);
      if (*each.token == '\0') {
        CHECK(t.ups == 1);
        CHECK(server.pings() == 1);
        t.connection.reset();
        t.again(server);  // with the session of the first
        CHECK(t.ups == 1);
        t.connection.reset();
        continue;
      }
      REQUIRE(t.end);
      CHECK(t.end->reason == Reason::kStoreUnreachable);
      INFO(t.end->detail);
      CHECK(t.end->detail.find("rediss://cache.example:") == 0);
      CHECK(t.end->detail.find(each.token) != std::string::npos);
      CHECK(server.pings() == 0);
    }
  }
}

TEST_CASE("redis_tls: an address is in the certificate as well", "[redis]") {
  Tls t;
  CertificateSpec spec = World::spec("cache.example");
  spec.ip_addresses = {{127, 0, 0, 1}};
  const TlsServer server(t.loop, t.world.leaf(spec, t.world.ca), nullptr, TLS1_3_VERSION);
  t.run(server, nullptr, "127.0.0.1");
  CHECK(t.ups == 1);
  t.connection.reset();
  const TlsServer other(t.loop, t.world.leaf(World::spec("cache.example"), t.world.ca), nullptr, TLS1_3_VERSION);
  t.run(other, nullptr, "127.0.0.1");
  REQUIRE(t.end);
  CHECK(t.end->detail.find("tls_name") != std::string::npos);
}

TEST_CASE("redis_tls: a server that wants to see a certificate", "[redis]") {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    CAPTURE(version);
    Tls t;
    const TlsServer server(t.loop, t.world.leaf(World::spec("cache.example"), t.world.ca), &t.world.other_ca,
                           version);
    CertificateSpec between = World::spec("Between");
    between.ca = true;
    const Identity intermediate = t.world.leaf(between, t.world.other_ca);
    const Identity node = t.world.leaf(World::spec("node.example"), intermediate);

    t.run(server, nullptr);
    // With TLS 1.3 the refusal comes after the client's handshake, but before an answer.
    REQUIRE(t.end);
    CHECK(t.end->reason == Reason::kStoreUnreachable);
    CHECK(t.end->detail.find("tls_failed") != std::string::npos);
    CHECK(server.pings() == 0);

    const auto shown = crypto::ClientCertificate::parse(node.pem() + intermediate.pem(), World::key_pem(node));
    REQUIRE(shown);
    t.run(server, &*shown);
    CHECK(t.ups == 1);
    CHECK(server.shown() == "node.example+1");
    t.connection.reset();

    const Identity stranger = t.world.leaf(World::spec("stranger.example"), t.world.ca);
    const auto of_stranger = crypto::ClientCertificate::parse(stranger.pem(), World::key_pem(stranger));
    REQUIRE(of_stranger);
    t.run(server, &*of_stranger);
    REQUIRE(t.end);
    CHECK(t.end->detail.find("tls_failed") != std::string::npos);
  }
}

TEST_CASE("redis_tls: a server without TLS", "[redis]") {
  Tls t;
  PollLoop& loop = t.loop;
  const Socket socket = listening_socket(net::Address::literal("127.0.0.1", 0));
  Socket peer;
  std::unique_ptr<IoWatch> of_peer;
  const auto watch = loop.watch(socket.get(), [&](unsigned) {
    peer = Socket(::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
    of_peer = loop.watch(peer.get(), [&](unsigned) {
      std::array<char, 4096> bytes;
      if (::recv(peer.get(), bytes.data(), bytes.size(), 0) > 0) {
        const std::string text = "-ERR unknown command\r\n";
        ::send(peer.get(), text.data(), text.size(), MSG_NOSIGNAL);
      }
      of_peer->set(0);
    });
    of_peer->set(IoWatch::kRead);
  });
  watch->set(IoWatch::kRead);
  std::vector<crypto::X509Ptr> trusted;
  trusted.push_back(crypto::up_ref(t.world.ca.get()));
  t.client = crypto::make_tls_client(crypto::TrustAnchors::of(trusted).value()).value();
  net::RedisConnectionOptions options;
  options.place =
      net::RedisPlace::parse("rediss://127.0.0.1:" + std::to_string(port_of(local_address(socket)))).value();
  options.tls = t.client.get();
  options.timeout = kPatience;
  options.most_string = 1000;
  t.connection = std::make_unique<net::RedisConnection>(loop, t.clock, *t.resolver, options, t);
  REQUIRE(loop.run_until([&] { return t.end.has_value(); }, 2 * kPatience));
  CHECK(t.end->reason == Reason::kStoreUnreachable);
  CHECK(t.end->detail.find("tls_failed") != std::string::npos);
}

TEST_CASE("redis_tls: certificates to show, and their keys", "[redis]") {
  const World world;
  const Identity node = world.leaf(World::spec("node.example"), world.ca);
  const Identity other = world.leaf(World::spec("other.example"), world.ca);
  const std::string key = World::key_pem(node);
  CHECK(crypto::ClientCertificate::parse(node.pem(), key));
  CHECK(crypto::ClientCertificate::parse(node.pem() + key, node.pem() + key));  // both in one file
  const std::pair<std::string, std::string> bad[] = {
      {"", key},
      {key, key},
      {node.pem(), ""},
      {node.pem(), node.pem()},
      {node.pem(), World::key_pem(other)},
      {other.pem() + node.pem(), key},
      {node.pem(), World::key_pem(node, true)},
      {node.pem(), key.substr(0, key.size() / 2)},
  };
  for (const auto& [certificates, of_key] : bad) {
    CAPTURE(certificates.size(), of_key.size());
    queue_openssl_error(7);
    const auto parsed = crypto::ClientCertificate::parse(certificates, of_key);
    CHECK(queued_openssl_errors() == 1);  // that one, and none of ours
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().reason == Reason::kUnreadable);
    CHECK_FALSE(parsed.error().detail.empty());
  }
}
