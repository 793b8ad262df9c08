// Evaluates handshakes with a stapling server: pure functions of the observations, the bounds and the time.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/verdict.h"
#include "crypto/certificate.h"
#include "crypto/tls_probe.h"
#include "crypto/trust_anchors.h"
#include "crypto/verify.h"

namespace ocsp_plus::cli {

// Exit statuses of the monitoring plugins.
enum class Severity : int { kOk = 0, kWarning = 1, kCritical = 2, kUnknown = 3 };

// "OK", "WARNING", "CRITICAL", "UNKNOWN".
std::string_view word(Severity severity);

struct Finding {
  std::string token;  // snake_case, for scripts: a token of docs/command-line.md or a reason
  Severity severity = Severity::kOk;
  std::string text;  // for people
};

// One handshake. Its outcome is in either `seen` or `unreachable`.
struct Handshake {
  crypto::TlsVersion version = crypto::TlsVersion::k12;
  std::optional<Error> unreachable;
  crypto::TlsSeen seen;

  // Filled in by evaluate():
  std::optional<crypto::Certificate> certificate;
  std::optional<crypto::Verdict> verdict;  // of the staple; nothing without a staple or an issuer
  std::vector<Finding> findings;           // never empty afterwards, most severe first
};

struct Bounds {
  Seconds warning = 0;
  Seconds critical = 0;
  Seconds max_age = 0;  // of the status, since thisUpdate; 0: not judged
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
