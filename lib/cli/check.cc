// ocsp-plus check: a monitoring plugin that checks a server's staples in a TLS 1.2 and a TLS 1.3 handshake.
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/poll_loop.h"
#include "base/printable.h"
#include "cli/command.h"
#include "cli/stapling.h"
#include "crypto/tls_probe.h"
#include "crypto/trust_anchors.h"
#include "net/address.h"
#include "net/resolver.h"
#include "net/url.h"
#include "ocsp_plus/defaults.h"

namespace ocsp_plus::cli {
namespace {

constexpr std::uint16_t kHttps = 443;

struct Options {
  std::string target;
  std::string servername;
  std::string cafile;
  Seconds warning = 0;
  Seconds critical = 0;
  Seconds max_age = 0;
  Seconds timeout = 0;
  bool chain = false;
  bool verbose = false;
  bool json = false;
};

struct Peer {
  std::string host;
  std::uint16_t port = kHttps;
  bool is_address = false;
  std::string text() const { return fmt::format(host.find(':') == host.npos ? "{}:{}" : "[{}]:{}", host, port); }
};

// Parses HOST, HOST:PORT, an address or [address]:PORT, as in a URL.
std::optional<Peer> parse_peer(const std::string& text) {
  const bool bare_v6 = net::Address::literal(text, kHttps).family() == AF_INET6;
  const auto url = net::Url::parse("https://" + (bare_v6 ? "[" + text + "]" : text));
  if (!url || url->target != "/" || text.find_first_of("/#?") != text.npos) {
    return std::nullopt;
  }
  return Peer{url->host, url->port, url->ip_literal};
}

std::string size_of(const std::optional<Bytes>& staple) {
  return staple.has_value() ? fmt::format("a staple of {} bytes", staple->size()) : "no staple";
}

// Names the certificates after the server's own only as far as they have staples.
std::string sent(const crypto::TlsSeen& seen) {
  std::string text = fmt::format("{} certificates, {}", seen.chain.size(), size_of(seen.staples.front()));
  for (std::size_t i = 1; i < seen.staples.size(); ++i) {
    if (seen.staples[i].has_value()) {
      text += fmt::format(", at position {} {}", i, size_of(seen.staples[i]));
    }
  }
  return text;
}

// Tries a handshake with each address in turn until one answers.
class HandshakeAttempt {
 public:
  HandshakeAttempt(EventLoop& loop, crypto::TlsVersion version, std::string servername, Progress& progress,
                   const Clock& clock)
      : loop_(loop), version_(version), servername_(std::move(servername)), progress_(progress), clock_(clock) {}
  ~HandshakeAttempt() { hang_up(); }
  HandshakeAttempt(const HandshakeAttempt&) = delete;
  HandshakeAttempt& operator=(const HandshakeAttempt&) = delete;

  void start(std::vector<net::Address> addresses) {
    addresses_ = std::move(addresses);
    try_next();
  }
  bool done() const { return result_.has_value(); }

  // Call when done, or after the deadline.
  Handshake take() {
    if (!done()) {
      refuse({Reason::kTimeout, fmt::format("no complete handshake in time, {}", where())});
    }
    return std::move(*result_);
  }

 private:
  void try_next() {
    while (next_ < addresses_.size()) {
      const net::Address& address = addresses_[next_++];
      say("connecting to " + address.to_string());
      if (connect_to(address)) {
        return;
      }
    }
    refuse(error_);
  }

  bool connect_to(const net::Address& address) {
    fd_ = ::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd_ < 0 || (::connect(fd_, address.get(), address.length) != 0 && errno != EINPROGRESS)) {
      remember(errno);
      hang_up();
      return false;
    }
    auto probe = crypto::TlsProbe::start(loop_, fd_, version_, servername_,
                                         [this](crypto::TlsSeen seen) { on_seen(std::move(seen)); });
    if (!probe) {
      error_ = std::move(probe.error());
      hang_up();
      return false;
    }
    probe_ = std::move(*probe);
    return true;
  }

  void on_seen(crypto::TlsSeen seen) {
    hang_up();
    if (seen.end == crypto::TlsSeen::End::kSystem && seen.chain.empty()) {
      remember(seen.error);
      // Another address may be reachable; but once an address has answered, its result counts.
      return seen.answered ? refuse(error_) : try_next();
    }
    say(seen.chain.empty() ? seen.detail : sent(seen));
    result_.emplace();
    result_->version = version_;
    result_->seen = std::move(seen);
  }

  void remember(int error) {
    error_ = {error == ECONNREFUSED ? Reason::kConnectRefused
              : error == ECONNRESET ? Reason::kConnectionReset
              : error == ETIMEDOUT  ? Reason::kTimeout
                                    : Reason::kConnectUnreachable,
              fmt::format("{}: {}", addresses_[next_ - 1].to_string(), std::strerror(error))};
    say(error_.detail);
  }

  void refuse(Error error) {
    result_.emplace();
    result_->version = version_;
    result_->unreachable = std::move(error);
  }

  void hang_up() {
    probe_.reset();
    if (fd_ >= 0) {
      ::close(fd_);
      fd_ = -1;
    }
  }

  std::string where() const { return next_ == 0 ? "resolving" : "waiting for " + addresses_[next_ - 1].to_string(); }
  void say(const std::string& what) {
    progress_.step(fmt::format("TLS {}: {}", token(version_), what), clock_.monotonic());
  }

  EventLoop& loop_;
  crypto::TlsVersion version_;
  std::string servername_;
  Progress& progress_;
  const Clock& clock_;
  std::vector<net::Address> addresses_;
  std::size_t next_ = 0;
  Error error_ = {Reason::kDnsNoAddress, "no address to connect to"};
  int fd_ = -1;
  std::unique_ptr<crypto::TlsProbe> probe_;
  std::optional<Handshake> result_;
};

// Makes both handshakes in parallel; uses the system's resolver.
Result<std::vector<Handshake>> shake_hands(const Peer& peer, const Options& options) {
  SystemClock clock;
  PollLoop loop(clock);
  Progress progress(options.verbose, false, clock.monotonic());
  const std::string servername = !options.servername.empty() ? options.servername : peer.is_address ? "" : peer.host;
  HandshakeAttempt older(loop, crypto::TlsVersion::k12, servername, progress, clock);
  HandshakeAttempt newer(loop, crypto::TlsVersion::k13, servername, progress, clock);

  std::unique_ptr<net::Resolver> resolver;
  std::unique_ptr<net::Resolver::Query> query;
  std::optional<Error> unresolved;
  if (peer.is_address) {
    older.start({net::Address::literal(peer.host, peer.port)});
    newer.start({net::Address::literal(peer.host, peer.port)});
  } else {
    auto created = net::Resolver::create(loop, clock, {});
    RETURN_IF_ERROR(created);
    resolver = std::move(*created);
    progress.step("resolving " + peer.host, clock.monotonic());
    query = resolver->resolve(peer.host, peer.port, [&](Result<std::vector<net::Address>> addresses) {
      if (!addresses) {
        unresolved = std::move(addresses.error());
        return;
      }
      older.start(*addresses);
      newer.start(std::move(*addresses));
    });
  }
  loop.run_until([&] { return unresolved.has_value() || (older.done() && newer.done()); }, options.timeout * 1000);
  if (unresolved.has_value()) {
    return tl::unexpected<Error>(std::move(*unresolved));
  }
  std::vector<Handshake> handshakes;
  handshakes.push_back(older.take());
  handshakes.push_back(newer.take());
  return handshakes;
}

Json json_of(const Peer& peer, const std::vector<Handshake>& handshakes, const Judgement& judgement,
             UnixSeconds now) {
  Json json;
  json["host"] = peer.host;
  json["port"] = peer.port;
  json["status"] = std::string(word(judgement.severity));
  json["findings"] = Json::array();
  for (const Finding& finding : judgement.findings) {
    json["findings"].push_back(
        {{"finding", finding.token}, {"status", std::string(word(finding.severity))}, {"detail", finding.text}});
  }
  json["expires"] = json_time(judgement.expires);
  json["expires_in"] = judgement.expires != 0 ? Json(saturating_sub(judgement.expires, now)) : Json();
  json["handshakes"] = Json::array();
  for (const Handshake& handshake : handshakes) {
    json["handshakes"].push_back(handshake_json(handshake));
  }
  return json;
}

// Monitoring systems show the first line, with performance data after the bar.
std::string text_of(const Peer& peer, const std::vector<Handshake>& handshakes, const Judgement& judgement,
                    const Options& options, UnixSeconds now) {
  std::string text = fmt::format("OCSP {} - {}", word(judgement.severity), peer.text());
  const char* separator = ": ";
  for (const Finding& finding : judgement.findings) {
    text += separator + finding.text;
    separator = "; ";
  }
  text = printable(text);
  std::replace(text.begin(), text.end(), '|', ' ');
  if (judgement.expires != 0) {
    text += fmt::format(" | expires_in={}s;{}:;{}:", saturating_sub(judgement.expires, now), options.warning,
                        options.critical);
  }
  text += "\n";
  for (const Handshake& handshake : handshakes) {
    for (const Finding& finding : handshake.findings) {
      text += fmt::format("TLS {}: {} ({})\n", token(handshake.version), printable(finding.text), finding.token);
    }
    for (const ChainCertificate& certificate : handshake.chain) {
      text += fmt::format("TLS {}, {}\n", token(handshake.version), printable(text_of(certificate)));
    }
  }
  return text;
}

Result<int> run_check(const Options& options) {
  const auto peer = parse_peer(options.target);
  if (!peer) {
    return fail(Reason::kInvalidArgument,
                options.target + " is no host; give it like example.com, example.com:8443 or [2001:db8::1]:443");
  }
  auto anchors = crypto::TrustAnchors::of_system();
  if (!options.cafile.empty()) {
    const auto certificates = read_certificates(options.cafile);
    RETURN_IF_ERROR(certificates);
    anchors = crypto::TrustAnchors::of(*certificates);
  }
  RETURN_IF_ERROR(anchors);
  auto handshakes = shake_hands(*peer, options);
  const UnixSeconds now = SystemClock().now();
  Judgement judgement;
  if (handshakes) {
    judgement = evaluate(&*handshakes, *anchors, !options.cafile.empty(),
                         {options.warning, options.critical, options.max_age, options.chain}, now);
  } else {
    const Error& error = handshakes.error();
    judgement.findings.push_back({std::string(token(error.reason)), Severity::kUnknown,
                                  error.detail.empty() ? std::string(meaning(error.reason)) : error.detail});
    handshakes.emplace();
  }
  if (options.json) {
    print_json(json_of(*peer, *handshakes, judgement, now));
  } else {
    fmt::print("{}", text_of(*peer, *handshakes, judgement, options, now));
  }
  return static_cast<int>(judgement.severity);
}

}  // namespace

Command register_check(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("check", "Looks what a TLS server staples, as a monitoring plugin");
  command->add_option("host", options->target, "HOST[:PORT] of the server; port 443 where none is given")
      ->required()
      ->type_name("");
  command->add_option("--servername", options->servername, "Name to ask for (SNI); default: HOST")->type_name("NAME");
  command
      ->add_option("--cafile", options->cafile,
                   "PEM file with CAs that the chain has to lead to; default: the chain is not judged")
      ->type_name("FILE");
  add_span(*command, "--warn", &options->warning, "24h", "Warning where the staple ends within this time");
  add_span(*command, "--critical", &options->critical, "6h", "Critical where the staple ends within this time");
  add_span(*command, "--max-age", &options->max_age, "0",
           "Warning where the staple's status (thisUpdate) is older; 0: not judged");
  command->add_flag("--chain", options->chain,
                    "Every certificate that the server sends must be stapled, but for roots");
  add_span(*command, "--timeout", &options->timeout, fmt::format("{}s", OP_DEFAULT_TIMEOUT_MS / 1000),
           "How long all of it may take");
  command->add_flag("-v,--verbose", options->verbose, "Tell each step on standard error");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer("Exit status: 0 ok, 1 warning, 2 critical, 3 could not tell.");
  return {[options] { return run_check(*options); }, static_cast<int>(Severity::kUnknown)};
}

}  // namespace ocsp_plus::cli
