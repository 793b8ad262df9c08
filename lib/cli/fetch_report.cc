#include "cli/fetch_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <string_view>

#include "base/log.h"
#include "cli/command.h"
#include "cli/verdict.h"

namespace ocsp_plus::cli {
namespace {

// Returns what an operator can do about a failure.
std::string_view remedy(Reason reason) {
  switch (reason) {
    case Reason::kDnsNotFound:
    case Reason::kDnsNoAddress:
    case Reason::kDnsTimeout:
    case Reason::kDnsFailed:
      return "look at the resolver, or name one with --resolver";
    case Reason::kConnectRefused:
    case Reason::kConnectUnreachable:
    case Reason::kConnectionReset:
    case Reason::kTimeout:
    case Reason::kNetworkError:
      return "look whether a firewall lets us reach the responder, or name another with --responder";
    case Reason::kProxyFailed:
    case Reason::kProxyAuth:
    case Reason::kProxyRefused:
      return "look at the proxy, or leave --proxy out";
    case Reason::kTlsFailed:
    case Reason::kTlsCertificate:
    case Reason::kTlsName:
      return "look at the responder's TLS with -v, or name another with --responder";
    case Reason::kIssuerMalformed:
    case Reason::kIssuerMismatch:
      return "append the issuer to the file of --cert, or give it with --issuer";
    case Reason::kRedirectForbidden:
      return "if the redirect is right, name where it leads with --responder";
    case Reason::kUrlScheme:
    case Reason::kUrlMalformed:
      return "name an http:// responder with --responder";
    case Reason::kNoResponder:
      return "nothing can be stapled; if the CA has a responder all the same, name it with --responder";
    case Reason::kUnauthorized:
    case Reason::kUnknown:
      return "new certificates may take some minutes to be known; else ask the CA";
    case Reason::kThisUpdateInFuture:
    case Reason::kProducedAtInFuture:
    case Reason::kExpired:
      return "look at this machine's clock, then ask the CA";
    case Reason::kRevoked:
    case Reason::kCertificateExpired:
      return "replace the certificate";
    case Reason::kOtherIssuer:
      return "give the right issuer with --issuer";
    default:
      return "try again later with -v, then ask the CA";
  }
}

// Names the source as the status document does; empty: there is no response.
std::string_view source_of(const FetchOutcome& outcome) {
  return !outcome.accepted.has_value()                               ? ""
         : outcome.accepted->origin.source == store::Source::kShared ? "shared"
                                                                     : "network";
}

std::string_view state_in_store(const FetchOutcome& outcome) {
  return source_of(outcome) == "shared" ? " (the response is from there)"
         : outcome.published            ? " (has the response now)"
                                        : " (does not have the response)";
}

Json json_of(const FetchJob& job, const FetchOptions& options) {
  const FetchOutcome& outcome = job.outcome;
  crypto::Verdict verdict = outcome.verdict;
  if (job.error.has_value()) {
    verdict.reason = job.error->reason;
    verdict.detail = job.error->detail;
  }
  const bool is_read = job.described.id != CertificateId();
  Json json = verdict_json(verdict);
  json["certificate_id"] = is_read ? json_text(to_hex(job.described.id)) : Json();
  json["certificate_file"] = job.file;
  json["subject"] = json_text(job.described.subject);
  json["responder"] = json_text(outcome.responder);
  json["issuer_url"] = json_text(job.issuer_url);
  json["attempts"] = job.attempts;
  json["file"] = json_text(outcome.file);
  json["written"] = outcome.written;
  json["source"] = json_text(source_of(outcome));
  json["published"] = options.share.places.empty() ? Json() : Json(outcome.published);
  return json;
}

std::string text_of(const FetchJob& job) {
  if (job.error.has_value()) {
    return "";
  }
  const FetchOutcome& outcome = job.outcome;
  return verdict_text(outcome.verdict) + line("responder", outcome.responder) +
         (job.issuer_url.empty() ? "" : line("issuer", job.issuer_url + " (missing in --cert: append it)")) +
         (outcome.store.empty() ? "" : line("store", fmt::format("{}{}", outcome.store, state_in_store(outcome)))) +
         (outcome.file.empty() ? "" : line("file", outcome.file + (outcome.written ? "" : " (goes on, as it is)")));
}

void print_text(const std::vector<std::unique_ptr<FetchJob>>& jobs) {
  std::string text;
  for (const auto& job : jobs) {
    const std::string one = text_of(*job);
    text += text.empty() || one.empty() ? "" : "\n";
    text += jobs.size() > 1 && !one.empty() ? line("certificate", job->file) : "";
    text += one;
  }
  fmt::print("{}", text);
}

void complain_of(const FetchJob& job, bool is_only) {
  const FetchOutcome& outcome = job.outcome;
  if (!outcome.warning.empty()) {
    complain("warning: " + outcome.warning);
  }
  if (job.error.has_value()) {
    complain(is_only ? job.error->detail : fmt::format("--cert {}: {}", job.file, job.error->detail));
  } else if (outcome.verdict.reason != Reason::kOk) {
    complain(fmt::format("{}: {}{}{}; {}", quoted(job.described.label()), meaning(outcome.verdict.reason),
                         outcome.verdict.detail.empty() ? "" : ", ", outcome.verdict.detail,
                         remedy(outcome.verdict.reason)));
  }
}

int status_of(const FetchJob& job, const FetchOptions& options) {
  const FetchOutcome& outcome = job.outcome;
  if (job.error.has_value()) {
    return kUsage;
  }
  if (outcome.verdict.reason == Reason::kNoResponder) {
    return kNoResponder;
  }
  // All that was wanted then was a response in the store.
  const bool is_store_all = !options.share.places.empty() && options.cache.empty() && options.out.empty();
  if (is_store_all && outcome.accepted.has_value() && !outcome.published) {
    return kUsage;
  }
  return outcome.verdict.reason == Reason::kOk ? kFit : kUnfit;
}

}  // namespace

int status_of(const std::vector<std::unique_ptr<FetchJob>>& jobs, const FetchOptions& options) {
  for (const int status : {kUsage, kUnfit, kNoResponder}) {
    if (std::any_of(jobs.begin(), jobs.end(), [&](const auto& job) { return status_of(*job, options) == status; })) {
      return status;
    }
  }
  return kFit;
}

void report(const std::vector<std::unique_ptr<FetchJob>>& jobs, const FetchOptions& options) {
  const bool is_only = jobs.size() == 1;
  if (!options.json && !options.quiet) {
    print_text(jobs);
  } else if (options.json && !is_only) {
    Json json;
    json["certificates"] = Json::array();
    for (const auto& job : jobs) {
      json["certificates"].push_back(json_of(*job, options));
    }
    print_json(json);
  } else if (options.json && !jobs.front()->error.has_value()) {
    print_json(json_of(*jobs.front(), options));
  }
  for (const auto& job : jobs) {
    complain_of(*job, is_only);
  }
}

}  // namespace ocsp_plus::cli
