#include "sim/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <set>
#include <string>

#include "sim/ca.h"
#include "sim/folder.h"
#include "sim/machine.h"
#include "sim/network.h"
#include "sim/node.h"
#include "sim/oracle.h"

namespace ocsp_plus::sim {
namespace {

constexpr Millis kAlert = 20000;  // after something happened no beat is left out

// Invariant (c), requests per certificate and validity (of seven days at the most) in calm, the start not counted.
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
  void handshake_now_and_then();
  void count_requests();
  double allowed_in_faults(double periods) const;
  void fail(const std::string& what);

  const Script& script_;
  Machine machine_;
  Ca ca_;
  Network network_;
  Folder folder_;
  Node node_;
  Oracle oracle_;
  Dice dice_;
  Figures figures_;
  Millis alert_until_ = 0;
  LeafNumber next_leaf_;
  bool kill_at_answer_ = false;
  std::int64_t kill_points_ = 0;
};

World::World(const Script& script, const Narrator& narrator)
    : script_(script),
      machine_(script.seed * 31 + 7),
      ca_(script.practice),
      network_(script, ca_, machine_.dice().split()),
      folder_(script),
      node_(machine_, script),
      oracle_(machine_, script, ca_),
      dice_(machine_.dice().split()),
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

// Everything the script says, as events of the world.
void World::plan() {
  for (const auto& responder : script_.responders) {
    for (const Conduct& conduct : responder) {
      ++figures_.outages;
      machine_.at(conduct.from, [this] { change(); });
      machine_.at(conduct.to, [this] { change(); });
    }
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
    if (wanted.size() > 1 && dice_.chance(80)) {
      wanted.erase(wanted.begin() + dice_.between(0, static_cast<std::int64_t>(wanted.size()) - 2));
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
    folder_.cut_power(dice_);
  }
  if (happening.flag) {
    folder_.change_user();
  }
  machine_.at(machine_.monotonic() + happening.number, [this] { boot(); });
}

void World::clock(Seconds offset) {
  ++figures_.jumps;
  machine_.say(fmt::format("the wall clock is off by {} s", offset));
  machine_.set_offset(offset);
  oracle_.conditions_change();
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
  if (node_.busy() || !node_.up()) {  // the master is occupied, or there is none
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
    default:
      halt(happening);
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
}

void World::handshake_now_and_then() {
  machine_.at(machine_.monotonic() + dice_.spread(1, script_.practice.validity * 200),
              [this] { handshake_now_and_then(); });
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
  figures_.requests = network_.counts().requests;
  figures_.lies = network_.counts().lies;
  figures_.failures = network_.counts().failures;
  figures_.digest = machine_.digest();
  if (!oracle_.violation().empty()) {
    fail(oracle_.violation());
  }
  count_requests();
  return figures_;
}

// --- invariant (c) ---

void World::count_requests() {
  const Seconds validity = std::min<Seconds>(script_.practice.validity, 7 * 86400);
  const double periods = static_cast<double>(figures_.seconds) / static_cast<double>(validity);
  for (const auto& [leaf, requests] : network_.requests()) {
    const double rate = static_cast<double>(requests - 1) / periods;
    const bool fresh = script_.practice.resign == 0;
    if (!script_.calm) {
      const double part = static_cast<double>(requests) / allowed_in_faults(periods);
      figures_.faults = std::max(figures_.faults, part);
      if (part > 1) {
        fail(
            fmt::format("(c) {} requests for certificate {}, {:.1f} times what faults excuse", requests, leaf, part));
      }
      continue;
    }
    double& most = fresh ? figures_.calm_fresh : figures_.calm_advance;
    most = std::max(most, rate);
    if (rate > (fresh ? kCalmFresh : kCalmAdvance)) {
      fail(fmt::format("(c) {:.2f} requests per validity for certificate {} in calm", rate, leaf));
    }
  }
}

// What calm allows; and for each fault the way up from the shortest to the longest pause and down again towards the
// end of what is held, and then tries as far apart as the back-off's mean; and a few for each time a process begins
// anew.
double World::allowed_in_faults(double periods) const {
  double allowed = 5 + (script_.practice.resign == 0 ? kCalmFresh : kCalmAdvance) * periods;
  // Where nothing is held, two minutes are the longest pause.
  const Seconds longest = std::min<Seconds>(script_.retry_max, 120);
  const auto excuse = [&](Millis from, Millis to) {
    allowed += 40 + static_cast<double>(to - from) / 1000 / (0.3 * static_cast<double>(longest));
  };
  for (const auto& responder : script_.responders) {
    for (const Conduct& conduct : responder) {
      excuse(conduct.from, conduct.to);
    }
  }
  Millis wrong_since = 0;  // with a wrong clock honest answers look like old or future ones
  for (const Happening& happening : script_.happenings) {
    if (happening.what == Incident::kClock) {
      if (wrong_since != 0) {
        excuse(wrong_since, happening.at);
      }
      wrong_since = happening.number == 0 ? 0 : happening.at;
    }
  }
  return allowed + 10 * static_cast<double>(script_.happenings.size());
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
    return (new World(script, narrator))->live();  // never destroyed: who was killed still points into it
  } catch (const std::exception& error) {
    Figures figures;
    figures.runs = 1;
    figures.failed = true;
    std::strncpy(figures.violation, error.what(), sizeof(figures.violation) - 1);
    return figures;
  }
}

void Figures::add(const Figures& other) {
  for (const auto member :
       {&Figures::runs,         &Figures::calm_runs,    &Figures::lie_runs,   &Figures::jump_runs,
        &Figures::kill_runs,    &Figures::seconds,      &Figures::handshakes, &Figures::due,
        &Figures::bare,         &Figures::requests,     &Figures::lies,       &Figures::failures,
        &Figures::outages,      &Figures::disk_faults,  &Figures::jumps,      &Figures::kills,
        &Figures::kills_locked, &Figures::helper_kills, &Figures::reloads,    &Figures::failed_reloads,
        &Figures::restarts,     &Figures::crashes,      &Figures::power_cuts, &Figures::revocations}) {
    this->*member += other.*member;
  }
  for (const auto member : {&Figures::calm_fresh, &Figures::calm_advance, &Figures::faults, &Figures::peak,
                            &Figures::restart_peak, &Figures::fleet_peak}) {
    this->*member = std::max(this->*member, other.*member);
  }
}

}  // namespace ocsp_plus::sim
