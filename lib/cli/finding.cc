#include "cli/finding.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace ocsp_plus::cli {
namespace {

using crypto::Verdict;

// Ranks severities as monitoring systems do: a failure to tell is worse than fine only.
int gravity(Severity severity) {
  constexpr std::array<int, 4> kGravity = {0, 2, 3, 1};
  return kGravity[static_cast<std::size_t>(severity)];
}

void judge_end(const Verdict& verdict, const Bounds& bounds, UnixSeconds now, std::vector<Finding>* findings) {
  const Seconds left = saturating_sub(verdict.expires, now);
  const std::string text = fmt::format("staple good, ends in {} ({})", to_span(left), to_rfc3339(verdict.expires));
  if (left <= bounds.thresholds.critical_of(verdict)) {
    findings->push_back({"ends_soon", Severity::kCritical, text});
  } else if (left <= bounds.thresholds.warning_of(verdict)) {
    findings->push_back({"ends_soon", Severity::kWarning, text});
  } else {
    findings->push_back({"ok", Severity::kOk, text});
  }
}

// Handshakes show thisUpdate alone. When the responder last confirmed a response, the server knows.
void judge_age(const Verdict& verdict, const Bounds& bounds, UnixSeconds now, std::vector<Finding>* findings) {
  const Seconds age = saturating_sub(now, verdict.this_update);
  if (bounds.max_age != 0 && age > bounds.max_age) {
    findings->push_back(
        {"status_old", Severity::kWarning,
         fmt::format("the staple says what was true {} ago ({})", to_span(age), to_rfc3339(verdict.this_update))});
  }
}

}  // namespace

std::string_view word(Severity severity) {
  constexpr std::array<std::string_view, 4> kWords = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};
  return kWords[static_cast<std::size_t>(severity)];
}

Severity worst(const std::vector<Finding>& findings) {
  Severity severity = Severity::kOk;
  for (const Finding& finding : findings) {
    severity = gravity(finding.severity) > gravity(severity) ? finding.severity : severity;
  }
  return severity;
}

void gravest_first(std::vector<Finding>* findings) {
  std::stable_sort(findings->begin(), findings->end(),
                   [](const Finding& a, const Finding& b) { return gravity(a.severity) > gravity(b.severity); });
}

void judge_missing(const crypto::Certificate& certificate, std::vector<Finding>* findings) {
  if (certificate.must_staple) {
    findings->push_back({"must_staple_missing", Severity::kCritical,
                         "no staple, and the certificate demands one (Must-Staple): clients refuse it"});
  } else if (certificate.ocsp_urls.empty()) {
    findings->push_back(
        {"no_responder", Severity::kWarning, "no staple, and the certificate names no OCSP responder"});
  } else {
    findings->push_back({"no_staple", Severity::kCritical, "no staple"});
  }
}

std::optional<Verdict> judge_staple(const Bytes& staple, const crypto::Certificate& certificate,
                                    const crypto::Issuer* issuer, const Bounds& bounds, UnixSeconds now,
                                    std::vector<Finding>* findings) {
  if (issuer == nullptr) {
    findings->push_back({"no_issuer", Severity::kUnknown,
                         "the server staples, but does not send the certificate's issuer, and it is not known here: "
                         "append it to the server's chain, or give it with --cafile"});
    return std::nullopt;
  }
  Verdict verdict = crypto::verify(staple, certificate, *issuer, now, {});
  if (verdict.reason == Reason::kOk) {
    judge_age(verdict, bounds, now, findings);
    judge_end(verdict, bounds, now, findings);
  } else {
    findings->push_back({std::string(token(verdict.reason)), Severity::kCritical,
                         fmt::format("the staple is not to be used: {}{}{}", meaning(verdict.reason),
                                     verdict.detail.empty() ? "" : ", ", verdict.detail)});
  }
  return verdict;
}

}  // namespace ocsp_plus::cli
