// ocsp-plus fetch: fetches verified responses with the engine's exchange, gate and cache directory, or takes them
// from the store of a fleet.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "cli/command.h"
#include "cli/fetch_files.h"
#include "cli/fetch_job.h"
#include "cli/fetch_report.h"
#include "cli/fetching.h"
#include "cli/share_options.h"
#include "engine/settings.h"
#include "ocsp_plus/defaults.h"

namespace ocsp_plus::cli {
namespace {

Result<void> fetch_and_write(Fetching& fetching, const FetchOptions& options,
                             const std::vector<std::unique_ptr<FetchJob>>& jobs) {
  auto files = FetchFiles::open(options, fetching.settings().max_response);
  RETURN_IF_ERROR(files);
  if (!files->warning().empty()) {
    complain("warning: " + files->warning());
  }
  for (const auto& job : jobs) {
    if (job->can_be_asked()) {
      job->kept_issuer = files->kept_issuer(job->target());
    }
  }
  return fetching.run(jobs, [&](FetchJob& job) {
    if (auto written = files->write(&job, fetching.now()); !written) {
      job.error = std::move(written.error());
      job.outcome.file.clear();
      job.outcome.written = false;
    }
  });
}

// Fetches for all certificates: a fault of one does not keep the others from their responses.
Result<int> run_fetch(const FetchOptions& options) {
  if (options.certificates.size() > 1 && !options.out.empty()) {
    return fail(Reason::kInvalidArgument,
                "--out is for one response; keep those of several certificates in a directory with --cache, or fetch "
                "them one by one");
  }
  std::vector<std::unique_ptr<FetchJob>> jobs;
  for (const std::string& file : options.certificates) {
    jobs.push_back(read_job(file, options));
  }
  std::optional<engine::ShareSettings> share;
  if (!options.share.places.empty()) {
    auto read = read_share_arguments(options.share);
    RETURN_IF_ERROR(read);
    share = std::move(*read);
  }
  Fetching fetching(options, share ? &*share : nullptr);
  if (!options.proxy.empty()) {
    RETURN_IF_ERROR(fetching.set_proxy(options.proxy));
  }
  if (std::any_of(jobs.begin(), jobs.end(), [](const auto& job) { return job->can_be_asked(); })) {
    RETURN_IF_ERROR(fetch_and_write(fetching, options, jobs));
  }
  report(jobs, options);
  return status_of(jobs, options);
}

}  // namespace

Command register_fetch(CLI::App& app) {
  const auto options = std::make_shared<FetchOptions>();
  CLI::App* command = app.add_subcommand("fetch", "Fetches verified OCSP responses, to a file or a cache directory");
  command
      ->add_option("--cert", options->certificates,
                   "PEM file with a certificate and its chain, as ssl_certificate has it; may be given again")
      ->required()
      ->expected(1)
      ->type_name("FILE")
      ->take_all();
  command
      ->add_option("--issuer", options->issuer,
                   "PEM file with its issuer, or several; default: in the chain of --cert, else it is fetched")
      ->type_name("FILE");
  command
      ->add_option("--responder", options->responders,
                   "URL of whom to ask, may be given again; default: those that the certificate names")
      ->expected(1)
      ->type_name("URL")
      ->take_all();
  command
      ->add_option("--resolver", options->resolvers,
                   "DNS server, address[:port], may be given again; default: the system's")
      ->expected(1)
      ->type_name("ADDRESS")
      ->take_all();
  command
      ->add_option("--proxy", options->proxy,
                   "HTTP proxy to the responder, http://[user:password@]host[:port]; default: none")
      ->type_name("URL");
  CLI::Option* ipv4 = command->add_flag("-4", options->ipv4_only, "Use IPv4 only");
  command->add_flag("-6", options->ipv6_only, "Use IPv6 only")->excludes(ipv4);
  CLI::Option* out =
      command->add_option("--out", options->out, "Write the response, DER, to this file")->type_name("FILE");
  command
      ->add_option("--cache", options->cache,
                   "Keep the response in this cache directory, from which the module starts; root becomes its owner")
      ->excludes(out)
      ->type_name("DIR");
  CLI::Option* share =
      command
          ->add_option("--share", options->share.places,
                       "Share with other nodes through this store, redis://host[:port][/db], rediss:// "
                       "or unix:/path, may be given again; takes its response, else publishes there")
          ->expected(1)
          ->type_name("PLACE")
          ->take_all();
  options->share.before = "share-";
  add_share_options(*command, share, &options->share);
  add_span(*command, "--timeout", &options->timeout, fmt::format("{}s", OP_DEFAULT_TIMEOUT_MS / 1000),
           "How long all of it may take");
  add_span(*command, "--wait", &options->wait, "0",
           "Ask again, as the module does, until there is a response or this time is over; 0: ask once");
  command->add_flag("-v,--verbose", options->verbose, "Tell each step on standard error");
  CLI::Option* json = command->add_flag("--json", options->json, "Print one JSON object");
  command->add_flag("-q,--quiet", options->quiet, "Print nothing but warnings and errors")->excludes(json);
  command->footer(
      "Exit status: 0 a good response, 1 none or one that is not good, 2 wrong use, unreadable input, or what was "
      "wanted could not be written, 4 the certificate names no responder. Of several certificates 2 goes before 1, "
      "1 before 4, 4 before 0.");
  return {[options] { return run_fetch(*options); }};
}

}  // namespace ocsp_plus::cli
