// How "ocsp-plus check" tells what it has found: a monitoring plugin's output, or JSON. Everything is escaped.
#pragma once

#include <string>
#include <vector>

#include "base/time.h"
#include "cli/stapling.h"
#include "cli/target.h"
#include "cli/thresholds.h"
#include "cli/verdict.h"

namespace ocsp_plus::cli {

// Findings on one server.
struct CheckResult {
  CheckTarget target;
  std::vector<Handshake> handshakes;  // none: it could not be reached
  Judgement judgement;
  UnixSeconds at = 0;
};

// The gravest of all.
Severity severity_of(const std::vector<CheckResult>& results);

// Monitoring systems show the first line, with performance data after the bar.
std::string text_of(const std::vector<CheckResult>& results, const Thresholds& thresholds);

// One object for one server; for several an object with an array of them.
Json json_of(const std::vector<CheckResult>& results);

}  // namespace ocsp_plus::cli
