// Contends for the lease in one worker: asks for it twice a second and, while it holds it, does the lease holder's
// work. Every worker has one of these; the one with the lease is the designated worker.
#pragma once

#include <memory>

#include "base/ports.h"
#include "engine/lease_holder.h"
#include "engine/report.h"
#include "store/lease.h"

namespace ocsp_plus::engine {

class LeaseContender {
 public:
  // Starts at once: worker 0 asks for the lease in the loop's next turn, the others a tick later. `context` and what
  // it refers to outlive the object. Create it after fork.
  LeaseContender(const Context& context, const store::ProcessIdentity& self);
  // Cancels what is in flight and gives the lease up, if it is ours.
  ~LeaseContender();
  LeaseContender(const LeaseContender&) = delete;
  LeaseContender& operator=(const LeaseContender&) = delete;

  // The worker is shutting down: as destruction, and it never contends again.
  void retire();
  // Part of this worker's engine failed half way (most likely out of memory), so its state is not to be trusted. The
  // next tick gives the lease up, takes it anew and rebuilds everything from the zone.
  void distrust() noexcept { distrusted_ = true; }

 private:
  void tick();
  void take_lease();

  Context context_;
  store::ProcessIdentity self_;
  Report report_;
  std::unique_ptr<LeaseHolder> holder_;
  std::unique_ptr<Timer> timer_;
  Millis not_before_ = 0;  // monotonic; no attempt to take the lease before
  unsigned ticks_ = 0;
  bool retired_ = false;
  bool distrusted_ = false;
  bool failed_ = false;  // and logged: the last attempt to take the lease
};

}  // namespace ocsp_plus::engine
