// Which certificate is asked for next. A certificate is in the queue until it is due; from then on it waits for each
// host that it might ask, until one of them permits. Pure: it knows times and the health of hosts, and neither clock
// nor network nor zone.
//
// So ten thousand certificates on a host that is dead wait without holding a slot, and a host with thousands of them
// does not push the others aside.
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

  // What is to be known of a certificate that waits.
  struct Waiting {
    std::vector<std::string> hosts;  // keys of the health of each host that it might ask
    UnixSeconds ends = 0;            // of the response that is held; 0: there is none that can be stapled
    bool staple_required = false;    // clients refuse it without
    UnixSeconds tried = 0;           // when it was last asked for, or began to be; 0: never
    bool unanswered = false;         // the process before this one was left without an answer
    bool per_connection = false;
  };

  // The health is the caller's, and outlives the plan, which brings probes forward.
  explicit Plan(ResponderHealth& health) : health_(health) {}

  // REQUIRES: the certificate is in no place.
  void enqueue(Entry entry, UnixSeconds due);
  void wait(Entry entry, Waiting waiting, UnixSeconds now);

  // Takes it out of its place; false: it has none.
  bool remove(Entry entry);
  // Takes out of the queue what is due; nothing: nothing is.
  std::optional<Entry> take_due(UnixSeconds now);
  // Takes out one that waits for a host which permits it now; nothing: there is none. Of several hosts each has its
  // turn. `per_connection`: those may go as well. `monotonic`: ms.
  std::optional<Entry> take_permitted(UnixSeconds now, Millis monotonic, bool per_connection);
  // Takes out all, from both places.
  std::set<Entry> take_all();

  // Gives all that are in the queue another time: what `when` says, of its time so far.
  void reschedule(const std::function<UnixSeconds(Entry entry, UnixSeconds due)>& when);

  // An exchange with the host has ended: if it fails, it is probed as early as anybody who waits for it needs.
  void plan_probe_of(const std::string& host, UnixSeconds now);

  bool queued(Entry entry) const { return entry < places_.size() && places_[entry].queued; }
  bool waits(Entry entry) const { return entry < places_.size() && places_[entry].waiting != nullptr; }
  // Of all.
  std::size_t queued() const { return queue_.size(); }
  std::size_t hosts_waited_for() const { return waiting_.size(); }

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
  std::optional<Entry> take_permitted_of(const std::string& host, UnixSeconds now, Millis monotonic,
                                         bool per_connection);
  Entry choose(const std::string& host, const Queue& waiting) const;
  Need need_of(Entry entry, UnixSeconds now) const;
  void probe_in_time(const std::string& host, UnixSeconds now);
  Need most_urgent(const Queue& waiting, UnixSeconds now) const;

  ResponderHealth& health_;
  std::vector<Place> places_;             // by entry
  Queue queue_;                           // by due time
  std::map<std::string, Queue> waiting_;  // by host, then by Waiting::ends; never empty but for a moment
  std::string turn_;                      // the host that had the last turn
};

}  // namespace ocsp_plus::engine
