// One nginx: a master, its workers and start helpers, the shared zone, reloads and restarts. Everything of ocsp_plus
// in it is the real thing, from the C ABI downwards; what nginx itself and the shim do around it is told here in the
// order in which they do it.
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

  // What a configuration names, by leaf number. Takes effect with the next start or reload.
  std::vector<LeafNumber>& wanted() { return wanted_; }

  void start();                        // a new zone, a start helper, workers
  void reload(bool fails);             // a new generation in the same zone; if it fails, no worker of it starts
  void stop(bool graceful);            // all processes end, the zone is gone
  bool busy() const { return busy_; }  // the master is starting or reloading
  bool up() const { return !workers_.empty(); }
  void kill_designated(std::int64_t points, bool locked);
  void kill_next_helper(std::int64_t points, bool locked) { helper_fuse_ = {points, locked}; }
  // The next worker that hands over a certificate which was loaded for a connection.
  void kill_next_offering(std::int64_t points) { offering_fuse_ = points; }
  std::int32_t offering() const { return offering_; }  // the one that was chosen for that last; 0: none
  // One of ours was killed: the master will notice.
  void killed(Process& process);

  // What a handshake for a certificate gets: as op_staple() says, from every configuration that is served now. Some
  // clients have to repeat their hello, and in some handshakes another module has set a response.
  enum class Got { kNone, kGood, kRevoked };
  struct Staple {
    Got status = Got::kNone;
    Bytes der;
    op_outcome_t outcome = OP_NO_STAPLE;
    bool foreign_set = false;
  };
  std::vector<Staple> handshake(LeafNumber leaf);
  // Likewise where a server loads the certificate for the connection, with a chain beside it. By one worker of each
  // configuration, whose turn it is.
  struct Shown {
    Staple staple;
    bool named = false;  // the worker's configuration names the certificate
  };
  std::vector<Shown> show(LeafNumber leaf, Chain chain);

  // What became of such certificates, as the zones say in which they were.
  struct Loaded {
    std::int64_t handed = 0, dropped = 0, taken = 0, evicted = 0, ended = 0;
  };
  Loaded loaded() const;
  // What is wrong with the counters of handshakes, beside what was decided; empty: nothing.
  std::string miscounted() const;
  const std::set<LeafNumber>& served() const { return served_; }  // by the newest configuration

  bool last_helper_killed() const { return last_helper_killed_; }
  std::int32_t designated() const;  // 0: nobody alive
  Millis quiet_until() const;       // nothing is planned before that
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
  std::array<std::int64_t, 4> counted() const;
  Millis quiet_loaded(Millis until) const;
  void free_lock_of_the_dead();
  op_lock_ops_t lock_for(Context* context) const;

  Machine& machine_;
  const Script& script_;
  std::vector<LeafNumber> wanted_;
  std::set<LeafNumber> served_;
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
  std::size_t work_queue_ = 0;  // of workers, in handshakes
  Loaded loaded_before_;        // in zones that are gone
  std::int64_t hellos_ = 0;
  // Of handshakes, by op_outcome_t: those decided, those that the zones that are gone had counted, and how many a
  // kill has cut short.
  std::array<std::int64_t, 4> decided_ = {}, counted_before_ = {};
  std::int64_t cut_short_ = 0;
  bool last_helper_killed_ = false;
  bool busy_ = false;
  std::uint32_t boots_ = 0;
};

}  // namespace ocsp_plus::sim
