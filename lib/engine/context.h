// What the engine works with in a process: the ports to its event loop and clocks, and what the configuration said.
// Everything that lives in the lease holder is made with one of these; so is the start helper, and each worker's
// contender for the lease.
#pragma once

#include "base/ports.h"
#include "engine/catalog.h"
#include "engine/settings.h"
#include "store/staple_zone.h"

namespace ocsp_plus::engine {

// All of it outlives whoever has a copy.
struct Context {
  EventLoop& loop;
  const Clock& clock;
  Random& random;
  LogSink& log;
  SharedLock& lock;  // the zone's
  store::StapleZone zone;
  const Catalog& catalog;
  const Settings& settings;
  bool starting = false;  // the start helper: what the first worker will meet as well is left to it to say
};

}  // namespace ocsp_plus::engine
