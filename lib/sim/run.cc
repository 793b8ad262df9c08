#include "sim/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sim/ca.h"
#include "sim/directory.h"
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

// Invariant (c): requests per certificate and validity (at most seven days) in a calm run, without the start.
constexpr double kCalmFresh = 2.5;
constexpr double kCalmAdvance = 8;

class World {
 public:
  World(const Script& script, const Narrator& narrator);
  Figures live();

 private:
  void hook(const Narrator& narrator);
  void plan();
  void change();
  void happen(const Happening& happening);
  void boot();
  void reload(std::int64_t exchanged, bool fails);
  void halt(const Happening& happening);
  void clock(Seconds offset);
  void handshakes();
  void show_loaded();
  void show(LeafNumber leaf, Chain chain);
  void show_often(int times);
  std::vector<LeafNumber> shown_from(Millis from, Millis to) const;
  void flood(const Flood& flood, std::size_t done);
  LeafNumber forge(const Flood& flood, std::size_t done);
  void move(const Happening& happening);
  void handshake_now_and_then();
  void count_requests();
  void count_in_calm(LeafNumber leaf, std::int64_t requests, double periods);
  void count_in_faults(LeafNumber leaf, std::int64_t requests, double periods);
  double allowed_in_faults(double periods) const;
  double excused(Millis span) const;
  Seconds longest_life() const;
  void fail(const std::string& what);

  const Script& script_;
  Machine machine_;
  Ca ca_;
  Network network_;
  Directory directory_;
  Node node_;
  Oracle oracle_;
  Prng prng_;
  Figures figures_;
  Millis alert_until_ = 0;
  LeafNumber next_leaf_;
  bool kill_at_answer_ = false;
  std::int64_t kill_points_ = 0;
  std::optional<Happening> kill_taking_;
  Millis last_shown_ = 0;
  LeafNumber next_forged_ = Pki::kForged;
};

World::World(const Script& script, const Narrator& narrator)
    : script_(script),
      machine_(script.seed * 31 + 7),
      ca_(script.practice),
      network_(script, ca_, machine_.prng().split()),
      directory_(script),
      node_(machine_, script),
      oracle_(machine_, script, ca_),
      prng_(machine_.prng().split()),
      next_leaf_(script.certificates) {
  hook(narrator);
  plan();
}

void World::hook(const Narrator& narrator) {
  if (narrator) {
    machine_.narrator = [this, narrator](std::string_view line) {
      narrator(fmt::format("{:.3f} {}", static_cast<double>(machine_.monotonic() - Machine::kBoot) / 1000, line));
    };
  }
  machine_.on_killed = [this](Process& process) {
    ++figures_.kills;
    figures_.offering_kills += node_.offering() == process.pid ? 1 : 0;
    figures_.kills_locked += process.holds_lock ? 1 : 0;
    node_.killed(process);
    oracle_.interrupted();
    alert_until_ = machine_.monotonic() + kAlert;
  };
  machine_.after_event = [this] { handshakes(); };
  machine_.designated = [this] { return machine_.monotonic() < alert_until_ ? 0 : node_.designated(); };
  machine_.quiet_until = [this] { return node_.quiet_until(); };
  network_.on_request = [this](LeafNumber leaf) { oracle_.asked(leaf); };
  network_.on_honest = [this](LeafNumber leaf, const Signed& response) {
    oracle_.delivered(leaf, response);
    if (kill_at_answer_ && machine_.current()->pid == node_.designated()) {
      kill_at_answer_ = false;
      node_.kill_designated(kill_points_, true);
    }
  };
}

// Schedules the script's events.
void World::plan() {
  for (const auto& responder : script_.responders) {
    for (const Conduct& conduct : responder) {
      ++figures_.outages;
      machine_.at(conduct.from, [this] { change(); });
      machine_.at(conduct.to, [this] { change(); });
    }
  }
  for (const Conduct& conduct : script_.issuer_server) {
    ++figures_.outages;
    machine_.at(conduct.from, [this] { change(); });
    machine_.at(conduct.to, [this] { change(); });
  }
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
  figures_.disk_faults = static_cast<std::int64_t>(script_.disk.size());
  for (const Happening& happening : script_.happenings) {
    machine_.at(happening.at, [this, &happening] { happen(happening); });
  }
}

void World::change() {
  oracle_.conditions_change();
  alert_until_ = machine_.monotonic() + kAlert;
}

void World::boot() {
  oracle_.start_begins(true);
  node_.start();
  oracle_.start_ended(node_.served(), node_.last_helper_killed());
  alert_until_ = machine_.monotonic() + kAlert;
  handshakes();
}

void World::reload(std::int64_t exchanged, bool fails) {
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
  oracle_.start_begins(false);
  node_.reload(false);
  oracle_.start_ended(node_.served(), node_.last_helper_killed());
}

void World::halt(const Happening& happening) {
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

void World::clock(Seconds offset) {
  ++figures_.jumps;
  machine_.say(fmt::format("the wall clock is off by {} s", offset));
  const UnixSeconds before = machine_.wall();
  machine_.set_offset(offset);
  oracle_.clock_set(before);
  handshakes();
}

void World::happen(const Happening& happening) {
  alert_until_ = machine_.monotonic() + kAlert;
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
  if (happening.what == Incident::kRevokeLoaded) {
    ++figures_.revocations;
    const LeafNumber leaf = script_.shown[static_cast<std::size_t>(happening.number) % script_.shown.size()].leaf;
    machine_.say(fmt::format("certificate {} is revoked", leaf));
    return ca_.revoke(leaf, machine_.true_time());
  }
  if (node_.busy() || !node_.up()) {  // the master is busy or down
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
      alert_until_ = machine_.monotonic() + kAlert;
      break;
    case Incident::kAdopt:
    case Incident::kRelease:
      move(happening);
      alert_until_ = machine_.monotonic() + kAlert;
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

// Moves a certificate loaded per connection into the configuration, or out of it again.
void World::move(const Happening& happening) {
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

void World::handshakes() {
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

void World::handshake_now_and_then() {
  // Sometimes a client connects repeatedly.
  if (script_.loads && prng_.chance(script_.small_zone ? 3 : 2)) {
    show_often(script_.small_zone ? 40 : 2);
  }
  machine_.at(machine_.monotonic() + prng_.spread(1, script_.practice.validity * 200),
              [this] { handshake_now_and_then(); });
}

// --- certificates that are loaded per connection ---

std::vector<LeafNumber> World::shown_from(Millis from, Millis to) const {
  std::vector<LeafNumber> leaves;
  for (const Shown& shown : script_.shown) {
    if (shown.from <= from && to < shown.to) {
      leaves.push_back(shown.leaf);
    }
  }
  return leaves;
}

void World::show_loaded() {
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

void World::show_often(int times) {
  if (times > 0) {
    machine_.at(machine_.monotonic() + kBetweenShows, [this, times] { show_often(times - 1); });
  }
}

void World::show(LeafNumber leaf, Chain chain) {
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

void World::flood(const Flood& one, std::size_t done) {
  if (done == one.count) {
    machine_.say("the flood has ended");
    return oracle_.flood_ended();
  }
  if (node_.up()) {
    show(forge(one, done), Chain::kEmpty);
    if (done > 0 && prng_.chance(10)) {  // some forged ones are shown again
      show(next_forged_ - 1 - static_cast<LeafNumber>(prng_.between(0, static_cast<std::int64_t>(done))),
           Chain::kEmpty);
    }
  }
  machine_.at(machine_.monotonic() + one.step, [this, &one, done] { flood(one, done + 1); });
}

// Forges a certificate with a configured or loaded one as twin, so that the twin's responder answers for it too.
LeafNumber World::forge(const Flood& one, std::size_t done) {
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

Figures World::live() {
  boot();
  handshake_now_and_then();
  const Millis end = Machine::kBoot + script_.length;
  while (oracle_.violation().empty() && machine_.step(end)) {
  }
  figures_.runs = 1;
  figures_.calm_runs = script_.calm ? 1 : 0;
  figures_.lie_runs = network_.counts().lies > 0 ? 1 : 0;
  figures_.jump_runs = figures_.jumps > 0 ? 1 : 0;
  figures_.kill_runs = figures_.kills > 0 ? 1 : 0;
  figures_.seconds = (machine_.monotonic() - Machine::kBoot) / 1000;
  figures_.handshakes = oracle_.judged();
  figures_.due = oracle_.strict();
  figures_.bare = oracle_.bare();
  figures_.refused = oracle_.refused();
  figures_.omitted = oracle_.omitted();
  figures_.requests = network_.counts().requests;
  figures_.lies = network_.counts().lies;
  figures_.failures = network_.counts().failures;
  figures_.shown_due = oracle_.strict_loaded();
  figures_.loaded_runs = figures_.shown > 0 ? 1 : 0;
  const Node::Loaded loaded = node_.loaded();
  figures_.handed = loaded.handed;
  figures_.dropped = loaded.dropped;
  figures_.taken = loaded.taken;
  figures_.evicted = loaded.evicted;
  figures_.ended = loaded.ended;
  for (const auto& [leaf, requests] : network_.issuer_requests()) {
    figures_.issuer_requests += requests;
  }
  figures_.digest = machine_.digest();
  if (!oracle_.violation().empty()) {
    fail(oracle_.violation());
  } else if (const std::string wrong = node_.miscounted(); !wrong.empty()) {
    fail(wrong);
  }
  count_requests();
  return figures_;
}

// --- invariant (c) ---

void World::count_requests() {
  const Seconds validity = std::min<Seconds>(script_.practice.validity, 7 * 86400);
  const double periods = static_cast<double>(figures_.seconds) / static_cast<double>(validity);
  for (const auto* all : {&network_.requests(), &network_.issuer_requests()}) {
    for (const auto& [leaf, requests] : *all) {
      if (script_.calm) {
        count_in_calm(leaf, requests, periods);
      } else {
        count_in_faults(leaf, requests, periods);
      }
    }
  }
}

void World::count_in_calm(LeafNumber leaf, std::int64_t requests, double periods) {
  const double rate = static_cast<double>(requests - 1) / periods;
  const bool fresh = script_.practice.resign == 0;
  double& most = fresh ? figures_.calm_fresh : figures_.calm_advance;
  most = std::max(most, rate);
  if (rate > (fresh ? kCalmFresh : kCalmAdvance)) {
    fail(fmt::format("(c) {:.2f} requests per validity for certificate {} in calm", rate, leaf));
  }
}

// A forged certificate fails for all its life.
void World::count_in_faults(LeafNumber leaf, std::int64_t requests, double periods) {
  const double allowed = leaf >= Pki::kForged ? excused(1000 * longest_life()) : allowed_in_faults(periods);
  const double part = static_cast<double>(requests) / allowed;
  figures_.faults = std::max(figures_.faults, part);
  if (part > 1) {
    fail(fmt::format("(c) {} requests for certificate {}, {:.1f} times what faults excuse", requests, leaf, part));
  }
}

Seconds World::longest_life() const {
  Seconds longest = 0;
  for (const Flood& one : script_.floods) {
    longest = std::max(longest, one.life);
  }
  return longest;
}

// Returns the requests that a fault of that length excuses: the back-off from the shortest to the longest pause, the
// shorter pauses towards the end of the held response, then attempts at the back-off's mean distance.
double World::excused(Millis span) const {
  // Without a response the longest pause is two minutes.
  const Seconds longest = std::min<Seconds>(script_.retry_max, 120);
  return 40 + static_cast<double>(span) / 1000 / (0.3 * static_cast<double>(longest));
}

// Returns the sum of a calm run's requests, those that faults excuse, and a few per start of a process.
double World::allowed_in_faults(double periods) const {
  double allowed = 5 + (script_.practice.resign == 0 ? kCalmFresh : kCalmAdvance) * periods;
  const auto excuse = [&](Millis from, Millis to) { allowed += excused(to - from); };
  for (const auto& responder : script_.responders) {
    for (const Conduct& conduct : responder) {
      excuse(conduct.from, conduct.to);
    }
  }
  for (const Conduct& conduct : script_.issuer_server) {
    excuse(conduct.from, conduct.to);
  }
  Millis wrong_since = 0;  // with a wrong clock honest answers seem old or from the future
  for (const Happening& happening : script_.happenings) {
    if (happening.what == Incident::kClock) {
      if (wrong_since != 0) {
        excuse(wrong_since, happening.at);
      }
      wrong_since = happening.number == 0 ? 0 : happening.at;
    }
  }
  return allowed + 10 * static_cast<double>(script_.happenings.size() + script_.floods.size() + script_.shown.size());
}

void World::fail(const std::string& what) {
  if (!figures_.failed) {
    figures_.failed = true;
    std::strncpy(figures_.violation, what.c_str(), sizeof(figures_.violation) - 1);
  }
}

}  // namespace

Figures run(const Script& script, const Narrator& narrator) {
  try {
    return (new World(script, narrator))->live();  // never destroyed: killed processes still point into it
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
                            &Figures::refused,
                            &Figures::omitted}) {
    this->*member += other.*member;
  }
  for (const auto member : {&Figures::calm_fresh, &Figures::calm_advance, &Figures::faults, &Figures::peak,
                            &Figures::restart_peak, &Figures::fleet_peak}) {
    this->*member = std::max(this->*member, other.*member);
  }
}

}  // namespace ocsp_plus::sim
