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
  crypto::TlsVersion version = crypto::TlsVersion::k12;
  std::optional<Error> unreachable;
  crypto::TlsSeen seen;

  // Filled in by evaluate():
  std::optional<crypto::Certificate> certificate;
  std::optional<crypto::Verdict> verdict;  // of the staple; nothing without a staple or an issuer
  std::vector<Finding> findings;           // never empty afterwards, most severe first
  std::vector<ChainCertificate> chain;
};

struct Judgement {
  Severity severity = Severity::kUnknown;
  std::vector<Finding> findings;  // of all handshakes, without duplicates, most severe first
  UnixSeconds expires = 0;        // earliest end of the valid staples; 0: none is valid
};

// `anchors` supply issuers that the server does not send; `trusted`: the chain must lead to them.
Judgement evaluate(std::vector<Handshake>* handshakes, const crypto::TrustAnchors& anchors, bool trusted,
                   const Bounds& bounds, UnixSeconds now);

Json handshake_json(const Handshake& handshake);

}  // namespace ocsp_plus::cli
