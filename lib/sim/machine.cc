#include "sim/machine.h"

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "store/lease.h"

namespace ocsp_plus::sim {
namespace {

Machine* machine = nullptr;

}  // namespace

// --- processes ---

bool Process::run(const std::function<void()>& body) {
  if (in_frame_) {  // the start helper runs its own loop
    Process* const outer = machine_.current_;
    machine_.current_ = this;
    body();
    machine_.current_ = outer;
    return true;
  }
  outer_ = machine_.current_;
  machine_.current_ = this;
  in_frame_ = true;
  if (setjmp(frame_) == 0) {
    body();
  } else {
    alive = false;
  }
  in_frame_ = false;
  machine_.current_ = outer_;
  if (!alive) {
    machine_.end(*this);
    machine_.on_killed(*this);
    return false;
  }
  return true;
}

void Process::point() {
  if (fuse_ == 0 || shields_ > 0 || (locked_only_ && !holds_lock) || --fuse_ > 0) {
    return;
  }
  std::longjmp(frame_, 1);
}

void Process::light_fuse(std::int64_t points, bool locked) {
  fuse_ = points;
  locked_only_ = locked;
}

Shield::Shield() : process_(machine == nullptr ? nullptr : machine->current()) {
  if (process_ != nullptr) {
    ++process_->shields_;
  }
}

Shield::~Shield() {
  if (process_ != nullptr) {
    --process_->shields_;
  }
}

Process& Machine::spawn() {
  const std::int32_t pid = ++last_pid_;
  existing_.insert(pid);
  return *processes_.emplace(pid, std::make_unique<Process>(*this, pid, node())).first->second;
}

Process* Machine::find(std::int32_t pid) {
  const auto found = processes_.find(pid);
  return found == processes_.end() ? nullptr : found->second.get();
}

void Machine::end(Process& process) {
  process.alive = false;
  for (auto it = queue_.begin(); it != queue_.end();) {
    if (it->second->owner == &process) {
      it->second->armed = false;
      it = queue_.erase(it);
    } else {
      ++it;
    }
  }
}

// --- timers ---

class Machine::Alarm : public Timer {
 public:
  explicit Alarm(std::shared_ptr<Armed> armed) : armed_(std::move(armed)) {}
  ~Alarm() override { disarm(); }
  void arm(Millis after) override {
    const Shield shield;
    machine->arm(armed_, after);
  }
  void disarm() override {
    const Shield shield;
    machine->disarm(armed_);
  }

 private:
  std::shared_ptr<Armed> armed_;
};

Machine::Machine(std::uint64_t seed) : prng_(seed) {
  machine = this;
}

Machine::~Machine() {
  machine = nullptr;
}

Machine& Machine::here() {
  return *machine;
}

void Machine::allocation() {
  if (machine != nullptr && machine->current_ != nullptr) {
    machine->current_->point();
  }
}

std::unique_ptr<Timer> Machine::timer(EventLoop::TimerCallback callback) {
  const Shield shield;
  auto armed = std::make_shared<Armed>();
  armed->callback = std::move(callback);
  armed->owner = current_;
  return std::make_unique<Alarm>(std::move(armed));
}

void Machine::at(Millis when, std::function<void()> what, bool silent) {
  auto armed = std::make_shared<Armed>();
  armed->callback = std::move(what);
  armed->node = node();
  armed->silent = silent;
  arm(armed, when - now_);
}

void Machine::arm(const std::shared_ptr<Armed>& timer, Millis after) {
  disarm(timer);
  timer->due = {now_ + std::max<Millis>(after, 0), ++armed_};
  timer->armed = true;
  timer->beat = timer->owner != nullptr && after == store::kHeartbeatInterval;
  queue_.emplace(timer->due, timer);
}

void Machine::disarm(const std::shared_ptr<Armed>& timer) {
  if (timer->armed) {
    queue_.erase(timer->due);
    timer->armed = false;
  }
}

// Skips heartbeats without effect: workers beat every half second, and for days nothing else happens. All heartbeats
// move to the next time at which something may happen, the designated workers' first, so that no other worker
// considers them dead.
void Machine::leap(Millis limit) {
  const std::vector<std::int32_t> first = designated ? designated() : std::vector<std::int32_t>();
  if (first.empty() || queue_.empty() || !queue_.begin()->second->beat) {
    return;
  }
  Millis target = std::min(limit, quiet_until());
  std::vector<std::shared_ptr<Armed>> beats;
  for (const auto& [due, timer] : queue_) {
    if (due.first >= target) {
      break;
    }
    if (!timer->beat) {
      target = due.first;
      break;
    }
    beats.push_back(timer);
  }
  if (beats.empty() || target <= queue_.begin()->first.first + 2 * store::kHeartbeatInterval) {
    return;
  }
  for (const auto& beat : beats) {
    queue_.erase(beat->due);
    const bool designated_one = std::find(first.begin(), first.end(), beat->owner->pid) != first.end();
    beat->due = {target + (designated_one ? 0 : 1), ++armed_};
    queue_.emplace(beat->due, beat);
  }
}

// Each event sets the current process, whichever process drives the machine.
bool Machine::step(Millis limit) {
  Process* const turning = current_;
  const std::size_t node = node_;
  current_ = nullptr;
  const bool happened = next_event(limit);
  current_ = turning;
  node_ = node;
  return happened;
}

bool Machine::next_event(Millis limit) {
  leap(limit);
  if (queue_.empty() || queue_.begin()->first.first > limit) {
    now_ = std::max(now_, limit);
    return false;
  }
  const std::shared_ptr<Armed> timer = queue_.begin()->second;
  queue_.erase(queue_.begin());
  timer->armed = false;
  now_ = std::max(now_, timer->due.first);
  node_ = timer->owner == nullptr ? timer->node : timer->owner->node;
  if (timer->owner == nullptr) {
    timer->callback();
  } else {
    // Calls a copy: the callback may destroy its own timer.
    timer->owner->run([&timer] {
      const std::function<void()> callback = timer->callback;
      callback();
    });
  }
  if (!timer->beat && !timer->silent && after_event) {
    after_event();
  }
  return true;
}

// --- nodes ---

void Machine::set_offset(Seconds offset) {
  offsets_.resize(std::max(offsets_.size(), node() + 1));
  offsets_[node()] = offset;
}

Machine::OnNode::OnNode(Machine& machine, std::size_t node)
    : machine_(machine), process_(machine.current_), before_(machine.node_) {
  machine_.current_ = nullptr;
  machine_.node_ = node;
}

Machine::OnNode::~OnNode() {
  machine_.current_ = process_;
  machine_.node_ = before_;
}

void Machine::say(std::string_view line) {
  const Shield shield;
  for (const char c : line) {
    digest_ = (digest_ ^ static_cast<unsigned char>(c)) * 1099511628211u;
  }
  if (narrator) {
    narrator(line);
  }
}

}  // namespace ocsp_plus::sim

// --- system functions that the core calls without a port ---

extern "C" {

// Linked with --wrap: the machine decides whether a process exists.
int __wrap_kill(int pid, int) {
  if (ocsp_plus::sim::Machine::here().exists(pid)) {
    return 0;
  }
  errno = ESRCH;
  return -1;
}

long __wrap_getrandom(void* to, unsigned long size, unsigned) {
  const ocsp_plus::sim::Shield shield;
  auto* out = static_cast<unsigned char*>(to);
  for (unsigned long i = 0; i < size; ++i) {
    out[i] = static_cast<unsigned char>(ocsp_plus::sim::Machine::here().prng().next());
  }
  return static_cast<long>(size);
}

// Objects of killed processes are abandoned on purpose and are no leaks.
const char* __asan_default_options() {
  return "detect_leaks=0";
}

}  // extern "C"
