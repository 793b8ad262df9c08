// One worker's part in refreshing: it asks for the lease twice a second; while it has it, it does its work. Every
// worker has one of these; one of them is the designated worker.
#pragma once

#include <memory>

#include "base/ports.h"
#include "engine/lease_holder.h"
#include "engine/report.h"
#include "store/lease.h"

namespace ocsp_plus::engine {

class DesignatedWorker {
 public:
  // Begins at once: worker 0 asks for the lease in the loop's next turn, the others a tick later. `context` and
  // what it refers to outlive the object. Create it after fork.
  DesignatedWorker(const Context& context, const store::ProcessIdentity& self);
  // Cancels what is in flight and gives the lease up, if it is ours.
  ~DesignatedWorker();
  DesignatedWorker(const DesignatedWorker&) = delete;
  DesignatedWorker& operator=(const DesignatedWorker&) = delete;

  // The worker is shutting down: like destruction, but for good.
  void retire();
  // Something of this worker's failed half way (out of memory, most likely): what it left behind is not to be
  // trusted. At the next tick the lease is put down and taken anew, and all it knows is built from the zone again.
  void distrust() noexcept { distrusted_ = true; }
  bool designated() const { return holder_ != nullptr; }

 private:
  void tick();
  void take_lease();

  Context context_;
  store::ProcessIdentity self_;
  Report report_;
  std::unique_ptr<LeaseHolder> holder_;
  std::unique_ptr<Timer> timer_;
  Millis not_before_ = 0;  // of the next attempt to take the lease
  unsigned ticks_ = 0;
  bool retired_ = false;
  bool distrusted_ = false;
};

}  // namespace ocsp_plus::engine
