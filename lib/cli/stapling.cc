#include "cli/stapling.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "base/log.h"

namespace ocsp_plus::cli {
namespace {

using End = crypto::TlsSeen::End;

constexpr int kInternalError = 80;  // AlertDescription internal_error, the only alert that a status callback can send

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

// Finds the leaf's issuer among the certificates from the server, else among the anchors.
std::unique_ptr<crypto::Issuer> issuer_for(const Handshake& handshake, const crypto::TrustAnchors& anchors,
                                           std::vector<Finding>* findings) {
  const auto& chain = handshake.seen.chain;
  if (auto sent = sent_issuer(chain, 0); sent != nullptr) {
    return sent;
  }
  auto known = known_issuer(chain.front().get(), anchors);
  // Clients have the roots already; the server must send all other certificates.
  if (known != nullptr && crypto::find_issuer(known->certificate(), {known->certificate()}) == nullptr) {
    findings->push_back({"chain_without_issuer", Severity::kWarning,
                         "the server does not send the certificate's issuer: append it to its chain"});
  }
  return known;
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
  if (const auto& staple = handshake.seen.staples.front(); !staple.has_value()) {
    judge_missing(*handshake.certificate, &findings);
  } else {
    handshake.verdict = judge_staple(*staple, *handshake.certificate, issuer.get(), bounds, now, &findings);
  }
  judge_gap(handshake.seen.staples, 0, &findings);
  if (handshake.version == crypto::TlsVersion::k13) {
    handshake.chain = judge_chain(handshake.seen, anchors, bounds, now);
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
  return handshake.seen.staples.front().has_value() ? "a staple" : "no staple";
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

// `--chain` is not to be fulfilled by a server that cannot send what it asks for.
void demand_tls13(const std::vector<Handshake>& handshakes, std::vector<Finding>* findings) {
  for (const Handshake& handshake : handshakes) {
    if (handshake.version == crypto::TlsVersion::k13 && handshake.seen.end == End::kNotSupported) {
      findings->push_back({"tls_not_supported", Severity::kWarning,
                           "the server does not speak TLS 1.3, and TLS 1.2 has no staple for a CA certificate"});
    }
  }
}

void add_new(Finding finding, std::vector<Finding>* findings) {
  const bool is_known = std::any_of(findings->begin(), findings->end(), [&](const Finding& other) {
    return other.token == finding.token && other.severity == finding.severity && other.text == finding.text;
  });
  if (!is_known) {
    findings->push_back(std::move(finding));
  }
}

// A TLS version that the server does not support, and what is right with CA certificates, are listed by handshake
// only.
void collect(const Handshake& handshake, std::vector<Finding>* findings) {
  for (const Finding& finding : handshake.findings) {
    if (finding.token != "tls_not_supported") {
      add_new(finding, findings);
    }
  }
  for (const ChainCertificate& certificate : handshake.chain) {
    for (const Finding& finding : certificate.findings) {
      if (finding.severity != Severity::kOk) {
        add_new({finding.token, finding.severity, where(certificate) + ": " + finding.text}, findings);
      }
    }
  }
}

}  // namespace

Judgement evaluate(std::vector<Handshake>* handshakes, const crypto::TrustAnchors& anchors, bool trusted,
                   const Bounds& bounds, UnixSeconds now) {
  Judgement judgement;
  for (Handshake& handshake : *handshakes) {
    judge_one(handshake, anchors, trusted, bounds, now);
    if (handshake.verdict.has_value() && handshake.verdict->reason == Reason::kOk) {
      const UnixSeconds end = handshake.verdict->expires;
      judgement.expires = judgement.expires == 0 ? end : std::min(judgement.expires, end);
    }
    collect(handshake, &judgement.findings);
  }
  compare(*handshakes, &judgement.findings);
  if (judgement.findings.empty()) {
    judgement.findings.push_back(
        {"tls_not_supported", Severity::kUnknown, "the server speaks neither TLS 1.2 nor 1.3"});
  } else if (bounds.chain) {
    demand_tls13(*handshakes, &judgement.findings);
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
  json["stapled"] = handshake.certificate.has_value() ? Json(handshake.seen.staples.front().has_value()) : Json();
  json["staple"] = handshake.verdict.has_value() ? verdict_json(*handshake.verdict) : Json();
  for (const ChainCertificate& other : handshake.chain) {
    json["chain"].push_back(chain_json(other));
  }
  return json;
}

}  // namespace ocsp_plus::cli
