// One TLS handshake as a client that asks for a status (RFC 6066 section 8), to see what a server staples. It only
// looks: no certificate is verified, and keys and signatures may be as weak as they like.
//
// For the command line. Nothing of the module refers to it, so the static core does not bring it (and libssl's client
// side) into nginx.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ports.h"
#include "base/result.h"
#include "crypto/certificate.h"

namespace ocsp_plus::crypto {

enum class TlsVersion { k12, k13 };

// "1.2", "1.3".
std::string_view token(TlsVersion version) noexcept;

// What a handshake showed. The server's certificates and staple are there as soon as it has sent them, also where the
// handshake comes to nothing afterwards (a server that demands a client's certificate).
struct TlsSeen {
  enum class End {
    kFinished,
    kAlert,         // the server sent one, `alert`
    kNotSupported,  // the server speaks another version only
    kBroken,        // the bytes are no TLS, or the server closed; `detail` says what
    kSystem,        // a system call failed, `error`: most often the connection never stood
  };
  End end = End::kBroken;
  int alert = 0;               // RFC 8446 section 6
  int error = 0;               // errno
  bool answered = false;       // at least one byte came
  std::string detail;          // for people
  std::vector<X509Ptr> chain;  // as sent, the server's own first; empty: it did not come so far
  Bytes staple;                // the DER of an OCSPResponse, as sent; empty: none
};

class TlsProbe {
 public:
  using Callback = std::function<void(TlsSeen)>;

  // `fd` is a non-blocking stream socket that is connected or connecting; it is borrowed and must be open until the
  // probe is gone. `servername` goes out as SNI; empty: none. The callback is called once, from the loop, and may
  // destroy the probe. There is no timer: whoever loses patience destroys the probe. kInternal where OpenSSL
  // cannot be set up.
  static Result<std::unique_ptr<TlsProbe>> start(EventLoop& loop, int fd, TlsVersion version,
                                                 const std::string& servername, Callback callback);
  ~TlsProbe();
  TlsProbe(const TlsProbe&) = delete;
  TlsProbe& operator=(const TlsProbe&) = delete;

 private:
  struct Impl;
  explicit TlsProbe(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ocsp_plus::crypto
