// All certificates that this process fetches for, by their entry in the zone: those of the configuration, and those
// that servers load per connection. A record also holds the certificate's attempt and its running exchange.
//
// Lives in the process that holds the lease.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "engine/catalog.h"
#include "engine/exchange.h"
#include "store/entry_state.h"
#include "store/staple_zone.h"

namespace ocsp_plus::engine {

// The part of a certificate loaded per connection that the roster owns; the catalog owns it for the others.
struct PerConnection {
  Target target;
  std::uint64_t profile = 0;                    // key of the profile of the server that loads it
  std::vector<std::unique_ptr<net::Url>> urls;  // the certificate's own: responders, issuers
};

// One certificate. There may be a hundred thousand, so what only a few need at a time is behind pointers.
struct Record {
  explicit Record(Target& about) : target(about) {}

  Target& target;
  std::unique_ptr<PerConnection> per_connection;  // nullptr: configured
  // The refresher owns the rest.
  store::Attempt attempt;
  bool ask = false;             // the operator wants it asked for, whatever the cache directory holds
  Millis started = 0;           // when the exchange began; monotonic
  UnixSeconds asked = 0;        // when it last began
  UnixSeconds waits_since = 0;  // for one of its hosts
  Millis past_caches = 0;       // when it was last asked past HTTP caches; monotonic, 0: never
  std::unique_ptr<Exchange> exchange;
  std::unique_ptr<Exchange::HeldValidators> validators;  // the held response's; nullptr: none
};

// When the certificate's responder was last asked with success, or said later what is held. `confirmed_at`: that
// time; 0: nothing is held. 0: never.
inline UnixSeconds last_asked(const Record& record, UnixSeconds confirmed_at, UnixSeconds now) {
  return std::min(std::max(record.attempt.succeeded_at, confirmed_at), now);
}

class Roster {
 public:
  // Begins with the catalog's certificates that have an entry. `catalog` outlives the roster.
  explicit Roster(Catalog& catalog);

  // nullptr: there is no record. A record does not move until it is removed.
  Record* find(store::EntryIndex entry) const { return entry < records_.size() ? records_[entry].get() : nullptr; }
  // REQUIRES: there is a record.
  Record& at(store::EntryIndex entry) const { return *records_[entry]; }

  // REQUIRES: the entry has no record.
  Record& add(std::unique_ptr<PerConnection> certificate);
  // REQUIRES: it was added. Its exchange is cancelled.
  std::unique_ptr<PerConnection> remove(store::EntryIndex entry);

  // All entries with a record are below end().
  store::EntryIndex end() const { return static_cast<store::EntryIndex>(records_.size()); }
  std::size_t per_connection() const { return per_connection_; }

 private:
  std::vector<std::unique_ptr<Record>> records_;  // by entry
  std::size_t per_connection_ = 0;
};

}  // namespace ocsp_plus::engine
