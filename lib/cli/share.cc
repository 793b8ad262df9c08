// ocsp-plus share: connects to the store of a fleet as a node would, runs what a node runs, on keys of its own, and
// tells what came of it; as a monitoring plugin.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/poll_loop.h"
#include "base/random.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/share_options.h"
#include "cli/store_calls.h"
#include "cli/store_report.h"
#include "engine/share_access.h"
#include "net/redis_commands.h"
#include "net/redis_connection.h"
#include "net/redis_facts.h"
#include "net/redis_scripts.h"
#include "net/redis_sentinel.h"
#include "ocsp_plus/defaults.h"

namespace ocsp_plus::cli {
namespace {

using net::RedisReply;
using net::SharedStore;
using Kind = net::SharedStore::Found::Kind;
using Words = std::vector<std::string_view>;

constexpr int kPings = 9;
constexpr std::size_t kMostShown = 128;                    // bytes of a server's text in a line
constexpr std::size_t kMostInfo = std::size_t{64} * 1024;  // bytes of a reply to INFO
constexpr std::size_t kMostListed = 100000;                // certificates
constexpr int kMostPages = 10000;                          // pages of SCAN: a server may never come to an end
constexpr std::string_view kPageSize = "64";               // keys of a SCAN, about; a reply may have 256 elements
constexpr Millis kScratchTime = 10000;                     // life of our keys where they cannot be removed
constexpr int kMostNewsReads = 8;
constexpr std::string_view kNotTold = "not permitted to tell";

struct Options {
  ShareArguments share;
  Seconds timeout = 0;
  bool list = false;
  bool json = false;
};

std::string shown(std::string_view text) {
  return quoted(text.substr(0, kMostShown));
}

// A connection that is asked one command after another.
class Session : private net::RedisConnection::User {
 public:
  Session(PollLoop& loop, const Clock& clock, net::Resolver& resolver, net::RedisConnectionOptions options)
      : loop_(loop), connection_(loop, clock, resolver, std::move(options), user()) {
    loop_.run_until([this] { return up_ || ended_.has_value(); }, kNever);
  }

  // Why it could not be connected, or has ended; nothing: it is up.
  const std::optional<Error>& ended() const { return ended_; }
  const net::RedisConnection& connection() const { return connection_; }

  // The reply may be an error. Fails if the connection has ended.
  Result<RedisReply> ask(const Words& words) {
    std::optional<RedisReply> reply;
    if (!ended_) {
      (void)connection_.send(words, [&reply](RedisReply came) { reply = std::move(came); });
      loop_.run_until([&] { return reply.has_value() || ended_.has_value(); }, kNever);
    }
    return reply ? Result<RedisReply>(std::move(*reply)) : tl::unexpected<Error>(*ended_);
  }
  // The same; nothing for an error of either kind.
  std::optional<RedisReply> try_to_ask(const Words& words) {
    auto reply = ask(words);
    return reply && !reply->is(RedisReply::Kind::kError) ? std::optional(std::move(*reply)) : std::nullopt;
  }

 private:
  net::RedisConnection::User& user() { return *this; }
  void on_up() override { up_ = true; }
  void on_end(Error error) override { ended_ = std::move(error); }

  PollLoop& loop_;
  bool up_ = false;
  std::optional<Error> ended_;
  net::RedisConnection connection_;
};

class Inspection {
 public:
  Inspection(const engine::ShareSettings& settings, PollLoop& loop, const Clock& clock, engine::ShareAccess& access)
      : settings_(settings), loop_(loop), clock_(clock), access_(access), keys_{settings.prefix} {
    for (std::uint8_t& octet : scratch_) {
      octet = static_cast<std::uint8_t>(random_.next() >> 32);
    }
    report_.place = settings.places.front().to_string();
  }

  StoreReport run(bool list) {
    if (connect()) {
      tell_connection();
      tell_server();
      try_scripts();
      tell_permissions();
      if (list) {
        list_responses();
      }
      remove_scratch();
    }
    return std::move(report_);
  }

 private:
  net::RedisConnectionOptions options_for(net::RedisPlace place) const {
    net::RedisConnectionOptions options;
    options.place = std::move(place);
    options.tls = access_.tls.get();
    options.timeout = settings_.timeout;
    options.most_string = std::max(access_.options.most_response, kMostInfo);
    options.name = "ocsp-plus";
    return options;
  }

  // Returns where the server is, which a sentinel may have to be asked for.
  Result<net::RedisPlace> server_at(const net::RedisPlace& place) {
    if (settings_.sentinel.empty()) {
      return place;
    }
    net::RedisConnectionOptions options = options_for(place);
    options.place.database = 0;
    std::optional<Result<net::RedisPlace>> master;
    net::RedisSentinel sentinel(loop_, clock_, *access_.resolver, std::move(options), settings_.sentinel,
                                [&master](Result<net::RedisPlace> came) { master = std::move(came); });
    loop_.run_until([&master] { return master.has_value(); }, kNever);
    if (*master) {
      report_.fact("sentinel", place.to_string());
      (*master)->database = place.database;
    }
    return std::move(*master);
  }

  // Connects to the first place that answers, as nodes do.
  bool connect() {
    std::vector<Error> failures;
    for (const net::RedisPlace& place : settings_.places) {
      auto server = server_at(place);
      if (!server) {
        failures.push_back(std::move(server.error()));
        continue;
      }
      report_.place = server->to_string();
      server_ = *server;
      server->user = settings_.user;
      server->password = settings_.password;
      session_ = std::make_unique<Session>(loop_, clock_, *access_.resolver, options_for(std::move(*server)));
      if (!session_->ended()) {
        break;
      }
      failures.push_back(*session_->ended());
      session_.reset();
    }
    for (const Error& failure : failures) {
      report_.find(std::string(token(failure.reason)), session_ == nullptr ? Severity::kCritical : Severity::kWarning,
                   failure.detail);
    }
    return session_ != nullptr;
  }

  void tell_connection() {
    const net::RedisConnection& connection = session_->connection();
    report_.fact("address", connection.peer().to_string());
    if (const TlsSession* tls = connection.tls(); tls != nullptr) {
      report_.fact("tls", tls->describe());
      const auto peer = tls->peer();
      std::string names;
      for (const std::string& name : peer ? peer->names : std::vector<std::string>()) {
        names += (names.empty() ? "" : ", ") + name;
      }
      report_.fact("certificate",
                   peer ? fmt::format("for {}, until {}", names.substr(0, 2 * kMostShown), text_time(peer->not_after))
                        : std::string("cannot be read"));
    } else {
      report_.fact("tls", "none");
    }
    report_.fact("user", settings_.user.empty() ? "the default user" : settings_.user);
    std::vector<Millis> times;
    for (int i = 0; i < kPings; ++i) {
      const Millis before = clock_.monotonic();
      if (!session_->try_to_ask({"PING"})) {
        break;
      }
      times.push_back(clock_.monotonic() - before);
    }
    if (!times.empty()) {
      std::sort(times.begin(), times.end());
      const Millis median = times[times.size() / 2];
      report_.fact("latency", median == 0 ? std::string("less than 1 ms") : fmt::format("{} ms", median));
    }
  }

  // Tells what few users are permitted to ask.
  void tell_server() {
    const auto role = session_->try_to_ask({"ROLE"});
    report_.fact("role", (role ? net::role_in_words(*role) : std::nullopt).value_or(std::string(kNotTold)));
    const auto info = session_->try_to_ask({"INFO", "memory"});
    auto policy = info ? net::info_field(info->text, "maxmemory_policy") : std::nullopt;
    const auto most = info ? net::info_field(info->text, "maxmemory") : std::nullopt;
    if (!policy) {
      const auto config = session_->try_to_ask({"CONFIG", "GET", "maxmemory-policy"});
      if (config && config->elements.size() == 2) {
        policy = config->elements[1].text;
      }
    }
    report_.fact("eviction", !policy                   ? std::string(kNotTold)
                             : *policy == "noeviction" ? "none (noeviction): a full store takes no writes"
                             : most == "0"             ? *policy + ", but its memory has no bound"
                                                       : *policy + ": a response that it evicts costs a request");
  }

  // Tells the outcome of a script; what the store says instead is a finding.
  void tell(const std::string& script, const std::optional<Error>& error, bool as_expected, Severity severity) {
    if (error) {
      report_.fact(script, error->detail);
      const bool denied = error->reason == Reason::kStoreDenied;
      report_.find(denied ? "store_denied" : std::string(token(error->reason)), severity,
                   fmt::format("{}: {}", script, error->detail));
    } else if (!as_expected) {
      report_.fact(script, "of no effect");
      report_.find("no_effect", Severity::kWarning,
                   script + ": what it has written is not there; who else writes to it?");
    } else {
      report_.fact(script, "ok");
    }
  }

  Result<SharedStore::Found> look(SharedStore& store) {
    SharedStore::Wanted wanted;
    wanted.host = host();
    wanted.leases = 1;
    wanted.lease_time = kScratchTime;
    wanted.most_begun = 1;
    SharedStore::Item item;
    item.id = scratch_;
    item.past_note = true;
    wanted.items.push_back(item);
    auto found = complete<std::vector<SharedStore::Found>>(
        loop_, [&](auto callback) { return store.look(wanted, std::move(callback)); });
    return found ? Result<SharedStore::Found>(std::move(found->front()))
                 : tl::unexpected<Error>(std::move(found.error()));
  }

  // Does with a certificate that nobody has what a node does, through the same client.
  void try_scripts() {
    net::SharedStoreOptions options = access_.options;
    options.places = {server_};
    options.sentinel.clear();
    const auto store = SharedStore::create(loop_, clock_, random_, *access_.resolver, std::move(options), nullptr);
    loop_.run_until([&store] { return store->state() != SharedStore::State::kConnecting; }, kNever);
    const auto why_not = [&store] {
      return store->status().last_error.value_or(Error{Reason::kStoreDenied, "it takes no writes"});
    };
    auto found = look(*store);
    if (!found) {
      return tell("look", found.error(), false, Severity::kCritical);
    }
    tell("look", std::nullopt, true, Severity::kOk);
    const bool leased = found->kind == Kind::kLease;
    tell("lease", found->kind == Kind::kNoWrites ? std::optional(why_not()) : std::nullopt, leased,
         Severity::kWarning);
    if (leased) {
      const SharedStore::Settlement settlement = {scratch_, host(), found->lease, kScratchTime, false};
      const auto settled =
          complete<bool>(loop_, [&](auto callback) { return store->settle(settlement, std::move(callback)); });
      tell("settle", settled ? std::nullopt : std::optional(settled.error()), settled && *settled,
           Severity::kWarning);
    }
    SharedStore::Publication publication;
    publication.id = scratch_;
    publication.host = host();
    publication.response = ByteView(std::string_view("ocsp-plus share")).copy();
    const auto published = complete<SharedStore::Published>(
        loop_, [&](auto callback) { return store->publish(publication, std::move(callback)); });
    bool there = false;
    if (published && published->stored) {
      found = look(*store);
      there = found && found->kind == Kind::kResponse && found->response == publication.response;
    }
    tell("publish", published ? std::nullopt : std::optional(published.error()), there, Severity::kWarning);
    try_news(*store, there);
  }

  void try_news(SharedStore& store, bool published) {
    bool heard = false;
    for (int i = 0; i < kMostNewsReads && !heard; ++i) {
      const auto news = complete<std::vector<SharedStore::News>>(
          loop_, [&](auto callback) { return store.news(std::move(callback)); });
      if (!news) {
        return tell("news", news.error(), false, Severity::kWarning);
      }
      heard = std::any_of(news->begin(), news->end(),
                          [this](const SharedStore::News& one) { return one.id == scratch_; });
      if (news->empty()) {
        break;
      }
    }
    tell("news", std::nullopt, heard || !published, Severity::kWarning);
  }

  // Names what the user may not run, so that its ACL can be completed.
  void tell_permissions() {
    const std::string hash = keys_.begun(host() + "-hash");
    const std::string set = keys_.begun(host() + "-set");
    const std::string stream = keys_.begun(host() + "-stream");
    const std::string life = fmt::format_int(kScratchTime).str();
    std::vector<std::string> refused;
    const auto note = [&refused](std::string_view command, const Result<RedisReply>& reply) {
      if (reply && reply->is(RedisReply::Kind::kError)) {
        refused.push_back(fmt::format("{} {}", command, reply->text));
      }
    };
    const auto ran = session_->ask({"EVAL", net::kPermissionsScript.text, "3", hash, set, stream, life});
    note("EVAL", ran);
    if (ran && ran->is(RedisReply::Kind::kArray)) {
      for (const RedisReply& each : ran->elements) {
        refused.push_back(each.text);
      }
    }
    note("EVALSHA", session_->ask({"EVALSHA", net::kPermissionsScript.sha1, "3", hash, set, stream, life}));
    note("XREAD", session_->ask({"XREAD", "COUNT", "1", "STREAMS", keys_.news(), "$"}));
    note("XREVRANGE", session_->ask({"XREVRANGE", keys_.news(), "+", "-", "COUNT", "1"}));
    if (!settings_.sentinel.empty()) {
      note("ROLE", session_->ask({"ROLE"}));
    }
    if (const auto& ended = session_->ended()) {
      report_.find(std::string(token(ended->reason)), Severity::kWarning, ended->detail);
      return;
    }
    std::string missing;
    for (const std::string& command : net::not_permitted(refused)) {
      missing += " +" + command;
    }
    report_.fact("acl", missing.empty() ? "permits all that nodes do" : "lacks" + missing);
    if (!missing.empty()) {
      report_.find("acl_lacks", Severity::kWarning, "the user's ACL lacks" + missing);
    }
  }

  using Responses = std::map<std::string, StoreReport::Response>;

  // Others may have written any key.
  void list_response(const std::string& key, const std::string& id, Responses* listed) {
    if (!parse_id(id) || id == to_hex(scratch_)) {
      return;
    }
    const auto size = session_->try_to_ask({"HSTRLEN", key, "r"});
    const auto remaining = session_->try_to_ask({"PTTL", key});
    if (size && size->integer > 0) {  // else it holds leases and notes only
      (*listed)[id] = {static_cast<std::size_t>(size->integer),
                       remaining ? std::max<Millis>(remaining->integer, 0) : 0};
    }
  }

  void list_responses() {
    Responses listed;
    std::string cursor = "0";
    int pages = 0;
    const std::string keys = keys_.certificate({});
    const std::string before = keys.substr(0, keys.size() - to_hex(scratch_).size());
    do {
      const auto reply = session_->ask({"SCAN", cursor, "MATCH", before + "*", "COUNT", kPageSize});
      if (!reply || reply->is(RedisReply::Kind::kError)) {
        report_.fact("responses", !reply                               ? reply.error().detail
                                  : starts_with(reply->text, "NOPERM") ? std::string(kNotTold) + ": SCAN"
                                                                       : shown(reply->text));
        return;
      }
      const auto page = net::scan_page(*reply);
      if (!page) {
        report_.fact("responses", "the reply to SCAN cannot be understood");
        return;
      }
      for (const std::string& key : page->keys) {
        if (starts_with(key, before)) {
          list_response(key, key.substr(before.size()), &listed);
        }
      }
      cursor = page->cursor;
    } while (cursor != "0" && listed.size() < kMostListed && ++pages < kMostPages);
    report_.listed = std::move(listed);
  }

  // Removes our key. Where that is not permitted, it goes by itself.
  void remove_scratch() {
    const std::string key = keys_.certificate(scratch_);
    if (!session_->try_to_ask({"DEL", key})) {
      (void)session_->ask({"HDEL", key, "r", "w", "l"});
    }
  }

  // Stands for the responder's host in keys of ours.
  std::string host() const { return "ocsp-plus-share-" + to_hex(scratch_).substr(0, 16); }

  const engine::ShareSettings& settings_;
  PollLoop& loop_;
  const Clock& clock_;
  engine::ShareAccess& access_;
  SystemRandom random_;
  const net::RedisKeys keys_;
  CertificateId scratch_ = {};  // an id that no certificate has
  net::RedisPlace server_;      // without user and password
  std::unique_ptr<Session> session_;
  StoreReport report_;
};

Result<int> run_share(const Options& options) {
  auto settings = read_share_arguments(options.share);
  RETURN_IF_ERROR(settings);
  settings->timeout = options.timeout * 1000;
  SystemClock clock;
  PollLoop loop(clock);
  const auto access = engine::ShareAccess::open(loop, clock, *settings, OP_DEFAULT_MAX_RESPONSE_BYTES);
  RETURN_IF_ERROR(access);
  const StoreReport report = Inspection(*settings, loop, clock, **access).run(options.list);
  if (options.json) {
    print_json(json_of(report));
  } else {
    fmt::print("{}", text_of(report));
  }
  return static_cast<int>(severity_of(report));
}

}  // namespace

Command register_share(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("share", "Looks whether nodes can share responses through a store");
  command
      ->add_option(
          "place", options->share.places,
          "redis://host[:port][/db], rediss://... with TLS, or unix:/path[:/db]; of several the first that answers")
      ->required()
      ->type_name("");
  add_share_options(*command, nullptr, &options->share);
  add_span(*command, "--timeout", &options->timeout, fmt::format("{}s", OP_DEFAULT_SHARE_TIMEOUT_MS / 1000),
           "How long connecting may take, and then each answer");
  command->add_flag("--list", options->list, "List the certificates that have a response in the store");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer("Exit status: 0 ok, 1 warning, 2 critical, 3 could not tell.");
  return {[options] { return run_share(*options); }, static_cast<int>(Severity::kUnknown), "SHARE"};
}

}  // namespace ocsp_plus::cli
