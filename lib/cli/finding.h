// Findings of "ocsp-plus check" and their gravity, on one certificate and its staple, wherever it stands in the
// chain.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"
#include "cli/thresholds.h"
#include "crypto/certificate.h"
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

// The gravest of all; kOk without a finding.
Severity worst(const std::vector<Finding>& findings);

void gravest_first(std::vector<Finding>* findings);

// Demands on a server.
struct Bounds {
  Thresholds thresholds;
  Seconds max_age = 0;  // the status's, since thisUpdate; 0: not judged
  bool chain = false;   // CA certificates must be stapled as well
};

// Both add to `findings`. The verdict is missing where `issuer` is null.
void judge_missing(const crypto::Certificate& certificate, std::vector<Finding>* findings);
std::optional<crypto::Verdict> judge_staple(const Bytes& staple, const crypto::Certificate& certificate,
                                            const crypto::Issuer* issuer, const Bounds& bounds, UnixSeconds now,
                                            std::vector<Finding>* findings);

}  // namespace ocsp_plus::cli
