#include "cli/stapling.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "base/log.h"
#include "crypto/peer_certificate.h"

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
  } else if (handshake.seen.end == End::kPlainHttp) {
    findings.push_back({"not_tls", Severity::kUnknown,
                        "the server answers in HTTP without TLS: name the port of https, and look whether \"listen\" "
                        "has \"ssl\""});
  } else {
    findings.push_back({"handshake_failed", Severity::kUnknown, handshake.seen.detail});
  }
}

// Finds what clients refuse whatever the staple says.
void judge_certificate(const Handshake& handshake, UnixSeconds now, std::vector<Finding>* findings) {
  const crypto::Certificate& certificate = *handshake.certificate;
  const bool is_told = handshake.verdict.has_value() && handshake.verdict->reason == Reason::kCertificateExpired;
  if (now >= certificate.not_after && !is_told) {
    // First of its gravity: it explains what else is wrong.
    findings->insert(findings->begin(),
                     {std::string(token(Reason::kCertificateExpired)), Severity::kCritical,
                      fmt::format("the certificate itself has expired ({})", to_rfc3339(certificate.not_after))});
  }
  if (const std::string& name = handshake.hello.servername;
      !name.empty() && !crypto::is_for(handshake.seen.chain.front().get(), name)) {
    findings->push_back({"name_mismatch", Severity::kWarning,
                         fmt::format("the certificate is for {}, not for {}: look at \"server_name\", or give the "
                                     "right name with --servername",
                                     quoted(certificate.label()), ocsp_plus::quoted(name))});
  }
}

// Tells that the issuer is missing, which may be the cause of a missing staple.
void judge_missing_issuer(const crypto::Certificate& certificate, std::vector<Finding>* findings) {
  if (!certificate.is_root) {
    findings->push_back(
        {"chain_without_issuer", Severity::kWarning,
         fmt::format("the server does not send the certificate's issuer, {}, and it is not known here: append it to "
                     "the chain, as a server without it cannot know the status",
                     ocsp_plus::quoted(certificate.issuer))});
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
  handshake.key = crypto::key_text(handshake.seen.chain.front().get());
  const auto issuer = issuer_for(handshake, anchors, &findings);
  if (trusted) {
    if (const std::string objection = anchors.objection(handshake.seen.chain, now); !objection.empty()) {
      findings.push_back({"chain_not_trusted", Severity::kCritical,
                          "the chain does not lead to the certificates of --cafile: " + objection});
    }
  }
  if (const auto& staple = handshake.seen.staples.front(); !staple.has_value()) {
    judge_missing(*handshake.certificate, &findings);
    if (issuer == nullptr) {
      judge_missing_issuer(*handshake.certificate, &findings);
    }
  } else {
    handshake.verdict = judge_staple(*staple, *handshake.certificate, issuer.get(), bounds, now, &findings);
  }
  judge_certificate(handshake, now, &findings);
  judge_gap(handshake.seen.staples, 0, &findings);
  if (handshake.hello.version == crypto::TlsVersion::k13) {
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

// Compares the handshakes that leave the choice of the certificate to the server.
void compare(const std::vector<Handshake>& handshakes, std::vector<Finding>* findings) {
  const Handshake* first = nullptr;
  for (const Handshake& handshake : handshakes) {
    const std::string result = outcome(handshake);
    if (result.empty() || handshake.hello.key != crypto::KeyKind::kOther) {
      continue;
    }
    if (first == nullptr) {
      first = &handshake;
    } else if (const std::string other = outcome(*first); other != result) {
      findings->push_back({"tls_versions_differ", Severity::kWarning,
                           fmt::format("TLS {} and TLS {} differ: {} and {}", token(first->hello.version),
                                       token(handshake.hello.version), other, result)});
    }
  }
}

// `--chain` is not to be fulfilled by a server that cannot send what it asks for.
void demand_tls13(const std::vector<Handshake>& handshakes, std::vector<Finding>* findings) {
  for (const Handshake& handshake : handshakes) {
    if (handshake.hello.version == crypto::TlsVersion::k13 && handshake.seen.end == End::kNotSupported) {
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

bool have_several_keys(const std::vector<Handshake>& handshakes) {
  std::set<std::string> keys;
  for (const Handshake& handshake : handshakes) {
    if (!handshake.key.empty()) {
      keys.insert(handshake.key);
    }
  }
  return keys.size() > 1;
}

// A TLS version that the server does not support, and what is right with CA certificates, are listed by handshake
// only. `by_key`: the server has several certificates, so each finding says which.
void collect(const Handshake& handshake, bool by_key, std::vector<Finding>* findings) {
  for (const Finding& finding : handshake.findings) {
    if (finding.token != "tls_not_supported") {
      const std::string key = by_key && !handshake.key.empty() ? handshake.key + ": " : "";
      add_new({finding.token, finding.severity, key + finding.text}, findings);
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
    const auto& verdict = handshake.verdict;
    if (verdict.has_value() && verdict->reason == Reason::kOk &&
        (!judgement.first_to_end.has_value() || verdict->expires < judgement.first_to_end->expires)) {
      judgement.first_to_end = verdict;
    }
  }
  const bool by_key = have_several_keys(*handshakes);
  for (const Handshake& handshake : *handshakes) {
    collect(handshake, by_key, &judgement.findings);
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

std::string where(const Handshake& handshake) {
  if (!handshake.certificate.has_value()) {
    return text_of(handshake.hello);
  }
  return fmt::format("TLS {}, {}, {}, serial {}", token(handshake.hello.version), handshake.certificate->subject,
                     handshake.key, to_hex(handshake.certificate->serial));
}

Json handshake_json(const Handshake& handshake) {
  Json json;
  json["tls"] = std::string(token(handshake.hello.version));
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
    certificate["key"] = json_text(handshake.key);
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
