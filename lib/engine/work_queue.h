// Spreads long work, above all the verification of responses, over turns of the event loop: first come, first served,
// one job in a few turns, and between two jobs the loop serves everything else. A thousand responses that arrive
// together delay a handshake by one verification, not by a thousand.
//
// A job comes in a few turns, not in each, because nginx accepts one connection in a turn: a job in each would take
// as much from a busy worker as handshakes do. An idle loop turns at once at next to no cost, so the pause loses
// nothing there.
#pragma once

#include <functional>
#include <list>
#include <memory>

#include "base/ports.h"

namespace ocsp_plus::engine {

class WorkQueue {
 public:
  // A job in the queue. Destroying it before its turn cancels it; the WorkQueue must outlive it.
  class Ticket {
   public:
    ~Ticket();
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;

   private:
    friend class WorkQueue;
    explicit Ticket(WorkQueue& work_queue, std::function<void()> work)
        : work_queue_(work_queue), work_(std::move(work)) {}

    WorkQueue& work_queue_;
    std::function<void()> work_;
    std::list<Ticket*>::iterator at_;  // work_queue_.waiting_.end(): it had its turn
  };

  static constexpr unsigned kTurnsBetweenJobs = 3;  // turns without a job after each job

  explicit WorkQueue(EventLoop& loop);

  // Calls `work` from the loop, once, in the next turn at the earliest; it may destroy its ticket.
  std::unique_ptr<Ticket> enqueue(std::function<void()> work);

 private:
  void next();

  std::list<Ticket*> waiting_;
  unsigned rest_ = 0;  // turns still to pass
  std::unique_ptr<Timer> timer_;
};

}  // namespace ocsp_plus::engine
