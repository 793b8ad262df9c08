#include "cli/stapling.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "base/log.h"

namespace ocsp_plus::cli {
namespace {

using crypto::Verdict;
using End = crypto::TlsSeen::End;

constexpr int kInternalError = 80;  // AlertDescription internal_error, the only alert that a status callback can send

// Ranks severities as monitoring systems do: a failure to tell is worse than fine only.
int gravity(Severity severity) {
  constexpr std::array<int, 4> kGravity = {0, 2, 3, 1};
  return kGravity[static_cast<std::size_t>(severity)];
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

void judge_failure(Handshake& handshake) {
  auto& findings = handshake.findings;
  if (handshake.unreachable.has_value()) {
    findings.push_back(
        {std::string(token(handshake.unreachable->reason)), Severity::kUnknown, handshake.unreachable->detail});
  } else if (handshake.seen.end == End::kNotSupported) {
    findings.push_back({"tls_not_supported", Severity::kOk, "the server does not speak it"});
  } else if (handshake.seen.end == End::kAlert && handshake.seen.alert == kInternalError) {
    findings.push_back({"handshake_refused", Severity::kCritical,
                        "the server refuses clients that ask for a status (alert internal_error), as it does where "
                        "a staple is required and missing"});
  } else {
    findings.push_back({"handshake_failed", Severity::kUnknown, handshake.seen.detail});
  }
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

void judge_end(const Verdict& verdict, const Bounds& bounds, UnixSeconds now, std::vector<Finding>* findings) {
  const Seconds left = saturating_sub(verdict.expires, now);
  const std::string text = fmt::format("staple good, ends in {} ({})", to_span(left), to_rfc3339(verdict.expires));
  if (left <= bounds.critical) {
    findings->push_back({"ends_soon", Severity::kCritical, text});
  } else if (left <= bounds.warning) {
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

void judge_staple(Handshake& handshake, const crypto::Issuer& issuer, const Bounds& bounds, UnixSeconds now) {
  handshake.verdict = crypto::verify(handshake.seen.staple, *handshake.certificate, issuer, now, {});
  const Verdict& verdict = *handshake.verdict;
  if (verdict.reason == Reason::kOk) {
    judge_age(verdict, bounds, now, &handshake.findings);
    return judge_end(verdict, bounds, now, &handshake.findings);
  }
  handshake.findings.push_back({std::string(token(verdict.reason)), Severity::kCritical,
                                fmt::format("the staple is not to be used: {}{}{}", meaning(verdict.reason),
                                            verdict.detail.empty() ? "" : ", ", verdict.detail)});
}

// Finds the issuer among the certificates from the server, else among the anchors.
std::unique_ptr<crypto::Issuer> issuer_for(const Handshake& handshake, const crypto::TrustAnchors& anchors,
                                           std::vector<Finding>* findings) {
  const auto& chain = handshake.seen.chain;
  std::vector<x509_st*> candidates;
  for (std::size_t i = 1; i < chain.size(); ++i) {
    candidates.push_back(chain[i].get());
  }
  x509_st* certificate = crypto::find_issuer(chain.front().get(), candidates);
  crypto::X509Ptr anchor;
  if (certificate == nullptr) {
    anchor = anchors.issuer_of(chain.front().get());
    certificate = anchor.get();
    // Clients have the roots already; the server must send all other certificates.
    if (certificate != nullptr && crypto::find_issuer(certificate, {certificate}) == nullptr) {
      findings->push_back({"chain_without_issuer", Severity::kWarning,
                           "the server does not send the certificate's issuer: append it to its chain"});
    }
  }
  auto issuer = certificate == nullptr ? nullptr : crypto::Issuer::create(certificate);
  return issuer.has_value() ? std::move(*issuer) : nullptr;
}

void judge_one(Handshake& handshake, const crypto::TrustAnchors& anchors, bool trusted, const Bounds& bounds,
               UnixSeconds now) {
  auto& findings = handshake.findings;
  if (handshake.unreachable.has_value() || handshake.seen.chain.empty()) {
    return judge_failure(handshake);
  }
  auto certificate = crypto::describe(handshake.seen.chain.front().get());
  if (!certificate) {
    findings.push_back(
        {std::string(token(certificate.error().reason)), Severity::kUnknown, certificate.error().detail});
    return;
  }
  handshake.certificate = std::move(*certificate);
  const auto issuer = issuer_for(handshake, anchors, &findings);
  if (trusted) {
    if (const std::string objection = anchors.objection(handshake.seen.chain, now); !objection.empty()) {
      findings.push_back({"chain_not_trusted", Severity::kCritical,
                          "the chain does not lead to the certificates of --cafile: " + objection});
    }
  }
  if (handshake.seen.staple.empty()) {
    judge_missing(*handshake.certificate, &findings);
  } else if (issuer == nullptr) {
    findings.push_back({"no_issuer", Severity::kUnknown,
                        "the server staples, but does not send the certificate's issuer, and it is not known here: "
                        "append it to the server's chain, or give it with --cafile"});
  } else {
    judge_staple(handshake, *issuer, bounds, now);
  }
  gravest_first(&findings);
}

// Describes the staple of a handshake in a word; empty if the handshake failed earlier.
std::string outcome(const Handshake& handshake) {
  if (!handshake.certificate.has_value()) {
    return "";
  }
  if (handshake.verdict.has_value()) {
    return std::string(token(handshake.verdict->reason));
  }
  return handshake.seen.staple.empty() ? "no staple" : "a staple";
}

void compare(const std::vector<Handshake>& handshakes, std::vector<Finding>* findings) {
  for (std::size_t i = 1; i < handshakes.size(); ++i) {
    const std::string a = outcome(handshakes[0]);
    const std::string b = outcome(handshakes[i]);
    if (!a.empty() && !b.empty() && a != b) {
      findings->push_back({"tls_versions_differ", Severity::kWarning,
                           fmt::format("TLS {} and TLS {} differ: {} and {}", token(handshakes[0].version),
                                       token(handshakes[i].version), a, b)});
    }
  }
}

}  // namespace

std::string_view word(Severity severity) {
  constexpr std::array<std::string_view, 4> kWords = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};
  return kWords[static_cast<std::size_t>(severity)];
}

Judgement evaluate(std::vector<Handshake>* handshakes, const crypto::TrustAnchors& anchors, bool trusted,
                   const Bounds& bounds, UnixSeconds now) {
  Judgement judgement;
  bool any_seen = false;
  for (Handshake& handshake : *handshakes) {
    judge_one(handshake, anchors, trusted, bounds, now);
    any_seen = any_seen || handshake.certificate.has_value();
    if (handshake.verdict.has_value() && handshake.verdict->reason == Reason::kOk) {
      const UnixSeconds end = handshake.verdict->expires;
      judgement.expires = judgement.expires == 0 ? end : std::min(judgement.expires, end);
    }
    for (const Finding& finding : handshake.findings) {
      const bool known = std::any_of(judgement.findings.begin(), judgement.findings.end(), [&](const Finding& other) {
        return other.token == finding.token && other.severity == finding.severity && other.text == finding.text;
      });
      // A TLS version that the server does not support is listed in the JSON only.
      if (!known && finding.token != "tls_not_supported") {
        judgement.findings.push_back(finding);
      }
    }
  }
  compare(*handshakes, &judgement.findings);
  if (judgement.findings.empty()) {
    judgement.findings.push_back(
        {"tls_not_supported", Severity::kUnknown, "the server speaks neither TLS 1.2 nor 1.3"});
  }
  gravest_first(&judgement.findings);
  judgement.severity = worst(judgement.findings);
  return judgement;
}

Json handshake_json(const Handshake& handshake) {
  Json json;
  json["tls"] = std::string(token(handshake.version));
  json["findings"] = Json::array();
  for (const Finding& finding : handshake.findings) {
    json["findings"].push_back(finding.token);
  }
  Json certificate;
  if (handshake.certificate.has_value()) {
    certificate["id"] = to_hex(handshake.certificate->id);
    certificate["subject"] = handshake.certificate->subject;
    certificate["issuer"] = handshake.certificate->issuer;
    certificate["serial"] = to_hex(handshake.certificate->serial);
    certificate["not_after"] = json_time(handshake.certificate->not_after);
    certificate["must_staple"] = handshake.certificate->must_staple;
    certificate["responders"] = handshake.certificate->ocsp_urls;
  }
  json["certificate"] = std::move(certificate);
  json["stapled"] = handshake.certificate.has_value() ? Json(!handshake.seen.staple.empty()) : Json();
  json["staple"] = handshake.verdict.has_value() ? verdict_json(*handshake.verdict) : Json();
  return json;
}

}  // namespace ocsp_plus::cli
