// TLS as a client, as a port: lib/net moves the bytes, lib/crypto knows what they mean, and neither knows the other.
#pragma once

#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace ocsp_plus {

// One connection: a state machine over bytes that somebody else moves. After each call there may be output.
class TlsSession {
 public:
  virtual ~TlsSession() = default;

  // Takes what the peer sent. Errors: kTlsFailed, kTlsCertificate, kTlsName; the session is over then, but an alert
  // may be left to send.
  virtual Result<void> receive(ByteView ciphertext) = 0;
  virtual bool established() const = 0;  // the peer is who it should be
  virtual bool closed() const = 0;       // the peer has said that nothing follows
  // REQUIRES: established().
  virtual Result<void> send(ByteView plaintext) = 0;

  virtual Bytes take_output() = 0;     // what is to be sent to the peer; at first the ClientHello
  virtual Bytes take_plaintext() = 0;  // what the peer said

  virtual std::string describe() const = 0;  // "TLSv1.3, TLS_AES_256_GCM_SHA384, resumed"; for people
};

// Everything that sessions with the same trust share.
class TlsClient {
 public:
  virtual ~TlsClient() = default;

  // `host` is a name or an IP literal without brackets: what the peer's certificate has to be for, and what it is
  // asked for (SNI, names only). Sessions are resumed by host and `port`. kInternal where nothing can be set up. The
  // session must not outlive the client.
  virtual Result<std::unique_ptr<TlsSession>> open(const std::string& host, unsigned port) = 0;
};

}  // namespace ocsp_plus
