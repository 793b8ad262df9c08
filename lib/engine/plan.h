// Decides which certificate is asked for next. A certificate is queued until it is due; then it waits for every host
// that it might ask, until one of them permits. Pure: it knows times and the health of hosts, but no clock, network
// or zone.
//
// Ten thousand certificates on a dead host thus wait without holding a slot, and a host with thousands of
// certificates does not push the others aside.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "engine/responder_health.h"
#include "engine/schedule.h"
#include "store/staple_zone.h"

namespace ocsp_plus::engine {

class Plan {
 public:
  using Entry = store::EntryIndex;

  // Facts that the plan needs of a waiting certificate.
  struct Waiting {
    std::vector<std::string> hosts;  // health keys of all hosts that it might ask
    UnixSeconds ends = 0;            // end of the held response; 0: none that can be stapled
    bool staple_required = false;    // clients or a server refuse it without a staple
    UnixSeconds tried = 0;           // start of its last request; 0: never
    bool unanswered = false;         // the previous process ended before the answer came
    bool per_connection = false;
    Seconds within = 0;  // RefreshBound::within; 0: it has no bound
  };

  // `health` outlives the plan. The plan brings its probes forward.
  explicit Plan(ResponderHealth& health) : health_(health) {}

  // REQUIRES: the certificate is neither queued nor waiting.
  void enqueue(Entry entry, UnixSeconds due);
  void wait(Entry entry, Waiting waiting, UnixSeconds now);

  // Gives a queued certificate another time. false: it is not queued, and nothing is done.
  bool requeue(Entry entry, UnixSeconds due);
  // Removes it from the queue or from waiting. false: it was in neither.
  bool remove(Entry entry);
  // Removes and returns a certificate that is due; nothing: none is.
  std::optional<Entry> take_due(UnixSeconds now);
  // Removes and returns a certificate whose host permits it now; nothing: there is none. Hosts take turns.
  // `per_connection`: certificates of that origin are permitted as well. `monotonic`: ms.
  std::optional<Entry> take_permitted(UnixSeconds now, Millis monotonic, bool per_connection);
  // Removes all, queued and waiting.
  std::set<Entry> take_all();

  // Gives every queued certificate the time that `when` returns for it and its present time.
  void reschedule(const std::function<UnixSeconds(Entry entry, UnixSeconds due)>& when);

  // An exchange with the host has ended: if the host fails, its probe is brought forward to the earliest time that a
  // waiting certificate needs, or that its bound demands.
  void plan_probe_of(const std::string& host, UnixSeconds now);

  bool queued(Entry entry) const { return entry < places_.size() && places_[entry].queued; }
  bool waits(Entry entry) const { return entry < places_.size() && places_[entry].waiting != nullptr; }

 private:
  using Queue = std::set<std::pair<UnixSeconds, Entry>>;
  struct Place {
    UnixSeconds due = 0;
    bool queued = false;
    std::unique_ptr<Waiting> waiting;
  };

  const Waiting& waiting(Entry entry) const { return *places_[entry].waiting; }
  Place& place(Entry entry);
  void stop_waiting(Entry entry);
  Entry choose(const std::string& host, const Queue& waiting) const;
  Need need_of(Entry entry, UnixSeconds now) const;
  void bring_within(const std::string& host, Seconds bound);
  void probe_in_time(const std::string& host, UnixSeconds now);
  Seconds shortest_bound(const Queue& waiting) const;
  Need most_urgent(const Queue& waiting, UnixSeconds now) const;

  ResponderHealth& health_;
  std::vector<Place> places_;             // by entry
  Queue queue_;                           // by due time
  std::map<std::string, Queue> waiting_;  // by host, then by Waiting::ends; empty only if memory ran out
  std::string turn_;                      // the host that had the last turn
};

}  // namespace ocsp_plus::engine
