#include "engine/turns.h"

#include <utility>

namespace ocsp_plus::engine {

Turns::Turns(EventLoop& loop) : timer_(loop.timer([this] { next(); })) {}

Turns::Place::~Place() {
  if (at_ != turns_.waiting_.end()) {
    turns_.waiting_.erase(at_);
  }
}

std::unique_ptr<Turns::Place> Turns::wait(std::function<void()> work) {
  std::unique_ptr<Place> place(new Place(*this, std::move(work)));
  place->at_ = waiting_.end();
  place->at_ = waiting_.insert(waiting_.end(), place.get());
  if (waiting_.size() == 1 && rest_ == 0) {
    timer_->arm(0);
  }
  return place;
}

void Turns::next() {
  if (rest_ > 0 && (--rest_ > 0 || !waiting_.empty())) {
    return timer_->arm(0);
  }
  if (waiting_.empty()) {
    return;
  }
  // First, should the work fail half way: those behind it have their turns all the same.
  rest_ = kRest;
  timer_->arm(0);
  Place& place = *waiting_.front();
  waiting_.pop_front();
  place.at_ = waiting_.end();
  const std::function<void()> work = std::move(place.work_);
  work();  // may destroy the place, or add others
}

}  // namespace ocsp_plus::engine
