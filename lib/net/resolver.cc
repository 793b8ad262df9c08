#include "net/resolver.h"

// c-ares 1.18 lacks the successor of the deprecated ares_get_servers_ports().
#define CARES_NO_DEPRECATED
#include <ares.h>
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <sys/time.h>

#include <algorithm>
#include <climits>
#include <cstddef>
#include <map>
#include <string_view>
#include <utility>

#include "base/file_stamp.h"
#include "base/text.h"
#include "net/address_cache.h"
#include "net/names.h"
#include "net/question.h"

namespace ocsp_plus::net {
namespace {

constexpr std::uint16_t kDnsPort = 53;
constexpr std::size_t kServersTold = 3;
constexpr int kTries = 2;
constexpr Millis kConfigCheckInterval = 3000;  // between checks of the system's configuration

// How long to wait for the other family once one has answered: some servers never answer queries for AAAA. RFC 8305
// section 3 has a shorter "resolution delay", because there a user waits.
constexpr Millis kOtherFamilyDelay = 500;

Reason reason_from(int status) {
  switch (status) {
    case ARES_ENOTFOUND:
    case ARES_EBADNAME:
      return Reason::kDnsNotFound;
    case ARES_ENODATA:
      return Reason::kDnsNoAddress;
    case ARES_ETIMEOUT:
      return Reason::kDnsTimeout;
    default:
      return Reason::kDnsFailed;
  }
}

void take_addresses(const ares_addrinfo& answer, Question& question) {
  for (const ares_addrinfo_node* node = answer.nodes; node != nullptr; node = node->ai_next) {
    question.take(Address::from(node->ai_addr, 0), node->ai_ttl);
  }
  for (const ares_addrinfo_cname* alias = answer.cnames; alias != nullptr; alias = alias->next) {
    question.limit_ttl(alias->ttl);
  }
}

// Leaves out the default port.
std::string text_of(const ares_addr_port_node& server) {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(server.family, &server.addr, text, sizeof text);
  const int port = server.udp_port == 0 ? kDnsPort : server.udp_port;
  return port == kDnsPort            ? text
         : server.family == AF_INET6 ? fmt::format("[{}]:{}", text, port)
                                     : fmt::format("{}:{}", text, port);
}

FileStamp stamp_at(const std::string& path) {
  struct stat found = {};
  return ::stat(path.c_str(), &found) == 0 ? stamp_of(found) : FileStamp();
}

class CaresResolver : public Resolver {
 public:
  CaresResolver(EventLoop& loop, const Clock& clock, ResolverOptions options);
  ~CaresResolver() override;

  Result<void> init();
  std::unique_ptr<Query> resolve(const std::string& host, std::uint16_t port, Callback callback) override;
  std::string asked() const override;

 private:
  // The user data of a c-ares query. c-ares calls back exactly once for each, at the latest when its channel is
  // destroyed.
  struct Ticket {
    CaresResolver& resolver;
    std::string name;
    std::uint64_t question;
  };

  static void on_socket_state(void* resolver, ares_socket_t fd, int readable, int writable) noexcept;
  static void on_answer(void* ticket, int status, int timeouts, ares_addrinfo* answer) noexcept;
  Result<void> open_channel();
  void reopen_if_changed();
  Result<void> set_servers(const std::vector<std::string>& servers);
  Addresses loopback() const;
  void watch(int fd, unsigned interest);
  void ask(const std::string& name, std::uint64_t question);
  void take(const Ticket& ticket, int status, const ares_addrinfo* answer);
  void complete(const std::string& name);
  void process(int fd, unsigned ready);
  void schedule();

  EventLoop& loop_;
  const Clock& clock_;
  const ResolverOptions options_;
  std::vector<int> families_;
  AddressCache cache_;
  std::map<std::string, Question> questions_;
  std::uint64_t last_question_ = 0;
  std::map<int, std::unique_ptr<IoWatch>> watches_;
  std::unique_ptr<Timer> timer_;
  ares_channel channel_ = nullptr;
  bool library_ = false;  // ares_library_init() succeeded
  FileStamp system_;      // of the configuration that the channel uses
  Millis config_checked_ = 0;
  bool starved_ = false;  // the loop refused to watch a socket: its queries would wait in vain
};

CaresResolver::CaresResolver(EventLoop& loop, const Clock& clock, ResolverOptions options)
    : loop_(loop), clock_(clock), options_(std::move(options)), cache_(options_.max_ttl) {
  if (options_.ipv6) {
    families_.push_back(AF_INET6);
  }
  if (options_.ipv4) {
    families_.push_back(AF_INET);
  }
  timer_ = loop.timer([this] { process(ARES_SOCKET_BAD, 0); });
}

CaresResolver::~CaresResolver() {
  questions_.clear();  // first: destroying the channel reports failures that no asker should see
  watches_.clear();    // before c-ares closes the sockets
  if (channel_ != nullptr) {
    ares_destroy(channel_);
  }
  if (library_) {
    ares_library_cleanup();
  }
}

Result<void> CaresResolver::init() {
  if (const int status = ares_library_init(ARES_LIB_INIT_ALL); status != ARES_SUCCESS) {
    return fail(Reason::kOutOfMemory, ares_strerror(status));
  }
  library_ = true;
  return open_channel();
}

Result<void> CaresResolver::open_channel() {
  ares_options ares = {};
  // No search domains, and no aliases from the environment: responder names are fully qualified, and
  // "ocsp.example.com.corp.example" is another host. (ares_getaddrinfo ignores ARES_FLAG_NOSEARCH.)
  ares.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES;
  ares.ndomains = 0;
  ares.timeout = static_cast<int>(std::clamp<Millis>(options_.timeout, 1, INT_MAX));
  ares.tries = kTries;
  ares.sock_state_cb = on_socket_state;
  ares.sock_state_cb_data = this;
  int mask = ARES_OPT_FLAGS | ARES_OPT_DOMAINS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
#ifdef ARES_OPT_QUERY_CACHE
  // Since 1.31 c-ares caches answers itself, for up to an hour; AddressCache is our only cache.
  ares.qcache_max_ttl = 0;
  mask |= ARES_OPT_QUERY_CACHE;
#endif
#ifdef ARES_OPT_UDP_MAX_QUERIES
  // One socket per query: a forger has to guess its port, and c-ares 1.34 drops a socket with all its queries after
  // one answer that it cannot parse.
  ares.udp_max_queries = 1;
  mask |= ARES_OPT_UDP_MAX_QUERIES;
#endif
  std::string dns_only = "b";
  std::string system = options_.system;
  ares.resolvconf_path = system.data();
  mask |= ARES_OPT_RESOLVCONF;
  system_ = stamp_at(options_.system);
  config_checked_ = clock_.monotonic();
  if (!options_.servers.empty()) {
    ares.lookups = dns_only.data();
    mask |= ARES_OPT_LOOKUPS;
  }
  if (const int status = ares_init_options(&channel_, &ares, mask); status != ARES_SUCCESS) {
    channel_ = nullptr;
    return fail(status == ARES_ENOMEM ? Reason::kOutOfMemory : Reason::kDnsFailed,
                fmt::format("c-ares cannot start: {}", ares_strerror(status)));
  }
  return options_.servers.empty() ? Result<void>() : set_servers(options_.servers);
}

// Restarts pending questions with the new servers.
void CaresResolver::reopen_if_changed() {
  if (!options_.servers.empty() || clock_.monotonic() - config_checked_ < kConfigCheckInterval) {
    return;
  }
  config_checked_ = clock_.monotonic();
  if (stamp_at(options_.system) == system_) {
    return;
  }
  ares_channel old = channel_;
  if (!open_channel()) {
    channel_ = old;  // until the configuration changes again
    return;
  }
  std::vector<std::string> names;
  for (auto& [name, question] : questions_) {
    question.start_again(++last_question_, static_cast<int>(families_.size()));
    names.push_back(name);
  }
  watches_.clear();  // before c-ares closes the sockets
  ares_destroy(old);
  for (const std::string& name : names) {
    if (const auto found = questions_.find(name); found != questions_.end()) {
      ask(name, found->second.id);
    }
  }
}

Result<void> CaresResolver::set_servers(const std::vector<std::string>& servers) {
  std::string list;
  for (const std::string& server : servers) {
    const Address address = Address::parse(server, kDnsPort);
    if (address.length == 0) {
      return fail(Reason::kInvalidArgument, fmt::format("the DNS server \"{}\" is no address", server));
    }
    list += (list.empty() ? "" : ",") + address.to_string();
  }
  const int status = ares_set_servers_ports_csv(channel_, list.c_str());
  return status == ARES_SUCCESS ? Result<void>() : fail(Reason::kInvalidArgument, ares_strerror(status));
}

std::unique_ptr<Resolver::Query> CaresResolver::resolve(const std::string& host, std::uint16_t port,
                                                        Callback callback) {
  const std::string name = lower(host);
  reopen_if_changed();
  auto query = std::make_unique<Asker>(loop_, port, std::move(callback));
  if (is_localhost(name)) {
    query->answer(loopback());
    return query;
  }
  if (const Addresses* known = cache_.find(name, clock_.monotonic())) {
    query->answer(*known);
    return query;
  }
  const auto [found, fresh] = questions_.try_emplace(name, last_question_ + 1, static_cast<int>(families_.size()));
  found->second.join(*query);
  if (fresh) {
    ask(name, ++last_question_);
  }
  return query;
}

// If the system names no server, c-ares queries this machine.
std::string CaresResolver::asked() const {
  ares_addr_port_node* all = nullptr;
  std::string text;
  if (ares_get_servers_ports(channel_, &all) == ARES_SUCCESS) {
    const std::unique_ptr<ares_addr_port_node, decltype(&ares_free_data)> owned(all, ares_free_data);
    std::size_t told = 0;
    for (const ares_addr_port_node* server = all; server != nullptr; server = server->next) {
      if (told++ == kServersTold) {
        text += ", ...";
        break;
      }
      text += (text.empty() ? "" : ", ") + text_of(*server);
    }
  }
  return fmt::format("{} ({})", text, options_.servers.empty() ? options_.system : options_.servers_from);
}

Addresses CaresResolver::loopback() const {
  std::vector<Address> all;
  for (const int family : families_) {
    all.push_back(Address::literal(family == AF_INET ? "127.0.0.1" : "::1", 0));
  }
  return all;
}

// Queries each family separately: for a combined query c-ares 1.18 reports only the status of the last family.
void CaresResolver::ask(const std::string& name, std::uint64_t question) {
  for (const int family : families_) {
    ares_addrinfo_hints hints = {};
    hints.ai_family = family;
    hints.ai_socktype = SOCK_STREAM;
    // Sorting by RFC 6724 would connect a socket per address; we try the next address anyway.
    hints.ai_flags = ARES_AI_NOSORT;
    auto ticket = std::make_unique<Ticket>(Ticket{*this, name, question});
    // May call back before it returns; the last family's answer destroys the question.
    ares_getaddrinfo(channel_, name.c_str(), nullptr, &hints, on_answer, ticket.release());
  }
  schedule();
}

void CaresResolver::on_answer(void* argument, int status, int /*timeouts*/, ares_addrinfo* answer) noexcept {
  const std::unique_ptr<Ticket> ticket(static_cast<Ticket*>(argument));
  const std::unique_ptr<ares_addrinfo, decltype(&ares_freeaddrinfo)> owned(answer, ares_freeaddrinfo);
  try {
    ticket->resolver.take(*ticket, status, answer);
  } catch (...) {
    // Out of memory, and no exception may pass through c-ares. The askers' own deadlines end them.
    ticket->resolver.questions_.erase(ticket->name);
  }
}

void CaresResolver::take(const Ticket& ticket, int status, const ares_addrinfo* answer) {
  const auto found = questions_.find(ticket.name);
  if (found == questions_.end() || found->second.id != ticket.question) {
    return;  // answered without this family, or the resolver is being destroyed
  }
  Question& question = found->second;
  if (status == ARES_SUCCESS && answer != nullptr && answer->nodes != nullptr) {
    take_addresses(*answer, question);
  } else {
    // c-ares reports success without an address for a name with only an alias.
    const int what = status == ARES_SUCCESS ? ARES_ENODATA : status;
    question.take_failure(reason_from(what),
                          fmt::format("{}: {}; asked {}", ticket.name, ares_strerror(what), asked()));
  }
  if (--question.outstanding == 0) {
    complete(ticket.name);
  } else if (question.has_addresses()) {
    question.delay = loop_.timer([this, name = ticket.name] { complete(name); });
    question.delay->arm(kOtherFamilyDelay);
  }
}

void CaresResolver::complete(const std::string& name) {
  const auto question = questions_.find(name);
  const Addresses result = question->second.result();
  cache_.store(name, result, question->second.ttl(), clock_.monotonic());
  question->second.tell(result);
  questions_.erase(question);
}

void CaresResolver::on_socket_state(void* resolver, ares_socket_t fd, int readable, int writable) noexcept {
  const unsigned interest = (readable != 0 ? IoWatch::kRead : 0) | (writable != 0 ? IoWatch::kWrite : 0);
  auto& self = *static_cast<CaresResolver*>(resolver);
  try {
    self.watch(fd, interest);
  } catch (...) {
    self.starved_ = true;
  }
}

void CaresResolver::watch(int fd, unsigned interest) {
  if (interest == 0) {
    watches_.erase(fd);  // c-ares will close it
    return;
  }
  std::unique_ptr<IoWatch>& watch = watches_[fd];
  if (watch == nullptr) {
    watch = loop_.watch(fd, [this, fd](unsigned ready) { process(fd, ready); });
  }
  if (watch == nullptr || !watch->set(interest)) {
    starved_ = true;
  }
}

// Nothing in here can destroy the resolver: askers deliver answers from their own timers.
void CaresResolver::process(int fd, unsigned ready) {
  if (starved_) {
    starved_ = false;
    ares_cancel(channel_);
  } else {
    ares_process_fd(channel_, (ready & IoWatch::kRead) != 0 ? fd : ARES_SOCKET_BAD,
                    (ready & IoWatch::kWrite) != 0 ? fd : ARES_SOCKET_BAD);
  }
  schedule();
}

void CaresResolver::schedule() {
  timeval next = {};
  if (starved_) {
    timer_->arm(0);
  } else if (ares_timeout(channel_, nullptr, &next) != nullptr) {
    timer_->arm(static_cast<Millis>(next.tv_sec) * 1000 + (next.tv_usec + 999) / 1000);
  } else {
    timer_->disarm();
  }
}

}  // namespace

Result<std::unique_ptr<Resolver>> Resolver::create(EventLoop& loop, const Clock& clock, ResolverOptions options) {
  if (!options.ipv4 && !options.ipv6) {
    return fail(Reason::kInvalidArgument, "neither IPv4 nor IPv6 addresses are wanted");
  }
  auto resolver = std::make_unique<CaresResolver>(loop, clock, std::move(options));
  RETURN_IF_ERROR(resolver->init());
  return resolver;
}

}  // namespace ocsp_plus::net
