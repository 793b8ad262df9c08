// One worker's part in refreshing: it asks for the lease twice a second; while it holds it, it runs the refresher.
// Every worker has one of these; one of them is the designated worker.
#pragma once

#include <memory>
#include <optional>

#include "base/ports.h"
#include "engine/catalog.h"
#include "engine/refresher.h"
#include "engine/settings.h"
#include "store/lease.h"
#include "store/staple_zone.h"
#include "store/zone_writer.h"

namespace ocsp_plus::engine {

class DesignatedWorker {
 public:
  struct Environment {
    EventLoop& loop;
    const Clock& clock;
    Random& random;
    LogSink& log;
    SharedLock& lock;
    store::StapleZone zone;
    const Catalog& catalog;
    const Settings& settings;
  };

  // Begins at once: worker 0 asks for the lease in the loop's next turn, the others a beat later. `environment` and
  // what it refers to outlive the object. Create it after fork.
  DesignatedWorker(const Environment& environment, const store::Candidate& self);
  // Cancels what is in flight and gives the lease up, if it is ours.
  ~DesignatedWorker();
  DesignatedWorker(const DesignatedWorker&) = delete;
  DesignatedWorker& operator=(const DesignatedWorker&) = delete;

  // The worker is shutting down: like destruction, but for good.
  void retire();
  bool designated() const { return post_.has_value(); }

 private:
  // What exists only while the lease is ours. The order matters: each member uses those before it.
  struct Post {
    std::uint32_t epoch;
    std::unique_ptr<net::Resolver> resolver;
    store::ZoneWriter writer;
    Gate gate;
    Refresher refresher;

    Post(const Environment& environment, const store::Candidate& self, std::uint32_t lease_epoch,
         std::unique_ptr<net::Resolver> names, bool new_configuration);
  };

  void beat();
  void take_post();
  void do_post();
  void leave_post();

  Environment environment_;
  store::Candidate self_;
  Report report_;
  std::optional<Post> post_;
  std::unique_ptr<Timer> timer_;
  Millis swept_ = 0;
  Millis not_before_ = 0;  // of the next attempt to take the post
  bool retired_ = false;
};

}  // namespace ocsp_plus::engine
