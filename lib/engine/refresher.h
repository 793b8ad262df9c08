// Keeps every certificate's response fresh: a queue ordered by due time, a bounded number of exchanges in flight, and
// those who wait for a responder kept beside it, out of the queue.
//
// Lives in the process that holds the lease, for as long as it does. Everything it decides by the wall clock it
// decides anew when that jumps.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/ports.h"
#include "engine/admit.h"
#include "engine/catalog.h"
#include "engine/exchange.h"
#include "engine/hosts.h"
#include "engine/report.h"
#include "engine/settings.h"
#include "net/resolver.h"
#include "store/staple_zone.h"

namespace ocsp_plus::engine {

class Refresher {
 public:
  struct Environment {
    EventLoop& loop;
    const Clock& clock;
    Random& random;
    LogSink& log;
    net::Resolver& resolver;
    store::StapleZone zone;
    Gate& gate;
    const Catalog& catalog;
    const Settings& settings;
  };

  // `new_configuration`: nobody has refreshed for this configuration yet, so what failed before is tried at once (the
  // reload may have mended it). Otherwise the plans of the previous holder, kept in the zone, are taken over.
  Refresher(const Environment& environment, bool new_configuration);
  ~Refresher();

  // Starts what is due. To be called about twice a second; between ticks the end of one exchange starts the next.
  void tick();

  // The zone said that another process holds the lease: nothing more is done.
  bool lease_lost() const { return lease_lost_; }
  std::size_t in_flight() const { return in_flight_; }
  const Hosts& hosts() const { return hosts_; }

 private:
  using Index = Catalog::Index;
  using Queue = std::set<std::pair<UnixSeconds, Index>>;  // by due time
  struct Item {
    store::Attempt attempt;
    std::unique_ptr<Exchange> exchange;  // its existence is what "refreshing" means
    UnixSeconds due = 0;                 // while it is in the queue or waits for a host
  };
  // An accepted response that the zone had no time for.
  struct Offer {
    Index index;
    std::size_t responder;
    net::FetchResponse response;
  };

  void load(bool new_configuration);
  UnixSeconds first_due(Index index, bool new_configuration, UnixSeconds now) const;
  UnixSeconds due_by_validity(Index index, UnixSeconds now) const;
  void replan_if_clock_jumped();
  void enqueue(Index index, UnixSeconds due);
  void pump();
  void place(Index index, UnixSeconds now);
  void start_waiting(UnixSeconds now);
  bool start_one_waiting_for(const std::string& host, UnixSeconds now);
  void start(Index index, std::size_t responder);
  Answer judge(Index index, const net::FetchResponse& response, std::size_t responder, Error* why);
  void exchange_ended(Index index, Exchange::End end);
  void probe_in_time(const std::string& host, UnixSeconds now);
  Admission offer(Index index, std::size_t responder, const net::FetchResponse& response);
  void offer_again();
  void succeeded(Index index, std::size_t responder, const Admission& admission, const net::FetchResponse& response);
  void failed(Index index, std::size_t responder, const net::Fetch::Failure& error);
  UnixSeconds valid_until(const Target& target) const;
  Item& item(Index index) { return items_[index]; }
  const Target& target(Index index) const { return environment_.catalog.target(index); }

  Environment environment_;
  Report report_;
  Hosts hosts_;
  std::vector<Item> items_;  // by catalog index
  Queue queue_;
  std::map<std::string, Queue> waiting_;  // by host key
  std::string turn_;                      // the host whose waiting certificates went last
  std::vector<Offer> offers_;
  std::unique_ptr<Timer> pump_timer_;  // an exchange that ended makes room for the next in the loop's next turn
  std::unique_ptr<Timer> offer_timer_;
  std::size_t in_flight_ = 0;
  bool lease_lost_ = false;
  UnixSeconds last_wall_ = 0;
  Millis last_monotonic_ = 0;
};

}  // namespace ocsp_plus::engine
