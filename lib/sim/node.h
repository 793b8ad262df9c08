// One simulated nginx: a master, its workers and start helpers, the shared zone, reloads and restarts. It runs the
// real ocsp_plus from the C ABI downwards, and repeats the steps of nginx and the shim in their order.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ocsp_plus/ocsp_plus.h"
#include "sim/machine.h"
#include "sim/script.h"
#include "store/staple_zone.h"

namespace ocsp_plus::sim {

class Node {
 public:
  Node(Machine& machine, const Script& script);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // The configured leaves, and the CA certificates that servers send. Both take effect with the next start or reload.
  std::vector<LeafNumber>& wanted() { return wanted_; }
  void renew_cas(std::int64_t by) { renewals_ += by; }
  ServerChain wanted_chain(LeafNumber leaf) const { return script_.chain_of(leaf, renewals_); }

  void start();                        // a new zone, a start helper, workers
  void reload(bool fails);             // a new generation in the same zone; if `fails`, none of its workers starts
  void stop(bool graceful);            // all processes end, the zone is lost
  bool busy() const { return busy_; }  // the master is starting or reloading
  bool up() const { return !workers_.empty(); }
  void kill_designated(std::int64_t points, bool locked);
  void kill_next_helper(std::int64_t points, bool locked) { helper_fuse_ = {points, locked}; }
  // Kills the next worker that hands over a certificate loaded for a connection.
  void kill_next_offering(std::int64_t points) { offering_fuse_ = points; }
  std::int32_t offering() const { return offering_; }  // pid last chosen for that; 0: none
  // Tells the master that one of its processes was killed.
  void killed(Process& process);

  // What a handshake for a configured certificate gets from op_staple(), in every configuration currently served.
  // Some clients have to repeat their hello, and in some handshakes another module has set a response, or another
  // chain, or OpenSSL has no memory for more than the leaf's response.
  enum class Got { kNone, kGood, kRevoked };
  struct Staple {
    Got status = Got::kNone;
    Bytes der;
    op_outcome_t outcome = OP_NO_STAPLE;
    bool foreign_set = false;
    // The certificates after the leaf, and their staples on the wire, in order.
    std::vector<LeafNumber> sent;
    std::vector<Bytes> after;
    bool staples_chain = false;  // the server, the library, and the version of TLS do
    std::size_t remembered = 0;  // of `after`, by op_recall()
  };
  std::vector<Staple> handshake(LeafNumber leaf);
  // The same for a certificate that a server loads for the connection, with a chain. The next worker of each
  // configuration in turn handles it.
  struct Shown {
    Staple staple;
    bool named = false;  // the certificate is in the worker's configuration
  };
  std::vector<Shown> show(LeafNumber leaf, Chain chain);

  // Counts of such certificates, from all zones so far.
  struct Loaded {
    std::int64_t handed = 0, dropped = 0, taken = 0, evicted = 0, ended = 0;
  };
  Loaded loaded() const;
  // Handshakes with a staple after the leaf's; those that a kill ended, with or without one.
  std::int64_t chain_stapled() const { return decided_[kChain]; }
  std::int64_t unseen() const { return unseen_; }
  // Describes the first counter of handshakes that disagrees with the decisions made; empty: none.
  std::string miscounted() const;
  // The leaves of the newest configuration; the same with the CA certificates that it staples.
  const std::set<LeafNumber>& served() const { return served_; }
  const std::set<LeafNumber>& configured() const { return configured_; }

  bool last_helper_killed() const { return last_helper_killed_; }
  std::int32_t designated() const;  // 0: none alive
  Millis quiet_until() const;       // the engine plans nothing before that
  std::optional<store::StapleZone> zone() const { return zone_; }

 private:
  struct Config;
  struct Context;
  struct Worker;
  struct Fuse {
    std::int64_t points = 0;
    bool locked = false;
  };

  std::unique_ptr<Config> configure() const;
  bool open_zone(Config* config, bool fresh);
  void run_helper(Config& config);
  void start_workers(Config* config);
  void start_worker(Config* config, std::uint32_t slot);
  void leave(Worker* worker);
  void stop_worker(std::int32_t pid);
  void respawn(std::int32_t pid);
  Worker* whose_turn(const Config* config);
  Shown show(Worker* worker, LeafNumber leaf, Chain chain);
  Staple greet(op_server_t* server, std::uint32_t slot, x509_st* leaf, const std::vector<x509_st*>& beside);
  Staple handshake(const Worker& worker, std::size_t server);
  // Handshakes by op_outcome_t, and behind them those with a staple after the leaf's.
  static constexpr std::size_t kChain = 4;
  using Decided = std::array<std::int64_t, kChain + 1>;
  Decided counted() const;
  Millis quiet_loaded(Millis until) const;
  bool just_due(Seconds ahead) const;
  void free_lock_of_the_dead();
  op_lock_ops_t lock_for(Context* context) const;

  Machine& machine_;
  const Script& script_;
  std::vector<LeafNumber> wanted_;
  std::int64_t renewals_ = 0;
  std::set<LeafNumber> served_, configured_;
  std::unique_ptr<Context> master_;
  std::vector<std::unique_ptr<Config>> configs_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::unique_ptr<Worker>> abandoned_;
  void* memory_ = nullptr;
  std::size_t size_ = 0;
  std::optional<store::StapleZone> zone_;
  std::int32_t lock_holder_ = 0;
  Fuse helper_fuse_;
  std::int64_t offering_fuse_ = 0;  // 0: none
  std::int32_t offering_ = 0;
  std::size_t next_worker_ = 0;  // counts the turns of workers in handshakes
  Loaded loaded_before_;         // in earlier zones
  std::int64_t hellos_ = 0;
  // The decisions made, the counters of earlier zones, and how many decisions a kill cut short.
  Decided decided_ = {}, counted_before_ = {};
  std::int64_t cut_short_ = 0, unseen_ = 0;
  bool last_helper_killed_ = false;
  bool busy_ = false;
  std::uint32_t boots_ = 0;
};

}  // namespace ocsp_plus::sim
