// One worker's part in refreshing: it asks for the post twice a second; while it has it, it does its work. Every
// worker has one of these; one of them is the designated worker.
#pragma once

#include <memory>

#include "base/ports.h"
#include "engine/post.h"
#include "engine/report.h"
#include "store/lease.h"

namespace ocsp_plus::engine {

class DesignatedWorker {
 public:
  using Environment = Post::Environment;

  // Begins at once: worker 0 asks for the post in the loop's next turn, the others a beat later. `environment` and
  // what it refers to outlive the object. Create it after fork.
  DesignatedWorker(const Environment& environment, const store::Candidate& self);
  // Cancels what is in flight and gives the lease up, if it is ours.
  ~DesignatedWorker();
  DesignatedWorker(const DesignatedWorker&) = delete;
  DesignatedWorker& operator=(const DesignatedWorker&) = delete;

  // The worker is shutting down: like destruction, but for good.
  void retire();
  // Something of this worker's failed half way (out of memory, most likely): what it left behind is not to be
  // trusted. At the next beat the post is put down and taken anew, and all it knows is built from the zone again.
  void distrust() noexcept { distrusted_ = true; }
  bool designated() const { return post_ != nullptr; }

 private:
  void beat();
  void take_post();

  Environment environment_;
  store::Candidate self_;
  Report report_;
  std::unique_ptr<Post> post_;
  std::unique_ptr<Timer> timer_;
  Millis not_before_ = 0;  // of the next attempt to take the post
  unsigned beats_ = 0;
  bool retired_ = false;
  bool distrusted_ = false;
};

}  // namespace ocsp_plus::engine
