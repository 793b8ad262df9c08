#include "crypto/tls_probe.h"

#include <fmt/format.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <utility>

#include "crypto/certificate_message.h"
#include "crypto/ossl.h"

namespace ocsp_plus::crypto {
namespace {

using SslCtxPtr = OpenSslPtr<SSL_CTX, SSL_CTX_free>;
using SslPtr = OpenSslPtr<SSL, SSL_free>;

constexpr std::size_t kReadSize = std::size_t{16} * 1024;

bool try_again(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

int number_of(TlsVersion version) {
  return version == TlsVersion::k12 ? TLS1_2_VERSION : TLS1_3_VERSION;
}

// SSL_OP_NO_RX_CERTIFICATE_COMPRESSION (RFC 8879) of OpenSSL 3.2 and newer: a compressed Certificate message would be
// shown as it is. Older versions compress nothing and ignore the bit.
constexpr std::uint64_t kNoCompressedCertificates = std::uint64_t{1} << 33;

// Content of the server's messages, kept until they are known to be the whole of its first flight.
struct Flight {
  std::vector<X509Ptr> chain;
  std::vector<std::optional<Bytes>> staples;
};

void read_certificates(ByteView body, bool is_tls12, Flight* flight) {
  *flight = {};
  for (const CertificateEntry& entry : parse_certificates(body, is_tls12).value_or(std::vector<CertificateEntry>())) {
    const unsigned char* der = entry.certificate.data();
    X509Ptr certificate(d2i_X509(nullptr, &der, static_cast<long>(entry.certificate.size())));
    if (certificate == nullptr) {
      *flight = {};  // OpenSSL will refuse it as well
      return;
    }
    flight->chain.push_back(std::move(certificate));
    flight->staples.push_back(entry.staple.has_value() ? std::optional<Bytes>(entry.staple->copy()) : std::nullopt);
  }
}

// Called for each message before OpenSSL looks into it, with all versions of OpenSSL alike.
void read_message(int is_ours, int version, int content_type, const void* data, std::size_t size, SSL* /*ssl*/,
                  void* read_into) {
  constexpr std::size_t kHeader = 4;  // type and length
  if (is_ours != 0 || content_type != SSL3_RT_HANDSHAKE || size < kHeader) {
    return;
  }
  const ErrorMark mark;
  auto* flight = static_cast<Flight*>(read_into);
  const auto* message = static_cast<const std::uint8_t*>(data);
  const ByteView body(message + kHeader, size - kHeader);
  if (message[0] == SSL3_MT_CERTIFICATE) {
    read_certificates(body, version == TLS1_2_VERSION, flight);
  } else if (message[0] == SSL3_MT_CERTIFICATE_STATUS && !flight->staples.empty()) {
    flight->staples.front() = parse_certificate_status(body).copy();
  }
}

// A server chooses its certificate by the signature algorithms, and on TLS 1.2 by the cipher suites too.
bool offer_only(SSL* ssl, KeyKind key) {
  if (key == KeyKind::kOther) {
    return true;
  }
  const bool is_rsa = key == KeyKind::kRsa;
  std::string algorithms = is_rsa ? "rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:rsa_pss_pss_sha256:"
                                    "rsa_pss_pss_sha384:rsa_pss_pss_sha512:RSA+SHA256:RSA+SHA384:RSA+SHA512"
                                  : "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:ed448";
  return SSL_ctrl(ssl, SSL_CTRL_SET_SIGALGS_LIST, 0, algorithms.data()) == 1 &&
         SSL_set_cipher_list(ssl, is_rsa ? "aRSA" : "aECDSA") == 1;
}

bool is_response(const Bytes& staple) {
  const unsigned char* der = staple.data();
  return OcspResponsePtr(d2i_OCSP_RESPONSE(nullptr, &der, static_cast<long>(staple.size()))) != nullptr;
}

bool is_version_refused(unsigned long code) {
  if (ERR_GET_LIB(code) != ERR_LIB_SSL) {
    return false;
  }
  const int reason = ERR_GET_REASON(code);
  return reason == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION || reason == SSL_R_UNSUPPORTED_PROTOCOL ||
         reason == SSL_R_WRONG_SSL_VERSION;
}

}  // namespace

std::string_view token(TlsVersion version) noexcept {
  return version == TlsVersion::k12 ? "1.2" : "1.3";
}

std::string text_of(const TlsHello& hello) {
  return fmt::format("TLS {}{}", token(hello.version),
                     hello.key == KeyKind::kRsa  ? ", RSA alone"
                     : hello.key == KeyKind::kEc ? ", ECDSA alone"
                                                 : "");
}

// OpenSSL reads and writes memory; we do the socket I/O, so that a closed peer causes no SIGPIPE.
struct TlsProbe::Impl {
  Impl(int the_fd, Callback the_callback) : fd(the_fd), callback(std::move(the_callback)) {}

  Result<void> set_up(const TlsHello& hello);
  void on_ready(unsigned ready);
  bool receive();
  bool send_rest();
  void shake_hands();
  void fail_with(int error);
  void end();
  void believe_flight();
  static int take_flight(SSL* ssl, void* impl);

  const int fd;
  Callback callback;
  TlsSeen seen;
  Flight flight;
  SslCtxPtr context;
  SslPtr ssl;
  BIO* incoming = nullptr;  // owned by ssl
  BIO* outgoing = nullptr;
  bool ended = false;
  std::unique_ptr<IoWatch> watch;
};

void TlsProbe::Impl::believe_flight() {
  seen.chain = std::move(flight.chain);
  seen.staples = std::move(flight.staples);
  flight = {};
}

// Called when the server's first flight is complete, with or without a staple. Returns 1, which continues the
// handshake.
int TlsProbe::Impl::take_flight(SSL* /*ssl*/, void* impl) {
  static_cast<Impl*>(impl)->believe_flight();
  return 1;
}

// OpenSSL's macros for these calls cast as C does.
Result<void> TlsProbe::Impl::set_up(const TlsHello& hello) {
  const ErrorMark mark;
  context.reset(SSL_CTX_new(TLS_client_method()));
  if (context != nullptr) {
    SSL_CTX_set_security_level(context.get(), 0);
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
    SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
    SSL_CTX_callback_ctrl(context.get(), SSL_CTRL_SET_TLSEXT_STATUS_REQ_CB,
                          reinterpret_cast<void (*)()>(take_flight));
    SSL_CTX_set_tlsext_status_arg(context.get(), this);
    SSL_CTX_set_msg_callback(context.get(), read_message);
    SSL_CTX_set_msg_callback_arg(context.get(), &flight);
    SSL_CTX_set_options(context.get(), kNoCompressedCertificates);
    ssl.reset(SSL_new(context.get()));
  }
  BioPtr in(BIO_new(BIO_s_mem()));
  BioPtr out(BIO_new(BIO_s_mem()));
  const int number = number_of(hello.version);
  const std::string& servername = hello.servername;
  if (ssl == nullptr || in == nullptr || out == nullptr || SSL_set_min_proto_version(ssl.get(), number) != 1 ||
      SSL_set_max_proto_version(ssl.get(), number) != 1 ||
      SSL_set_tlsext_status_type(ssl.get(), TLSEXT_STATUSTYPE_ocsp) != 1 || !offer_only(ssl.get(), hello.key) ||
      (!servername.empty() && SSL_ctrl(ssl.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                                       const_cast<char*>(servername.c_str())) != 1)) {
    return fail(Reason::kInternal, "a TLS client cannot be set up: " + mark.text());
  }
  if (hello.proxied) {
    BIO_puts(out.get(), "PROXY UNKNOWN\r\n");
  }
  incoming = in.get();
  outgoing = out.get();
  SSL_set_bio(ssl.get(), in.release(), out.release());
  SSL_set_connect_state(ssl.get());
  return {};
}

void TlsProbe::Impl::on_ready(unsigned ready) {
  if ((ready & IoWatch::kRead) != 0 && !receive()) {
    return end();
  }
  if (!ended) {
    shake_hands();
  }
  // OpenSSL's output is sent even after a failure: an alert tells the server why.
  const bool sent = send_rest();
  if (ended || !sent) {
    return end();
  }
  const bool more = BIO_ctrl_pending(outgoing) > 0;
  watch->set(more ? IoWatch::kRead | IoWatch::kWrite : IoWatch::kRead);
}

// Returns false at the end; `seen` has the cause.
bool TlsProbe::Impl::receive() {
  const ErrorMark mark;
  std::array<unsigned char, kReadSize> buffer;
  const ssize_t count = ::recv(fd, buffer.data(), buffer.size(), 0);
  if (count < 0 && try_again(errno)) {
    return true;
  }
  if (count < 0) {
    fail_with(errno);
    return false;
  }
  if (count == 0) {
    seen.end = TlsSeen::End::kBroken;
    seen.detail = "the server closed the connection within the handshake";
    return false;
  }
  constexpr std::string_view kHttp = "HTTP/";
  const bool is_first = !std::exchange(seen.answered, true);
  if (is_first && ByteView(buffer.data(), static_cast<std::size_t>(count)).text().substr(0, kHttp.size()) == kHttp) {
    seen.end = TlsSeen::End::kPlainHttp;
    seen.detail = "the server answers in HTTP without TLS";
    return false;
  }
  BIO_write(incoming, buffer.data(), static_cast<int>(count));
  return true;
}

bool TlsProbe::Impl::send_rest() {
  const ErrorMark mark;
  char* bytes = nullptr;
  long size = 0;
  while ((size = BIO_get_mem_data(outgoing, &bytes)) > 0) {
    const ssize_t count = ::send(fd, bytes, static_cast<std::size_t>(size), MSG_NOSIGNAL);
    if (count < 0 && try_again(errno)) {
      return true;
    }
    if (count < 0) {
      if (!ended) {
        fail_with(errno);
      }
      return false;
    }
    // BIO_get_mem_data() does not consume the data.
    std::array<char, kReadSize> sent;
    for (ssize_t left = count; left > 0;) {
      left -= BIO_read(outgoing, sent.data(), static_cast<int>(std::min<ssize_t>(left, kReadSize)));
    }
  }
  return true;
}

void TlsProbe::Impl::shake_hands() {
  const ErrorsSetAside aside;
  const int result = SSL_do_handshake(ssl.get());
  if (result == 1) {
    seen.end = TlsSeen::End::kFinished;
    ended = true;
    return;
  }
  const int why = SSL_get_error(ssl.get(), result);
  if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
    return;
  }
  const unsigned long code = ERR_peek_error();
  const int alert = ERR_GET_REASON(code) - SSL_AD_REASON_OFFSET;
  seen.end = TlsSeen::End::kBroken;
  if (is_version_refused(code)) {
    seen.end = TlsSeen::End::kNotSupported;
  } else if (ERR_GET_LIB(code) == ERR_LIB_SSL && alert >= 0 && alert <= UINT8_MAX) {
    seen.end = TlsSeen::End::kAlert;
    seen.alert = alert;
  } else if (std::any_of(flight.staples.begin(), flight.staples.end(),
                         [](const auto& staple) { return staple.has_value() && !is_response(*staple); })) {
    seen.end = TlsSeen::End::kBadStaple;
    believe_flight();
  }
  seen.detail = seen.end == TlsSeen::End::kAlert ? fmt::format("the server sent the alert {} ({})",
                                                               SSL_alert_desc_string_long(seen.alert), seen.alert)
                                                 : ErrorsSetAside::text();
  ended = true;
}

void TlsProbe::Impl::fail_with(int error) {
  seen.end = TlsSeen::End::kSystem;
  seen.error = error;
}

void TlsProbe::Impl::end() {
  watch.reset();
  const Callback done = std::move(callback);
  done(std::move(seen));  // may destroy this
}

TlsProbe::TlsProbe(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

TlsProbe::~TlsProbe() = default;

Result<std::unique_ptr<TlsProbe>> TlsProbe::start(EventLoop& loop, int fd, const TlsHello& hello, Callback callback) {
  auto impl = std::make_unique<Impl>(fd, std::move(callback));
  RETURN_IF_ERROR(impl->set_up(hello));
  impl->watch = loop.watch(fd, [self = impl.get()](unsigned ready) { self->on_ready(ready); });
  // A connecting socket becomes writable when it is connected or has failed.
  if (impl->watch == nullptr || !impl->watch->set(IoWatch::kWrite)) {
    return fail(Reason::kNetworkError, "the event loop has no free slot");
  }
  return std::unique_ptr<TlsProbe>(new TlsProbe(std::move(impl)));
}

}  // namespace ocsp_plus::crypto
