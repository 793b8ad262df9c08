// All certificates that this process fetches for, each under its entry in the zone, wherever it came from: those of
// the configuration, and those that servers load per connection. What is known of one beyond its target (plans,
// attempts, an exchange that runs) is kept here as well.
//
// Lives in the process that holds the lease.
#pragma once

#include <memory>
#include <vector>

#include "engine/catalog.h"
#include "engine/exchange.h"
#include "store/staple_zone.h"

namespace ocsp_plus::engine {

// What a certificate loaded per connection brings with it; of the others the catalog owns all of this.
struct PerConnection {
  Target target;
  std::uint64_t profile = 0;                    // of the server that loads it
  std::vector<std::unique_ptr<net::Url>> urls;  // its own, of responders and issuers
};

// One certificate. There may be a hundred thousand: what only some need at a time is kept behind pointers.
struct Record {
  explicit Record(const Target& about) : target(about) {}

  const Target& target;
  std::unique_ptr<PerConnection> per_connection;  // nullptr: the configuration's
  // The refresher's.
  store::Attempt attempt;
  bool ask = false;    // an operator wants it asked for, whatever the cache directory says
  Millis started = 0;  // of the exchange
  std::unique_ptr<Exchange> exchange;
  std::unique_ptr<Exchange::HeldValidators> validators;  // of what is held, while it is
};

class Roster {
 public:
  // The catalog's certificates that have an entry. `catalog` outlives the roster.
  explicit Roster(const Catalog& catalog);

  // nullptr: nobody is known under this entry. Stays where it is until it is removed.
  Record* find(store::EntryIndex entry) const { return entry < records_.size() ? records_[entry].get() : nullptr; }
  // REQUIRES: there is one.
  Record& at(store::EntryIndex entry) const { return *records_[entry]; }

  // REQUIRES: nobody has the entry.
  Record& add(std::unique_ptr<PerConnection> certificate);
  // REQUIRES: it was added. Its exchange ends with it.
  std::unique_ptr<PerConnection> remove(store::EntryIndex entry);

  // All entries that have a record lie before this one.
  store::EntryIndex end() const { return static_cast<store::EntryIndex>(records_.size()); }
  std::size_t configured() const { return configured_; }
  std::size_t per_connection() const { return per_connection_; }

 private:
  std::vector<std::unique_ptr<Record>> records_;  // by entry
  std::size_t configured_ = 0, per_connection_ = 0;
};

}  // namespace ocsp_plus::engine
