// The shared store of a fleet: implements net::SharedStore::create, so that the linker leaves the real client out.
#include "net/shared_store.h"

#include <memory>
#include <utility>

#include "sim/machine.h"
#include "tests/fakes/memory_store.h"

namespace ocsp_plus::sim {
namespace {

// True time, which the store's clock is.
class MachineClock : public Clock {
 public:
  UnixSeconds now() const override { return Machine::here().true_time(); }
  Millis monotonic() const override { return Machine::here().monotonic(); }
};

}  // namespace
}  // namespace ocsp_plus::sim

namespace ocsp_plus::net {

std::unique_ptr<SharedStore> SharedStore::create(EventLoop& loop, const Clock& clock, Random&, Resolver&,
                                                 SharedStoreOptions options, OnState on_state) {
  static const sim::MachineClock true_clock;
  static testing::MemoryStore server(true_clock);
  return std::make_unique<testing::MemoryStoreNode>(loop, clock, server, nullptr, std::move(options),
                                                    std::move(on_state));
}

}  // namespace ocsp_plus::net
