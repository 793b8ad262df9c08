// The start helper's work: fills the zone before the workers start, from the zone that it replaces, the cache
// directory and the files, and then from the responders while responses may still come and the time allows.
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

  // REQUIRES: `context.loop` is `loop`; `self.slot` is 0. Calls `progress` after each piece of work, and every kTick
  // ms while it waits: the master, which waits for it, thus knows that it is not stuck. `replaced`: the zone that
  // context.zone replaces, if any; it stays mapped until run() returns.
  Startup(PollLoop& loop, const Context& context, const store::ProcessIdentity& self, std::function<void()> progress,
          const std::optional<store::StapleZone>& replaced = std::nullopt);

  // How long to wait for responses; the time to read the old zone and the cache directory does not count.
  struct Patience {
    static constexpr Millis kQuiet = 1000;

    Millis wait = 0;                 // at the most
    Millis quiet = kQuiet;           // while nothing happens
    bool for_those_required = true;  // for certificates that clients refuse without, `wait` and not `quiet`
  };

  // Returns when nothing is left to wait for, or the patience is over. kLeaseLost: the lease was not to be had, the
  // zone is unchanged; other errors as LeaseHolder::take().
  Result<void> run(const Patience& patience);

 private:
  Result<void> take_lease();
  void wait_for(const std::vector<const Target*>& awaited, const Patience& patience);
  void every_tick(const std::function<Millis()>& work, const std::function<bool()>& done, Millis wait);
  void load_what_was_kept();
  std::vector<const Target*> missing() const;
  bool is_urgent(const Target& target, const Patience& patience) const;
  bool settled(const Target& target, const Patience& patience) const;
  void mark_tried(const std::vector<const Target*>& awaited);
  void tell() const;
  bool held(const Target& target, Seconds margin) const;

  PollLoop& loop_;
  Context context_;
  store::ProcessIdentity self_;
  std::function<void()> progress_;
  std::optional<ReplacedZone> replaced_;
  std::unique_ptr<LeaseHolder> holder_;
};

}  // namespace ocsp_plus::engine
