// OpenSSL's queue of errors is the same after each entry point of lib/crypto as before, and what was in it misleads
// none of them.
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/poll_loop.h"
#include "crypto/certificate.h"
#include "crypto/issuer_document.h"
#include "crypto/ocsp_request.h"
#include "crypto/one_openssl.h"
#include "crypto/ossl.h"
#include "crypto/response_content.h"
#include "crypto/response_file.h"
#include "crypto/tls_client.h"
#include "crypto/tls_probe.h"
#include "crypto/trust_anchors.h"
#include "tests/verify_cases.h"

namespace ocsp_plus::testing {
namespace {

constexpr int kFirst = 17;
constexpr int kSecond = 18;

void queue_two() {
  queue_openssl_error(kFirst);
  queue_openssl_error(kSecond);
}

// Runs `call`, which tells what it came to, with an empty queue and with one that is not.
void leaves_queue(const char* name, const std::function<std::string()>& call) {
  INFO(name);
  ERR_clear_error();
  const std::string usual = call();
  CHECK(take_openssl_errors().empty());
  queue_two();
  const std::string before = take_openssl_errors();
  queue_two();
  CHECK(call() == usual);
  CHECK(take_openssl_errors() == before);
}

// The same for what is called in the midst of OpenSSL's own work as well: a mark that was set before is still there.
void leaves_queue_and_mark(const char* name, const std::function<std::string()>& call) {
  leaves_queue(name, call);
  INFO(name);
  queue_openssl_error(kFirst);
  ERR_set_mark();
  queue_openssl_error(kSecond);
  call();
  CHECK(ERR_GET_REASON(ERR_peek_last_error()) == kSecond);
  CHECK(ERR_pop_to_mark() == 1);
  CHECK(ERR_GET_REASON(ERR_peek_last_error()) == kFirst);
  ERR_clear_error();
}

template <typename T>
std::string told(const Result<T>& result) {
  return result ? "ok" : std::string(token(result.error().reason));
}

Identity with_raw_end(const std::string& raw) {
  CertificateSpec spec = leaf_spec();
  spec.raw_not_after = raw;
  return make_certificate(spec, world().leaf.key, &world().ca);
}

}  // namespace

TEST_CASE("error queue: certificates", "[error_queue]") {
  const VerifyWorld& w = world();
  const Identity impossible = with_raw_end("290229000000Z");
  CertificateSpec odd = leaf_spec();
  odd.extensions = {{"1.3.6.1.5.5.7.1.24", false, Bytes{0x04, 0x00}},
                    {"1.3.6.1.5.5.7.1.1", false, Bytes{0x30, 0x01}}};
  odd.dns_names.clear();
  const Identity malformed = make_certificate(odd, w.leaf.key, &w.ca);
  const crypto::X509Ptr keyless = with_unknown_key(w.ca);
  const crypto::X509Ptr empty = unhashable_certificate();
  const Bytes garbage = {0x30, 0x03, 0x02, 0x01, 0x07};

  struct Case {
    const char* name;
    x509_st* certificate;
  };
  for (const Case& c : {Case{"a good one", w.leaf.get()}, Case{"an impossible date", impossible.get()},
                        Case{"malformed extensions", malformed.get()}, Case{"an unknown key", keyless.get()},
                        Case{"an empty one", empty.get()}}) {
    INFO(c.name);
    x509_st* const one = c.certificate;
    leaves_queue_and_mark("certificate_id", [&] { return told(crypto::certificate_id(one)); });
    leaves_queue_and_mark("demands_staple", [&] { return std::to_string(crypto::demands_staple(one)); });
    leaves_queue_and_mark("describe", [&] { return told(crypto::describe(one)); });
    leaves_queue_and_mark("label_of", [&] { return crypto::label_of(one); });
    leaves_queue_and_mark("Issuer::create", [&] { return told(crypto::Issuer::create(one)); });
    leaves_queue_and_mark("find_issuer", [&] {
      return std::to_string(crypto::find_issuer(one, {keyless.get(), w.other_ca.get(), w.ca.get()}) == w.ca.get());
    });
    leaves_queue_and_mark("signed_by", [&] { return std::to_string(crypto::signed_by(one, w.ca.get())); });
    leaves_queue_and_mark("signed_by another", [&] { return std::to_string(crypto::signed_by(w.leaf.get(), one)); });
    leaves_queue_and_mark("der_of", [&] { return std::to_string(crypto::der_of(one).size()); });
    leaves_queue_and_mark("share", [&] { return crypto::up_ref(one) != nullptr ? "shared" : ""; });
    leaves_queue_and_mark("issuer_reference", [&] { return told(crypto::issuer_reference(one)); });
    leaves_queue_and_mark("rank_issuers", [&] {
      return std::to_string(crypto::rank_issuers(one, {keyless.get(), w.other_ca.get(), w.ca.get()}).size());
    });
    leaves_queue_and_mark("why_no_issuer", [&] {
      return std::string(crypto::describe(crypto::why_no_issuer(one, {keyless.get(), w.other_ca.get()})));
    });
    leaves_queue_and_mark("subject_key_identifier",
                          [&] { return std::to_string(crypto::subject_key_identifier(one).size()); });
    leaves_queue_and_mark("authority_key_identifier",
                          [&] { return std::to_string(crypto::authority_key_identifier(one).size()); });
  }
  const std::string pem = w.leaf.pem();
  for (const std::string& text : {pem, pem + "-----BEGIN CERTIFICATE-----\nMAMKAQM=\n-----END CERTIFICATE-----\n",
                                  std::string("nothing"), std::string()}) {
    leaves_queue_and_mark("parse_pem_certificates", [&] { return told(crypto::parse_pem_certificates(text)); });
    leaves_queue_and_mark("read_issuer_document, PEM",
                          [&] { return told(crypto::read_issuer_document(ByteView(text))); });
  }
  for (const Bytes& der : {w.ca.der(), garbage, Bytes()}) {
    leaves_queue_and_mark("parse_der_certificates",
                          [&] { return std::to_string(crypto::parse_der_certificates(der).size()); });
    leaves_queue_and_mark("read_issuer_document", [&] { return told(crypto::read_issuer_document(der)); });
  }
}

TEST_CASE("error queue: requests and responses", "[error_queue]") {
  const VerifyWorld& w = world();
  const auto issuer = w.ca.issuer();
  crypto::Certificate certificate = w.leaf.described();
  leaves_queue_and_mark("make_request",
                        [&] { return told(crypto::make_request(certificate, *issuer, crypto::CertIdHash::kSha1)); });
  certificate.serial.clear();
  leaves_queue_and_mark("make_request without a serial", [&] {
    return told(crypto::make_request(certificate, *issuer, crypto::CertIdHash::kSha256));
  });
  for (const char* file : {"-----BEGIN OCSP RESPONSE-----\nMAMKAQM=\n-----END OCSP RESPONSE-----\n",
                           "-----BEGIN OCSP RESPONSE-----\n*\n", "", "0"}) {
    leaves_queue_and_mark("response_from_file", [&] { return told(crypto::response_from_file(file)); });
  }
  for (const CaseGroup& group : verify_cases()) {
    for (const VerifyCase& each : group.cases) {
      VerifySetup setup;
      each.change(setup);
      const Bytes response = setup.response();
      const crypto::Certificate leaf = setup.leaf->described();
      const auto its_issuer = setup.issuer->issuer();
      leaves_queue_and_mark(each.name, [&] {
        return std::string(token(crypto::verify(response, leaf, *its_issuer, setup.now, setup.policy).reason));
      });
      leaves_queue_and_mark(each.name, [&] { return told(crypto::read_response_content(response)); });
    }
  }
}

TEST_CASE("error queue: anchors, and which OpenSSL it is", "[error_queue]") {
  const VerifyWorld& w = world();
  leaves_queue("TrustAnchors::of_system", [] { return told(crypto::TrustAnchors::of_system()); });
  std::vector<crypto::X509Ptr> certificates;
  certificates.push_back(crypto::up_ref(w.ca.get()));
  leaves_queue("TrustAnchors::of", [&] { return told(crypto::TrustAnchors::of(certificates, true)); });
  const auto anchors = crypto::TrustAnchors::of(certificates);
  REQUIRE(anchors);
  std::vector<crypto::X509Ptr> chain;
  for (const Identity* leaf : {&w.leaf, &w.other_ca}) {
    leaves_queue_and_mark("issuer_of", [&] { return std::to_string(anchors->issuer_of(leaf->get()) != nullptr); });
    chain.clear();
    chain.push_back(crypto::up_ref(leaf->get()));
    leaves_queue_and_mark("objection", [&] { return anchors->objection(chain, kNow); });
  }
  chain.clear();
  leaves_queue_and_mark("objection to none", [&] { return anchors->objection(chain, kNow); });
  leaves_queue_and_mark("check_one_openssl", [] { return told(crypto::check_one_openssl()); });
  leaves_queue_and_mark("check_stapling", [] { return told(crypto::check_stapling()); });
}

namespace {

using SslCtxPtr = crypto::OpenSslPtr<SSL_CTX, SSL_CTX_free>;
using SslPtr = crypto::OpenSslPtr<SSL, SSL_free>;

// The other end of a client's connection, in memory.
class Server {
 public:
  explicit Server(const Identity& leaf) : context_(SSL_CTX_new(TLS_server_method())) {
    REQUIRE(SSL_CTX_use_certificate(context_.get(), leaf.get()) == 1);
    REQUIRE(SSL_CTX_use_PrivateKey(context_.get(), leaf.key) == 1);
    ssl_.reset(SSL_new(context_.get()));
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_.get(), in_, out_);
    SSL_set_accept_state(ssl_.get());
  }

  // What it has to say to `bytes`; echoes what it reads. Leaves no error behind.
  Bytes answer(ByteView bytes) {
    const crypto::ErrorsSetAside aside;
    BIO_write(in_, bytes.data(), static_cast<int>(bytes.size()));
    if (SSL_do_handshake(ssl_.get()) == 1) {
      std::array<char, 256> text = {};
      const int got = SSL_read(ssl_.get(), text.data(), text.size());
      if (got > 0) {
        SSL_write(ssl_.get(), text.data(), got);
      }
    }
    Bytes answer(BIO_ctrl_pending(out_));
    BIO_read(out_, answer.data(), static_cast<int>(answer.size()));
    return answer;
  }

 private:
  SslCtxPtr context_;
  SslPtr ssl_;
  BIO* in_ = nullptr;  // owned by ssl_
  BIO* out_ = nullptr;
};

}  // namespace

TEST_CASE("error queue: TLS with a responder", "[error_queue]") {
  // The client's clock is the system's.
  const UnixSeconds now = SystemClock().now();
  CertificateSpec spec;
  spec.ca = true;
  spec.subject = "TLS CA";
  spec.not_before = now - kDay;
  spec.not_after = now + kDay;
  const Identity ca = make_certificate(spec, key(KeyType::kP256, "TLS CA"), nullptr);
  spec.ca = false;
  spec.subject = "responder.example";
  spec.dns_names = {spec.subject};
  spec.serial = {0x2b};
  const Identity leaf = make_certificate(spec, key(KeyType::kP256, "TLS leaf"), &ca);
  std::vector<crypto::X509Ptr> trusted;
  trusted.push_back(crypto::up_ref(ca.get()));
  const auto anchors = crypto::TrustAnchors::of(trusted);
  REQUIRE(anchors);

  leaves_queue("make_tls_client", [&] { return told(crypto::make_tls_client(*anchors)); });
  const auto talk = [&](const std::string& host, const Identity& certificate, bool garbage) -> std::string {
    const auto client = crypto::make_tls_client(*anchors);
    auto session = (*client)->open(host, 443);
    if (!session) {
      return told(session);
    }
    Server server(certificate);
    for (int turn = 0; turn < 8 && !(*session)->established(); ++turn) {
      const Bytes hello = (*session)->take_output();
      const auto received = (*session)->receive(garbage ? Bytes(64, 'x') : server.answer(hello));
      if (!received) {
        return told(received);
      }
    }
    if (auto sent = (*session)->send(ByteView("echo")); !sent) {
      return told(sent);
    }
    if (auto received = (*session)->receive(server.answer((*session)->take_output())); !received) {
      return told(received);
    }
    return ByteView((*session)->take_plaintext()).copy().size() == 4 ? (*session)->describe() : "no echo";
  };
  leaves_queue("a connection", [&] { return talk("responder.example", leaf, false); });
  CHECK(talk("responder.example", leaf, false).find("TLSv1.") == 0);
  leaves_queue("another name", [&] { return talk("other.example", leaf, false); });
  CHECK(talk("other.example", leaf, false) == "tls_name");
  leaves_queue("not trusted", [&] { return talk("leaf.example", world().leaf, false); });
  leaves_queue("garbage", [&] { return talk("responder.example", leaf, true); });
  leaves_queue("an address", [&] { return talk("127.0.0.1", leaf, true); });
}

TEST_CASE("error queue: a probe of a TLS server", "[error_queue]") {
  for (const bool garbage : {false, true}) {
    leaves_queue(garbage ? "garbage" : "a handshake", [garbage] {
      SystemClock clock;
      PollLoop loop(clock);
      int ends[2] = {-1, -1};
      REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
      std::optional<crypto::TlsSeen> seen;
      auto probe =
          crypto::TlsProbe::start(loop, ends[0], {crypto::TlsVersion::k12, "leaf.example", crypto::KeyKind::kRsa},
                                  [&](crypto::TlsSeen result) { seen = std::move(result); });
      REQUIRE(probe);
      Server server(world().leaf);
      loop.run_until(
          [&] {
            std::array<std::uint8_t, 8192> bytes = {};
            const ssize_t got = recv(ends[1], bytes.data(), bytes.size(), 0);
            if (got > 0) {
              const Bytes answer = garbage ? Bytes(64, 'x') : server.answer({bytes.data(), std::size_t(got)});
              REQUIRE(send(ends[1], answer.data(), answer.size(), MSG_NOSIGNAL) == ssize_t(answer.size()));
            }
            return seen.has_value();
          },
          20000);
      probe->reset();
      close(ends[0]);
      close(ends[1]);
      REQUIRE(seen.has_value());
      return fmt::format("{} {}", static_cast<int>(seen->end), seen->chain.size());
    });
  }
}

TEST_CASE("error queue: what a mark tells", "[error_queue]") {
  ERR_clear_error();
  {
    const crypto::ErrorMark mark;
    CHECK(mark.newest() == 0);
    CHECK(mark.text() == "no reason given");
    queue_two();
    CHECK(ERR_GET_REASON(mark.newest()) == kSecond);
    const std::string both = mark.text();
    CHECK(both.find("; ") != std::string::npos);  // oldest first
    CHECK(mark.newest() == 0);
    queue_openssl_error(ERR_R_MALLOC_FAILURE);
    queue_openssl_error(kSecond);
    CHECK(mark.ran_out_of_memory());
  }
  CHECK(take_openssl_errors().empty());
  // An error of before, even of the same place, is none of ours.
  queue_openssl_error(ERR_R_MALLOC_FAILURE);
  {
    const crypto::ErrorMark mark;
    CHECK(mark.newest() == 0);
    CHECK_FALSE(mark.ran_out_of_memory());
    CHECK(mark.text() == "no reason given");
    CHECK(mark.failure(Reason::kUnreadable, "it").value().detail == "it: no reason given");
    queue_openssl_error(ERR_R_MALLOC_FAILURE);
    CHECK(mark.newest() != 0);
    CHECK(mark.ran_out_of_memory());
    CHECK(mark.failure(Reason::kUnreadable, "it").value().reason == Reason::kOutOfMemory);
    queue_openssl_error(kSecond);
    CHECK(mark.text().find("; ") == std::string::npos);
  }
  CHECK(queued_openssl_errors() == 1);
}

}  // namespace ocsp_plus::testing
