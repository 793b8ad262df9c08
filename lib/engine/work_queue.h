// One piece of work in a few turns of the event loop: what takes long, verifying responses above all, is done in the
// order in which it came up, and between two pieces the loop serves everybody else. So a thousand responses that
// arrive together delay a handshake by one verification, not by a thousand.
//
// A few turns and not each, because nginx accepts one connection in a turn: a piece of work in each of them would
// take as much from a busy worker as handshakes do. While the loop has nothing else to do, turns follow one another
// at once and cost next to nothing, so nothing is lost by it.
#pragma once

#include <functional>
#include <list>
#include <memory>

#include "base/ports.h"

namespace ocsp_plus::engine {

class WorkQueue {
 public:
  // A job in the queue. Destroying it before its turn gives it up; WorkQueue must outlive it.
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

  static constexpr unsigned kTurnsBetweenJobs = 3;  // turns after a piece of work in which there is none

  explicit WorkQueue(EventLoop& loop);

  // `work` is called from the loop, once, in its next turn at the earliest; it may destroy its ticket.
  std::unique_ptr<Ticket> enqueue(std::function<void()> work);
  std::size_t waiting() const { return waiting_.size(); }

 private:
  void next();

  std::list<Ticket*> waiting_;
  unsigned rest_ = 0;  // turns still to pass
  std::unique_ptr<Timer> timer_;
};

}  // namespace ocsp_plus::engine
