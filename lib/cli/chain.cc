#include "cli/chain.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace ocsp_plus::cli {
namespace {

bool is_gap(const std::vector<std::optional<Bytes>>& staples, std::size_t position) {
  const auto here = staples.begin() + static_cast<std::ptrdiff_t>(position);
  return !here->has_value() &&
         std::any_of(here, staples.end(), [](const auto& staple) { return staple.has_value(); });
}

std::unique_ptr<crypto::Issuer> issuer_of(x509_st* certificate) {
  auto issuer = certificate == nullptr ? nullptr : crypto::Issuer::create(certificate);
  return issuer.has_value() ? std::move(*issuer) : nullptr;
}

void judge_position(const crypto::TlsSeen& seen, const crypto::Certificate& certificate,
                    const crypto::TrustAnchors& anchors, const Bounds& bounds, UnixSeconds now,
                    ChainCertificate* judged) {
  auto& findings = judged->findings;
  auto issuer = sent_issuer(seen.chain, judged->position);
  const bool is_issuer_sent = issuer != nullptr;
  if (const auto& staple = seen.staples[judged->position]; staple.has_value()) {
    if (!is_issuer_sent) {
      issuer = known_issuer(seen.chain[judged->position].get(), anchors);
    }
    Bounds without_age = bounds;
    without_age.max_age = 0;
    judged->verdict = judge_staple(*staple, certificate, issuer.get(), without_age, now, &findings);
  } else if (bounds.chain) {
    judge_missing(certificate, &findings);
  }
  judge_gap(seen.staples, judged->position, &findings);
  if (!is_issuer_sent && (!judged->verdict.has_value() || judged->verdict->reason == Reason::kOk)) {
    findings.push_back({"chain_without_issuer", Severity::kWarning,
                        "the server does not send its issuer after it: GnuTLS then refuses a staple whose signer is "
                        "named by key; append it to the chain, even a root"});
  }
}

}  // namespace

std::vector<ChainCertificate> judge_chain(const crypto::TlsSeen& seen, const crypto::TrustAnchors& anchors,
                                          const Bounds& bounds, UnixSeconds now) {
  std::vector<ChainCertificate> all;
  for (std::size_t i = 1; i < seen.chain.size(); ++i) {
    const auto certificate = crypto::describe(seen.chain[i].get());
    ChainCertificate judged;
    judged.position = i;
    judged.stapled = seen.staples[i].has_value();
    const bool is_wanted = bounds.chain && !(certificate.has_value() && certificate->is_root);
    if (!judged.stapled && !is_gap(seen.staples, i) && !is_wanted) {
      continue;
    }
    if (certificate.has_value()) {
      judged.subject = certificate->subject;
      judge_position(seen, *certificate, anchors, bounds, now, &judged);
    } else {
      judged.subject = crypto::label_of(seen.chain[i].get());
      judged.findings.push_back(
          {std::string(token(certificate.error().reason)), Severity::kUnknown, certificate.error().detail});
    }
    gravest_first(&judged.findings);
    all.push_back(std::move(judged));
  }
  return all;
}

void judge_gap(const std::vector<std::optional<Bytes>>& staples, std::size_t position,
               std::vector<Finding>* findings) {
  if (is_gap(staples, position)) {
    findings->push_back(
        {"staple_gap", Severity::kCritical,
         "no staple here, but with a certificate that is sent after it: Java refuses that, even where "
         "it tolerates a missing staple"});
  }
}

std::unique_ptr<crypto::Issuer> sent_issuer(const std::vector<crypto::X509Ptr>& chain, std::size_t position) {
  std::vector<x509_st*> candidates;
  for (std::size_t i = position + 1; i < chain.size(); ++i) {
    candidates.push_back(chain[i].get());
  }
  return issuer_of(crypto::find_issuer(chain[position].get(), candidates));
}

std::unique_ptr<crypto::Issuer> known_issuer(x509_st* certificate, const crypto::TrustAnchors& anchors) {
  return issuer_of(anchors.issuer_of(certificate).get());
}

std::string where(const ChainCertificate& certificate) {
  return fmt::format("position {}, {}", certificate.position, certificate.subject);
}

std::string text_of(const ChainCertificate& certificate) {
  std::string text = where(certificate);
  const char* separator = ": ";
  for (const Finding& finding : certificate.findings) {
    text += fmt::format("{}{} ({})", separator, finding.text, finding.token);
    separator = "; ";
  }
  return text;
}

Json chain_json(const ChainCertificate& certificate) {
  Json json;
  json["position"] = certificate.position;
  json["subject"] = certificate.subject;
  json["findings"] = Json::array();
  for (const Finding& finding : certificate.findings) {
    json["findings"].push_back(finding.token);
  }
  json["stapled"] = certificate.stapled;
  json["staple"] = certificate.verdict.has_value() ? verdict_json(*certificate.verdict) : Json();
  return json;
}

}  // namespace ocsp_plus::cli
