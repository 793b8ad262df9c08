// Makes one TLS handshake with a status request (RFC 6066 section 8), to see what a server staples. It verifies no
// certificate and accepts weak keys and signatures.
//
// Only the command line uses it. The module does not refer to it, so the linker leaves it (and libssl's client side)
// out of nginx.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ports.h"
#include "base/result.h"
#include "crypto/certificate.h"
#include "crypto/peer_certificate.h"

namespace ocsp_plus::crypto {

enum class TlsVersion { k12, k13 };

// "1.2", "1.3".
std::string_view token(TlsVersion version) noexcept;

// The client's offer in its ClientHello.
struct TlsHello {
  TlsVersion version = TlsVersion::k12;
  std::string servername;         // SNI; empty: none
  KeyKind key = KeyKind::kOther;  // the only kind of certificate that it takes, kRsa or kEc; kOther: any
  bool proxied = false;           // a header of the PROXY protocol goes first, which names no client
};

// "TLS 1.3", "TLS 1.3, RSA alone".
std::string text_of(const TlsHello& hello);

// The result of a handshake. Certificates and staples are set once the server's first flight is complete, even if the
// handshake fails later (for example when the server demands a client certificate).
//
// They are what stands in the server's messages. OpenSSL's own answer is not asked: from 3.6 on it takes the staple
// of another certificate for the leaf's where the leaf has none.
struct TlsSeen {
  enum class End {
    kFinished,
    kAlert,         // the server sent `alert`
    kNotSupported,  // the server speaks another version only
    kBadStaple,     // OpenSSL broke off at a staple that it cannot parse; certificates and staples are set
    kPlainHttp,     // the server answers in HTTP without TLS
    kBroken,        // the bytes are not TLS, or the server closed; see `detail`
    kSystem,        // a system call failed with `error`, most often while connecting
  };
  End end = End::kBroken;
  int alert = 0;               // RFC 8446 section 6
  int error = 0;               // errno
  bool answered = false;       // at least one byte arrived
  std::string detail;          // for people
  std::vector<X509Ptr> chain;  // as sent, the server's own first; empty: not received
  // OCSPResponse that came with each certificate of `chain`; empty: a CertificateStatus without one. TLS 1.2 has none
  // but the first.
  std::vector<std::optional<Bytes>> staples;
};

class TlsProbe {
 public:
  using Callback = std::function<void(TlsSeen)>;

  // `fd` is a non-blocking stream socket, connected or connecting; it is borrowed and must stay open until the probe
  // is destroyed. The callback is called once, from the loop, and may destroy the probe. There is no timer: the
  // caller destroys the probe on timeout. kInternal if OpenSSL cannot be set up.
  static Result<std::unique_ptr<TlsProbe>> start(EventLoop& loop, int fd, const TlsHello& hello, Callback callback);
  ~TlsProbe();
  TlsProbe(const TlsProbe&) = delete;
  TlsProbe& operator=(const TlsProbe&) = delete;

 private:
  struct Impl;
  explicit TlsProbe(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ocsp_plus::crypto
