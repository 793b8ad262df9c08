#include "cli/fetch_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/log.h"
#include "cli/command.h"
#include "net/url.h"

namespace ocsp_plus::cli {
namespace {

Result<void> check_issuer(const engine::Target& target, const engine::Remarks& remarks, const std::string& file) {
  if (target.verifiable()) {
    return {};
  }
  const std::string name = quoted(target.certificate.label());
  if (!remarks.issuer_unusable.empty()) {
    return fail(Reason::kUnreadable, remarks.issuer_unusable);
  }
  if (remarks.issuer_fault != crypto::IssuerFault::kAbsent) {
    return fail(Reason::kNoIssuer,
                fmt::format("no issuer of {} in {}: a certificate with its issuer's name was found, but {}; give the "
                            "right one with --issuer",
                            name, file, crypto::describe(remarks.issuer_fault)));
  }
  return fail(Reason::kNoIssuer,
              fmt::format("no issuer of {} in {}; append it there, or give it with --issuer", name, file));
}

// Nobody can be asked: an answer, and no wrong use, as many CAs have ended OCSP.
void note_missing_responder(const engine::Remarks& remarks, crypto::Verdict* verdict) {
  verdict->reason = Reason::kNoResponder;
  if (!remarks.ignored_url.empty()) {
    verdict->detail = fmt::format("the one that it names cannot be used, {}", remarks.ignored_url);
  }
}

Result<void> check_urls(const std::vector<std::string>& responders) {
  for (const std::string& responder : responders) {
    if (const auto url = net::Url::parse(responder); !url) {
      return fail(url.error().reason, fmt::format("--responder {}: {}; give it like http://ocsp.example/",
                                                  ocsp_plus::quoted(responder), url.error().detail));
    }
  }
  return {};
}

Result<void> read(const FetchOptions& options, FetchJob* job) {
  auto chain = read_certificates(job->file);
  RETURN_IF_ERROR(chain);
  std::vector<crypto::X509Ptr> issuers;
  if (!options.issuer.empty()) {
    auto read = read_certificates(options.issuer);
    RETURN_IF_ERROR(read);
    issuers = std::move(*read);
    std::vector<x509_st*> candidates(issuers.size());
    std::transform(issuers.begin(), issuers.end(), candidates.begin(), [](const auto& one) { return one.get(); });
    if (x509_st* leaf = chain->front().get(); !has_issuer(leaf, candidates)) {
      return refuse_issuer("--issuer " + options.issuer, leaf, candidates);
    }
  }
  RETURN_IF_ERROR(check_urls(options.responders));
  engine::ServerCertificate named;
  named.leaf = chain->front().get();
  for (const auto* certificates : {&issuers, &*chain}) {
    for (const auto& certificate : *certificates) {
      if (certificate.get() != named.leaf) {
        named.issuers.push_back(certificate.get());
      }
    }
  }
  named.responders.assign(options.responders.begin(), options.responders.end());
  for (auto* certificates : {&issuers, &*chain}) {
    std::move(certificates->begin(), certificates->end(), std::back_inserter(job->owned));
  }
  engine::Catalog& catalog = job->catalog.emplace();
  const auto added = catalog.add(named);
  RETURN_IF_ERROR(added);
  if (added->target == nullptr) {
    return fail(Reason::kUnreadable, catalog.unusable().front().why);
  }
  catalog.settle_issuers(true);
  const engine::Remarks& remarks = *added->target->remarks;
  job->described = added->target->certificate;
  if (added->target->responders.empty()) {
    note_missing_responder(remarks, &job->outcome.verdict);
    return {};
  }
  return check_issuer(*added->target, remarks, job->file);
}

}  // namespace

std::unique_ptr<FetchJob> read_job(const std::string& file, const FetchOptions& options) {
  auto job = std::make_unique<FetchJob>();
  job->file = file;
  if (auto done = read(options, job.get()); !done) {
    job->error = std::move(done.error());
  }
  return job;
}

}  // namespace ocsp_plus::cli
