#include "crypto/tls_client.h"

#include <fmt/format.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <array>
#include <climits>
#include <map>
#include <utility>

#include "crypto/ossl.h"

namespace ocsp_plus::crypto {
namespace {

using SslCtxPtr = OpenSslPtr<SSL_CTX, SSL_CTX_free>;
using SslPtr = OpenSslPtr<SSL, SSL_free>;
using SslSessionPtr = OpenSslPtr<SSL_SESSION, SSL_SESSION_free>;
using OctetStringPtr = OpenSslPtr<ASN1_OCTET_STRING, ASN1_OCTET_STRING_free>;

constexpr std::size_t kMaxHosts = 64;
constexpr std::size_t kReadSize = std::size_t{16} * 1024;

bool is_ip_literal(const std::string& host) {
  const ErrorMark mark;
  return OctetStringPtr(a2i_IPADDRESS(host.c_str())) != nullptr;
}

class Client;

class Session : public TlsSession {
 public:
  Session(Client& client, std::string key) : client_(client), key_(std::move(key)) {}
  ~Session() override;

  Result<void> set_up(SSL_CTX* context, const std::string& host, SSL_SESSION* resumed);

  Result<void> receive(ByteView ciphertext) override;
  bool established() const override { return established_; }
  bool closed() const override { return closed_; }
  Result<void> send(ByteView plaintext) override;
  Bytes take_output() override;
  Bytes take_plaintext() override { return std::exchange(plaintext_, {}); }
  std::string describe() const override;
  std::optional<TlsPeer> peer() const override;

  void keep(SslSessionPtr session);

 private:
  Result<void> shake_hands();
  Result<void> read();
  Error failure(const char* what) const;

  Client& client_;
  const std::string key_;
  SslPtr ssl_;
  BIO* incoming_ = nullptr;  // owned by ssl_
  BIO* outgoing_ = nullptr;
  Bytes plaintext_;
  bool established_ = false;
  bool closed_ = false;
};

class Client : public TlsClient {
 public:
  Result<void> set_up(const TrustAnchors& anchors, const ClientCertificate* shown);
  Result<std::unique_ptr<TlsSession>> open(const std::string& host, unsigned port) override;

  void keep(const std::string& key, SslSessionPtr session) {
    if (sessions_.size() >= kMaxHosts && sessions_.find(key) == sessions_.end()) {
      sessions_.erase(sessions_.begin());
    }
    sessions_[key] = std::move(session);
  }

 private:
  SslCtxPtr context_;
  std::map<std::string, SslSessionPtr> sessions_;
};

// Called for each resumable session: in TLS 1.3 after the handshake, possibly several times. Returns 1 if it keeps
// the reference.
int on_new_session(SSL* ssl, SSL_SESSION* session) {
  const ErrorMark mark;
  static_cast<Session*>(SSL_get_ex_data(ssl, 0))->keep(SslSessionPtr(session));
  return 1;
}

Result<void> Session::set_up(SSL_CTX* context, const std::string& host, SSL_SESSION* resumed) {
  ssl_.reset(SSL_new(context));
  BioPtr in(BIO_new(BIO_s_mem()));
  BioPtr out(BIO_new(BIO_s_mem()));
  bool ready = ssl_ != nullptr && in != nullptr && out != nullptr && SSL_set_ex_data(ssl_.get(), 0, this) == 1;
  if (ready) {
    X509_VERIFY_PARAM* parameters = SSL_get0_param(ssl_.get());
    // A common name never counts as a host name (RFC 9525 section 2).
    X509_VERIFY_PARAM_set_hostflags(parameters,
                                    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (is_ip_literal(host)) {
      ready = X509_VERIFY_PARAM_set1_ip_asc(parameters, host.c_str()) == 1;
    } else {
      // The final dot of "ocsp.example." is DNS syntax; certificates and SNI omit it.
      const std::string name = host.substr(0, host.size() - (host.back() == '.' ? 1 : 0));
      ready = X509_VERIFY_PARAM_set1_host(parameters, name.c_str(), name.size()) == 1 &&
              SSL_ctrl(ssl_.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                       const_cast<char*>(name.c_str())) == 1;
    }
  }
  if (!ready) {
    return fail(Reason::kInternal, "a TLS client cannot be set up: " + ErrorsSetAside::text());
  }
  if (resumed != nullptr) {
    SSL_set_session(ssl_.get(), resumed);  // on failure there is a full handshake
  }
  incoming_ = in.get();
  outgoing_ = out.get();
  SSL_set_bio(ssl_.get(), in.release(), out.release());
  SSL_set_connect_state(ssl_.get());
  return shake_hands();
}

Session::~Session() {
  // OpenSSL does not resume a session whose connection ended without a shutdown.
  if (ssl_ != nullptr && established_) {
    SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  }
}

Result<void> Session::receive(ByteView ciphertext) {
  const ErrorsSetAside aside;
  // A memory BIO takes everything unless memory runs out.
  if (BIO_write(incoming_, ciphertext.data(), static_cast<int>(ciphertext.size())) !=
      static_cast<int>(ciphertext.size())) {
    return fail(Reason::kOutOfMemory);
  }
  if (!established_) {
    if (auto shaken = shake_hands(); !shaken || !established_) {
      return shaken;
    }
  }
  return read();
}

Result<void> Session::shake_hands() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) {
    established_ = true;
    return {};
  }
  const int why = SSL_get_error(ssl_.get(), result);
  if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
    return {};
  }
  return tl::unexpected<Error>(failure("the TLS handshake failed"));
}

Result<void> Session::read() {
  std::array<unsigned char, kReadSize> buffer;
  for (;;) {
    ERR_clear_error();
    const int count = SSL_read(ssl_.get(), buffer.data(), static_cast<int>(buffer.size()));
    if (count > 0) {
      plaintext_.insert(plaintext_.end(), buffer.begin(), buffer.begin() + count);
      continue;
    }
    switch (SSL_get_error(ssl_.get(), count)) {
      case SSL_ERROR_WANT_READ:
      case SSL_ERROR_WANT_WRITE:
        return {};
      case SSL_ERROR_ZERO_RETURN:
        closed_ = true;
        return {};
      default:
        return tl::unexpected<Error>(failure("the TLS connection broke"));
    }
  }
}

Result<void> Session::send(ByteView plaintext) {
  const ErrorsSetAside aside;
  if (plaintext.empty()) {
    return {};
  }
  if (plaintext.size() > INT_MAX ||
      SSL_write(ssl_.get(), plaintext.data(), static_cast<int>(plaintext.size())) <= 0) {
    return tl::unexpected<Error>(failure("the TLS connection broke"));
  }
  return {};
}

Bytes Session::take_output() {
  const ErrorMark mark;
  Bytes output(BIO_ctrl_pending(outgoing_));
  if (!output.empty()) {
    BIO_read(outgoing_, output.data(), static_cast<int>(output.size()));
  }
  return output;
}

Error Session::failure(const char* what) const {
  const long verified = SSL_get_verify_result(ssl_.get());
  if (verified == X509_V_ERR_HOSTNAME_MISMATCH || verified == X509_V_ERR_IP_ADDRESS_MISMATCH) {
    return {Reason::kTlsName, X509_verify_cert_error_string(verified)};
  }
  if (verified != X509_V_OK) {
    return {Reason::kTlsCertificate, X509_verify_cert_error_string(verified)};
  }
  return {Reason::kTlsFailed, fmt::format("{}: {}", what, ErrorsSetAside::text())};
}

std::string Session::describe() const {
  const ErrorMark mark;
  return fmt::format("{}, {}{}", SSL_get_version(ssl_.get()), SSL_get_cipher_name(ssl_.get()),
                     SSL_session_reused(ssl_.get()) == 1 ? ", resumed" : "");
}

std::optional<TlsPeer> Session::peer() const {
  const ErrorMark mark;
  const X509Ptr certificate(SSL_get1_peer_certificate(ssl_.get()));
  if (certificate == nullptr) {
    return std::nullopt;
  }
  auto described = ocsp_plus::crypto::describe(certificate.get());
  if (!described) {
    return std::nullopt;
  }
  TlsPeer peer;
  peer.names = std::move(described->names);
  if (peer.names.empty()) {
    peer.names.push_back(std::move(described->subject));
  }
  peer.not_after = described->not_after;
  return peer;
}

void Session::keep(SslSessionPtr session) {
  client_.keep(key_, std::move(session));
}

Result<void> Client::set_up(const TrustAnchors& anchors, const ClientCertificate* shown) {
  context_.reset(SSL_CTX_new(TLS_client_method()));
  if (context_ == nullptr || SSL_CTX_set_min_proto_version(context_.get(), TLS1_2_VERSION) != 1) {
    return fail(Reason::kInternal, "a TLS client cannot be set up: " + ErrorsSetAside::text());
  }
  SSL_CTX_set1_cert_store(context_.get(), anchors.store());
  SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
  // Any configured certificate is an anchor, intermediates too.
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context_.get()), X509_V_FLAG_PARTIAL_CHAIN);
  SSL_CTX_set_session_cache_mode(context_.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context_.get(), on_new_session);
  // A close without close_notify counts as a normal close: the response is signed.
  SSL_CTX_set_options(context_.get(), SSL_OP_IGNORE_UNEXPECTED_EOF);
  if (shown != nullptr) {
    bool taken = SSL_CTX_use_certificate(context_.get(), shown->chain.front().get()) == 1 &&
                 SSL_CTX_use_PrivateKey(context_.get(), shown->key.get()) == 1;
    for (std::size_t i = 1; taken && i < shown->chain.size(); ++i) {
      taken = SSL_CTX_add1_chain_cert(context_.get(), shown->chain[i].get()) == 1;
    }
    if (!taken) {
      return fail(Reason::kInternal, "the client's certificate cannot be used: " + ErrorsSetAside::text());
    }
  }
  return {};
}

Result<std::unique_ptr<TlsSession>> Client::open(const std::string& host, unsigned port) {
  const ErrorsSetAside aside;
  const std::string key = fmt::format("{} {}", host, port);
  const auto known = sessions_.find(key);
  SslSessionPtr resumed;
  if (known != sessions_.end()) {
    resumed = std::move(known->second);
    sessions_.erase(known);
    // A TLS 1.3 ticket is used only once (RFC 8446 appendix C.4); this connection brings the next.
    if (SSL_SESSION_get_protocol_version(resumed.get()) < TLS1_3_VERSION && SSL_SESSION_up_ref(resumed.get()) == 1) {
      sessions_[key] = SslSessionPtr(resumed.get());
    }
  }
  auto session = std::make_unique<Session>(*this, key);
  RETURN_IF_ERROR(session->set_up(context_.get(), host, resumed.get()));
  return session;
}

}  // namespace

Result<ClientCertificate> ClientCertificate::parse(std::string_view certificates, std::string_view key) {
  const ErrorsSetAside aside;
  ClientCertificate parsed;
  auto chain = parse_pem_certificates(certificates);
  RETURN_IF_ERROR(chain);
  parsed.chain = std::move(*chain);
  if (key.size() > INT_MAX) {
    return fail(Reason::kUnreadable, "the key is too large");
  }
  const BioPtr text(BIO_new_mem_buf(key.data(), static_cast<int>(key.size())));
  if (text == nullptr) {
    return fail(Reason::kOutOfMemory);
  }
  parsed.key.reset(PEM_read_bio_PrivateKey(text.get(), nullptr, no_pass_phrase, nullptr));
  if (parsed.key == nullptr) {
    return fail(Reason::kUnreadable, "no private key in PEM without a pass phrase");
  }
  if (X509_check_private_key(parsed.chain.front().get(), parsed.key.get()) != 1) {
    return fail(Reason::kUnreadable, "the key is not that of the first certificate");
  }
  return parsed;
}

Result<std::unique_ptr<TlsClient>> make_tls_client(const TrustAnchors& anchors, const ClientCertificate* shown) {
  const ErrorsSetAside aside;
  auto client = std::make_unique<Client>();
  RETURN_IF_ERROR(client->set_up(anchors, shown));
  return client;
}

}  // namespace ocsp_plus::crypto
