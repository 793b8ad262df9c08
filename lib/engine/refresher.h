// Keeps the response of every certificate of the roster fresh. Each certificate that can be stapled is in exactly one
// place: in the plan, queued or waiting for a responder; in Sharing, looked for in the store of the fleet; in one of
// a bounded number of exchanges; or in pending_publish_, with an accepted response that waits for the zone's lock.
//
// Lives in the process that holds the lease, for as long as it does. When the wall clock jumps it repeats every
// decision that was made by it.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/ports.h"
#include "engine/admit.h"
#include "engine/clock_watch.h"
#include "engine/context.h"
#include "engine/disk_cache.h"
#include "engine/exchange.h"
#include "engine/methods.h"
#include "engine/plan.h"
#include "engine/report.h"
#include "engine/responder_health.h"
#include "engine/roster.h"
#include "engine/settings.h"
#include "engine/sharing.h"
#include "engine/work_queue.h"
#include "net/transport.h"
#include "store/entry_state.h"
#include "store/staple_zone.h"

namespace ocsp_plus::engine {

class Refresher : private Sharing::User {
 public:
  using Entry = store::EntryIndex;

  // `new_configuration`: no lease holder has refreshed for this configuration yet, so what failed before is tried at
  // once (the reload may have mended it). Otherwise the previous holder's plans are taken over from the zone. All
  // references outlive the refresher. `issuers`: nullptr: every target has its issuer; `disk_cache`: nullptr: no
  // cache directory.
  Refresher(const Context& context, Report& report, net::Transport& transport, TlsClients& tls, WorkQueue& work_queue,
            Gate& gate, Roster& roster, MissingIssuers* issuers, DiskCache* disk_cache, bool new_configuration);
  ~Refresher();

  // Shares responses with other nodes through `store`, which outlives the refresher. To be called once, before the
  // first tick().
  void share_through(net::SharedStore& store);
  Sharing* sharing() { return sharing_.has_value() ? &*sharing_ : nullptr; }  // nullptr: nothing is shared
  const Sharing* sharing() const { return sharing_.has_value() ? &*sharing_ : nullptr; }

  // Starts what is due. Call it about twice a second; between ticks the end of one exchange starts the next.
  void tick();

  // The start helper has read the cache directory since: plans what it found. Other certificates keep their plans, or
  // a server that is reloaded again and again would never refresh them.
  void plan_what_was_kept();
  // Looks into the cache directory for every certificate without a held response that can be stapled, one in a few
  // turns of the loop. `loud`: useless files have not been logged yet.
  void look_for_missing(bool loud);
  // The number of jumps of the wall clock.
  unsigned jumps() const { return clock_watch_.jumps(); }

  // When an exchange last began or ended for a certificate that no configuration had tried before, or the shared
  // store made progress; monotonic, 0: never.
  Millis progressed() const { return std::max(progressed_, sharing_.has_value() ? sharing_->progressed() : 0); }

  // The operator asks for all certificates again now, including those whose responder fails.
  void refresh_all();
  // Does nothing if there is no such certificate.
  void refresh(Entry entry);

  // The zone has lost its response: it is asked for without waiting for its next attempt.
  void response_lost(Entry entry);

  // The issuer of `first` was fetched: certificates that failed for lack of it stop waiting.
  void issuer_came(const Target& first);

  // The certificate was added to the roster, or is about to be removed. begin() takes over a plan from the zone. Not
  // to be called from within an answer.
  void begin(Entry entry);
  void end(Entry entry);
  // The last certificate that asked the host has gone.
  void forget_host(const std::string& host) { health_.forget(host); }

  // Another process holds the lease, according to the zone: the refresher does nothing more.
  bool lease_lost() const { return lease_lost_; }
  bool refreshing(Entry entry) const { return record(entry).exchange != nullptr; }
  // All responders of the certificate fail: it waits until one of them answers a probe.
  bool hopeless(Entry entry) const override;
  const ResponderHealth& health() const { return health_; }

 private:
  void load();
  void take_over(Entry entry, bool new_configuration, UnixSeconds now);
  UnixSeconds first_due(Record& record, bool new_configuration, UnixSeconds now);
  void replan(std::optional<Seconds> shift);
  UnixSeconds refresh_of(const store::BlobHeader& held, UnixSeconds now, const RefreshBound& bound,
                         std::uint64_t random, std::optional<UnixSeconds> fresh_until = std::nullopt) const;
  RefreshBound bound_of(const Target& target, UnixSeconds asked);
  UnixSeconds last_asked(const Record& record, const store::BlobHeader& held, UnixSeconds now) const;
  UnixSeconds due_by_held(const Record& record, UnixSeconds now);
  bool doubtful(const Target& target, const store::BlobHeader& held, UnixSeconds now) const;
  void park(Entry entry);
  void report_ended(UnixSeconds now);
  void replan_if_clock_jumped();
  void pump();
  void pump_due(UnixSeconds now);
  void take_back(Entry entry, UnixSeconds due);
  // Sharing::User
  void ask(Entry entry) override;
  void received(Entry entry) override;
  std::size_t room(Entry entry) const override;
  void zone_lost() override { lease_lost_ = true; }

  std::size_t free_slots() const {
    const std::size_t used = in_flight_ + pending_publish_.size();
    return context_.settings.concurrency - std::min(used, context_.settings.concurrency);
  }
  void wait(Entry entry, UnixSeconds now);
  bool kept_is_enough(Entry entry, UnixSeconds now);
  void look_for_next_missing();
  void start(Entry entry);
  void tell_if_late(const Record& record);
  void note_progress(const Record& record);
  std::optional<Exchange::HeldValidators> validators(Entry entry) const;
  void exchange_over(Entry entry);
  void exchange_ended(Entry entry, Exchange::End end);
  void compare_clocks(const Target& target, const Exchange::End& end, UnixSeconds now);
  bool settle(Entry entry, const Exchange::Accepted& accepted);
  Admission commit(Entry entry, const Exchange::Accepted& accepted);
  void retry_publish();
  void succeeded(Entry entry, const Exchange::Accepted& accepted, const Admission& admission);
  void failed(Entry entry, std::size_t responder, const net::Fetch::Failure& error);
  UnixSeconds next_attempt(Entry entry, std::size_t responder, const net::Fetch::Failure& error, UnixSeconds now);
  void note(Record& record, Reason reason, std::size_t responder, UnixSeconds now);
  void plan_at(Entry entry, UnixSeconds when);
  UnixSeconds next_issuer_probe(const Target& target, Need needed, UnixSeconds now);
  UnixSeconds next_probe(const Target& target) const;  // the earliest of its hosts
  Record& record(Entry entry) const { return roster_.at(entry); }
  const Target& target(Entry entry) const { return record(entry).target; }
  std::size_t most_per_connection() const { return std::max<std::size_t>(context_.settings.concurrency / 2, 1); }

  Context context_;
  Report& report_;
  net::Transport& transport_;
  TlsClients& tls_;
  WorkQueue& work_queue_;
  Gate& gate_;
  Roster& roster_;
  MissingIssuers* issuers_;
  DiskCache* disk_cache_;
  ResponderHealth health_;
  Methods methods_;
  Plan plan_;
  ClockWatch clock_watch_;
  std::optional<Sharing> sharing_;
  const bool new_configuration_;
  std::optional<std::uint64_t> node_;  // RefreshBound::node, for as long as this node asks on its own
  // Accepted responses for which the zone was busy; each keeps its slot.
  std::deque<std::pair<Entry, Exchange::Accepted>> pending_publish_;
  // Starts the next exchange in the loop's next turn, after one has ended.
  std::unique_ptr<Timer> pump_timer_;
  std::unique_ptr<Timer> publish_timer_;
  std::unique_ptr<Timer> hang_timer_;
  std::size_t in_flight_ = 0;
  std::size_t per_connection_in_flight_ = 0;  // part of in_flight_; at most half of all slots
  Millis progressed_ = 0;
  bool lease_lost_ = false;
  // Ended certificates that are not logged yet; nothing is logged before the clock can be trusted.
  std::size_t ended_ = 0;
  Entry first_ended_ = 0;
  // The search for missing responses.
  Entry next_missing_ = 0;
  bool loud_ = false;
  std::unique_ptr<WorkQueue::Ticket> search_;  // nullptr: none runs
  std::unique_ptr<WorkQueue::Ticket> resume_;  // continues pump(), which yielded to the loop
};

}  // namespace ocsp_plus::engine
