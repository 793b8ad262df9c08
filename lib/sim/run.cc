#include "sim/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/schedule.h"
#include "sim/ca.h"
#include "sim/directory.h"
#include "sim/fleet_store.h"
#include "sim/machine.h"
#include "sim/network.h"
#include "sim/node.h"
#include "sim/oracle.h"

namespace ocsp_plus::sim {
namespace {

constexpr Millis kAlert = 20000;   // no heartbeat is skipped for so long after an event
constexpr Millis kTakenIn = 3000;  // nor after a hand-over
constexpr Millis kBetweenShows = 700;
constexpr Seconds kShownEnded = 7200;
constexpr Millis kSettled = 60000;  // the time that connections to the shared store may take to come back
constexpr std::size_t kBytesEach = 4000;
constexpr std::size_t kBytesBeside = 2000000;

constexpr Seconds kForOthers = 3;  // that a node asks and publishes

// Invariant (c): requests per certificate and validity (at most seven days) in a calm run, without the start.
constexpr double kCalmFresh = 2.5;
constexpr double kCalmAdvance = 8;

// The responses of a certificate end with it: towards its end they are asked for more and more often. Of long runs
// this is a small part.
bool ends_soon(const Script& script, LeafNumber leaf) {
  const Practices practices = script.practices();
  const Practice& practice = practices[static_cast<std::size_t>(Pki::tier_of(leaf))];
  return Pki::leaf_end(leaf) < kEpoch + script.length / 1000 + practice.validity;
}

// Returns the requests for a certificate that ocsp_plus_refresh alone makes. A node that shares looks after seven
// eighths of the time.
double asked_by_bound(const Script& script, Seconds span) {
  return script.refresh == 0 ? 0 : 2 + 1.2 * static_cast<double>(span) / static_cast<double>(script.refresh);
}

// What all nodes of a run have in common.
struct Stage {
  Stage(const Script& script, const std::vector<const Script*>& scripts)
      : machine(script.seed * 31 + 7), ca(script.practices()), network(scripts, ca, machine.prng().split()) {
    if (script.shares) {
      store.emplace(machine, ca, script, machine.prng().split());
    }
  }
  Machine machine;
  Ca ca;
  Network network;
  std::optional<FleetStore> store;
  Figures figures;

  void fail(const std::string& what) {
    if (!figures.failed) {
      figures.failed = true;
      std::strncpy(figures.violation, what.c_str(), sizeof(figures.violation) - 1);
    }
  }
};

// One node with what belongs to it alone: its script, its directory, its oracle.
class Site {
 public:
  // `others_start`: whether another node's start runs, which this node's start must not interrupt.
  Site(const Script& script, Stage& stage, std::size_t number, std::function<bool()> others_start);
  void begin();
  void end();  // of the run: adds to the figures, and judges them

  // --- hooks ---
  void killed(Process& process);
  void asked(LeafNumber leaf) { oracle_.asked(leaf); }
  void answered(LeafNumber leaf, const Signed& response);
  void handshakes();
  std::int32_t designated() const { return machine_.monotonic() < alert_until_ ? 0 : node_.designated(); }
  Millis quiet_until() const { return node_.quiet_until(); }
  bool starting() const { return starting_; }
  const Node& node() const { return node_; }
  Oracle& oracle() { return oracle_; }
  void alert() {
    alert_until_ = machine_.monotonic() + kAlert;
    alerted_ = machine_.monotonic();
  }
  bool calm_for(Millis span) const { return node_.up() && machine_.monotonic() - alerted_ >= span; }

 private:
  void plan();
  void change();
  void happen(const Happening& happening);
  void boot();
  void reload(std::int64_t exchanged, bool fails);
  void halt(const Happening& happening);
  void clock(Seconds offset);
  void show_loaded();
  void show(LeafNumber leaf, Chain chain);
  void show_often(int times);
  std::vector<LeafNumber> shown_from(Millis from, Millis to) const;
  void flood(const Flood& flood, std::size_t done);
  LeafNumber forge(const Flood& flood, std::size_t done);
  void move(const Happening& happening);
  void revoke_ca(std::size_t number);
  void handshake_now_and_then();
  void count_requests();
  void count_in_calm(LeafNumber leaf, std::int64_t requests);
  void count_in_faults(LeafNumber leaf, std::int64_t requests);
  double periods(LeafNumber leaf) const;
  double allowed_in_faults(LeafNumber leaf) const;
  double excused(Millis span) const;
  Seconds longest_life() const;
  void fail(const std::string& what) { stage_.fail(what); }

  const Script& script_;
  Stage& stage_;
  Machine& machine_;
  Ca& ca_;
  Network& network_;
  const std::size_t number_;
  const std::function<bool()> others_start_;
  Directory directory_;
  Node node_;
  Oracle oracle_;
  Prng prng_;
  Figures& figures_;
  Millis alert_until_ = 0, alerted_ = 0;
  bool starting_ = false;
  LeafNumber next_leaf_;
  bool kill_at_answer_ = false;
  std::int64_t kill_points_ = 0;
  std::optional<Happening> kill_taking_;
  Millis last_shown_ = 0;
  LeafNumber next_forged_ = Pki::kForged;
};

Site::Site(const Script& script, Stage& stage, std::size_t number, std::function<bool()> others_start)
    : script_(script),
      stage_(stage),
      machine_(stage.machine),
      ca_(stage.ca),
      network_(stage.network),
      number_(number),
      others_start_(std::move(others_start)),
      directory_(script, number),
      node_(machine_, script),
      oracle_(machine_, script, ca_),
      prng_(machine_.prng().split()),
      figures_(stage.figures),
      next_leaf_(script.certificates) {
  plan();
}

void Site::killed(Process& process) {
  ++figures_.kills;
  figures_.offering_kills += node_.offering() == process.pid ? 1 : 0;
  figures_.kills_locked += process.holds_lock ? 1 : 0;
  node_.killed(process);
  oracle_.interrupted();
  alert();
}

void Site::answered(LeafNumber leaf, const Signed& response) {
  oracle_.delivered(leaf, response);
  if (kill_at_answer_ && machine_.current()->pid == node_.designated()) {
    kill_at_answer_ = false;
    node_.kill_designated(kill_points_, true);
  }
}

// Schedules the script's events.
void Site::plan() {
  const auto plan_for = [this](const std::vector<Conduct>& responder) {
    for (const Conduct& conduct : responder) {
      ++figures_.outages;
      machine_.at(conduct.from, [this] { change(); });
      machine_.at(conduct.to, [this] { change(); });
    }
  };
  for (const auto* responders : {&script_.responders, &script_.cas.lower_responders, &script_.cas.upper_responders}) {
    std::for_each(responders->begin(), responders->end(), plan_for);
  }
  plan_for(script_.issuer_server);
  for (const Shown& shown : script_.shown) {
    machine_.at(shown.from, [this] { show_often(40); });
    if (script_.small_zone) {
      machine_.at(shown.to, [this, &shown] { oracle_.lost(shown.leaf); });
    }
  }
  for (const Flood& one : script_.floods) {
    ++figures_.floods;
    machine_.at(one.from, [this, &one] {
      machine_.say("a flood begins");
      const auto in_use = shown_from(one.from, one.to());
      oracle_.flood_begins({in_use.begin(), in_use.end()});
      flood(one, 0);
    });
  }
  figures_.disk_faults += static_cast<std::int64_t>(script_.disk.size());
  for (const Happening& happening : script_.happenings) {
    machine_.at(happening.at, [this, &happening] { happen(happening); });
  }
}

void Site::change() {
  oracle_.conditions_change();
  alert();
}

// Two start helpers cannot run at once: each drives the machine from within its own stack.
void Site::boot() {
  if (others_start_()) {
    return machine_.at(machine_.monotonic() + 20, [this] { boot(); });
  }
  starting_ = true;
  oracle_.start_begins(true);
  node_.start();
  oracle_.start_ended(node_.configured(), node_.last_helper_killed());
  starting_ = false;
  alert();
  handshakes();
}

void Site::reload(std::int64_t exchanged, bool fails) {
  std::vector<LeafNumber>& wanted = node_.wanted();
  const std::vector<LeafNumber> before = wanted;
  for (; exchanged > 0; --exchanged) {
    wanted.push_back(next_leaf_++ % Pki::kLeaves);
    if (wanted.size() > 1 && prng_.chance(80)) {
      wanted.erase(wanted.begin() + prng_.between(0, static_cast<std::int64_t>(wanted.size()) - 2));
    }
  }
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  ++(fails ? figures_.failed_reloads : figures_.reloads);
  if (fails) {
    node_.reload(true);
    wanted = before;
    return;
  }
  starting_ = true;
  oracle_.start_begins(false);
  node_.reload(false);
  oracle_.start_ended(node_.configured(), node_.last_helper_killed());
  starting_ = false;
}

void Site::halt(const Happening& happening) {
  const bool cut = happening.what == Incident::kPowerCut;
  const bool graceful = happening.what == Incident::kRestart;
  ++(cut ? figures_.power_cuts : graceful ? figures_.restarts : figures_.crashes);
  oracle_.stopped(cut);
  node_.stop(graceful);
  if (cut) {
    directory_.cut_power(prng_);
  }
  if (happening.flag) {
    directory_.change_user();
  }
  machine_.at(machine_.monotonic() + happening.number, [this] { boot(); });
}

void Site::clock(Seconds offset) {
  ++figures_.jumps;
  machine_.say(fmt::format("the wall clock is off by {} s", offset));
  const UnixSeconds before = machine_.wall();
  machine_.set_offset(offset);
  oracle_.clock_set(before);
  handshakes();
}

void Site::happen(const Happening& happening) {
  alert();
  if (happening.what == Incident::kClock) {
    return clock(happening.number);
  }
  if (happening.what == Incident::kRevoke) {
    ++figures_.revocations;
    const auto& wanted = node_.wanted();
    const LeafNumber leaf = wanted[static_cast<std::size_t>(happening.number) % wanted.size()];
    machine_.say(fmt::format("certificate {} is revoked", leaf));
    return ca_.revoke(leaf, machine_.true_time());
  }
  if (happening.what == Incident::kRevokeCa) {
    return revoke_ca(static_cast<std::size_t>(happening.number));
  }
  if (happening.what == Incident::kRevokeLoaded) {
    ++figures_.revocations;
    const LeafNumber leaf = script_.shown[static_cast<std::size_t>(happening.number) % script_.shown.size()].leaf;
    machine_.say(fmt::format("certificate {} is revoked", leaf));
    return ca_.revoke(leaf, machine_.true_time());
  }
  if (node_.busy() || !node_.up() || others_start_()) {  // the master is busy or down
    machine_.at(machine_.monotonic() + 1000, [this, &happening] { happen(happening); });
    return;
  }
  switch (happening.what) {
    case Incident::kKill:
      kill_at_answer_ = happening.flag;
      kill_points_ = happening.number;
      if (!happening.flag) {
        node_.kill_designated(happening.number, false);
      }
      break;
    case Incident::kKillHelper:
      ++figures_.helper_kills;
      node_.kill_next_helper(happening.number, happening.flag);
      break;
    case Incident::kReload:
    case Incident::kFailedReload:
      reload(happening.number, happening.what == Incident::kFailedReload);
      alert();
      break;
    case Incident::kRenewCas:
      ++figures_.chain_renewals;
      node_.renew_cas(happening.number);
      if (!happening.flag) {
        reload(0, false);
        alert();
      }
      break;
    case Incident::kAdopt:
    case Incident::kRelease:
      move(happening);
      alert();
      break;
    case Incident::kKillOffering:
      node_.kill_next_offering(happening.number);
      break;
    case Incident::kKillTaking:
      kill_taking_ = happening;
      break;
    default:
      halt(happening);
  }
}

void Site::revoke_ca(std::size_t number) {
  const auto& wanted = node_.wanted();
  const ServerChain chain = node_.wanted_chain(wanted[number % 8 % wanted.size()]);
  const std::vector<LeafNumber> sent = chains::certificates_of(chain);
  if (const std::size_t stapleable = chains::stapleable(sent); stapleable != 0) {
    ++figures_.revocations;
    const LeafNumber ca = sent[number / 8 % stapleable];
    machine_.say(fmt::format("CA certificate {} is revoked", ca));
    ca_.revoke(ca, machine_.true_time());
  }
}

// Moves a certificate loaded per connection into the configuration, or out of it again.
void Site::move(const Happening& happening) {
  std::vector<LeafNumber>& wanted = node_.wanted();
  const auto number = static_cast<std::size_t>(happening.number);
  if (happening.what == Incident::kAdopt) {
    const LeafNumber leaf = script_.shown[number % script_.shown.size()].leaf;
    if (std::find(wanted.begin(), wanted.end(), leaf) != wanted.end()) {
      return;
    }
    ++figures_.moves;
    wanted.push_back(leaf);
    reload(0, happening.flag);
    if (happening.flag) {
      wanted.erase(std::find(wanted.begin(), wanted.end(), leaf));
      oracle_.disowned(leaf);
    }
    return;
  }
  // The node needs at least one certificate.
  const auto loaded =
      std::find_if(wanted.begin(), wanted.end(), [](LeafNumber leaf) { return leaf >= Pki::kLoaded; });
  if (loaded != wanted.end() && wanted.size() > 1) {
    ++figures_.moves;
    wanted.erase(loaded);
    reload(0, false);
  }
}

void Site::handshakes() {
  if (!node_.up()) {
    return;
  }
  for (const LeafNumber leaf : node_.served()) {
    for (const Node::Staple& staple : node_.handshake(leaf)) {
      oracle_.judge(leaf, staple);
    }
  }
  show_loaded();
}

void Site::handshake_now_and_then() {
  // Sometimes a client connects repeatedly.
  if (script_.loads && prng_.chance(script_.small_zone ? 3 : 2)) {
    show_often(script_.small_zone ? 40 : 2);
  }
  machine_.at(machine_.monotonic() + prng_.spread(1, script_.practice.validity * 200),
              [this] { handshake_now_and_then(); });
}

// --- certificates that are loaded per connection ---

std::vector<LeafNumber> Site::shown_from(Millis from, Millis to) const {
  std::vector<LeafNumber> leaves;
  for (const Shown& shown : script_.shown) {
    if (shown.from <= from && to < shown.to) {
      leaves.push_back(shown.leaf);
    }
  }
  return leaves;
}

void Site::show_loaded() {
  const Millis now = machine_.monotonic();
  if (now == last_shown_) {
    return;
  }
  last_shown_ = now;
  for (const Shown& shown : script_.shown) {
    // Servers do not use an expired certificate for long.
    if (shown.from <= now && now < shown.to && machine_.true_time() < Pki::leaf_end(shown.leaf) + kShownEnded) {
      show(shown.leaf, shown.chain);
    }
  }
}

void Site::show_often(int times) {
  if (times > 0) {
    machine_.at(machine_.monotonic() + kBetweenShows, [this, times] { show_often(times - 1); });
  }
}

void Site::show(LeafNumber leaf, Chain chain) {
  const std::int64_t handed = node_.loaded().handed;
  for (const Node::Shown& shown : node_.show(leaf, chain)) {
    ++figures_.shown;
    if (leaf >= Pki::kForged) {
      ++figures_.forged;
    } else if (!shown.named) {
      oracle_.shown(leaf);
    }
    oracle_.judge(leaf, shown.staple);
  }
  if (node_.loaded().handed == handed) {
    return;
  }
  alert_until_ = std::max(alert_until_, machine_.monotonic() + kTakenIn);
  if (kill_taking_.has_value()) {
    node_.kill_designated(kill_taking_->number, kill_taking_->flag);
    kill_taking_.reset();
  }
}

void Site::flood(const Flood& one, std::size_t done) {
  if (done == one.count) {
    machine_.say("the flood has ended");
    return oracle_.flood_ended();
  }
  if (node_.up()) {
    show(forge(one, done), Chain::kEmpty);
    if (done > 0 && prng_.chance(10)) {  // some forged ones are shown again, of this flood or of one before
      const auto others = std::min<std::int64_t>(static_cast<std::int64_t>(done),
                                                 static_cast<std::int64_t>(next_forged_ - Pki::kForged) - 1);
      show(next_forged_ - 1 - static_cast<LeafNumber>(prng_.between(0, others)), Chain::kEmpty);
    }
  }
  machine_.at(machine_.monotonic() + one.step, [this, &one, done] { flood(one, done + 1); });
}

// Forges a certificate with a configured or loaded one as twin, so that the twin's responder answers for it too.
LeafNumber Site::forge(const Flood& one, std::size_t done) {
  const bool insists = one.insisting > 0 && done % (one.count / one.insisting) == 0;
  const auto how = static_cast<Forgery>(insists ? prng_.between(3, 4) : prng_.between(0, 2));
  const auto& wanted = node_.wanted();
  const LeafNumber twin =
      prng_.chance(50)
          ? wanted[static_cast<std::size_t>(prng_.between(0, static_cast<std::int64_t>(wanted.size()) - 1))]
          : script_
                .shown[static_cast<std::size_t>(
                    prng_.between(0, static_cast<std::int64_t>(script_.shown.size()) - 1))]
                .leaf;
  Pki::get().forge(next_forged_, how, twin, script_.responders.size() == 2, machine_.true_time() + one.life);
  return next_forged_++;
}

void Site::begin() {
  machine_.set_offset(script_.offset);
  boot();
  handshake_now_and_then();
}

void Site::end() {
  figures_.handshakes += oracle_.judged();
  figures_.due += oracle_.strict();
  figures_.bare += oracle_.bare();
  figures_.refused += oracle_.refused();
  figures_.omitted += oracle_.omitted();
  figures_.shown_due += oracle_.strict_loaded();
  figures_.chain_stapled += oracle_.chained().count;
  figures_.chain_loaded += oracle_.chained().loaded;
  figures_.chain_due += oracle_.chained().due;
  figures_.chain_revoked += oracle_.chained().revoked;
  const Oracle::Noticed& noticed = oracle_.noticed();
  if (script_.refresh != 0) {
    figures_.noticed += noticed.count;
    figures_.late =
        std::max(figures_.late, static_cast<double>(noticed.longest) / static_cast<double>(script_.refresh));
  } else {
    figures_.noticed_unbound += noticed.count;
    figures_.early = std::max(figures_.early, static_cast<double>(noticed.longest) / 3600);
  }
  const Node::Loaded loaded = node_.loaded();
  figures_.handed += loaded.handed;
  figures_.dropped += loaded.dropped;
  figures_.taken += loaded.taken;
  figures_.evicted += loaded.evicted;
  figures_.ended += loaded.ended;
  for (const auto& [leaf, requests] : network_.issuer_requests(number_)) {
    figures_.issuer_requests += requests;
  }
  if (!oracle_.violation().empty()) {
    fail(oracle_.violation());
  } else if (const std::string wrong = node_.miscounted(); !wrong.empty()) {
    fail(wrong);
  } else if (const std::int64_t unjudged = node_.chain_stapled() - oracle_.chained().count;
             unjudged < 0 || unjudged > node_.unseen()) {
    fail(fmt::format("(p) {} handshakes had staples of CA certificates, of which the oracle judged {}",
                     node_.chain_stapled(), oracle_.chained().count));
  }
  count_requests();
}

// --- invariant (c) ---

void Site::count_requests() {
  for (const auto* all : {&network_.requests(number_), &network_.issuer_requests(number_)}) {
    for (const auto& [leaf, requests] : *all) {
      if (script_.shares && ends_soon(script_, leaf)) {
        continue;
      }
      if (script_.calm) {
        count_in_calm(leaf, requests);
      } else {
        count_in_faults(leaf, requests);
      }
    }
  }
}

// Returns for how many validities the run lasted.
double Site::periods(LeafNumber leaf) const {
  return static_cast<double>(figures_.seconds) /
         static_cast<double>(std::min<Seconds>(ca_.practice(leaf).validity, 7 * 86400));
}

void Site::count_in_calm(LeafNumber leaf, std::int64_t requests) {
  // The start helper asks for CA certificates' responses without waiting for them: its end may cut their requests
  // off.
  const int start = Pki::is_ca(leaf) && script_.startup_wait > 0 ? 2 : 1;
  const double rate =
      (static_cast<double>(requests - start) - asked_by_bound(script_, figures_.seconds)) / periods(leaf);
  const bool fresh = ca_.practice(leaf).resign == 0;
  double& most = fresh ? figures_.calm_fresh : figures_.calm_advance;
  most = std::max(most, rate);
  if (rate > (fresh ? kCalmFresh : kCalmAdvance)) {
    fail(fmt::format("(c) {:.2f} requests per validity for certificate {} in calm", rate, leaf));
  }
}

// A forged certificate fails for all its life.
void Site::count_in_faults(LeafNumber leaf, std::int64_t requests) {
  const double allowed = leaf >= Pki::kForged ? excused(1000 * longest_life()) : allowed_in_faults(leaf);
  const double part = static_cast<double>(requests) / allowed;
  figures_.faults = std::max(figures_.faults, part);
  if (part > 1) {
    fail(fmt::format("(c) {} requests for certificate {}, {:.1f} times what faults excuse", requests, leaf, part));
  }
}

Seconds Site::longest_life() const {
  Seconds longest = 0;
  for (const Flood& one : script_.floods) {
    longest = std::max(longest, one.life);
  }
  return longest;
}

// Returns the requests that a fault of that length excuses: the back-off from the shortest to the longest pause, the
// shorter pauses towards the end of the held response, then attempts at the back-off's mean distance.
double Site::excused(Millis span) const {
  // Without a response the longest pause is two minutes.
  Seconds longest = std::min<Seconds>(script_.retry_max, 120);
  if (script_.refresh != 0) {
    longest = std::min(longest, std::max(script_.refresh, script_.retry_min));
  }
  return 40 + static_cast<double>(span) / 1000 / (0.3 * static_cast<double>(longest));
}

// Returns the sum of a calm run's requests, those that faults excuse, and a few per start of a process.
double Site::allowed_in_faults(LeafNumber leaf) const {
  double allowed = 5 + (ca_.practice(leaf).resign == 0 ? kCalmFresh : kCalmAdvance) * periods(leaf) +
                   asked_by_bound(script_, figures_.seconds);
  const auto excuse = [&](Millis from, Millis to) { allowed += excused(to - from); };
  for (const auto& responder : script_.responders_of(leaf)) {
    for (const Conduct& conduct : responder) {
      excuse(conduct.from, conduct.to);
    }
  }
  for (const Conduct& conduct : script_.issuer_server) {
    excuse(conduct.from, conduct.to);
  }
  // With a wrong clock honest answers seem from the future, or old: then the next attempt comes after an eighth of
  // what seems to be left.
  const auto excuse_clock = [&](Millis from, Millis to, Seconds ahead) {
    excuse(from, to);
    const Seconds left = ca_.practice(leaf).validity - ahead;
    if (ahead > 0 && left > 0) {
      allowed += static_cast<double>(to - from) / 1000 / static_cast<double>(std::max(left / 8, script_.retry_min));
    }
  };
  Millis wrong_since = Machine::kBoot;
  Seconds ahead = script_.offset;
  for (const Happening& happening : script_.happenings) {
    if (happening.what == Incident::kClock) {
      if (ahead != 0) {
        excuse_clock(wrong_since, happening.at, ahead);
      }
      wrong_since = happening.at;
      ahead = happening.number;
    }
  }
  if (ahead != 0 && script_.shares) {
    excuse_clock(wrong_since, Machine::kBoot + script_.length, ahead);
  }
  return allowed + 10 * static_cast<double>(script_.happenings.size() + script_.floods.size() + script_.shown.size());
}

// A run: its nodes on their stage.
class World {
 public:
  World(const std::vector<const Script*>& scripts, const Narrator& narrator);
  Figures live();

 private:
  void hook(const Narrator& narrator);
  void stored(const Signed* before, const Signed& after);
  void judge_fleet();
  bool starting() const {
    return std::any_of(sites_.begin(), sites_.end(), [](const auto& site) { return site->starting(); });
  }
  Site& here() { return *sites_[stage_.machine.node()]; }
  bool broken() const {
    return stage_.figures.failed || std::any_of(sites_.begin(), sites_.end(),
                                                [](const auto& site) { return !site->oracle().violation().empty(); });
  }

  const std::vector<const Script*> scripts_;
  Stage stage_;
  std::vector<std::unique_ptr<Site>> sites_;
};

World::World(const std::vector<const Script*>& scripts, const Narrator& narrator)
    : scripts_(scripts), stage_(*scripts.front(), scripts) {
  hook(narrator);
  for (std::size_t i = 0; i < scripts.size(); ++i) {
    const Machine::OnNode on(stage_.machine, i);
    sites_.push_back(std::make_unique<Site>(*scripts[i], stage_, i, [this] { return starting(); }));
  }
}

void World::hook(const Narrator& narrator) {
  Machine& machine = stage_.machine;
  if (narrator) {
    machine.narrator = [this, narrator](std::string_view line) {
      narrator(fmt::format("{:.3f} {}{}", static_cast<double>(stage_.machine.monotonic() - Machine::kBoot) / 1000,
                           sites_.size() > 1 ? fmt::format("node {}: ", stage_.machine.node()) : "", line));
    };
  }
  machine.on_killed = [this](Process& process) {
    const Machine::OnNode on(stage_.machine, process.node);
    here().killed(process);
  };
  machine.after_event = [this] { here().handshakes(); };
  machine.designated = [this] {
    std::vector<std::int32_t> pids;
    for (const auto& site : sites_) {
      if (!site->node().up() && !site->starting()) {
        continue;
      }
      const std::int32_t pid = site->designated();
      if (pid == 0) {
        return std::vector<std::int32_t>();
      }
      pids.push_back(pid);
    }
    return pids;
  };
  machine.quiet_until = [this] {
    Millis until = INT64_MAX;
    for (std::size_t i = 0; i < sites_.size(); ++i) {
      const Machine::OnNode on(stage_.machine, i);
      until = sites_[i]->node().up() ? std::min(until, sites_[i]->quiet_until()) : until;
    }
    return until;
  };
  stage_.network.on_request = [this](LeafNumber leaf) { here().asked(leaf); };
  stage_.network.on_honest = [this](LeafNumber leaf, const Signed& response) { here().answered(leaf, response); };
  if (stage_.store.has_value()) {
    stage_.store->on_stored = [this](const Signed* before, const Signed& after) { stored(before, after); };
    stage_.store->on_change = [this] {
      for (const auto& site : sites_) {
        site->oracle().fleet_is_troubled();
        site->alert();
      }
    };
  }
}

void World::stored(const Signed* before, const Signed& after) {
  const bool same = before != nullptr && before->leaf == after.leaf && before->end > stage_.machine.true_time();
  if (same && before->this_update > after.this_update && (before->revoked || !after.revoked)) {
    stage_.fail(fmt::format("(m) certificate {}: the response of {} in the store was replaced by that of {}",
                            after.leaf, to_rfc3339(before->this_update), to_rfc3339(after.this_update)));
  }
  for (std::size_t i = 0; after.revoked && i < sites_.size(); ++i) {
    if (stage_.store->calm_for(kSettled) && sites_[i]->calm_for(kSettled)) {
      const Machine::OnNode on(stage_.machine, i);
      sites_[i]->oracle().fleet_knows(after.leaf, after);
    }
  }
}

// (j) In calm a fleet makes no more requests for a certificate than one node alone may, and one more. Where responses
// are made in advance it may make a fifth more: each of many looks comes with the first of the nodes whose time has
// come. (m) What the store holds is bounded. (n) The fleet begins a bounded number of requests with a host within two
// seconds, beside a probe of each node.
void World::judge_fleet() {
  const Script& script = *scripts_.front();
  const FleetStore::Counts& counts = stage_.store->counts();
  Figures& figures = stage_.figures;
  figures.fleets = 1;
  figures.fleet_nodes = static_cast<std::int64_t>(sites_.size());
  figures.fleet_seconds = figures.seconds * figures.fleet_nodes;
  figures.fleet_due = figures.due;
  figures.looks = counts.looks;
  figures.from_store = counts.responses;
  figures.leases = counts.leases;
  figures.elsewhere = counts.elsewhere;
  figures.published = counts.published;
  figures.not_newer = counts.refused;
  std::copy(counts.deeds.begin(), counts.deeds.end(), figures.store_deeds);
  std::vector<LeafNumber> numbers = script.cas.servers.empty() ? std::vector<LeafNumber>() : chains::all();
  for (LeafNumber leaf = 0; leaf < script.certificates; ++leaf) {
    numbers.push_back(leaf);
  }
  for (const LeafNumber leaf : numbers) {
    if (!script.calm || ends_soon(script, leaf)) {
      continue;
    }
    const Practice& practice = stage_.ca.practice(leaf);
    const double periods =
        static_cast<double>(figures.seconds) / static_cast<double>(std::min<Seconds>(practice.validity, 7 * 86400));
    std::int64_t requests = 0;
    for (std::size_t i = 0; i < sites_.size(); ++i) {
      const auto& all = stage_.network.requests(i);
      const auto found = all.find(leaf);
      requests += found == all.end() ? 0 : found->second;
    }
    // Under a bound other nodes' words do not count where responses are made in advance, and there is no time to wait
    // for them under the shortest.
    const bool each = practice.resign != 0 || engine::turns_of_fleet(script.refresh) + kForOthers > script.refresh;
    const double alone = 2 + (practice.resign == 0 ? kCalmFresh : 1.2 * kCalmAdvance) * periods +
                         asked_by_bound(script, figures.seconds) * (each ? static_cast<double>(sites_.size()) : 1);
    figures.calm_fleet = std::max(figures.calm_fleet, static_cast<double>(requests) / alone);
    if (static_cast<double>(requests) > alone) {
      stage_.fail(
          fmt::format("(j) {} requests of {} nodes for certificate {} in calm, where one node alone makes {:.1f}",
                      requests, sites_.size(), leaf, alone));
    }
  }
  if (counts.most_bytes > script.certificates * 8 * kBytesEach + kBytesBeside) {
    stage_.fail(fmt::format("(m) {} bytes in the store", counts.most_bytes));
  }
  if (stage_.network.most_begun() > kMostBegun + 2 * sites_.size()) {
    stage_.fail(
        fmt::format("(n) {} requests with one responder were begun in two seconds", stage_.network.most_begun()));
  }
}

Figures World::live() {
  const Script& script = *scripts_.front();
  Figures& figures = stage_.figures;
  for (std::size_t i = 0; i < sites_.size(); ++i) {
    const Machine::OnNode on(stage_.machine, i);
    sites_[i]->begin();
  }
  const Millis end = Machine::kBoot + script.length;
  while (!broken() && stage_.machine.step(end)) {
  }
  figures.runs = 1;
  figures.calm_runs = script.calm ? 1 : 0;
  figures.lie_runs = stage_.network.counts().lies > 0 ? 1 : 0;
  figures.jump_runs = figures.jumps > 0 ? 1 : 0;
  figures.kill_runs = figures.kills > 0 ? 1 : 0;
  figures.bound_runs = script.refresh != 0 ? 1 : 0;
  figures.loaded_runs = figures.shown > 0 ? 1 : 0;
  figures.chain_runs = script.cas.servers.empty() ? 0 : 1;
  figures.seconds = (stage_.machine.monotonic() - Machine::kBoot) / 1000;
  figures.requests = stage_.network.counts().requests;
  figures.lies = stage_.network.counts().lies;
  figures.failures = stage_.network.counts().failures;
  for (std::size_t i = 0; i < sites_.size(); ++i) {
    const Machine::OnNode on(stage_.machine, i);
    sites_[i]->end();
  }
  figures.digest = stage_.machine.digest();
  if (stage_.store.has_value()) {
    judge_fleet();
  }
  figures.seconds *= static_cast<std::int64_t>(sites_.size());
  return figures;
}

}  // namespace

Figures run(const Script& script, const Narrator& narrator) {
  return run_nodes({script}, narrator);
}

Figures run_nodes(const std::vector<Script>& scripts, const Narrator& narrator) {
  try {
    std::vector<const Script*> all;
    for (const Script& script : scripts) {
      all.push_back(&script);
    }
    return (new World(all, narrator))->live();  // never destroyed: killed processes still point into it
  } catch (const std::exception& error) {
    Figures figures;
    figures.runs = 1;
    figures.failed = true;
    std::strncpy(figures.violation, error.what(), sizeof(figures.violation) - 1);
    return figures;
  }
}

void Figures::add(const Figures& other) {
  for (const auto member : {&Figures::runs,
                            &Figures::calm_runs,
                            &Figures::lie_runs,
                            &Figures::jump_runs,
                            &Figures::kill_runs,
                            &Figures::seconds,
                            &Figures::handshakes,
                            &Figures::due,
                            &Figures::bare,
                            &Figures::requests,
                            &Figures::lies,
                            &Figures::failures,
                            &Figures::outages,
                            &Figures::disk_faults,
                            &Figures::jumps,
                            &Figures::kills,
                            &Figures::kills_locked,
                            &Figures::helper_kills,
                            &Figures::reloads,
                            &Figures::failed_reloads,
                            &Figures::restarts,
                            &Figures::crashes,
                            &Figures::power_cuts,
                            &Figures::revocations,
                            &Figures::loaded_runs,
                            &Figures::shown_due,
                            &Figures::shown,
                            &Figures::forged,
                            &Figures::floods,
                            &Figures::moves,
                            &Figures::offering_kills,
                            &Figures::handed,
                            &Figures::dropped,
                            &Figures::taken,
                            &Figures::evicted,
                            &Figures::ended,
                            &Figures::issuer_requests,
                            &Figures::chain_runs,
                            &Figures::chain_stapled,
                            &Figures::chain_due,
                            &Figures::chain_loaded,
                            &Figures::chain_revoked,
                            &Figures::chain_renewals,
                            &Figures::bound_runs,
                            &Figures::noticed,
                            &Figures::noticed_unbound,
                            &Figures::refused,
                            &Figures::omitted,
                            &Figures::fleets,
                            &Figures::fleet_nodes,
                            &Figures::fleet_seconds,
                            &Figures::fleet_due,
                            &Figures::looks,
                            &Figures::from_store,
                            &Figures::leases,
                            &Figures::elsewhere,
                            &Figures::published,
                            &Figures::not_newer}) {
    this->*member += other.*member;
  }
  for (const auto member :
       {&Figures::calm_fresh, &Figures::calm_advance, &Figures::faults, &Figures::peak, &Figures::restart_peak,
        &Figures::fleet_peak, &Figures::calm_fleet, &Figures::late, &Figures::early, &Figures::bound_peak}) {
    this->*member = std::max(this->*member, other.*member);
  }
  for (std::size_t i = 0; i < std::size(store_deeds); ++i) {
    store_deeds[i] += other.store_deeds[i];
  }
}

}  // namespace ocsp_plus::sim
