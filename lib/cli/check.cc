// ocsp-plus check: a monitoring plugin that checks the staples of servers, each in a TLS 1.2 and a TLS 1.3 handshake,
// and in two more for the certificate of the other kind of key, if there is one.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/poll_loop.h"
#include "cli/check_report.h"
#include "cli/command.h"
#include "cli/configured.h"
#include "cli/handshake_attempt.h"
#include "cli/target.h"
#include "cli/thresholds.h"
#include "crypto/peer_certificate.h"
#include "crypto/tls_probe.h"
#include "crypto/trust_anchors.h"
#include "net/address.h"
#include "net/resolver.h"
#include "ocsp_plus/defaults.h"
#include "ocsp_plus/version.h"

namespace ocsp_plus::cli {
namespace {

using crypto::KeyKind;
using crypto::TlsVersion;

constexpr int kInternalError = 80;  // AlertDescription

struct Options {
  std::vector<std::string> hosts;
  bool all = false;
  ConfigurationOptions configuration;
  unsigned port = 0;
  std::string servername;
  std::string cafile;
  Bounds bounds;
  Seconds timeout = 0;
  bool verbose = false;
  bool json = false;
};

// One check of one server, under one deadline.
class Handshakes {
 public:
  Handshakes(const CheckTarget& target, const Options& options)
      : target_(target),
        progress_(options.verbose, false, clock_.monotonic()),
        deadline_(clock_.monotonic() + options.timeout * 1000) {}

  Result<std::vector<Handshake>> make() {
    RETURN_IF_ERROR(resolve());
    auto all = make({{TlsVersion::k12, target_.servername, KeyKind::kOther, target_.proxied},
                     {TlsVersion::k13, target_.servername, KeyKind::kOther, target_.proxied}});
    std::vector<crypto::TlsHello> others;
    for (const Handshake& handshake : all) {
      if (const auto other = other_kind(handshake)) {
        others.push_back({handshake.hello.version, target_.servername, *other, target_.proxied});
      }
    }
    for (Handshake& handshake : make(others)) {
      if (tells_more(handshake)) {
        all.push_back(std::move(handshake));
      }
    }
    return all;
  }

 private:
  static std::optional<KeyKind> other_kind(const Handshake& handshake) {
    const KeyKind kind =
        handshake.seen.chain.empty() ? KeyKind::kOther : crypto::key_kind(handshake.seen.chain.front().get());
    return kind == KeyKind::kRsa  ? std::optional(KeyKind::kEc)
           : kind == KeyKind::kEc ? std::optional(KeyKind::kRsa)
                                  : std::nullopt;
  }

  // A server without a certificate of that kind breaks off, with the alert handshake_failure as a rule.
  static bool tells_more(const Handshake& handshake) {
    const crypto::TlsSeen& seen = handshake.seen;
    if (!seen.chain.empty()) {
      return crypto::key_kind(seen.chain.front().get()) == handshake.hello.key;
    }
    return handshake.unreachable.has_value() ||
           (seen.end == crypto::TlsSeen::End::kAlert && seen.alert == kInternalError);
  }

  Millis left() const { return std::max<Millis>(deadline_ - clock_.monotonic(), 0); }

  // Resolves the name by the system's resolver.
  Result<void> resolve() {
    if (target_.is_address) {
      addresses_ = {net::Address::literal(target_.host, target_.port)};
      return {};
    }
    auto resolver = net::Resolver::create(loop_, clock_, {});
    RETURN_IF_ERROR(resolver);
    progress_.step("resolving " + target_.host, clock_.monotonic());
    std::optional<Result<std::vector<net::Address>>> answer;
    const auto query = (*resolver)->resolve(
        target_.host, target_.port,
        [&answer](Result<std::vector<net::Address>> addresses) { answer = std::move(addresses); });
    if (!loop_.run_until([&answer] { return answer.has_value(); }, left())) {
      return fail(Reason::kTimeout, "no complete handshake in time, resolving");
    }
    RETURN_IF_ERROR(*answer);
    addresses_ = std::move(**answer);
    return {};
  }

  // All at once.
  std::vector<Handshake> make(const std::vector<crypto::TlsHello>& hellos) {
    std::vector<std::unique_ptr<HandshakeAttempt>> attempts;
    for (const crypto::TlsHello& hello : hellos) {
      attempts.push_back(std::make_unique<HandshakeAttempt>(loop_, hello, progress_, clock_));
      attempts.back()->start(addresses_);
    }
    if (!attempts.empty()) {
      loop_.run_until(
          [&attempts] {
            return std::all_of(attempts.begin(), attempts.end(), [](const auto& attempt) { return attempt->done(); });
          },
          left());
    }
    std::vector<Handshake> handshakes;
    handshakes.reserve(attempts.size());
    for (const auto& attempt : attempts) {
      handshakes.push_back(attempt->take());
    }
    return handshakes;
  }

  const CheckTarget& target_;
  SystemClock clock_;
  PollLoop loop_{clock_};
  Progress progress_;
  Millis deadline_;  // monotonic
  std::vector<net::Address> addresses_;
};

// Compares what was shown with what the configuration names.
void compare(const CheckTarget& target, const std::vector<Handshake>& handshakes, std::vector<Finding>* findings) {
  std::set<CertificateId> shown;
  for (const Handshake& handshake : handshakes) {
    if (!handshake.certificate.has_value() || !shown.insert(handshake.certificate->id).second) {
      continue;
    }
    const bool known = std::any_of(target.configured.begin(), target.configured.end(), [&](const auto& certificate) {
      return certificate.id == handshake.certificate->id;
    });
    if (!known) {
      findings->push_back(
          {"not_configured", Severity::kWarning,
           fmt::format("{} is shown, which the configuration does not name here: nginx waits for a reload",
                       where(handshake))});
    }
  }
  for (const auto& certificate : target.configured) {
    if (!shown.empty() && shown.count(certificate.id) == 0) {
      findings->push_back({"not_shown", Severity::kWarning,
                           fmt::format("the certificate {} with the id {} of the configuration was not shown",
                                       ocsp_plus::quoted(certificate.label), to_hex(certificate.id))});
    }
  }
}

CheckResult check_target(const CheckTarget& target, const Options& options, const crypto::TrustAnchors& anchors) {
  CheckResult result;
  result.target = target;
  auto handshakes = Handshakes(target, options).make();
  result.at = SystemClock().now();
  if (handshakes) {
    result.handshakes = std::move(*handshakes);
    result.judgement = evaluate(&result.handshakes, anchors, !options.cafile.empty(), options.bounds, result.at);
    if (!target.configured.empty()) {
      compare(target, result.handshakes, &result.judgement.findings);
      gravest_first(&result.judgement.findings);
      result.judgement.severity = worst(result.judgement.findings);
    }
    return result;
  }
  const Error& error = handshakes.error();
  result.judgement.findings.push_back({std::string(token(error.reason)), Severity::kUnknown,
                                       error.detail.empty() ? std::string(meaning(error.reason)) : error.detail});
  return result;
}

// The servers of nginx's configuration. Their handshakes are made as the worker user: answers are parsed.
Result<std::vector<CheckTarget>> configured_targets(const ConfigurationOptions& options) {
  const auto configured = read_configuration("check --all", options);
  RETURN_IF_ERROR(configured);
  if (configured->inventory == nullptr) {
    return fail(Reason::kUnreadable, why_no_inventory(configured->tested));
  }
  RETURN_IF_ERROR(become_worker(*configured->inventory));
  auto targets = targets_of(*configured->inventory);
  if (targets.empty()) {
    return fail(Reason::kInvalidArgument,
                "no http server with \"ocsp_plus on\" listens for TLS on an address; name hosts instead of --all");
  }
  return targets;
}

Result<std::vector<CheckTarget>> chosen_targets(const Options& options) {
  if (options.all == !options.hosts.empty()) {
    return fail(Reason::kInvalidArgument, "give either HOST or --all");
  }
  if (options.all) {
    return configured_targets(options.configuration);
  }
  std::vector<CheckTarget> targets;
  for (const std::string& host : options.hosts) {
    auto target = parse_target(host, options.port, options.servername);
    RETURN_IF_ERROR(target);
    targets.push_back(std::move(*target));
  }
  return targets;
}

Result<int> run_check(const Options& options) {
  RETURN_IF_ERROR(check(options.bounds.thresholds));
  auto anchors = crypto::TrustAnchors::of_system();
  if (!options.cafile.empty()) {
    const auto certificates = read_certificates(options.cafile);
    RETURN_IF_ERROR(certificates);
    anchors = crypto::TrustAnchors::of(*certificates);
  }
  RETURN_IF_ERROR(anchors);
  const auto targets = chosen_targets(options);
  RETURN_IF_ERROR(targets);
  std::vector<CheckResult> results;
  results.reserve(targets->size());
  for (const CheckTarget& target : *targets) {
    results.push_back(check_target(target, options, *anchors));
  }
  if (options.json) {
    print_json(json_of(results));
  } else {
    fmt::print("{}", text_of(results, options.bounds.thresholds));
  }
  return static_cast<int>(severity_of(results));
}

}  // namespace

Command register_check(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("check", "Looks what TLS servers staple, as a monitoring plugin");
  command
      ->add_option("host,-H,--hostname", options->hosts,
                   "HOST[:PORT] of the server, or of several; port 443 where none is given")
      ->type_name("HOST");
  CLI::Option* port = command->add_option("-p,--port", options->port, "Port, where HOST names none")
                          ->check(CLI::Range(1, UINT16_MAX))
                          ->type_name("PORT");
  CLI::Option* all =
      command
          ->add_flag("--all", options->all, "Every certificate of every http server of nginx's configuration, here")
          ->excludes(port);
  add_configuration_options(*command, false, &options->configuration);
  for (const char* only_of_all : {"--conf", "--prefix", "--nginx", "--unprivileged"}) {
    command->get_option(only_of_all)->needs(all);
  }
  command->add_option("--servername", options->servername, "Name to ask for (SNI); default: HOST")
      ->excludes(all)
      ->type_name("NAME");
  command
      ->add_option("--cafile", options->cafile,
                   "PEM file with CAs that the chain has to lead to; default: the chain is not judged")
      ->type_name("FILE");
  add_thresholds(*command, &options->bounds.thresholds);
  add_span(*command, "--max-age", &options->bounds.max_age, "0",
           "Warning where the staple's status (thisUpdate) is older; 0: not judged");
  command->add_flag("--chain", options->bounds.chain,
                    "Every certificate that the server sends must be stapled, but for roots");
  add_span(*command, "-t,--timeout", &options->timeout, fmt::format("{}s", OP_DEFAULT_TIMEOUT_MS / 1000),
           "How long all of it may take, for each server");
  command->add_flag("-v,--verbose", options->verbose, "Tell each step on standard error");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->set_version_flag("-V,--version", std::string("ocsp-plus ") + OCSP_PLUS_VERSION,
                            "Print the version and exit");
  command->footer("Exit status: 0 ok, 1 warning, 2 critical, 3 could not tell.");
  return {[options] { return run_check(*options); }, static_cast<int>(Severity::kUnknown), "OCSP"};
}

}  // namespace ocsp_plus::cli
