#include "cli/verify.h"

#include <fmt/format.h>

#include <cstdio>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/poll_loop.h"
#include "cli/command.h"
#include "crypto/certificate.h"
#include "crypto/response_file.h"

namespace ocsp_plus::cli {
namespace {

using crypto::Verdict;

constexpr std::size_t kMaxPemFile = 16 << 20;      // a whole trust store fits
constexpr std::size_t kMaxResponseFile = 1 << 20;  // far more than ocsp_plus_max_response admits by default

struct Options {
  std::string certificate;
  std::string issuer;
  std::string trusted;
  std::string response;
  std::string at;
  bool json = false;
};

// Everything that was read; owns the certificates that the candidates point to.
struct Input {
  std::vector<crypto::X509Ptr> owned;
  std::vector<x509_st*> candidates;  // who may have issued the leaf, in the order of looking
  x509_st* leaf = nullptr;
  crypto::Certificate certificate;
  Bytes response;
  UnixSeconds now = 0;
};

Result<std::vector<crypto::X509Ptr>> read_certificates(const std::string& path) {
  const auto text = read_file(path, kMaxPemFile);
  if (!text) {
    return tl::unexpected<Error>(text.error());
  }
  auto certificates = crypto::parse_pem_certificates(*text);
  if (!certificates) {
    return fail(Reason::kUnreadable,
                fmt::format("{}: {}; give certificates in PEM form", path, certificates.error().detail));
  }
  return certificates;
}

Result<Bytes> read_response(const std::string& path) {
  const auto file = read_file(path, kMaxResponseFile);
  if (!file) {
    return tl::unexpected<Error>(file.error());
  }
  if (file->empty()) {
    return fail(Reason::kUnreadable, path + " is empty; give an OCSP response in DER or PEM form");
  }
  auto response = crypto::response_from_file(*file);
  if (!response) {
    return fail(Reason::kUnreadable,
                fmt::format("{}: {}; give an OCSP response in DER or PEM form", path, response.error().detail));
  }
  return response;
}

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

// Appends the certificates of one file to the input; `first` becomes the leaf where there is none yet.
Result<void> add_certificates(const std::string& path, Input& input) {
  auto certificates = read_certificates(path);
  if (!certificates) {
    return tl::unexpected<Error>(certificates.error());
  }
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

Result<Input> read_input(const Options& options) {
  const auto now = read_time(options.at);
  if (!now) {
    return tl::unexpected<Error>(now.error());
  }
  Input input;
  input.now = *now;
  for (const std::string* path : {&options.certificate, &options.issuer, &options.trusted}) {
    if (path == &options.trusted && path->empty()) {
      continue;
    }
    if (auto added = add_certificates(*path, input); !added) {
      return tl::unexpected<Error>(added.error());
    }
  }
  auto certificate = crypto::describe(input.leaf);
  if (!certificate) {
    return fail(Reason::kUnreadable, options.certificate + ": " + certificate.error().detail);
  }
  input.certificate = *std::move(certificate);
  auto response = read_response(options.response);
  if (!response) {
    return tl::unexpected<Error>(response.error());
  }
  input.response = *std::move(response);
  return input;
}

// A CA that has changed its key is there twice under one name. The issuer whose verdict is authentic is the right
// one; if none is, the first candidate tells why.
Verdict judge(const Input& input) {
  Verdict first;
  first.reason = Reason::kNoIssuer;
  first.detail = fmt::format("none of {} certificates given issued {}; give its issuer with --issuer",
                             input.candidates.size(), input.certificate.label());
  for (x509_st* candidate : input.candidates) {
    if (crypto::find_issuer(input.leaf, {candidate}) == nullptr) {
      continue;
    }
    const auto issuer = crypto::Issuer::create(candidate);
    if (!issuer) {
      continue;
    }
    Verdict verdict = crypto::verify(input.response, input.certificate, **issuer, input.now, {});
    if (verdict.authentic()) {
      return verdict;
    }
    if (first.reason == Reason::kNoIssuer) {
      first = std::move(verdict);
    }
  }
  return first;
}

int run_verify(const Options& options) {
  const auto input = read_input(options);
  if (!input) {
    return complain(input.error().detail);
  }
  const Verdict verdict = judge(*input);
  fmt::print("{}", options.json ? verdict_json(verdict) + "\n" : verdict_text(verdict));
  return verdict.reason == Reason::kOk ? kFit : kUnfit;
}

nlohmann::ordered_json text_or_null(std::string_view text) {
  return text.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(std::string(text));
}

// 0 is what a Verdict holds where it has no such time.
std::string time_or_empty(UnixSeconds time) {
  return time == 0 ? "" : to_rfc3339(time);
}

std::string line(std::string_view name, const std::string& value) {
  return value.empty() ? "" : fmt::format("{:<12} {}\n", fmt::format("{}:", name), value);
}

}  // namespace

std::string verdict_json(const Verdict& verdict) {
  nlohmann::ordered_json json;
  json["verdict"] = verdict.reason == Reason::kOk ? "accept" : "reject";
  json["reason"] = std::string(token(verdict.reason));
  json["cert_status"] = text_or_null(token(verdict.cert_status));
  json["this_update"] = text_or_null(time_or_empty(verdict.this_update));
  json["next_update"] = text_or_null(time_or_empty(verdict.next_update));
  json["expires"] = text_or_null(time_or_empty(verdict.expires));
  json["detail"] = text_or_null(verdict.detail);
  // Names in certificates may hold bytes that are not UTF-8.
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string verdict_text(const Verdict& verdict) {
  const bool is_fit = verdict.reason == Reason::kOk;
  return line("verdict", is_fit ? "accept" : "reject") +
         line("reason", fmt::format("{} ({})", token(verdict.reason), meaning(verdict.reason))) +
         line("cert status", std::string(token(verdict.cert_status))) +
         line("this update", time_or_empty(verdict.this_update)) +
         line("next update", time_or_empty(verdict.next_update)) + line("expires", time_or_empty(verdict.expires)) +
         line("detail", verdict.detail);
}

Command register_verify(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("verify", "Tells whether an OCSP response is fit to staple");
  command
      ->add_option("--cert", options->certificate,
                   "PEM file with the certificate, which may be followed by its chain")
      ->required();
  command->add_option("--issuer", options->issuer, "PEM file with the certificate's issuer, or several candidates")
      ->required();
  command->add_option("--trusted", options->trusted, "PEM file with further candidates for the issuer");
  command->add_option("--response", options->response, "The OCSP response, DER or PEM")->required();
  command->add_option("--at", options->at, "Judge as of this time, like 2026-01-31T00:00:00Z; default: now");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer("Exit status: 0 fit to staple as good, 1 not fit, 2 wrong use or unreadable input.");
  return [options] { return run_verify(*options); };
}

}  // namespace ocsp_plus::cli
