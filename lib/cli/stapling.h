// What handshakes showed of a server's stapling, judged: pure functions of what was seen, the bounds and the time.
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
  std::string token;  // snake_case, for scripts: one of docs/command-line.md or a reason
  Severity severity = Severity::kOk;
  std::string text;  // for people
};

// One handshake. Either `seen` or `unreachable` says what came of it.
struct Handshake {
  crypto::TlsVersion version = crypto::TlsVersion::k12;
  std::optional<Error> unreachable;
  crypto::TlsSeen seen;

  // Filled in by judge():
  std::optional<crypto::Certificate> certificate;
  std::optional<crypto::Verdict> verdict;  // of the staple; nothing where there is none, or no issuer to judge it by
  std::vector<Finding> findings;           // never empty afterwards, the gravest first
};

struct Bounds {
  Seconds warning = 0;
  Seconds critical = 0;
};

struct Judgement {
  Severity severity = Severity::kUnknown;
  std::vector<Finding> findings;  // of all handshakes, each once, the gravest first
  UnixSeconds expires = 0;        // the first end of the staples that are fit; 0: none is
};

// `anchors`: where issuers are looked for that the server does not send; `trusted`: the chain has to lead to them.
Judgement judge(std::vector<Handshake>* handshakes, const crypto::TrustAnchors& anchors, bool trusted,
                const Bounds& bounds, UnixSeconds now);

Json handshake_json(const Handshake& handshake);

}  // namespace ocsp_plus::cli
