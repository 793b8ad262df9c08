// When a staple ends too soon: a time, or a part of its validity.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "crypto/verify.h"

namespace ocsp_plus::cli {

struct Threshold {
  Seconds time = 0;
  int percent = 0;  // part of the validity, in place of a time
  bool relative = false;
  bool given = false;  // the user has given it

  // The time before the end of a response with that verdict.
  Seconds of(const crypto::Verdict& verdict) const;
};

struct Thresholds {
  Threshold warning;
  Threshold critical;

  Seconds warning_of(const crypto::Verdict& verdict) const { return warning.of(verdict); }
  // One that is a default is not above a warning that is given.
  Seconds critical_of(const crypto::Verdict& verdict) const;
};

// Adds -w, --warn and -c, --critical.
void add_thresholds(CLI::App& command, Thresholds* thresholds);

// Refuses those that are given in the wrong order.
Result<void> check(const Thresholds& thresholds);

}  // namespace ocsp_plus::cli
