// Shares responses with the other nodes of a fleet through a store (net/shared_store.h), so that one node asks the
// responder for all. Design and failure table: docs/fleets.md.
//
// A certificate that is due is looked for in the store first. A response from there goes through the gate like any
// other. If there is nothing new, the node gets a lease and asks the responder, or another node has the lease and
// this one waits. Its patience has an end (schedule.h): a lease only saves requests, and whatever the store says or
// fails to say, the certificate is handed back to ask on its own. What the node has fetched it publishes. Here stands
// looking and waiting; responses are judged by SharedResponses, leases and publications are the Publisher's.
//
// Lives in the process that holds the lease of the zone, beside the refresher, which hands it the certificates.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "engine/admit.h"
#include "engine/context.h"
#include "engine/publisher.h"
#include "engine/report.h"
#include "engine/roster.h"
#include "engine/schedule.h"
#include "engine/shared_responses.h"
#include "engine/sharing_tally.h"
#include "engine/work_queue.h"
#include "net/shared_store.h"

namespace ocsp_plus::engine {

class Sharing {
 public:
  using Entry = store::EntryIndex;

  // The refresher. All calls come from the loop.
  class User {
   public:
    virtual ~User() = default;
    // The certificate may ask its responder; Sharing has it no longer, but may hold a lease for it.
    virtual void ask(Entry entry) = 0;
    // A response from the store was committed. Sharing has the certificate no longer, if it had it.
    virtual void received(Entry entry) = 0;
    // How many exchanges with the certificate's first responder may begin now.
    virtual std::size_t room(Entry entry) const = 0;
    // All responders of the certificate fail here: it waits for one of them rather than for a lease.
    virtual bool hopeless(Entry entry) const = 0;
    // Another process holds the lease of the zone.
    virtual void zone_lost() = 0;
  };

  // Everything outlives the object. `store` calls state_changed() through its OnState.
  Sharing(const Context& context, Report& report, WorkQueue& work_queue, Gate& gate, Roster& roster,
          net::SharedStore& store, User& user);
  ~Sharing();
  Sharing(const Sharing&) = delete;
  Sharing& operator=(const Sharing&) = delete;

  // Takes a certificate that is due. false: it is not looked for, since the store is down, or has been silent for
  // kVerdictWithin, or the issuer is missing.
  bool take(Entry entry);
  // Sends looks that are due, also for leases that have room now. Call it when an exchange has ended, and with each
  // tick.
  void pump();
  void state_changed(net::SharedStore::State state);

  // --- of a certificate that was handed back ---

  // Its exchange has begun: it counts in User::room() from now on.
  void asking(Entry entry) { publisher_.asking(entry); }
  // Its response was committed to the zone: it is published, and a lease given back.
  void fetched(Entry entry) { publisher_.fetched(entry); }
  // There is none, and this node tries again at `next`. `failed`: the responder was not reached, or refused; else it
  // has confirmed what is held.
  void settled(Entry entry, UnixSeconds next, bool failed) { publisher_.settled(entry, next, failed); }
  // Something else has made the exchange needless: a lease is given back.
  void release(Entry entry) { publisher_.release(entry); }

  // Gives back all leases, so that whoever comes next may ask: before the exchanges of this process end with it.
  void release_all() { publisher_.release_all(); }
  // Publications, and leases given back, are under way.
  bool busy() const { return publisher_.busy(); }

  // The certificate is about to be removed, or taken away: it is in none of Sharing's places then.
  void end(Entry entry);
  bool has(Entry entry) const;
  // When the store's first verdict came or was overdue, or a response came, or another node was found asking for one
  // that this node lacks; now, as long as there is no verdict. Monotonic, 0: never. A start waits while there is
  // progress.
  Millis progressed() const {
    const bool connecting = store_.state() == net::SharedStore::State::kConnecting && progressed_ == 0;
    return connecting ? context_.clock.monotonic() : progressed_;
  }
  const SharingTally& tally() const { return tally_; }
  const net::SharedStore& store() const { return store_; }

 private:
  using Found = net::SharedStore::Found;
  // A place in a queue.
  struct Order {
    Millis due = 0;
    std::uint32_t order = 0;
    Entry entry = 0;
    bool operator<(const Order& other) const {
      return std::tie(due, order, entry) < std::tie(other.due, other.order, other.entry);
    }
  };
  using Sha1 = net::Sha1;
  // A certificate that is looked for.
  struct Item {
    std::string host;         // health key of its first responder; empty: only news brought it here
    std::uint32_t order = 0;  // random, so that the nodes divide the work
    Millis taken = 0;
    Millis bound = INT64_MAX;    // when its own bound ends (ocsp_plus_refresh): it waits for nobody after that
    Millis due = 0;              // when to look next; monotonic, as all times here
    Millis waits_since = 0;      // since when it waits for others; 0: it does not
    Millis lease_patience = 0;   // when it stops to wait for another node's lease
    Millis note_patience = 0;    // when it stops to heed notes
    unsigned tries = 0;          // looks in vain in a row
    unsigned judged = 0;         // responses of no use
    unsigned put_off = 0;        // looks in a row that were put off, since the answer was full
    Millis throttled_since = 0;  // the fleet has begun enough requests; 0: it has not
    std::optional<Sha1> known;   // the response that was judged last
    bool may_replace = false;    // the node's own response may replace that
  };
  // The certificates that wait to be looked for, of one host.
  struct Queue {
    std::set<Order> due;
    std::set<Order> starved;  // wait for room in this node; those with nothing to staple are in `due` as well
    Millis progressed = 0;    // when the store last gave a lease or a response
    std::size_t batches = 0;  // under way
    std::size_t wanted = 0;   // leases, by them
  };
  struct Batch {
    std::string host;
    std::vector<Entry> entries;
    std::vector<CertificateId> ids;  // theirs: an entry may have another certificate by the time of the answer
    std::size_t leases = 0;          // wanted
    std::unique_ptr<net::SharedStore::Query> query;
  };
  static constexpr std::size_t kMostBatches = 2;  // for one host
  static constexpr Millis kVerdictWithin = 1000;  // for a store that has just been created; a start waits no longer

  void verdict_overdue();
  bool shares(Entry entry) const;
  bool lacks_staple(Entry entry) const;
  Millis end_of_bound(Entry entry, Millis now) const;
  std::optional<Sha1> held_digest(Entry entry) const;
  void wait(Entry entry, Millis due);
  void starve(Entry entry);
  void unschedule(Entry entry);
  void forget(Entry entry);
  void hand_back(Entry entry);
  void hand_back_all();
  void look(const std::string& host);
  Batch gather(const std::string& host);
  void send(Batch batch);
  net::SharedStore::Item question(Entry entry, const Item& item, Millis now) const;
  std::size_t room(Entry entry, const std::string& host) const;
  void looked(std::list<Batch>::iterator at, Result<std::vector<Found>> found);
  bool held_up(Entry entry) const;
  bool may_look() const;
  void hand_back_hopeless(const std::string& host);
  void looked_one(Entry entry, const CertificateId& id, Found found, bool room_used_up);
  void committed(Entry entry);
  void leased(Entry entry, Found found);
  void elsewhere(Entry entry, const Found& found);
  void throttled(Entry entry);
  void judged(const SharedResponses::Response& response, SharedResponses::Judged judged,
              const std::optional<Sha1>& digest);
  void judged_found(Entry entry, SharedResponses::Judged judged, const std::optional<Sha1>& digest);
  void read_news();
  void heed_news(const std::vector<net::SharedStore::News>& news);
  void arm();
  void arm_by(Millis due);
  Millis spread(Millis least, Millis most) const;
  Millis jitter(Millis most);

  Context context_;
  Report& report_;
  Gate& gate_;
  Roster& roster_;
  net::SharedStore& store_;
  User& user_;
  std::map<Entry, Item> items_;
  std::map<std::string, Queue> queues_;  // by Item::host
  std::list<Batch> batches_;
  std::unique_ptr<net::SharedStore::Query> news_;
  std::unique_ptr<Timer> timer_;
  std::unique_ptr<Timer> news_timer_;
  std::unique_ptr<Timer> verdict_timer_;
  Millis progressed_ = 0;
  Millis armed_ = 0;         // when timer_ fires; 0: it does not
  std::string last_looked_;  // the host that had the last look
  SharingTally tally_;
  SharedResponses responses_;
  Publisher publisher_;
};

}  // namespace ocsp_plus::engine
