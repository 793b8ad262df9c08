// ocsp-plus fetch: fetches one verified response with the engine's exchange, gate and cache directory on a poll loop,
// or takes it from the store of a fleet.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/poll_loop.h"
#include "base/random.h"
#include "cli/command.h"
#include "cli/fleet_store.h"
#include "cli/share_options.h"
#include "cli/verdict.h"
#include "crypto/certificate.h"
#include "crypto/sendable.h"
#include "crypto/verify.h"
#include "engine/admit.h"
#include "engine/catalog.h"
#include "engine/exchange.h"
#include "engine/freshness.h"
#include "engine/issuers.h"
#include "engine/responder_health.h"
#include "engine/settings.h"
#include "net/resolver.h"
#include "net/url.h"
#include "store/cache_files.h"

namespace ocsp_plus::cli {
namespace {

using crypto::Verdict;

struct Options {
  std::string certificate;
  std::string issuer;
  std::vector<std::string> responders;
  std::vector<std::string> resolvers;
  std::string proxy;
  std::string out;
  std::string cache;
  ShareArguments share;
  Seconds timeout = 0;
  bool ipv4_only = false;
  bool ipv6_only = false;
  bool verbose = false;
  bool json = false;
};

// The result of the command.
struct Outcome {
  Verdict verdict;        // of the response held in the end, or why there is none
  std::string responder;  // URL of the last request; empty: none was sent
  std::string issuer;     // URL that the issuer was fetched from; empty: it was given
  std::string file;       // path of the response; empty: none
  bool written = false;   // by this command
  std::optional<engine::Verified> accepted;
  // With --share:
  std::string store;       // the store's place
  bool published = false;  // it has what was accepted
  std::string warning;     // one sentence; empty: all went well

  UnixSeconds confirmed_at() const {  // when the responder last confirmed what was accepted
    return accepted->origin.confirmed_at != 0 ? accepted->origin.confirmed_at : accepted->verdict.this_update;
  }
};

// Whether a response can be fetched for the certificate, which `file` holds.
Result<void> check_target(const engine::Target& target, const engine::Remarks& remarks, const std::string& file) {
  const std::string name = quoted(target.certificate.label());
  if (!target.verifiable() && !remarks.issuer_unusable.empty()) {
    return fail(Reason::kUnreadable, remarks.issuer_unusable);
  }
  if (!target.verifiable() && remarks.issuer_fault != crypto::IssuerFault::kAbsent) {
    return fail(Reason::kNoIssuer,
                fmt::format("no issuer of {} in {}: a certificate with its issuer's name was found, but {}; give the "
                            "right one with --issuer",
                            name, file, crypto::describe(remarks.issuer_fault)));
  }
  if (!target.verifiable()) {
    return fail(Reason::kNoIssuer,
                fmt::format("no issuer of {} in {}; append it there, or give it with --issuer", name, file));
  }
  if (target.responders.empty()) {
    return fail(Reason::kUrlMalformed,
                remarks.ignored_url.empty()
                    ? fmt::format("{} names no OCSP responder; give one with --responder", name)
                    : fmt::format("the responder that {} names cannot be used, {}; give one with --responder", name,
                                  remarks.ignored_url));
  }
  return {};
}

Result<engine::Catalog> read_catalog(const Options& options, std::vector<crypto::X509Ptr>* owned) {
  auto chain = read_certificates(options.certificate);
  RETURN_IF_ERROR(chain);
  engine::ServerCertificate named;
  named.leaf = chain->front().get();
  std::vector<crypto::X509Ptr> issuers;
  if (!options.issuer.empty()) {
    auto read = read_certificates(options.issuer);
    RETURN_IF_ERROR(read);
    issuers = std::move(*read);
  }
  for (const auto* certificates : {&issuers, &*chain}) {
    for (const auto& certificate : *certificates) {
      if (certificate.get() != named.leaf) {
        named.issuers.push_back(certificate.get());
      }
    }
  }
  for (const std::string& responder : options.responders) {
    if (const auto url = net::Url::parse(responder); !url) {
      return fail(url.error().reason, fmt::format("--responder {}: {}; give it like http://ocsp.example/",
                                                  ocsp_plus::quoted(responder), url.error().detail));
    }
    named.responders.push_back(responder);
  }
  engine::Catalog catalog;
  const auto added = catalog.add(named);
  RETURN_IF_ERROR(added);
  if (added->target == nullptr) {
    return fail(Reason::kUnreadable, catalog.unusable().front().why);
  }
  catalog.settle_issuers(true);
  RETURN_IF_ERROR(check_target(catalog.target(0), catalog.remarks().front(), options.certificate));
  for (auto* certificates : {&issuers, &*chain}) {
    std::move(certificates->begin(), certificates->end(), std::back_inserter(*owned));
  }
  return catalog;
}

// Creates a missing directory, as the module does, unless we are root, who cannot know the right owner.
Result<store::CacheFiles> open_cache(const std::string& path, std::size_t max_response) {
  struct stat found = {};
  if (lstat(path.c_str(), &found) != 0 && errno == ENOENT) {
    if (geteuid() == 0) {
      return fail(Reason::kUnreadable, fmt::format("{0} does not exist; create it for nginx's worker user, like: "
                                                   "install -d -m 0700 -o www-data {0}",
                                                   path));
    }
    if (mkdir(path.c_str(), 0700) != 0) {
      return fail(Reason::kUnreadable,
                  fmt::format("{} cannot be created: {}; name another with --cache", path, std::strerror(errno)));
    }
  }
  RETURN_IF_ERROR(become_owner(path));
  return store::CacheFiles::open(path, max_response);
}

// The response in the cache directory and its verdict; nothing if it is unusable.
struct CachedResponse {
  Verdict verdict;
  store::BlobHeader header = {};
};

std::optional<CachedResponse> load(const store::CacheFiles& disk, const engine::Target& target, UnixSeconds now) {
  const auto kept = disk.load(target.certificate.id);
  if (!kept || kept->bytes.empty()) {
    return std::nullopt;
  }
  CachedResponse held;
  held.verdict = crypto::verify(crypto::cut_trailing(kept->bytes), target.certificate, *target.issuer, now, {});
  if (held.verdict.reason != Reason::kOk && held.verdict.reason != Reason::kRevoked) {
    return std::nullopt;
  }
  held.header.this_update = held.verdict.this_update;
  held.header.expires = held.verdict.expires;
  held.header.cert_status = static_cast<std::uint8_t>(held.verdict.cert_status);
  return held;
}

class Fetching {
 public:
  Fetching(const Options& options, engine::Catalog& catalog)
      : target_(catalog.target(0)),
        loop_(clock_),
        health_(1),
        issuers_(catalog, searches_, nullptr,
                 [this](const engine::Target&, const net::Url& url) { issuer_ = url.to_string(); }) {
    settings_.resolver.servers = options.resolvers;
    settings_.resolver.servers_from = "--resolver";
    settings_.resolver.ipv4 = !options.ipv6_only;
    settings_.resolver.ipv6 = !options.ipv4_only;
    settings_.timeout = options.timeout * 1000;
    settings_.policy.must_be_sendable = crypto::openssl_selects();
  }

  const engine::Settings& settings() const { return settings_; }
  UnixSeconds now() const { return clock_.now(); }

  Result<void> set_proxy(const std::string& text) {
    auto proxy = net::Proxy::parse(text);
    if (!proxy) {
      return fail(
          proxy.error().reason,
          fmt::format("--proxy: {}; give it like http://user:password@proxy.example:3128", proxy.error().detail));
    }
    settings_.proxy = std::move(*proxy);
    return {};
  }

  // A cache directory also keeps fetched issuers.
  void find_issuer(const store::CacheFiles& disk) {
    if (target_.issuer_lookup != nullptr) {
      const auto kept = disk.load(target_.issuer_lookup->reference, store::FileKind::kIssuer);
      if (kept && !kept->bytes.empty()) {
        (void)issuers_.take_kept(target_, kept->bytes);
      }
    }
  }

  // `share`: nullptr if there is no store.
  Result<Outcome> run(const engine::ShareSettings* share, bool verbose) {
    Progress progress(verbose, clock_.monotonic());
    const auto step = [&](const std::string& what) { progress.step(what, clock_.monotonic()); };
    if (share == nullptr) {
      return ask(step);
    }
    auto store = FleetStore::open({loop_, clock_, random_, settings_, step}, *share);
    if (!store) {
      return tl::unexpected<Error>(std::move(store.error()));
    }
    return ask_fleet(**store, step);
  }

 private:
  using Step = std::function<void(const std::string&)>;

  // The store's response, if it is a good one; else the responder's, which is published.
  Result<Outcome> ask_fleet(FleetStore& store, const Step& step) {
    Outcome outcome;
    outcome.accepted = store.take(target_);
    outcome.published = outcome.accepted.has_value();
    if (!outcome.published) {
      auto asked = ask(step);
      if (asked && asked->accepted.has_value()) {
        asked->published = store.publish(target_, &*asked->accepted);
      } else {
        store.release(target_);
      }
      if (!asked) {
        return asked;
      }
      outcome = std::move(*asked);
    }
    outcome.store = store.place();
    if (!store.trouble().empty()) {
      outcome.warning = fmt::format("the shared store cannot be used: {}; look with \"ocsp-plus share {}\"",
                                    store.trouble(), outcome.store);
    }
    if (!outcome.accepted.has_value() && store.old().has_value()) {
      outcome.warning = fmt::format(
          "{}{}; the shared store's response is valid and was taken, but it is time for another",
          meaning(outcome.verdict.reason), outcome.verdict.detail.empty() ? "" : ", " + outcome.verdict.detail);
      outcome.accepted = store.old();
      outcome.published = true;
    }
    if (outcome.accepted.has_value()) {
      outcome.verdict = outcome.accepted->verdict;
    }
    return outcome;
  }

  Result<Outcome> ask(const Step& step) {
    auto resolver = net::Resolver::create(loop_, clock_, settings_.resolver);
    RETURN_IF_ERROR(resolver);
    std::optional<engine::Exchange::End> end;
    engine::TlsClients tls;
    net::Transport transport(loop_, clock_, **resolver, settings_.proxy);
    engine::Exchange exchange({clock_, random_, transport, tls, health_, work_queue_, settings_, step, &issuers_},
                              target_, std::nullopt, 0,
                              [&end](engine::Exchange::End ended) { end = std::move(ended); });
    // The exchange has its own deadline.
    loop_.run_until([&end] { return end.has_value(); }, kNever);
    return end->result ? outcome_of(std::move(*end->result)) : outcome_of(end->result.error());
  }

  Outcome outcome_of(engine::Exchange::Accepted accepted) const {
    Outcome outcome;
    outcome.issuer = issuer_;
    outcome.responder = target_.responders[accepted.responder]->to_string();
    outcome.verdict = accepted.verified->verdict;
    outcome.accepted = std::move(*accepted.verified);
    return outcome;
  }
  Outcome outcome_of(const engine::Exchange::Failure& failure) const {
    Outcome outcome;
    outcome.issuer = issuer_;
    if (failure.responder < target_.responders.size()) {
      outcome.responder = target_.responders[failure.responder]->to_string();
    }
    outcome.verdict = failure.verdict.value_or(Verdict());
    outcome.verdict.reason = failure.error.reason;
    outcome.verdict.detail = failure.error.detail;
    return outcome;
  }

  engine::Target& target_;
  SystemClock clock_;
  PollLoop loop_;
  SystemRandom random_;
  engine::ResponderHealth health_;
  engine::Settings settings_;
  engine::WorkQueue work_queue_{loop_};
  engine::IssuerSearches searches_{loop_, clock_, work_queue_};
  engine::Issuers issuers_;
  std::string issuer_;  // its URL
};

// Saves the response by the gate's rules: the held one stays unless the new one is better.
Result<void> keep(store::CacheFiles& disk, const engine::Target& target, UnixSeconds now, Outcome* outcome) {
  const auto held = load(disk, target, now);
  outcome->file = disk.path() + "/" + store::CacheFiles::file_name(target.certificate.id);
  if (!outcome->issuer.empty()) {
    const Bytes der = crypto::der_of(target.issuer->certificate());
    auto saved = der.empty() ? Result<void>(fail(Reason::kOutOfMemory, "no memory to write a certificate"))
                             : disk.save(target.issuer_lookup->reference, {der, now}, store::FileKind::kIssuer);
    if (!saved) {
      return saved;
    }
  }
  const auto action = engine::decide(held ? std::optional(held->header) : std::nullopt, outcome->verdict,
                                     crypto::VerifyPolicy().clock_skew, {now});
  if (action != engine::Action::kPublish) {
    if (outcome->verdict.this_update == held->verdict.this_update &&
        outcome->verdict.cert_status == held->verdict.cert_status) {
      disk.confirm(target.certificate.id, outcome->confirmed_at());
    }
    outcome->verdict = held->verdict;
    return {};
  }
  outcome->written = true;
  auto saved = disk.save(target.certificate.id, {outcome->accepted->response, outcome->confirmed_at()});
  // A file with an outdated status must not survive.
  if (!saved && held.has_value() && held->verdict.cert_status != outcome->verdict.cert_status &&
      !disk.remove(target.certificate.id)) {
    saved.error().detail += "; what it says of the certificate is not true any more";
  }
  return saved;
}

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

// As in the status document; empty: there is no response.
std::string_view source_of(const Outcome& outcome) {
  return !outcome.accepted.has_value()                               ? ""
         : outcome.accepted->origin.source == store::Source::kShared ? "shared"
                                                                     : "network";
}

std::string_view state_in_store(const Outcome& outcome) {
  return source_of(outcome) == "shared" ? " (the response is from there)"
         : outcome.published            ? " (has the response now)"
                                        : " (does not have the response)";
}

void print(const Outcome& outcome, const engine::Target& target, const Options& options) {
  if (options.json) {
    Json json = verdict_json(outcome.verdict);
    json["certificate_id"] = to_hex(target.certificate.id);
    json["responder"] = json_text(outcome.responder);
    json["issuer_url"] = json_text(outcome.issuer);
    json["file"] = json_text(outcome.file);
    json["written"] = outcome.written;
    json["source"] = json_text(source_of(outcome));
    json["published"] = options.share.places.empty() ? Json() : Json(outcome.published);
    print_json(json);
  } else {
    fmt::print(
        "{}{}{}{}{}", verdict_text(outcome.verdict), line("responder", outcome.responder),
        outcome.issuer.empty() ? "" : line("issuer", outcome.issuer + " (missing in --cert: append it)"),
        outcome.store.empty() ? "" : line("store", fmt::format("{}{}", outcome.store, state_in_store(outcome))),
        outcome.file.empty() ? "" : line("file", outcome.file + (outcome.written ? "" : " (goes on, as it is)")));
  }
  if (!outcome.warning.empty()) {
    complain("warning: " + outcome.warning);
  }
  if (outcome.verdict.reason != Reason::kOk) {
    complain(fmt::format("{}: {}{}; {}", quoted(target.certificate.label()), meaning(outcome.verdict.reason),
                         outcome.verdict.detail.empty() ? "" : ", " + outcome.verdict.detail,
                         remedy(outcome.verdict.reason)));
  }
}

// The cache directory, if there is one, else the file.
Result<void> write_outcome(const Options& options, const engine::Target& target, UnixSeconds now,
                           std::optional<store::CacheFiles>* disk, Outcome* outcome) {
  if (!outcome->accepted.has_value()) {
    return {};
  }
  if (disk->has_value()) {
    return keep(**disk, target, now, outcome);
  }
  if (options.out.empty()) {
    return {};
  }
  outcome->file = options.out;
  outcome->written = true;
  return write_file(options.out, outcome->accepted->response);
}

Result<int> run_fetch(const Options& options) {
  std::vector<crypto::X509Ptr> owned;
  auto catalog = read_catalog(options, &owned);
  RETURN_IF_ERROR(catalog);
  std::optional<engine::ShareSettings> share;
  if (!options.share.places.empty()) {
    auto read = read_share_arguments(options.share);
    RETURN_IF_ERROR(read);
    share = std::move(*read);
  }
  const engine::Target& target = catalog->target(0);
  Fetching fetching(options, *catalog);
  if (!options.proxy.empty()) {
    RETURN_IF_ERROR(fetching.set_proxy(options.proxy));
  }
  std::optional<store::CacheFiles> disk;
  if (!options.cache.empty()) {
    auto opened = open_cache(options.cache, fetching.settings().max_response);
    RETURN_IF_ERROR(opened);
    disk.emplace(std::move(*opened));
    fetching.find_issuer(*disk);
  }
  auto outcome = fetching.run(share ? &*share : nullptr, options.verbose);
  RETURN_IF_ERROR(outcome);
  RETURN_IF_ERROR(write_outcome(options, target, fetching.now(), &disk, &*outcome));
  print(*outcome, target, options);
  // All that was wanted then was a response in the store.
  if (share && !disk && options.out.empty() && outcome->accepted.has_value() && !outcome->published) {
    return kUsage;
  }
  return outcome->verdict.reason == Reason::kOk ? kFit : kUnfit;
}

}  // namespace

Command register_fetch(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("fetch", "Fetches one verified OCSP response, to a file or a cache directory");
  command
      ->add_option("--cert", options->certificate,
                   "PEM file with the certificate and its chain, as ssl_certificate has it")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("--issuer", options->issuer,
                   "PEM file with its issuer; default: in the chain of --cert, else it is fetched")
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
  command->add_flag("-v,--verbose", options->verbose, "Tell each step on standard error");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(
      "Exit status: 0 a good response, 1 none or one that is not good, 2 wrong use, unreadable input, or what was "
      "wanted could not be written.");
  return {[options] { return run_fetch(*options); }};
}

}  // namespace ocsp_plus::cli
