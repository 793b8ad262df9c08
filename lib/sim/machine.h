// A machine in virtual time: two clocks, one queue of timers, processes that can be killed. The nodes of a fleet are
// one machine with a wall clock for each: what runs as a process, or was arranged by one, belongs to its node.
//
// A process is the code that runs while it is the current one; its timers belong to it. A kill acts like SIGKILL:
// longjmp() leaves the process's code, no destructor runs, its objects are abandoned, and the shared memory, the lock
// and the disk stay as they were. A kill can happen at every call of a port (clocks, timers, lock, log, network,
// disk) and every C++ allocation: dozens of points while the zone's lock is held. Kills within a memcpy() and the
// reordering of stores are not simulated: lib/tests/zone_processes_test.cc kills real processes for that.
#pragma once

#include <csetjmp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ports.h"
#include "sim/prng.h"

namespace ocsp_plus::sim {

constexpr UnixSeconds kEpoch = 1906545600;  // true time at the start of a run, within the test PKI's validity

class Machine;

class Process {
 public:
  Process(Machine& machine, std::int32_t id, std::size_t of) : machine_(machine), pid(id), node(of) {}

  // Runs `body` as this process. Returns false if the process was killed.
  bool run(const std::function<void()>& body);

  // A point at which the process may be killed; it does not return then.
  void point();
  // Kills the process after `points` more points; if `locked`, only points at which it holds the zone's lock count.
  void light_fuse(std::int64_t points, bool locked);
  bool doomed() const { return fuse_ > 0; }

 private:
  friend class Shield;
  Machine& machine_;

 public:
  const std::int32_t pid;
  const std::size_t node;
  bool alive = true;
  bool holds_lock = false;

 private:
  std::jmp_buf frame_;
  Process* outer_ = nullptr;
  bool in_frame_ = false;
  bool locked_only_ = false;
  std::int64_t fuse_ = 0;  // 0: none
  int shields_ = 0;
};

// Protects the simulator's own code, called from a process, from kills.
class Shield {
 public:
  Shield();
  ~Shield();
  Shield(const Shield&) = delete;
  Shield& operator=(const Shield&) = delete;

 private:
  Process* process_;
};

class Machine {
 public:
  explicit Machine(std::uint64_t seed);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // The only machine, for the replaced functions (net::Fetch::start and others), which have no other access to it.
  static Machine& here();
  static void allocation();  // called for every C++ allocation

  Millis monotonic() const { return now_; }
  UnixSeconds true_time() const { return kEpoch + (now_ - kBoot) / 1000; }
  // Of the current node.
  UnixSeconds wall() const { return true_time() + offset(); }
  Seconds offset() const { return node() < offsets_.size() ? offsets_[node()] : 0; }
  void set_offset(Seconds offset);

  // --- nodes ---
  std::size_t node() const { return current_ != nullptr ? current_->node : node_; }
  // Code of the world that concerns a node, for as long as the object lives.
  class OnNode {
   public:
    OnNode(Machine& machine, std::size_t node);
    ~OnNode();
    OnNode(const OnNode&) = delete;
    OnNode& operator=(const OnNode&) = delete;

   private:
    Machine& machine_;
    Process* const process_;
    const std::size_t before_;
  };

  // --- timers ---
  std::unique_ptr<Timer> timer(EventLoop::TimerCallback callback);  // of the current process, else of the world
  // A one-shot event of the world, on the current node. `silent`: no handshake can notice it.
  void at(Millis when, std::function<void()> what, bool silent = false);
  // Advances time to the next event and runs it. Returns false, with the time at `limit`, if there is none before.
  bool step(Millis limit);

  // --- processes ---
  Process& spawn();
  Process* current() const { return current_; }
  Process* find(std::int32_t pid);
  // Ends a process that exited or was killed: its timers stop. It is a zombie until reaped.
  void end(Process& process);
  void reap(std::int32_t pid) { existing_.erase(pid); }
  bool exists(std::int32_t pid) const { return existing_.count(pid) != 0; }

  // --- hooks, set by the runner ---
  std::function<void(Process&)> on_killed;
  std::function<void()> after_event;    // on the event's node; not after heartbeats without effect
  std::function<Millis()> quiet_until;  // heartbeats before that time have no effect and are skipped
  // The pids whose heartbeats come first after a leap, one of each node; none: no leap.
  std::function<std::vector<std::int32_t>()> designated;
  std::function<void(std::string_view)> narrator;  // receives lines for people; may be empty

  void say(std::string_view line);
  std::int64_t loud_lines = 0;                      // the engine's log lines of level notice and above
  std::uint64_t digest() const { return digest_; }  // of all lines: equal in two runs of one seed
  Prng& prng() { return prng_; }                    // for the network and the processes

  static constexpr Millis kBoot = 1000000;

 private:
  friend class Process;
  class Alarm;
  using Due = std::pair<Millis, std::uint64_t>;
  struct Armed {
    std::function<void()> callback;
    Process* owner = nullptr;
    Due due;
    bool armed = false;
    std::size_t node = 0;
    bool beat = false;  // a worker's heartbeat
    bool silent = false;
  };

  void arm(const std::shared_ptr<Armed>& timer, Millis after);
  void disarm(const std::shared_ptr<Armed>& timer);
  void leap(Millis limit);
  bool next_event(Millis limit);

  Millis now_ = kBoot;
  std::vector<Seconds> offsets_;  // by node
  std::size_t node_ = 0;          // of the world's code
  std::uint64_t armed_ = 0;
  std::map<Due, std::shared_ptr<Armed>> queue_;
  std::map<std::int32_t, std::unique_ptr<Process>> processes_;
  std::set<std::int32_t> existing_;
  std::int32_t last_pid_ = 100;
  Process* current_ = nullptr;
  Prng prng_;
  std::uint64_t digest_ = 1469598103934665603u;
};

}  // namespace ocsp_plus::sim
