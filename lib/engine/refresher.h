// Keeps every certificate's response fresh: those of the catalog, and others that come and go. Each stapleable
// certificate is in exactly one place: in the queue, ordered by due time; due, and waiting for a responder that
// permits; in an exchange, a bounded number of them; or its accepted response is waiting for the zone's lock.
//
// Lives in the process that holds the lease, for as long as it does. Everything it decides by the wall clock it
// decides anew when that jumps.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/ports.h"
#include "engine/admit.h"
#include "engine/catalog.h"
#include "engine/disk_cache.h"
#include "engine/exchange.h"
#include "engine/methods.h"
#include "engine/rate_limit.h"
#include "engine/report.h"
#include "engine/responder_health.h"
#include "engine/settings.h"
#include "engine/work_queue.h"
#include "net/transport.h"
#include "store/staple_zone.h"

namespace ocsp_plus::engine {

class Refresher {
 public:
  using Index = Catalog::Index;

  struct Environment {
    EventLoop& loop;
    const Clock& clock;
    Random& random;
    Report& report;
    net::Transport& transport;
    TlsClients& tls;
    WorkQueue& work_queue;
    store::StapleZone zone;
    Gate& gate;
    const Catalog& catalog;
    const Settings& settings;
    Issuers* issuers = nullptr;       // nullptr: no target comes without an issuer
    DiskCache* disk_cache = nullptr;  // nullptr: there is no cache directory to look into
  };

  // `new_configuration`: nobody has refreshed for this configuration yet, so what failed before is tried at once (the
  // reload may have mended it). Otherwise the plans of the previous holder, kept in the zone, are taken over.
  Refresher(const Environment& environment, bool new_configuration);
  ~Refresher();

  // Starts what is due. To be called about twice a second; between ticks the end of one exchange starts the next.
  void tick();

  // The start helper has read the cache directory since: what it brought is planned. Plans of what was held before
  // stay, or a server that is reloaded again and again would never come to refresh.
  void plan_what_was_kept();
  // Looks into the cache directory for all targets of which nothing is held that can be stapled, one in a few turns
  // of the loop. `loud`: nobody has told yet what lies there and is of no use.
  void look_for_missing(bool loud);
  // How often the wall clock was seen to jump.
  unsigned jumps() const { return jumps_; }

  // When an exchange last began or ended for a certificate that no configuration had tried before; monotonic, 0: none
  // yet.
  Millis progressed() const { return progressed_; }

  // An operator wants them asked for again now, also those whose responder fails.
  void refresh_all();
  void refresh(Index index);

  // What was held for it is not held any more: it does not wait for its next look.
  void response_lost(Index index);

  // An issuer was fetched for one of its certificates: those that failed for want of it need not wait any longer.
  void issuer_came(const Target& first);

  // One more, or one less; `target` outlives its stay. Plans that lie in the zone are taken over. Not from inside of
  // an answer.
  Index add(const Target& target);
  void remove(Index index);
  // The last certificate that asked it has gone.
  void forget_host(const std::string& host) { health_.forget(host); }

  // The zone said that another process holds the lease: nothing more is done.
  bool lease_lost() const { return lease_lost_; }
  std::size_t in_flight() const { return in_flight_; }
  bool refreshing(Index index) const { return items_[index].exchange != nullptr; }
  const ResponderHealth& health() const { return health_; }

 private:
  friend struct RefresherInspector;  // tests look at the places

  using Queue = std::set<std::pair<UnixSeconds, Index>>;
  // One for each certificate, ten thousand maybe: what only some need at a time is kept elsewhere.
  struct Item {
    store::Attempt attempt;
    std::unique_ptr<Exchange> exchange;                    // its existence is what "refreshing" means
    std::unique_ptr<Exchange::HeldValidators> validators;  // of what is held, while it is
    UnixSeconds due = 0;                                   // while it is in the queue
    Millis started = 0;                                    // of the exchange
    UnixSeconds ends = 0;  // of the response held, as it was when it began to wait for a host
    bool ask = false;      // an operator wants it asked for, whatever the cache directory says
  };

  void load();
  UnixSeconds first_due(Index index, bool new_configuration, UnixSeconds now);
  void replan(std::optional<Seconds> shift);
  UnixSeconds plan(Index index, UnixSeconds now);
  UnixSeconds latest_due(Index index, UnixSeconds now) const;
  bool doubtful(const Target& target, const store::BlobHeader& held, UnixSeconds now) const;
  void park(Index index);
  void report_ended(UnixSeconds now);
  void replan_if_clock_jumped();
  void enqueue(Index index, UnixSeconds due) {
    item(index).due = due;
    queue_.emplace(due, index);
  }
  void pump();
  bool slot_free() const { return in_flight_ + pending_publish_.size() < environment_.settings.concurrency; }
  void wait(Index index, UnixSeconds now);
  void stop_waiting(Index index);
  void start_waiting(UnixSeconds now);
  Queue::const_iterator choose_waiting(const std::string& host, const Queue& waiting) const;
  bool start_one_waiting_for(const std::string& host, UnixSeconds now);
  bool kept_is_enough(Index index, UnixSeconds now);
  void look_for_next_missing();
  void start(Index index);
  void note_progress(Index index);
  std::optional<Exchange::HeldValidators> validators(Index index) const;
  void exchange_over(Index index);
  void exchange_ended(Index index, Exchange::End end);
  Need most_urgent_waiting(const std::string& host, UnixSeconds now) const;
  void probe_in_time(const std::string& host, UnixSeconds now);
  bool settle(Index index, const Exchange::Accepted& accepted);
  Admission commit(Index index, const Exchange::Accepted& accepted);
  void retry_publish();
  void succeeded(Index index, const Exchange::Accepted& accepted, const Admission& admission);
  void failed(Index index, std::size_t responder, const net::Fetch::Failure& error);
  void note(Index index, Reason reason, std::size_t responder, UnixSeconds now);
  UnixSeconds valid_until(const Target& target, UnixSeconds now) const;
  Need need(const Target& target, UnixSeconds held_until, UnixSeconds now) const;
  UnixSeconds next_issuer_probe(const Target& target, Need needed, UnixSeconds now);
  UnixSeconds next_probe(const Target& target) const;  // the earliest of its hosts
  Item& item(Index index) { return items_[index]; }
  const Target& target(Index index) const { return *targets_[index]; }
  std::size_t most_loaded() const { return std::max<std::size_t>(environment_.settings.concurrency / 2, 1); }

  Environment environment_;
  Report& report_;
  ResponderHealth health_;
  Methods methods_;
  RateLimit fresh_starts_;
  const bool new_configuration_;
  std::vector<const Target*> targets_;  // the catalog's, then others; nullptr: the number is free
  std::vector<Item> items_;             // by the same number
  std::vector<Index> free_;
  Queue queue_;                           // by due time
  std::map<std::string, Queue> waiting_;  // by key of each host it might ask, then by Item::ends
  std::string turn_;                      // the host whose waiting certificates went last
  std::deque<std::pair<Index, Exchange::Accepted>> pending_publish_;  // the zone had no time; each keeps its slot
  std::unique_ptr<Timer> pump_timer_;  // an exchange that ended makes room for the next in the loop's next turn
  std::unique_ptr<Timer> publish_timer_;
  std::unique_ptr<Timer> hang_timer_;
  std::size_t in_flight_ = 0;
  std::size_t loaded_in_flight_ = 0;  // of them, for certificates that are loaded per connection: half at the most
  Millis progressed_ = 0;
  bool lease_lost_ = false;
  UnixSeconds last_wall_ = 0;
  Millis last_monotonic_ = 0;
  unsigned jumps_ = 0;
  // Certificates that have ended and were not told of yet; nothing is said before the clock can be trusted.
  std::size_t ended_ = 0;
  Index first_ended_ = 0;
  Millis clock_doubted_since_;
  bool clock_confirmed_ = false;
  // The search for what is missing.
  Index next_missing_ = 0;
  bool loud_ = false;
  std::unique_ptr<WorkQueue::Ticket> search_;  // nullptr: none runs
  std::unique_ptr<WorkQueue::Ticket> resume_;  // of pump(), which stopped for the loop's sake
};

}  // namespace ocsp_plus::engine
