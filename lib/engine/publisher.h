// Publishes to the shared store the responses that this node has fetched, and gives its leases back. A lease is
// given back with the response, or with word of when this node tries again. Part of engine/sharing.h.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "engine/admit.h"
#include "engine/context.h"
#include "engine/roster.h"
#include "engine/shared_responses.h"
#include "engine/sharing_tally.h"
#include "net/shared_store.h"

namespace ocsp_plus::engine {

// How much longer than an exchange (ocsp_plus_timeout) a lease lasts; ms.
constexpr Millis kLeaseMargin = 2000;

class Publisher {
 public:
  using Entry = store::EntryIndex;

  // A lease of this node.
  struct Granted {
    net::SharedStore::Lease lease;
    std::string host;                   // health key of the responder that it is for
    unsigned failures = 0;              // the fleet's, since the last success
    std::optional<net::Sha1> replaces;  // Publication::replaces
    Millis until = 0;                   // when it has surely ended; monotonic
    bool asking = false;                // its exchange has begun
  };
  // The store holds another response in place of a published one. Tell judged() what it was found to be.
  using OnOther = std::function<void(Entry, Bytes response)>;

  // Everything outlives the object.
  Publisher(const Context& context, Gate& gate, Roster& roster, net::SharedStore& store, SharingTally& tally,
            OnOther on_other);

  // --- leases ---

  void hold(Entry entry, Granted granted) { leases_[entry] = std::move(granted); }
  bool holds(Entry entry) const { return leases_.count(entry) != 0; }
  // Leases for a host whose exchange is still to begin.
  std::size_t unused(const std::string& host) const;
  void asking(Entry entry);
  // Gives a lease back, so that another node may ask; release_unused() only if its exchange has not begun.
  void release(Entry entry);
  void release_unused(Entry entry);
  void release_all();
  // Gives back one that came too late to be held.
  void give_back(Entry entry, net::SharedStore::Lease lease, const std::string& host);
  // The exchange has brought no response: Sharing::settled().
  void settled(Entry entry, UnixSeconds next, bool failed);

  // --- publications ---

  // Publishes what was fetched, and what failed to be published before.
  void fetched(Entry entry);
  void publish_some();
  void judged(Entry entry, SharedResponses::Judged judged, const std::optional<net::Sha1>& digest);
  // The certificate is about to be removed, or taken away.
  void end(Entry entry);
  // Publications, and leases given back, are under way.
  bool busy() const { return store_.up() && !(pending_.empty() && settlements_.empty()); }

 private:
  struct Pending {  // a publication
    std::optional<net::SharedStore::Lease> lease;
    std::string host;
    std::optional<net::Sha1> replaces;
    unsigned tries = 0;
    unsigned failures = 0;
    bool judging = false;                            // the store's response in its place is being judged
    std::unique_ptr<net::SharedStore::Query> query;  // under way
  };

  void settle(Entry entry, net::SharedStore::Lease lease, const std::string& host, Millis wait, bool failed);
  void drop(Entry entry);
  bool publish(Entry entry, Pending* pending);
  void published(Entry entry, Result<net::SharedStore::Published> published);

  Context context_;
  Gate& gate_;
  Roster& roster_;
  net::SharedStore& store_;
  SharingTally& tally_;
  OnOther on_other_;
  std::map<Entry, Granted> leases_;
  std::map<Entry, Pending> pending_;
  std::size_t publishing_ = 0;
  std::list<std::unique_ptr<net::SharedStore::Query>> settlements_;  // under way
};

}  // namespace ocsp_plus::engine
