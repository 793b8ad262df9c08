// The shared store of a simulated fleet: implements net::SharedStore::create, so that the linker leaves the real
// client out; lib/tests/redis_store_test.cc tests that one. The server is that of the unit tests; what befalls it and
// the connections is in the first node's script.
//
// One thing is faster than in the world: a connection that has read all news is answered when there are more, after
// the time at which its next poll would have come, so that days without news cost nothing.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "sim/ca.h"
#include "sim/machine.h"
#include "sim/script.h"
#include "tests/fakes/memory_store.h"

namespace ocsp_plus::sim {

class StoreConnection;

class FleetStore {
 public:
  using SharedStore = net::SharedStore;

  // The last one made is that of the nodes.
  FleetStore(Machine& machine, Ca& ca, const Script& script, Prng prng);
  static FleetStore* here();  // nullptr: there is none

  struct Counts {
    std::int64_t looks = 0;      // certificates that were looked for
    std::int64_t responses = 0;  // handed out
    std::int64_t leases = 0;     // given
    std::int64_t elsewhere = 0;  // another node's lease, or a note
    std::int64_t published = 0;
    std::int64_t refused = 0;  // publications, since another response was there
    std::size_t most_bytes = 0;
    std::array<std::int64_t, static_cast<std::size_t>(StoreDeed::kLast) + 1> deeds = {};
  };
  const Counts& counts() const { return counts_; }
  testing::MemoryStore& server() { return server_; }
  // Neither a fault nor an attack, now and in the last `span` ms.
  bool calm_for(Millis span) const;

  // A node has published; `before`: what was there, if the CA signed it.
  std::function<void(const Signed* before, const Signed& after)> on_stored;
  // A span begins or ends, or strikes again.
  std::function<void()> on_change;

  // --- for the connections ---
  const StoreSpan* fault() const { return script_.store_span(machine_.node(), machine_.monotonic()); }
  std::vector<SharedStore::Found> look(const SharedStore::Wanted& wanted, std::size_t most_response);
  Result<SharedStore::Published> publish(const SharedStore::Publication& publication);
  Result<bool> settle(const SharedStore::Settlement& settlement);
  std::vector<StoreConnection*>& connections() { return connections_; }
  Prng& prng() { return prng_; }

 private:
  class StoreClock : public Clock {
   public:
    explicit StoreClock(Machine& machine) : machine_(machine) {}
    UnixSeconds now() const override { return machine_.true_time(); }
    Millis monotonic() const override { return machine_.monotonic(); }

   private:
    Machine& machine_;
  };

  void plan();
  void change();
  void strike(const StoreSpan& span);
  void poison();
  Bytes poison_for(LeafNumber leaf);
  LeafNumber some_leaf();
  bool loses_news() const;
  bool refuses_writes() const;
  void remember(const CertificateId& id);
  void wake();
  void weigh();

  Machine& machine_;
  Ca& ca_;
  const Script& script_;
  Prng prng_;
  StoreClock clock_;
  testing::MemoryStore server_;
  Counts counts_;
  std::vector<StoreConnection*> connections_;
  std::deque<std::pair<CertificateId, testing::MemoryStore::Slot>> journal_;  // before the last writes
};

}  // namespace ocsp_plus::sim
