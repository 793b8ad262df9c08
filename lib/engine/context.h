// The engine's surroundings in a process: the ports to its event loop and clocks, and the configuration. One is made
// for each worker's LeaseContender and one for the start helper; all members of a lease holder share it.
#pragma once

#include "base/ports.h"
#include "engine/catalog.h"
#include "engine/settings.h"
#include "store/staple_zone.h"

namespace ocsp_plus::engine {

// Everything it refers to outlives every copy.
struct Context {
  EventLoop& loop;
  const Clock& clock;
  Random& random;
  LogSink& log;
  SharedLock& lock;  // the zone's lock
  store::StapleZone zone;
  Catalog& catalog;  // changed by the lease holder alone: engine/catalog.h
  const Settings& settings;
  bool starting = false;  // in the start helper: it leaves to the first worker what both would log
};

}  // namespace ocsp_plus::engine
