// TLS clients as an interface between lib/net, which moves the bytes, and lib/crypto, which implements TLS; neither
// depends on the other.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"

namespace ocsp_plus {

// The peer as its certificate describes it, for people.
struct TlsPeer {
  std::vector<std::string> names;  // in its subjectAltName; where there are none, its subject
  UnixSeconds not_after = 0;
};

// One TLS connection: a state machine over bytes that the caller sends and receives. Every call may produce output.
class TlsSession {
 public:
  virtual ~TlsSession() = default;

  // Takes bytes from the peer. Errors: kTlsFailed, kTlsCertificate, kTlsName; they end the session, but an alert may
  // be left to send.
  virtual Result<void> receive(ByteView ciphertext) = 0;
  virtual bool established() const = 0;  // the handshake is complete and the peer verified
  virtual bool closed() const = 0;       // the peer has sent close_notify
  // REQUIRES: established().
  virtual Result<void> send(ByteView plaintext) = 0;

  virtual Bytes take_output() = 0;     // bytes to send to the peer; first the ClientHello
  virtual Bytes take_plaintext() = 0;  // decrypted bytes from the peer

  virtual std::string describe() const = 0;  // "TLSv1.3, TLS_AES_256_GCM_SHA384, resumed"; for people
  // Nothing if the certificate cannot be read. REQUIRES: established().
  virtual std::optional<TlsPeer> peer() const = 0;
};

// State shared by all sessions with the same trust anchors.
class TlsClient {
 public:
  virtual ~TlsClient() = default;

  // Starts a session. `host` is a name or an IP literal without brackets; the peer's certificate must match it, and a
  // name is sent as SNI. Sessions are resumed per host and `port`. kInternal if OpenSSL cannot be set up. The session
  // must not outlive the client.
  virtual Result<std::unique_ptr<TlsSession>> open(const std::string& host, unsigned port) = 0;
};

}  // namespace ocsp_plus
