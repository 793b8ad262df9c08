#include "crypto/tls_probe.h"

#include <fmt/format.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <climits>
#include <utility>

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

// Called when the server's first flight is complete, with or without a staple. Returns 1, which continues the
// handshake.
int take_status(SSL* ssl, void* data) {
  const ErrorMark mark;
  auto* seen = static_cast<TlsSeen*>(data);
  const unsigned char* response = nullptr;
  const long size = SSL_get_tlsext_status_ocsp_resp(ssl, &response);
  if (response != nullptr && size > 0) {
    seen->staple.assign(response, response + size);
  }
  STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl);
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    X509* certificate = sk_X509_value(chain, i);
    X509_up_ref(certificate);
    seen->chain.emplace_back(certificate);
  }
  return 1;
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

// OpenSSL reads and writes memory; we do the socket I/O, so that a closed peer causes no SIGPIPE.
struct TlsProbe::Impl {
  Impl(int the_fd, Callback the_callback) : fd(the_fd), callback(std::move(the_callback)) {}

  Result<void> set_up(TlsVersion version, const std::string& servername);
  void on_ready(unsigned ready);
  bool receive();
  bool send_rest();
  void shake_hands();
  void fail_with(int error);
  void end();

  const int fd;
  Callback callback;
  TlsSeen seen;
  SslCtxPtr context;
  SslPtr ssl;
  BIO* incoming = nullptr;  // owned by ssl
  BIO* outgoing = nullptr;
  bool ended = false;
  std::unique_ptr<IoWatch> watch;
};

// OpenSSL's macros for these calls cast as C does.
Result<void> TlsProbe::Impl::set_up(TlsVersion version, const std::string& servername) {
  const ErrorMark mark;
  context.reset(SSL_CTX_new(TLS_client_method()));
  if (context != nullptr) {
    SSL_CTX_set_security_level(context.get(), 0);
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
    SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
    SSL_CTX_callback_ctrl(context.get(), SSL_CTRL_SET_TLSEXT_STATUS_REQ_CB,
                          reinterpret_cast<void (*)()>(take_status));
    SSL_CTX_set_tlsext_status_arg(context.get(), &seen);
    ssl.reset(SSL_new(context.get()));
  }
  BioPtr in(BIO_new(BIO_s_mem()));
  BioPtr out(BIO_new(BIO_s_mem()));
  const int number = number_of(version);
  if (ssl == nullptr || in == nullptr || out == nullptr || SSL_set_min_proto_version(ssl.get(), number) != 1 ||
      SSL_set_max_proto_version(ssl.get(), number) != 1 ||
      SSL_set_tlsext_status_type(ssl.get(), TLSEXT_STATUSTYPE_ocsp) != 1 ||
      (!servername.empty() && SSL_ctrl(ssl.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                                       const_cast<char*>(servername.c_str())) != 1)) {
    return fail(Reason::kInternal, "a TLS client cannot be set up: " + mark.text());
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
  seen.answered = true;
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
  const int reason = ERR_GET_REASON(code);
  seen.end = TlsSeen::End::kBroken;
  if (is_version_refused(code)) {
    seen.end = TlsSeen::End::kNotSupported;
  } else if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET) {
    seen.end = TlsSeen::End::kAlert;
    seen.alert = reason - SSL_AD_REASON_OFFSET;
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

Result<std::unique_ptr<TlsProbe>> TlsProbe::start(EventLoop& loop, int fd, TlsVersion version,
                                                  const std::string& servername, Callback callback) {
  auto impl = std::make_unique<Impl>(fd, std::move(callback));
  RETURN_IF_ERROR(impl->set_up(version, servername));
  impl->watch = loop.watch(fd, [self = impl.get()](unsigned ready) { self->on_ready(ready); });
  // A connecting socket becomes writable when it is connected or has failed.
  if (impl->watch == nullptr || !impl->watch->set(IoWatch::kWrite)) {
    return fail(Reason::kNetworkError, "the event loop has no free slot");
  }
  return std::unique_ptr<TlsProbe>(new TlsProbe(std::move(impl)));
}

}  // namespace ocsp_plus::crypto
