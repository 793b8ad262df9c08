// A machine in virtual time: two clocks, one queue of timers, processes that can be killed.
//
// A process is the code that runs while it is the current one; its timers carry it along. It is killed as by SIGKILL:
// control leaves its code by longjmp() in the middle of whatever it did, no destructor runs, its objects are
// abandoned, and the shared memory, the lock and the disk stay as they were at that instant. Instants where that can
// happen are the calls of its ports (clocks, timers, lock, log, network, disk) and every allocation of C++ memory:
// dozens of them between taking the zone's lock and giving it back. Not simulated are a kill between two stores of
// the same memcpy() and the reordering of stores: lib/tests/zone_processes_test.cc kills real processes for that.
#pragma once

#include <csetjmp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <utility>

#include "base/ports.h"
#include "sim/prng.h"

namespace ocsp_plus::sim {

constexpr UnixSeconds kEpoch = 1906545600;  // true time when a run begins; the test PKI lives around it

class Machine;

class Process {
 public:
  Process(Machine& machine, std::int32_t id) : machine_(machine), pid(id) {}

  // Runs `body` as this process. false: it was killed.
  bool run(const std::function<void()>& body);

  // An instant at which it may be killed; does not return then.
  void point();
  // Dies after so many more instants; while `locked`, only those count at which it holds the zone's lock.
  void light_fuse(std::int64_t points, bool locked);
  bool doomed() const { return fuse_ > 0; }

 private:
  friend class Shield;
  Machine& machine_;

 public:
  const std::int32_t pid;
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

// The simulator's own code, called from a process: no place to be killed at.
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

  // The one machine there is: the seams (net::Fetch::start and others) have no other way to it.
  static Machine& here();
  static void allocation();  // C++ memory is being allocated

  Millis monotonic() const { return now_; }
  UnixSeconds true_time() const { return kEpoch + (now_ - kBoot) / 1000; }
  UnixSeconds wall() const { return true_time() + offset_; }
  Seconds offset() const { return offset_; }
  void set_offset(Seconds offset) { offset_ = offset; }

  // --- timers ---
  std::unique_ptr<Timer> timer(EventLoop::TimerCallback callback);  // of the current process; none: the world's own
  void at(Millis when, std::function<void()> what);                 // the world's own, once
  // One event; time moves to it. Not beyond `limit`: false, and the time is `limit`.
  bool step(Millis limit);

  // --- processes ---
  Process& spawn();
  Process* current() const { return current_; }
  Process* find(std::int32_t pid);
  // It ended, by its own will or by a kill: nothing of it runs any more. A zombie until reaped.
  void end(Process& process);
  void reap(std::int32_t pid) { existing_.erase(pid); }
  bool exists(std::int32_t pid) const { return existing_.count(pid) != 0; }

  // --- hooks, set by who runs the machine ---
  std::function<void(Process&)> on_killed;
  std::function<void()> after_event;               // not after beats of which nothing comes
  std::function<Millis()> quiet_until;             // beats before that time would do nothing: they are left out
  std::function<std::int32_t()> designated;        // the pid whose beat comes first after such a leap; 0: no leap
  std::function<void(std::string_view)> narrator;  // a line for people, where somebody listens

  void say(std::string_view line);
  std::int64_t loud_lines = 0;                      // the engine's, of notice and louder
  std::uint64_t digest() const { return digest_; }  // of all that was said: two runs of a seed agree
  Prng& prng() { return prng_; }                    // the network's and the processes' chance

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
    bool beat = false;  // a worker's heartbeat
  };

  void arm(const std::shared_ptr<Armed>& timer, Millis after);
  void disarm(const std::shared_ptr<Armed>& timer);
  void leap(Millis limit);
  bool next_event(Millis limit);

  Millis now_ = kBoot;
  Seconds offset_ = 0;
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
