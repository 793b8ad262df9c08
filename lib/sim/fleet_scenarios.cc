// Fixed scenarios of fleets, whose nodes share a store, for situations that random seeds reach too rarely. The
// invariants are those of oracle.h and run.cc.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "sim/ca.h"
#include "sim/directory.h"
#include "sim/fleet_store.h"
#include "sim/machine.h"
#include "sim/network.h"
#include "sim/node.h"
#include "sim/run.h"

namespace ocsp_plus::sim {
namespace {

constexpr Seconds kDay = 86400;
constexpr Millis kHour = 3600000;
constexpr Millis kWholeDay = 24 * kHour;

Script fleet_script(std::size_t certificates, Seconds validity) {
  Script script;
  script.certificates = certificates;
  script.practice.validity = validity;
  script.length = 1000 * 30 * kDay;
  script.responders.resize(1);
  script.startup_wait = 5000;
  script.shares = true;
  return script;
}

Conduct hangs(Millis to) {
  Conduct conduct;
  conduct.from = 0;
  conduct.to = to;
  conduct.deed = Deed::kHang;
  return conduct;
}

StoreSpan span(StoreDeed deed, Millis to, std::uint32_t nodes = UINT32_MAX) {
  StoreSpan made;
  made.from = 0;
  made.to = Machine::kBoot + to;
  made.deed = deed;
  made.nodes = nodes;
  return made;
}

// Never destroyed: ended processes still point into it.
class Fleet {
 public:
  Fleet(std::vector<Script> scripts, std::uint64_t seed) : scripts_(std::move(scripts)), machine_(seed) {
    std::vector<const Script*> all;
    for (const Script& script : scripts_) {
      all.push_back(&script);
    }
    ca_ = new Ca(scripts_.front().practices());
    network_ = new Network(all, *ca_, machine_.prng().split());
    store_ = new FleetStore(machine_, *ca_, scripts_.front(), machine_.prng().split());
    network_->on_honest = [](LeafNumber, const Signed&) {};
    for (std::size_t i = 0; i < scripts_.size(); ++i) {
      const Machine::OnNode on(machine_, i);
      new Directory(scripts_[i], i);
      nodes_.push_back(new Node(machine_, scripts_[i]));
      for (LeafNumber& leaf : nodes_.back()->wanted()) {
        leaf += Pki::kLeaves;  // the first ones may expire
      }
    }
    machine_.designated = [this] {
      std::vector<std::int32_t> pids;
      for (const Node* node : nodes_) {
        if (node->up()) {
          pids.push_back(node->designated());
        }
      }
      const bool awake = machine_.monotonic() < awake_until_ || std::count(pids.begin(), pids.end(), 0) != 0;
      return awake ? std::vector<std::int32_t>() : pids;
    };
    machine_.quiet_until = [this] {
      Millis until = INT64_MAX;
      for (std::size_t i = 0; i < nodes_.size(); ++i) {
        const Machine::OnNode on(machine_, i);
        until = nodes_[i]->up() ? std::min(until, nodes_[i]->quiet_until()) : until;
      }
      return until;
    };
  }
  static Fleet& make(std::vector<Script> scripts, std::uint64_t seed) { return *new Fleet(std::move(scripts), seed); }

  void start(std::size_t node) {
    const Machine::OnNode on(machine_, node);
    nodes_[node]->start();
  }
  void start() {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      start(i);
    }
  }
  void pass(Millis time) {
    const Millis until = machine_.monotonic() + time;
    while (machine_.step(until)) {
    }
  }
  void pass_awake(Millis time) {  // without skipping heartbeats
    awake_until_ = machine_.monotonic() + time;
    pass(time);
  }
  bool gets(std::size_t node, LeafNumber leaf, Node::Got status) {
    const Machine::OnNode on(machine_, node);
    const auto staples = nodes_[node]->handshake(leaf);
    const Signed* const honest = staples.empty() ? nullptr : ca_->find(staples.front().der);
    return status == Node::Got::kNone ? !staples.empty() && staples.front().status == status
                                      : honest != nullptr && honest->leaf == leaf && staples.front().status == status;
  }
  // How many certificates have no valid staple, on all nodes.
  std::size_t missing() {
    std::size_t count = 0;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      for (const LeafNumber leaf : nodes_[i]->wanted()) {
        count += gets(i, leaf, Node::Got::kGood) ? 0 : 1;
      }
    }
    return count;
  }
  std::int64_t requests(LeafNumber leaf) const {
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      const auto found = network_->requests(i).find(leaf);
      sum += found == network_->requests(i).end() ? 0 : found->second;
    }
    return sum;
  }
  const CertificateId& id(LeafNumber leaf) const { return Pki::get().id(leaf); }
  // What the store holds of a certificate; nullptr: nothing that the CA signed for it.
  const Signed* stored(LeafNumber leaf) {
    const auto& response = store_->server().slots()[id(leaf)].response;
    const Signed* const honest = response.has_value() ? ca_->find(*response) : nullptr;
    return honest != nullptr && honest->leaf == leaf ? honest : nullptr;
  }
  void hold_all_leases(LeafNumber leaf) {
    for (unsigned number = 0; number < 1024; ++number) {
      store_->server().slots()[id(leaf)].leases[number] = {"attacker", INT64_MAX};
    }
  }

  Machine& machine() { return machine_; }
  Ca& ca() { return *ca_; }
  Network& network() { return *network_; }
  FleetStore& store() { return *store_; }

 private:
  const std::vector<Script> scripts_;
  Machine machine_;
  Ca* ca_ = nullptr;
  Network* network_ = nullptr;
  FleetStore* store_ = nullptr;
  std::vector<Node*> nodes_;
  Millis awake_until_ = 0;
};

void fail(Figures* figures, const std::string& text) {
  if (!figures->failed) {
    figures->failed = true;
    std::strncpy(figures->violation, text.c_str(), sizeof(figures->violation) - 1);
  }
}

constexpr LeafNumber kLeaf = Pki::kLeaves;

}  // namespace

// All nodes start at once, with nothing; then one round of refreshes.
Figures run_cold_fleet(std::size_t nodes, std::size_t certificates) {
  Script script = fleet_script(certificates, kDay);
  script.startup_wait = 0;
  Figures figures;
  Fleet& fleet = Fleet::make(std::vector<Script>(nodes, script), 50);
  fleet.start();
  fleet.pass_awake(60000);
  if (const std::size_t missing = fleet.missing(); missing != 0) {
    fail(&figures, fmt::format("(k) cold fleet: {} staples are missing after a minute", missing));
  }
  const auto asked = fleet.network().counts().requests;
  if (asked > static_cast<std::int64_t>(certificates + certificates / 20)) {
    fail(&figures, fmt::format("(j) cold fleet: {} requests for {} certificates", asked, certificates));
  }
  const std::size_t most = kMostBegun + nodes;
  if (fleet.network().most_begun() > most) {
    fail(&figures, fmt::format("(n) cold fleet: {} requests begun in two seconds", fleet.network().most_begun()));
  }
  return figures;
}

// One node's way out hangs, and it has the lease of every certificate: the others wait for a moment only.
Figures run_hanging_node() {
  Figures figures;
  std::vector<Script> scripts(6, fleet_script(1, kDay));
  for (Script& script : scripts) {
    script.startup_wait = 0;
  }
  scripts[0].responders[0] = {hangs(Machine::kBoot + kHour)};
  Fleet& fleet = Fleet::make(scripts, 51);
  fleet.start(0);
  fleet.pass_awake(100);
  for (std::size_t i = 1; i < scripts.size(); ++i) {
    fleet.start(i);
  }
  fleet.pass_awake(12000);
  if (fleet.missing() > 0) {
    fail(&figures, "(k) hanging node: a staple is missing after 12 seconds");
  }
  // One more lease after a second, and two after two.
  if (fleet.requests(kLeaf) > 1 + 1 + 2 + 4) {
    fail(&figures, fmt::format("(j) hanging node: {} requests", fleet.requests(kLeaf)));
  }
  return figures;
}

// A start waits a second longer where the store hangs, and then for its own request; and for a node that has the
// lease.
Figures run_start_beside_others() {
  Figures figures;
  std::vector<Script> scripts(2, fleet_script(2, kDay));
  scripts[0].startup_wait = 0;
  scripts[0].responders[0] = {hangs(Machine::kBoot + kHour)};
  Fleet& beside = Fleet::make(scripts, 52);
  beside.start(0);
  beside.pass_awake(100);
  beside.start(1);
  if (!beside.gets(1, kLeaf, Node::Got::kGood) || !beside.gets(1, kLeaf + 1, Node::Got::kGood)) {
    fail(&figures, "(k) start: no staple in the first handshake, while another node hangs with a lease");
  }
  for (const StoreDeed deed : {StoreDeed::kDown, StoreDeed::kHang, StoreDeed::kSlow, StoreDeed::kAuth}) {
    Script script = fleet_script(2, kDay);
    script.store = {span(deed, kHour)};
    Fleet& fleet = Fleet::make({script}, 53);
    const Millis began = fleet.machine().monotonic();
    fleet.start(0);
    if (fleet.missing() > 0 || fleet.machine().monotonic() - began > 2500) {
      fail(&figures, fmt::format("(k) start: {} staples are missing after {} ms, the store: {}", fleet.missing(),
                                 fleet.machine().monotonic() - began, name_of(deed)));
    }
  }
  return figures;
}

// Nodes whose store is dead make the requests that nodes without one make.
Figures run_dead_store() {
  Figures figures;
  std::vector<std::int64_t> asked;
  for (const bool shares : {false, true}) {
    Script script = fleet_script(2, 4 * kDay);
    script.shares = shares;
    script.store = {span(StoreDeed::kDown, 30 * kWholeDay)};
    Fleet& fleet = Fleet::make(std::vector<Script>(3, script), 54);
    fleet.start();
    fleet.pass(1000 * 4 * kDay * 11 / 10);  // after the second round of refreshes, and before the third
    for (std::size_t node = 0; node < 3; ++node) {
      for (const LeafNumber leaf : {kLeaf, kLeaf + 1}) {
        asked.push_back(fleet.network().requests(node).at(leaf));
      }
    }
    if (fleet.missing() > 0) {
      fail(&figures, "(k) dead store: a staple is missing");
    }
  }
  for (std::size_t i = 0; i < 6; ++i) {
    if (asked[i] != 3 || asked[i + 6] != asked[i]) {
      fail(&figures,
           fmt::format("(k) dead store: {} requests of a node where one without makes {}", asked[i + 6], asked[i]));
    }
  }
  return figures;
}

// An attacker holds all leases, or says that nobody need ask, for ever.
Figures run_stuck_store() {
  Figures figures;
  for (const bool notes : {false, true}) {
    Fleet& fleet = Fleet::make(std::vector<Script>(2, fleet_script(1, 2 * kDay)), 55);
    fleet.start();
    fleet.pass(kHour);
    fleet.hold_all_leases(kLeaf);
    for (int hour = 0; hour < 4 * 24; ++hour) {
      if (notes) {
        auto& slot = fleet.store().server().slots()[fleet.id(kLeaf)];
        slot.leases.clear();
        slot.note_ends = INT64_MAX;
      }
      fleet.pass(kHour);
      if (fleet.missing() > 0) {
        fail(&figures, fmt::format("(k) stuck store: no staple after {} hours, {}", hour,
                                   notes ? "with a note" : "with leases"));
      }
    }
  }
  return figures;
}

// What is of no use is stapled by nobody, and overwritten by who has asked.
Figures run_poisoned_store() {
  Figures figures;
  for (int kind = 0; kind < 5; ++kind) {
    Script script = fleet_script(1, kDay);
    Fleet& fleet = Fleet::make(std::vector<Script>(3, script), 56);
    const UnixSeconds now = fleet.machine().true_time();
    Bytes poison = fleet.ca().answer(kLeaf, now);
    if (kind == 0) {
      poison = fleet.ca().answer(kLeaf + 1, now);
    } else if (kind == 1) {
      poison.resize(poison.size() - 7);
    } else if (kind == 2) {
      poison = fleet.ca().lie(Lie::kBadSignature, kLeaf, now);
    } else if (kind == 3) {
      poison = fleet.ca().lie(Lie::kForeignRevoked, kLeaf, now);
    } else {
      poison = fleet.ca().lie(Lie::kExpired, kLeaf, now);
    }
    fleet.store().server().put(fleet.id(kLeaf), poison, 8 * kWholeDay);
    fleet.start();
    fleet.pass_awake(20000);
    if (fleet.missing() > 0) {
      fail(&figures, fmt::format("(a) poisoned store: another staple than the CA's, poison {}", kind));
    }
    if (fleet.stored(kLeaf) == nullptr) {
      fail(&figures, fmt::format("(m) poisoned store: it was not overwritten, poison {}", kind));
    }
    if (fleet.requests(kLeaf) > 1) {
      fail(&figures, fmt::format("(j) poisoned store: {} requests, poison {}", fleet.requests(kLeaf), kind));
    }
  }
  return figures;
}

// A node that has fetched while it did not reach the store comes back, where there is a newer response now.
Figures run_late_publication() {
  Figures figures;
  std::vector<Script> scripts(2, fleet_script(1, kDay));
  scripts[0].store = {span(StoreDeed::kDown, 60000, 2)};
  Fleet& fleet = Fleet::make(scripts, 57);
  fleet.start(1);
  fleet.pass_awake(20000);
  fleet.start(0);
  fleet.pass_awake(5000);
  const Signed* const first = fleet.stored(kLeaf);
  if (first == nullptr) {
    fail(&figures, "(m) late publication: nothing in the store");
    return figures;
  }
  fleet.pass_awake(120000);
  const Signed* const second = fleet.stored(kLeaf);
  if (second == nullptr || second->this_update < first->this_update) {
    fail(&figures, "(m) late publication: an older response has replaced the newer one");
  }
  if (fleet.requests(kLeaf) != 2) {
    fail(&figures, fmt::format("(j) late publication: {} requests", fleet.requests(kLeaf)));
  }
  return figures;
}

Figures run_revoked_fleet() {
  Figures figures;
  Fleet& fleet = Fleet::make(std::vector<Script>(5, fleet_script(1, 4 * kDay)), 58);
  fleet.start();
  fleet.pass(kHour);
  fleet.ca().revoke(kLeaf, fleet.machine().true_time());
  const auto revoked = [&] {
    std::size_t count = 0;
    for (std::size_t i = 0; i < 5; ++i) {
      count += fleet.gets(i, kLeaf, Node::Got::kRevoked) ? 1 : 0;
    }
    return count;
  };
  const Millis until = fleet.machine().monotonic() + 3 * kWholeDay;
  while (fleet.stored(kLeaf) == nullptr || !fleet.stored(kLeaf)->revoked) {
    if (fleet.machine().monotonic() >= until) {
      fail(&figures, "(l) revoked fleet: nobody has published the revocation");
      return figures;
    }
    fleet.pass(1000);
  }
  fleet.pass_awake(15000);
  if (revoked() != 5) {
    fail(&figures, fmt::format("(l) revoked fleet: {} of 5 nodes know of it 15 s later", revoked()));
  }
  if (fleet.requests(kLeaf) > 2) {
    fail(&figures, fmt::format("(j) revoked fleet: {} requests", fleet.requests(kLeaf)));
  }
  return figures;
}

Figures run_refreshed_fleet() {
  constexpr Seconds kBound = 300;
  Figures figures;
  for (const bool notes : {false, true}) {
    Script script = fleet_script(1, 4 * kDay);
    script.refresh = kBound;
    Fleet& fleet = Fleet::make(std::vector<Script>(3, script), 59);
    fleet.start();
    fleet.pass(kHour);
    if (fleet.requests(kLeaf) > 2 + 3600 / (kBound * 7 / 8)) {
      fail(&figures, fmt::format("(j) refreshed fleet: {} requests in an hour", fleet.requests(kLeaf)));
    }
    fleet.hold_all_leases(kLeaf);
    fleet.ca().revoke(kLeaf, fleet.machine().true_time());
    for (Seconds second = 0; second < kBound + 10; ++second) {
      if (notes) {
        auto& slot = fleet.store().server().slots()[fleet.id(kLeaf)];
        slot.leases.clear();
        slot.note_ends = INT64_MAX;
      }
      fleet.pass_awake(1000);
    }
    for (std::size_t i = 0; i < 3; ++i) {
      if (!fleet.gets(i, kLeaf, Node::Got::kRevoked)) {
        fail(&figures, fmt::format("(o) refreshed fleet: node {} serves good {} s after the revocation, {}", i,
                                   kBound + 10, notes ? "with a note" : "with leases"));
      }
    }
  }
  return figures;
}

}  // namespace ocsp_plus::sim
