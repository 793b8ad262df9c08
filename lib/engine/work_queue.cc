#include "engine/work_queue.h"

#include <utility>

namespace ocsp_plus::engine {

WorkQueue::WorkQueue(EventLoop& loop) : timer_(loop.timer([this] { next(); })) {}

WorkQueue::Ticket::~Ticket() {
  if (at_ != work_queue_.waiting_.end()) {
    work_queue_.waiting_.erase(at_);
  }
}

std::unique_ptr<WorkQueue::Ticket> WorkQueue::enqueue(std::function<void()> work) {
  std::unique_ptr<Ticket> ticket(new Ticket(*this, std::move(work)));
  ticket->at_ = waiting_.end();
  ticket->at_ = waiting_.insert(waiting_.end(), ticket.get());
  if (waiting_.size() == 1 && rest_ == 0) {
    timer_->arm(0);
  }
  return ticket;
}

void WorkQueue::next() {
  if (rest_ > 0 && (--rest_ > 0 || !waiting_.empty())) {
    return timer_->arm(0);
  }
  if (waiting_.empty()) {
    return;
  }
  // First, so that the jobs behind it get their turns even if this one fails half way.
  rest_ = kTurnsBetweenJobs;
  timer_->arm(0);
  Ticket& ticket = *waiting_.front();
  waiting_.pop_front();
  ticket.at_ = waiting_.end();
  const std::function<void()> work = std::move(ticket.work_);
  work();  // may destroy the ticket, or add others
}

}  // namespace ocsp_plus::engine
