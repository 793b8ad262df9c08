// What the told worlds of one node share (scenarios.cc, chain_scenarios.cc): a node in a calm world, and its script.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "sim/ca.h"
#include "sim/directory.h"
#include "sim/machine.h"
#include "sim/network.h"
#include "sim/node.h"
#include "sim/run.h"

namespace ocsp_plus::sim {

constexpr Millis kHour = 3600000;
constexpr Seconds kDay = 86400;
constexpr Seconds kNoticedWithin = 620;  // for a node without a staple to notice that a responder is back

inline Script herd_script(std::size_t certificates) {
  Script script;
  script.length = 1000 * 12 * kDay;
  script.certificates = certificates;
  script.responders.resize(1);
  script.startup_wait = 60000;
  return script;
}

// Times are counted from the machine's boot.
inline Conduct conduct(Deed deed, Millis from, Millis to) {
  Conduct made;
  made.from = Machine::kBoot + from;
  made.to = Machine::kBoot + to;
  made.deed = deed;
  return made;
}

// A node in a world without faults. Never destroyed: ended processes still point into it.
struct Calm {
  Calm(const Script& script, std::uint64_t seed)
      : machine(new Machine(seed)), ca(new Ca(script.practices())), no_leap_until(new Millis(0)) {
    network = new Network({&script}, *ca, machine->prng().split());
    new Directory(script);
    node = new Node(*machine, script);
    for (LeafNumber& leaf : node->wanted()) {
      leaf += Pki::kLeaves;  // the first ones may expire
    }
    network->keep_times();
    network->on_honest = [](LeafNumber, const Signed&) {};
    machine->designated = [at = node, in = machine, until = no_leap_until] {
      const std::int32_t pid = in->monotonic() < *until ? 0 : at->designated();
      return pid == 0 ? std::vector<std::int32_t>() : std::vector<std::int32_t>{pid};
    };
    machine->quiet_until = [at = node] { return at->quiet_until(); };
  }
  void run_until(Millis time) const {
    while (machine->step(time)) {
    }
  }
  bool gets(LeafNumber leaf, Node::Got status) const {
    const auto staples = node->handshake(leaf);
    return !staples.empty() && staples.front().status == status;
  }
  // Runs without skipping heartbeats, as after an event.
  void run_awake(Millis span) const {
    *no_leap_until = machine->monotonic() + span;
    run_until(*no_leap_until);
  }
  Machine* machine;
  Ca* ca;
  Network* network;
  Node* node;
  Millis* no_leap_until;
};

inline void fail(Figures* figures, const std::string& text) {
  if (!figures->failed) {
    figures->failed = true;
    std::strncpy(figures->violation, text.c_str(), sizeof(figures->violation) - 1);
  }
}

}  // namespace ocsp_plus::sim
