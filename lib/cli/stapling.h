// Evaluates handshakes with a stapling server: pure functions of the observations, the bounds and the time.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/chain.h"
#include "cli/finding.h"
#include "cli/verdict.h"
#include "crypto/certificate.h"
#include "crypto/tls_probe.h"
#include "crypto/trust_anchors.h"
#include "crypto/verify.h"

namespace ocsp_plus::cli {

// One handshake. Its outcome is in either `seen` or `unreachable`.
struct Handshake {
  crypto::TlsHello hello;
  std::optional<Error> unreachable;
  crypto::TlsSeen seen;

  // Filled in by evaluate():
  std::optional<crypto::Certificate> certificate;
  std::string key;                         // crypto::key_text(); empty without a certificate
  std::optional<crypto::Verdict> verdict;  // on the staple; nothing without a staple or an issuer
  std::vector<Finding> findings;           // never empty afterwards, most severe first
  std::vector<ChainCertificate> chain;
};

struct Judgement {
  Severity severity = Severity::kUnknown;
  std::vector<Finding> findings;                // on all handshakes, without duplicates, most severe first
  std::optional<crypto::Verdict> first_to_end;  // the valid staple's that ends first; nothing: none is valid
};

// `anchors` supply issuers that the server does not send; `trusted`: the chain must lead to them.
Judgement evaluate(std::vector<Handshake>* handshakes, const crypto::TrustAnchors& anchors, bool trusted,
                   const Bounds& bounds, UnixSeconds now);

// The certificate of a handshake, and how it was had: "TLS 1.3, CN=www.example.com, ECDSA P-256, serial 0a1b".
std::string where(const Handshake& handshake);

Json handshake_json(const Handshake& handshake);

}  // namespace ocsp_plus::cli
