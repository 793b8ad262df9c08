// The start helper's work: fills the zone before the workers begin, from the zone that it replaces, the cache
// directory and the files, and then from the responders for as long as something may still come and the time allows.
//
// Runs in a process of its own that may be killed at any instruction; it takes the lease like any worker, and the
// first worker takes it over.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/poll_loop.h"
#include "engine/lease_holder.h"
#include "engine/replaced_zone.h"

namespace ocsp_plus::engine {

class Startup {
 public:
  static constexpr Millis kTick = 100;

  // `context.loop` has to be `loop`. `self.slot` is 0. `progress` is called while it gets on: after each piece of
  // work, and every kTick ms while it waits; whoever waits for it in turn knows then that it is not stuck.
  // `replaced`: the zone that context.zone is new for, where there is one; it stays mapped until run() returns.
  Startup(PollLoop& loop, const Context& context, const store::ProcessIdentity& self, std::function<void()> progress,
          const std::optional<store::StapleZone>& replaced = std::nullopt);

  // Returns when nothing is left to wait for, or nothing happens for a second, after `wait` ms at the latest (where
  // clients refuse a certificate that has no response: then); reading the old zone and the cache directory is not
  // waiting. kLeaseLost: the lease was not to be had, the zone stays as it is; else as LeaseHolder::take().
  Result<void> run(Millis wait);

 private:
  Result<void> take_lease();
  void wait_for(const std::vector<const Target*>& awaited, Millis wait);
  void every_tick(const std::function<Millis()>& work, const std::function<bool()>& done, Millis wait);
  void load_what_was_kept();
  std::vector<const Target*> missing() const;
  bool settled(const Target& target) const;
  void mark_tried(const std::vector<const Target*>& awaited);
  bool held(const Target& target, Seconds margin) const;

  PollLoop& loop_;
  Context context_;
  store::ProcessIdentity self_;
  std::function<void()> progress_;
  std::optional<ReplacedZone> replaced_;
  std::unique_ptr<LeaseHolder> holder_;
};

}  // namespace ocsp_plus::engine
