#include "sim/node.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "capi/config.h"
#include "store/counters.h"
#include "store/entry_state.h"
#include "store/lease.h"

namespace ocsp_plus::sim {
namespace {

constexpr std::int32_t kMaster = 1;
constexpr Millis kQuietLimit = 3600000;        // longest time without a tick
constexpr std::size_t kSmallZone = 512 << 10;  // has two slots in the queue of certificates
constexpr Seconds kJustDue = 2;
constexpr std::size_t kGrowth = 16;   // room for certificates that reloads may add
constexpr Millis kLateLimit = 30000;  // the same while something is due but unavailable

op_str_t text(std::string_view from) {
  return {from.data(), from.size()};
}

std::vector<x509_st*> certificates_of(const std::vector<LeafNumber>& numbers) {
  std::vector<x509_st*> certificates;
  certificates.reserve(numbers.size());
  for (const LeafNumber number : numbers) {
    certificates.push_back(Pki::get().leaf(number).get());
  }
  return certificates;
}

void must(bool done, const std::string& what) {
  if (!done) {
    throw std::runtime_error("simulator: " + what);
  }
}

}  // namespace

struct Node::Config {
  ~Config() { op_config_destroy(op); }
  op_config_t* op = op_config_create();
  std::vector<LeafNumber> leaves;     // in the order of the catalog
  std::vector<op_server_t*> servers;  // of each leaf
  std::vector<ServerChain> chains;    // likewise
  op_server_t* loading = nullptr;     // the server with per-connection certificates
};

// The state behind one process's ports.
struct Node::Context {
  Node& node;
  Process* process = nullptr;  // nullptr: the master, which is never killed
  std::int32_t pid() const { return process == nullptr ? kMaster : process->pid; }
  void point() const {
    if (process != nullptr) {
      process->point();
    }
  }
};

struct Node::Worker {
  Context context;
  Config* config = nullptr;
  std::uint32_t slot = 0;
  op_worker_t* handle = nullptr;
  bool leaving = false;
  // One per process, as after a fork of the configuration.
  std::unique_ptr<engine::Stapler> stapler = nullptr;
};

namespace {

// --- the host's table, as the shim fills it for nginx ---

using Callback = void (*)(void*);

void* timer_add(void*, Callback callback, void* data) {
  return Machine::here().timer([callback, data] { callback(data); }).release();
}

void timer_set(void*, void* timer, int64_t after) {
  if (Machine::here().current() != nullptr) {
    Machine::here().current()->point();
  }
  if (after < 0) {
    static_cast<Timer*>(timer)->disarm();
  } else {
    static_cast<Timer*>(timer)->arm(after);
  }
}

void timer_del(void*, void* timer) {
  delete static_cast<Timer*>(timer);
}

int64_t now_s(void*) {
  if (Machine::here().current() != nullptr) {
    Machine::here().current()->point();
  }
  return Machine::here().wall();
}

int64_t monotonic_ms(void*) {
  if (Machine::here().current() != nullptr) {
    Machine::here().current()->point();
  }
  return Machine::here().monotonic();
}

void* io_add(void*, int, void (*)(void*, unsigned), void*) {
  return nullptr;
}

int io_set(void*, void*, unsigned) {
  return 0;
}

void io_del(void*, void*) {}

int log_enabled(void*, int level) {
  return level <= static_cast<int>(LogLevel::kInfo) ? 1 : 0;
}

void log_write(void*, int level, const char* line, size_t size) {
  const Process* process = Machine::here().current();
  const Shield shield;
  Machine::here().loud_lines += level < static_cast<int>(LogLevel::kInfo) ? 1 : 0;
  Machine::here().say(fmt::format("  [{}] {}", process == nullptr ? kMaster : process->pid, std::string(line, size)));
}

op_log_ops_t log_ops() {
  return {nullptr, log_enabled, log_write};
}

op_host_ops_t host_ops() {
  op_host_ops_t ops = {};
  ops.io_add = io_add;
  ops.io_set = io_set;
  ops.io_del = io_del;
  ops.timer_add = timer_add;
  ops.timer_set = timer_set;
  ops.timer_del = timer_del;
  ops.now_s = now_s;
  ops.monotonic_ms = monotonic_ms;
  ops.log = log_ops();
  return ops;
}

}  // namespace

// Works like nginx's lock: a word with the holder's pid, which the master clears when it reaps the holder.
op_lock_ops_t Node::lock_for(Context* context) const {
  op_lock_ops_t ops = {};
  ops.ctx = context;
  ops.trylock = [](void* ctx) {
    auto* self = static_cast<Context*>(ctx);
    self->point();
    if (self->node.lock_holder_ != 0) {
      return 0;
    }
    self->node.lock_holder_ = self->pid();
    if (self->process != nullptr) {
      self->process->holds_lock = true;
      self->point();
    }
    return 1;
  };
  ops.unlock = [](void* ctx) {
    auto* self = static_cast<Context*>(ctx);
    self->point();
    self->node.lock_holder_ = 0;
    if (self->process != nullptr) {
      self->process->holds_lock = false;
    }
    self->point();
  };
  return ops;
}

Node::Node(Machine& machine, const Script& script)
    : machine_(machine), script_(script), master_(new Context{*this, nullptr}) {
  for (LeafNumber i = 0; i < script.certificates; ++i) {
    wanted_.push_back(i);
  }
}

Node::~Node() = default;

// --- configuration and zone ---

std::unique_ptr<Node::Config> Node::configure() const {
  auto config = std::make_unique<Config>();
  op_settings_t settings;
  op_settings_defaults(&settings);
  settings.retry_min_s = script_.retry_min;
  settings.retry_max_s = script_.retry_max;
  settings.cache = text("cache");
  const op_str_t place = text("redis://store.example");
  if (script_.shares) {
    settings.share.places = &place;
    settings.share.nplaces = 1;
  }
  op_error_t error = {};
  must(op_config_set(config->op, &settings, &error) == OP_OK, error.text);
  config->op->settings.sends_chain = script_.cas.stapleable;  // whatever the OpenSSL at hand does
  for (const LeafNumber leaf : wanted_) {
    std::vector<std::string> urls;
    std::vector<op_str_t> texts;
    for (std::size_t i = 0; i < script_.responders.size(); ++i) {
      urls.push_back(fmt::format("http://r{}.example/{}", i, leaf));
    }
    for (const std::string& url : urls) {
      texts.push_back({url.data(), url.size()});
    }
    const ServerChain chain = wanted_chain(leaf);
    const std::vector<x509_st*> sent = certificates_of(chains::certificates_of(chain));
    x509_st* const issuer = Pki::get().issuer(leaf).get();
    op_server_directives_t directives = {};
    directives.place = text("configured");
    directives.trusted = &issuer;
    directives.ntrusted = sent.empty() ? 1 : 0;
    directives.chain = chain.stapled ? 1 : 0;
    directives.responders = texts.data();
    directives.nresponders = texts.size();
    directives.require = script_.require;
    directives.omit_revoked = script_.omits ? 1 : 0;
    directives.refresh_s = script_.refresh;
    op_server_t* const server = op_server_create(config->op, &directives, &error);
    must(server != nullptr, error.text);
    must(op_server_add(server, Pki::get().leaf(leaf).get(), sent.data(), sent.size(), {}, &error) == OP_OK,
         error.text);
    config->servers.push_back(server);
    config->chains.push_back(chain);
    config->leaves.push_back(leaf);
  }
  if (script_.loads) {
    const op_str_t name = text("loads.example");
    std::vector<x509_st*> trusted = {Pki::get().ca.get()};
    for (const testing::Identity& tenant_ca : Pki::get().tenant_cas) {
      trusted.push_back(tenant_ca.get());
    }
    op_server_directives_t directives = {};
    directives.place = text("loads");
    directives.trusted = trusted.data();
    directives.ntrusted = script_.trusts ? trusted.size() : 0;
    directives.names = &name;
    directives.nnames = 1;
    directives.loads = 1;
    directives.chain = script_.cas.servers.empty() ? 0 : 1;
    directives.require = script_.require;
    directives.omit_revoked = script_.omits ? 1 : 0;
    directives.refresh_s = script_.refresh;
    config->loading = op_server_create(config->op, &directives, &error);
    must(config->loading != nullptr, error.text);
  }
  return config;
}

bool Node::open_zone(Config* config, bool fresh) {
  const op_lock_ops_t lock = lock_for(master_.get());
  op_error_t error = {};
  for (int tries = 0; tries < 2; ++tries) {
    const op_status_t status = op_config_open_zone(config->op, memory_, size_, fresh ? 1 : 0, nullptr, 0, &lock,
                                                   machine_.monotonic(), &error);
    if (status == OP_OK) {
      zone_ = store::StapleZone::attach(memory_, size_).value();
      return true;
    }
    must(status == OP_BUSY && !fresh, error.text);
    // The master does not reap during a reload, so it frees the lock of a killed worker here.
    free_lock_of_the_dead();
  }
  return false;
}

void Node::free_lock_of_the_dead() {
  const Process* holder = machine_.find(lock_holder_);
  if (holder != nullptr && !holder->alive) {
    lock_holder_ = 0;
  }
}

// --- starts and reloads ---

void Node::start() {
  busy_ = true;
  machine_.say("start");
  ++boots_;
  auto config = configure();
  const std::size_t certificates = config->op->catalog.targets().size();
  size_ = script_.small_zone ? std::max(store::required_size(certificates + kGrowth, true), kSmallZone)
                             : store::default_size(certificates, script_.loads);
  memory_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  must(memory_ != MAP_FAILED, "mmap() failed");
  lock_holder_ = 0;
  must(open_zone(config.get(), true), "the zone cannot be opened");
  run_helper(*config);
  configs_.push_back(std::move(config));
  start_workers(configs_.back().get());
  busy_ = false;
}

void Node::reload(bool fails) {
  busy_ = true;
  machine_.say(fails ? "reload that fails" : "reload");
  auto config = configure();
  if (!open_zone(config.get(), false) || fails) {
    configs_.push_back(std::move(config));
    busy_ = false;
    return;
  }
  run_helper(*config);
  configs_.push_back(std::move(config));
  for (const auto& worker : workers_) {
    if (!worker->leaving) {
      worker->leaving = true;
      Worker* const old = worker.get();
      machine_.at(machine_.monotonic() + machine_.prng().between(1, 300), [this, old] { leave(old); });
    }
  }
  start_workers(configs_.back().get());
  busy_ = false;
}

void Node::run_helper(Config& config) {
  Process& helper = machine_.spawn();
  Context* const context = new Context{*this, &helper};  // a killed helper's ports are never destroyed
  if (helper_fuse_.points != 0) {
    helper.light_fuse(helper_fuse_.points, helper_fuse_.locked);
    helper_fuse_ = {};
  }
  const op_lock_ops_t lock = lock_for(context);
  const op_log_ops_t log = log_ops();
  last_helper_killed_ = !helper.run([&] {
    op_error_t error = {};
    (void)op_start(config.op, &log, &lock, helper.pid, script_.startup_wait, nullptr, &error);
  });
  machine_.end(helper);
  machine_.reap(helper.pid);
  free_lock_of_the_dead();
}

void Node::start_workers(Config* config) {
  for (std::uint32_t slot = 0; slot < script_.workers; ++slot) {
    start_worker(config, slot);
  }
  served_ = std::set<LeafNumber>(config->leaves.begin(), config->leaves.end());
  configured_ = served_;
  for (const ServerChain& chain : config->chains) {
    const std::vector<LeafNumber> sent = chains::certificates_of(chain);
    configured_.insert(sent.data(), sent.data() + (chain.stapled ? chains::stapleable(sent) : 0));
  }
}

void Node::start_worker(Config* config, std::uint32_t slot) {
  Process& process = machine_.spawn();
  workers_.push_back(std::unique_ptr<Worker>(new Worker{{*this, &process}, config, slot}));
  Worker* const worker = workers_.back().get();
  worker->stapler = std::make_unique<engine::Stapler>(config->op->catalog, config->op->settings, config->op->zone);
  process.run([&] {
    const op_host_ops_t host = host_ops();
    const op_lock_ops_t lock = lock_for(&worker->context);
    op_error_t error = {};
    worker->handle = op_worker_start(config->op, &host, &lock, process.pid, slot, &error);
    must(worker->handle != nullptr, error.text);
  });
}

// --- ends ---

// Simulates a graceful shutdown: the worker stops its work at once, but its connections may keep it alive for a
// while.
void Node::leave(Worker* worker) {
  Process* const process = worker->context.process;
  if (!process->alive) {
    return;
  }
  if (process->run([&] { op_worker_retire(worker->handle); })) {
    const std::int32_t pid = process->pid;
    machine_.at(machine_.monotonic() + machine_.prng().spread(1, 120000), [this, pid] { stop_worker(pid); });
  }
}

void Node::stop_worker(std::int32_t pid) {
  const auto found = std::find_if(workers_.begin(), workers_.end(),
                                  [pid](const auto& worker) { return worker->context.pid() == pid; });
  if (found == workers_.end() || !(*found)->context.process->alive) {
    return;
  }
  Process* const process = (*found)->context.process;
  op_worker_t* const handle = (*found)->handle;
  if (process->run([&] { op_worker_stop(handle); })) {
    machine_.end(*process);
    machine_.reap(pid);
    abandoned_.push_back(std::move(*found));
    workers_.erase(found);
  }
}

void Node::stop(bool graceful) {
  machine_.say(graceful ? "stop" : "all processes are killed");
  std::vector<std::int32_t> pids;
  for (const auto& worker : workers_) {
    pids.push_back(worker->context.pid());
  }
  for (const std::int32_t pid : pids) {
    if (graceful) {
      stop_worker(pid);
    }
    machine_.end(*machine_.find(pid));
    machine_.reap(pid);
  }
  for (auto& worker : workers_) {
    abandoned_.push_back(std::move(worker));
  }
  workers_.clear();
  served_.clear();
  configured_.clear();
  loaded_before_ = loaded();
  counted_before_ = counted();
  zone_.reset();
  munmap(memory_, size_);
  memory_ = nullptr;
}

void Node::kill_designated(std::int64_t points, bool locked) {
  Process* const process = machine_.find(designated());
  if (process != nullptr) {
    process->light_fuse(points, locked);
  }
}

void Node::killed(Process& process) {
  machine_.say(
      fmt::format("process {} is killed{}", process.pid, process.holds_lock ? ", the lock in its hand" : ""));
  const std::int32_t pid = process.pid;
  machine_.at(machine_.monotonic() + machine_.prng().spread(1, 200), [this, pid] { respawn(pid); });
}

// The master reaps a killed worker, frees its lock and starts a replacement, unless it is busy.
void Node::respawn(std::int32_t pid) {
  const auto found = std::find_if(workers_.begin(), workers_.end(),
                                  [pid](const auto& worker) { return worker->context.pid() == pid; });
  if (found == workers_.end()) {
    return;
  }
  if (busy_) {
    machine_.at(machine_.monotonic() + 50, [this, pid] { respawn(pid); });
    return;
  }
  const bool leaving = (*found)->leaving;
  Config* const config = (*found)->config;
  const std::uint32_t slot = (*found)->slot;
  abandoned_.push_back(std::move(*found));
  workers_.erase(found);
  free_lock_of_the_dead();
  machine_.reap(pid);
  if (!leaving) {
    start_worker(config, slot);
  }
}

// --- looking in ---

// --- handshakes ---

namespace {

// As OpenSSL keeps it. Without memory of its own that a killed process could leave in disorder.
struct Wire {
  ~Wire() { clear(0); }
  void clear(std::size_t rest) {
    for (; count > rest; --count) {
      std::free(staples[count - 1].der);
    }
  }
  const std::vector<x509_st*>& beside;
  std::size_t most = OP_MAX_STAPLES;
  std::array<op_response_t, OP_MAX_STAPLES> staples = {};
  std::size_t count = 0;
};

constexpr op_connection_ops_t kWire = {
    [](void* ctx, x509_st** to, std::size_t most) {
      const auto& beside = static_cast<Wire*>(ctx)->beside;
      return static_cast<std::size_t>(std::copy_n(beside.begin(), std::min(most, beside.size()), to) - to);
    },
    [](void* ctx, const op_response_t* responses, std::size_t count) {
      Wire& wire = *static_cast<Wire*>(ctx);
      wire.clear(0);
      std::copy_n(responses, count, wire.staples.begin());
      wire.count = count;
      if (count > wire.most) {
        wire.clear(1);
      }
      return wire.count;
    },
    std::malloc, std::free};

}  // namespace

// What the shim does. A kill may cut it short.
Node::Staple Node::greet(op_server_t* server, std::uint32_t slot, x509_st* leaf,
                         const std::vector<x509_st*>& beside) {
  Wire wire = {beside};
  ++hellos_;
  wire.most = hellos_ % 11 == 0 ? 1 : OP_MAX_STAPLES;
  op_hello_t hello = {};
  hello.ctx = &wire;
  hello.connection = &kWire;
  hello.leaf = leaf;
  hello.worker = slot;
  hello.now_s = machine_.wall();
  hello.monotonic_ms = machine_.monotonic();
  hello.tls13 = hellos_ % 4 == 0 ? 0 : 1;
  hello.foreign = hellos_ % 7 == 0 ? 1 : 0;
  op_decision_t decision = {};
  ++cut_short_;
  op_staple(server, &hello, &decision);
  --cut_short_;
  ++decided_[decision.outcome];
  decided_[kChain] += wire.count > 1 ? 1 : 0;
  if (hellos_ % 5 == 0 && decision.outcome != OP_REFUSED) {
    hello.memory = decision.memory;
    hello.foreign = hello.foreign != 0 || decision.outcome == OP_STAPLED ? 1 : 0;
    op_staple(server, &hello, &decision);
  }
  Staple staple;
  staple.outcome = decision.outcome;
  staple.foreign_set = hello.foreign != 0;
  if (decision.outcome == OP_STAPLED) {
    op_remembered_t remembered = {};
    op_recall(decision.memory, &remembered);
    staple.status = remembered.revoked != 0 ? Got::kRevoked : Got::kGood;
    staple.remembered = remembered.chain;
    staple.der.assign(wire.staples[0].der, wire.staples[0].der + wire.staples[0].len);
    for (std::size_t i = 1; i < wire.count; ++i) {
      staple.after.emplace_back(wire.staples[i].der, wire.staples[i].der + wire.staples[i].len);
    }
  }
  staple.staples_chain = hello.tls13 != 0 && script_.cas.stapleable && wire.most > 1;
  return staple;
}

Node::Staple Node::handshake(const Worker& worker, std::size_t server) {
  const Config& config = *worker.config;
  std::vector<LeafNumber> sent = chains::certificates_of(config.chains[server]);
  const bool other_chain = !sent.empty() && hellos_ % 13 == 0;
  if (other_chain) {
    sent.pop_back();
  }
  Staple staple =
      greet(config.servers[server], worker.slot, Pki::get().leaf(config.leaves[server]).get(), certificates_of(sent));
  staple.sent = std::move(sent);
  staple.staples_chain = staple.staples_chain && config.chains[server].stapled && !other_chain;
  return staple;
}

std::vector<Node::Staple> Node::handshake(LeafNumber leaf) {
  std::vector<Staple> staples;
  std::set<const Config*> seen;
  for (const auto& worker : workers_) {
    const auto& leaves = worker->config->leaves;
    const auto found = std::find(leaves.begin(), leaves.end(), leaf);
    if (found != leaves.end() && seen.insert(worker->config).second) {
      staples.push_back(handshake(*worker, static_cast<std::size_t>(found - leaves.begin())));
    }
  }
  return staples;
}

// The counters are disjoint; a handshake that a kill cut short may or may not have been counted.
Node::Decided Node::counted() const {
  Decided sum = counted_before_;
  if (zone_.has_value()) {
    const auto totals = store::handshake_totals(*zone_);
    const std::array<std::uint64_t, kChain + 1> now = {
        totals[store::Handshake::kStapled],
        totals[store::Handshake::kMissing] + totals[store::Handshake::kUnsupported],
        totals[store::Handshake::kForeign], totals[store::Handshake::kRefused],
        totals[store::Handshake::kChainStapled]};
    for (std::size_t i = 0; i < sum.size(); ++i) {
      sum[i] += static_cast<std::int64_t>(now[i]);
    }
  }
  return sum;
}

std::string Node::miscounted() const {
  static constexpr const char* kNames[] = {"stapled", "without a staple", "with a foreign one", "refused",
                                           "with staples of CA certificates"};
  const auto counted = this->counted();
  for (std::size_t i = 0; i < counted.size(); ++i) {
    if (counted[i] < decided_[i] || counted[i] > decided_[i] + cut_short_) {
      return fmt::format("(i) {} handshakes {}, of which {} were counted", decided_[i], kNames[i], counted[i]);
    }
  }
  return {};
}

// Returns the living workers in turn.
Node::Worker* Node::whose_turn(const Config* config) {
  std::vector<Worker*> living;
  for (const auto& worker : workers_) {
    if (worker->config == config && worker->context.process->alive) {
      living.push_back(worker.get());
    }
  }
  return living.empty() ? nullptr : living[next_worker_ % living.size()];
}

std::vector<Node::Shown> Node::show(LeafNumber leaf, Chain chain) {
  std::set<Config*> configs;
  for (const auto& worker : workers_) {
    configs.insert(worker->config);
  }
  std::vector<Shown> shown;
  ++next_worker_;
  for (const auto& config : configs_) {
    Worker* const worker = configs.count(config.get()) == 0 ? nullptr : whose_turn(config.get());
    if (worker == nullptr) {
      continue;
    }
    Shown one = show(worker, leaf, chain);
    if (worker->context.process->alive) {
      shown.push_back(std::move(one));
    } else {
      ++unseen_;
    }
  }
  return shown;
}

// Hands over what the shim does in a handshake whose certificate is not configured.
Node::Shown Node::show(Worker* worker, LeafNumber leaf, Chain chain) {
  Config& config = *worker->config;
  Process* const process = worker->context.process;
  Shown shown;
  shown.named = std::find(config.leaves.begin(), config.leaves.end(), leaf) != config.leaves.end();
  if (offering_fuse_ != 0 && !shown.named && !process->doomed()) {
    process->light_fuse(offering_fuse_, false);
    offering_fuse_ = 0;
    offering_ = process->pid;
  }
  x509_st* const certificate = Pki::get().leaf(leaf).get();
  std::vector<LeafNumber> sent;
  if (chain == Chain::kComplete && leaf < Pki::kForged) {
    sent = chains::certificates_of(wanted_chain(leaf));
  }
  const std::vector<x509_st*> beside = sent.empty() ? Pki::get().chain(leaf, chain) : certificates_of(sent);
  std::swap(config.op->stapler, worker->stapler);
  process->run([&] { shown.staple = greet(config.loading, worker->slot, certificate, beside); });
  std::swap(config.op->stapler, worker->stapler);
  shown.staple.sent = std::move(sent);
  return shown;
}

Node::Loaded Node::loaded() const {
  Loaded sum = loaded_before_;
  if (zone_.has_value()) {
    const auto count = [this](store::Counter::Kind what) {
      return static_cast<std::int64_t>(store::counted(*zone_, what));
    };
    sum.handed += count(store::Counter::kHanded);
    sum.dropped += count(store::Counter::kDropped);
    sum.taken += count(store::Counter::kTaken);
    sum.evicted += count(store::Counter::kEvicted);
    sum.ended += count(store::Counter::kEnded);
  }
  return sum;
}

std::int32_t Node::designated() const {
  if (!zone_.has_value()) {
    return 0;
  }
  const std::int32_t pid = store::lease_holder(*zone_).pid;
  const Process* process = machine_.find(pid);
  return process != nullptr && process->alive && !process->doomed() ? pid : 0;
}

// Under a bound each node has to come to it: heartbeats of several nodes are due one after the other.
bool Node::just_due(Seconds ahead) const {
  return script_.refresh != 0 && ahead <= 0 && ahead > -kJustDue;
}

// Reads the engine's own plan from the zone. An error here wastes time or shows up in the oracle as a late fetch; it
// cannot hide a fault of the engine.
Millis Node::quiet_until() const {
  Millis until = kQuietLimit;
  for (const LeafNumber leaf : configured_) {
    const store::EntryIndex entry = zone_->find(Pki::get().id(leaf));
    if (entry == store::kNoEntry) {
      return 0;
    }
    if (Pki::leaf_end(leaf) <= machine_.wall()) {
      continue;  // it is not fetched
    }
    const Seconds ahead = store::read_attempt(*zone_, entry).next - machine_.wall();
    if (ahead > 0 || just_due(ahead)) {
      until = std::min<Millis>(until, std::max<Seconds>(ahead, 0) * 1000);
      continue;
    }
    const auto held = zone_->peek(entry, Pki::get().id(leaf));
    const Seconds left = held.has_value() ? held->expires - machine_.wall() : 0;
    until = std::min(until, left > 0 ? std::min<Millis>(left * 1000 / 50, kLateLimit) : kLateLimit);
  }
  return machine_.monotonic() + (script_.loads ? quiet_loaded(until) : until);
}

// The same for certificates loaded per connection. A certificate without a known issuer is not fetched.
Millis Node::quiet_loaded(Millis until) const {
  const UnixSeconds wall = machine_.wall();
  for (store::EntryIndex entry = 0; entry < zone_->entries_used(); ++entry) {
    const auto state = store::per_connection_state(*zone_, entry);
    if (!state.has_value()) {
      continue;
    }
    const store::Attempt attempt = store::read_attempt(*zone_, entry);
    const auto can_fetch_issuer = [&] {
      return std::any_of(script_.shown.begin(), script_.shown.end(), [&](const sim::Shown& one) {
        return Pki::names_issuer(one.leaf) && Pki::get().id(one.leaf) == zone_->id(entry);
      });
    };
    if (attempt.next > wall || just_due(attempt.next - wall)) {
      until = std::min<Millis>(until, std::max<Seconds>(attempt.next - wall, 0) * 1000);
    } else if (state->has_issuer || attempt.at != 0 || can_fetch_issuer()) {
      until = std::min(until, kLateLimit);
    }
  }
  return until;
}

}  // namespace ocsp_plus::sim
