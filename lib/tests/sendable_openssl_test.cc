// What OpenSSL sends of a staple, compared with what openssl_would_send() says of it: a server hands each of many
// responses to the OpenSSL of this process, and a client says what has arrived.
#include <openssl/ssl.h>

#include <catch2/catch.hpp>
#include <memory>

#include "crypto/ossl.h"
#include "crypto/sendable.h"
#include "crypto/verify.h"
#include "tests/fakes/mmap_zone.h"
#include "tests/pki.h"

using namespace ocsp_plus;
using namespace ocsp_plus::testing;
using crypto::openssl_selects;
using crypto::openssl_would_send;

namespace {

using ContextPtr = crypto::OpenSslPtr<SSL_CTX, SSL_CTX_free>;
using SslPtr = crypto::OpenSslPtr<SSL, SSL_free>;

// A server that staples what it is given, and a client, in one process.
class Wire {
 public:
  Wire(const Identity& leaf, int version)
      : server_(SSL_CTX_new(TLS_server_method())), client_(SSL_CTX_new(TLS_client_method())) {
    for (SSL_CTX* context : {server_.get(), client_.get()}) {
      REQUIRE(SSL_CTX_set_min_proto_version(context, version) == 1);
      REQUIRE(SSL_CTX_set_max_proto_version(context, version) == 1);
    }
    REQUIRE(SSL_CTX_use_certificate(server_.get(), leaf.get()) == 1);
    REQUIRE(SSL_CTX_use_PrivateKey(server_.get(), leaf.key) == 1);
    SSL_CTX_set_session_cache_mode(server_.get(), SSL_SESS_CACHE_OFF);
    SSL_CTX_callback_ctrl(server_.get(), SSL_CTRL_SET_TLSEXT_STATUS_REQ_CB,
                          reinterpret_cast<void (*)()>(set_response));
    SSL_CTX_set_tlsext_status_arg(server_.get(), this);
  }

  // The staple that arrives; empty: none does.
  Bytes send(ByteView response) {
    response_ = response;
    const SslPtr server(SSL_new(server_.get()));
    const SslPtr client(SSL_new(client_.get()));
    BIO* ends[2] = {};
    REQUIRE(BIO_new_bio_pair(&ends[0], 1 << 17, &ends[1], 1 << 17) == 1);
    SSL_set_bio(server.get(), ends[0], ends[0]);
    SSL_set_bio(client.get(), ends[1], ends[1]);
    SSL_set_accept_state(server.get());
    SSL_set_connect_state(client.get());
    SSL_set_tlsext_status_type(client.get(), TLSEXT_STATUSTYPE_ocsp);
    bool done = false;
    for (int i = 0; !done && i < 8; ++i) {
      const bool connected = SSL_do_handshake(client.get()) == 1;
      done = SSL_do_handshake(server.get()) == 1 && connected;
    }
    CHECK(done);
    unsigned char* der = nullptr;
    const long size = SSL_get_tlsext_status_ocsp_resp(client.get(), &der);
    return size > 0 ? ByteView(der, static_cast<std::size_t>(size)).copy() : Bytes();
  }

 private:
  static int set_response(SSL* ssl, void* arg) {
    const ByteView response = static_cast<Wire*>(arg)->response_;
    auto* copy = static_cast<unsigned char*>(OPENSSL_memdup(response.data(), response.size()));
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, static_cast<int>(response.size()));
    return SSL_TLSEXT_ERR_OK;
  }

  ContextPtr server_;
  ContextPtr client_;
  ByteView response_;
};

struct Leaf {
  Identity identity;
  std::vector<std::unique_ptr<Wire>> wires;  // TLS 1.2, TLS 1.3

  explicit Leaf(Identity made) : identity(std::move(made)) {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      wires.push_back(std::make_unique<Wire>(identity, version));
    }
  }
};

}  // namespace

TEST_CASE("sendable: staples after the leaf's are for 3.6.1 and newer", "[sendable]") {
  for (const unsigned long version : {0x30000130UL, 0x305000f0UL, 0x30600000UL}) {
    CHECK_FALSE(crypto::sends_chain(version));
  }
  for (const unsigned long version : {0x30600010UL, 0x30600050UL, 0x40000000UL}) {
    CHECK(crypto::sends_chain(version));
  }
}

TEST_CASE("sendable: what OpenSSL sends is what the rule says", "[sendable]") {
  const Identity ca = make_ca("CA");
  CertificateSpec other_spelling;
  other_spelling.subject = "other spelling";
  other_spelling.issuer_printable = "CA";
  CertificateSpec alone;
  alone.subject = "self-signed";
  std::vector<Leaf> leaves;
  leaves.emplace_back(make_leaf(ca, "leaf.example", ""));
  leaves.emplace_back(make_certificate(other_spelling, key(KeyType::kP256, "other spelling"), &ca));
  leaves.emplace_back(make_certificate(alone, key(KeyType::kP256, "alone"), nullptr));
  TestRandom random(18);
  std::size_t sent = 0, kept_back = 0;
  for (int i = 0; i < 1000; ++i) {
    Leaf& leaf = leaves[random.below(10) == 0 ? 2 : random.below(2)];
    ResponseSpec spec;
    spec.status = random.below(20) == 0 ? 3 : 0;  // tryLater
    spec.singles.clear();
    for (std::size_t singles = 1 + random.below(3); singles > 0; --singles) {
      spec.singles.push_back(draw_single(random, leaf.identity));
    }
    const Bytes response = make_response(spec, leaf.identity, ca, ca);
    const bool due = !openssl_selects() || openssl_would_send(leaf.identity.described(), response);
    for (const auto& wire : leaf.wires) {
      const Bytes arrived = wire->send(response);
      INFO("response " << to_hex(response));
      REQUIRE(arrived == (due ? response : Bytes()));
      ++(due ? sent : kept_back);
    }
  }
  CHECK(sent > 100);
  CHECK((kept_back > 100) == openssl_selects());
}

TEST_CASE("sendable: the rule", "[sendable]") {
  const Identity ca = make_ca("CA");
  const Identity leaf = make_leaf(ca, "leaf.example", "");
  CertificateSpec other;
  other.subject = "other spelling";
  other.issuer_printable = "CA";
  const Identity spelled = make_certificate(other, key(KeyType::kP256, "other spelling"), &ca);
  SingleSpec ours, theirs, sha256, unknown_hash;
  theirs.serial = Bytes{0x2b};
  sha256.hash = "SHA256";
  unknown_hash.serial = Bytes{0x2b};
  unknown_hash.hash_oid = "1.3.14.3.2.122";
  const auto would = [&](const Identity& certificate, std::vector<SingleSpec> singles) {
    ResponseSpec spec;
    spec.singles = std::move(singles);
    return openssl_would_send(certificate.described(), make_response(spec, certificate, ca, ca));
  };
  CHECK(would(leaf, {ours}));
  CHECK(would(leaf, {sha256}));
  CHECK(would(leaf, {theirs, ours}));
  CHECK_FALSE(would(leaf, {theirs}));
  CHECK(would(leaf, {}));
  SECTION("the hash of the first one counts for all") {
    SingleSpec theirs_sha256 = theirs;
    theirs_sha256.hash = "SHA256";
    CHECK_FALSE(would(leaf, {theirs_sha256, ours}));
    CHECK_FALSE(would(leaf, {theirs, sha256}));
    CHECK(would(leaf, {theirs_sha256, ours, sha256}));
    CHECK_FALSE(would(leaf, {unknown_hash, ours}));
  }
  SECTION("the issuer's name as the certificate writes it") {
    CHECK_FALSE(would(spelled, {ours}));
    SingleSpec as_written;
    as_written.name_hash = issuer_name_sha1(spelled);
    CHECK(would(spelled, {as_written}));
  }
  SECTION("what is no response for anybody") {
    ResponseSpec try_later;
    try_later.status = 3;
    CHECK(openssl_would_send(leaf.described(), make_response(try_later, leaf, ca, ca)));
    CHECK_FALSE(openssl_would_send(leaf.described(), Bytes{1, 2, 3}));
    CHECK_FALSE(openssl_would_send(ca.described(), make_response({}, ca, ca, ca)));
  }
}

TEST_CASE("sendable: where OpenSSL selects, a good response has to be sendable", "[sendable][verify]") {
  const Identity ca = make_ca("CA");
  const Identity leaf = make_leaf(ca, "leaf.example", "");
  const auto issuer = ca.issuer();
  SingleSpec foreign;
  foreign.hash = "SHA256";
  foreign.serial = Bytes{0x2b};
  ResponseSpec spec;
  spec.singles = {foreign, SingleSpec()};
  crypto::VerifyPolicy selects;
  selects.must_be_sendable = true;
  const auto judged = [&](const crypto::VerifyPolicy& policy) {
    return crypto::verify(make_response(spec, leaf, ca, ca), leaf.described(), *issuer, kNow, policy);
  };
  CHECK(judged({}).reason == Reason::kOk);
  CHECK(judged(selects).reason == Reason::kNotSendable);
  spec.singles[1].status = Status::kRevoked;
  CHECK(judged({}).sendable);
  const crypto::Verdict revoked = judged(selects);
  CHECK(revoked.reason == Reason::kRevoked);
  CHECK_FALSE(revoked.sendable);
}
