#include "crypto/verify.h"

#include <fmt/format.h>

#include <cstdio>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/poll_loop.h"
#include "cli/command.h"
#include "cli/verdict.h"
#include "crypto/certificate.h"
#include "crypto/sendable.h"

namespace ocsp_plus::cli {
namespace {

using crypto::Verdict;

struct Options {
  std::string certificate;
  std::string issuer;
  std::string trusted;
  std::string response;
  std::string at;
  bool json = false;
  bool sendable = false;
};

// The files read; owns the certificates that `candidates` points to.
struct Input {
  std::vector<crypto::X509Ptr> owned;
  std::vector<x509_st*> candidates;  // possible issuers of the leaf, in search order
  x509_st* leaf = nullptr;
  crypto::Certificate certificate;
  Bytes response;
  UnixSeconds now = 0;
};

Result<UnixSeconds> read_time(const std::string& at) {
  if (at.empty()) {
    return SystemClock().now();
  }
  if (const auto time = parse_rfc3339(at)) {
    return *time;
  }
  return fail(Reason::kInvalidArgument,
              fmt::format("--at {} is no time; give it in UTC like 2026-01-31T00:00:00Z", at));
}

// Appends the certificates of one file to the input; the first becomes the leaf if there is none yet.
Result<void> add_certificates(const std::string& path, Input& input) {
  auto certificates = read_certificates(path);
  RETURN_IF_ERROR(certificates);
  for (auto& certificate : *certificates) {
    if (input.leaf == nullptr) {
      input.leaf = certificate.get();
    } else {
      input.candidates.push_back(certificate.get());
    }
    input.owned.push_back(std::move(certificate));
  }
  return {};
}

// Checks that what was named as the issuer is it, whatever the chain holds; `in_chain`: the candidates of --cert.
Result<void> check_issuer(const Options& options, const Input& input, std::size_t in_chain) {
  if (options.issuer.empty() && options.trusted.empty()) {
    return has_issuer(input.leaf, input.candidates)
               ? Result<void>()
               : fail(Reason::kNoIssuer,
                      fmt::format("no issuer of {} in {}; append it there, or give it with --issuer",
                                  quoted(input.certificate.label()), options.certificate));
  }
  const auto first = input.candidates.begin() + static_cast<std::ptrdiff_t>(in_chain);
  const std::vector<x509_st*> named(first, input.candidates.end());
  return has_issuer(input.leaf, named)
             ? Result<void>()
             : refuse_issuer(options.issuer.empty() ? "--trusted " + options.trusted : "--issuer " + options.issuer,
                             input.leaf, named);
}

Result<Input> read_input(const Options& options) {
  const auto now = read_time(options.at);
  RETURN_IF_ERROR(now);
  Input input;
  input.now = *now;
  RETURN_IF_ERROR(add_certificates(options.certificate, input));
  const std::size_t in_chain = input.candidates.size();
  for (const std::string* path : {&options.issuer, &options.trusted}) {
    if (!path->empty()) {
      RETURN_IF_ERROR(add_certificates(*path, input));
    }
  }
  auto certificate = crypto::describe(input.leaf);
  if (!certificate) {
    return fail(Reason::kUnreadable, options.certificate + ": " + certificate.error().detail);
  }
  input.certificate = *std::move(certificate);
  RETURN_IF_ERROR(check_issuer(options, input, in_chain));
  auto response = read_response(options.response);
  RETURN_IF_ERROR(response);
  input.response = *std::move(response);
  return input;
}

// A CA that has changed its key appears twice under one name. The issuer with an authentic verdict is the right one;
// without one, the first candidate's verdict counts.
Verdict evaluate(const Input& input, const crypto::VerifyPolicy& policy) {
  Verdict first;
  first.reason = Reason::kNoIssuer;
  first.detail = fmt::format("the key of the issuer of {} cannot be used", input.certificate.label());
  const ByteView response = crypto::cut_trailing(input.response);
  for (x509_st* candidate : input.candidates) {
    if (crypto::find_issuer(input.leaf, {candidate}) == nullptr) {
      continue;
    }
    const auto issuer = crypto::Issuer::create(candidate);
    if (!issuer) {
      continue;
    }
    Verdict verdict = crypto::verify(response, input.certificate, **issuer, input.now, policy);
    if (verdict.authentic()) {
      return verdict;
    }
    if (first.reason == Reason::kNoIssuer) {
      first = std::move(verdict);
    }
  }
  return first;
}

Result<int> run_verify(const Options& options) {
  const auto input = read_input(options);
  RETURN_IF_ERROR(input);
  crypto::VerifyPolicy policy;
  policy.must_be_sendable = options.sendable || crypto::openssl_selects();
  Verdict verdict = evaluate(*input, policy);
  if (const std::size_t more = input->response.size() - crypto::cut_trailing(input->response).size(); more != 0) {
    verdict.detail +=
        fmt::format("{}{} octets after the response are left out", verdict.detail.empty() ? "" : "; ", more);
  }
  if (options.json) {
    print_json(verdict_json(verdict));
  } else {
    fmt::print("{}", verdict_text(verdict));
  }
  return verdict.reason == Reason::kOk ? kFit : kUnfit;
}

}  // namespace

Command register_verify(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("verify", "Tells whether an OCSP response is fit to staple");
  command
      ->add_option("--cert", options->certificate,
                   "PEM file with the certificate, which may be followed by its chain")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("--issuer", options->issuer,
                   "PEM file with the certificate's issuer, or several candidates; default: in the chain of --cert")
      ->type_name("FILE");
  command->add_option("--trusted", options->trusted, "PEM file with further candidates for the issuer")
      ->type_name("FILE");
  command->add_option("--response", options->response, "The OCSP response, DER or PEM")
      ->required()
      ->type_name("FILE");
  command->add_option("--at", options->at, "Judge as of this time, like 2026-01-31T00:00:00Z; default: now")
      ->type_name("TIME");
  command->add_flag(
      "--sendable", options->sendable,
      "Judge as with OpenSSL 3.6 and newer, which do not send every response; default: as this OpenSSL");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer("Exit status: 0 fit to staple as good, 1 not fit, 2 wrong use or unreadable input.");
  return {[options] { return run_verify(*options); }};
}

}  // namespace ocsp_plus::cli
