// Takes certificates that servers load per connection into the roster: reads them from the queue in the zone
// (store/discovery_queue.h), finds their issuers, gives them entries, and evicts them again. A new lease holder takes
// over those that are in the zone already, a few at a time.
//
// Clients and tenants, not the operator, choose these certificates, their number, their size and the addresses they
// name. So the zone bounds their memory and reserves a share for configured certificates; the least recently used go
// first; an issuer must have signed the leaf; and only public addresses are asked, except those that the operator has
// configured. An issuer that is missing from the chain is fetched (engine/missing_issuers.h), for a bounded number of
// certificates at a time.
//
// The search for an issuer is the costly part. engine/issuer_search.h bounds each search; this class bounds their
// number, and the longest gives way.
//
// Lives in the process that holds the lease.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
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
#include "engine/context.h"
#include "engine/disk_cache.h"
#include "engine/issuer_search.h"
#include "engine/missing_issuers.h"
#include "engine/refresher.h"
#include "engine/report.h"
#include "engine/roster.h"
#include "store/discovery_queue.h"
#include "store/entry_state.h"
#include "store/zone_writer.h"

namespace ocsp_plus::engine {

class Discovery {
 public:
  static constexpr Seconds kUnused = Seconds{30} * 86400;  // without a handshake: it is evicted
  static constexpr std::size_t kMaxLookups = 256;          // certificates whose issuer is being fetched; others wait
  static constexpr std::size_t kMaxSearching = 64;         // issuer searches at a time
  // DER bytes of the leaves in either; a parsed leaf takes about ten times that.
  static constexpr std::size_t kMaxLookupBytes = 4 << 20;

  // All references outlive the object.
  Discovery(const Context& context, Report& report, store::ZoneWriter& writer, Gate& gate, DiskCache& disk_cache,
            Roster& roster, Refresher& refresher, MissingIssuers& issuers);
  ~Discovery();
  Discovery(const Discovery&) = delete;
  Discovery& operator=(const Discovery&) = delete;

  // Call it about twice a second; it continues in the loop's next turns while there is more to do.
  void tick();

 private:
  // A certificate before it has a record.
  struct ParsedCertificate {
    crypto::X509Ptr leaf;
    crypto::Certificate certificate;
    IssuerPtr issuer;
    crypto::IssuerFault fault = crypto::IssuerFault::kAbsent;  // why there is no issuer
  };
  // A certificate whose issuer is being searched for.
  struct Searching {
    ParsedCertificate parsed;
    std::uint64_t profile = 0;
    std::size_t size = 0;  // bytes of the leaf's DER
    std::unique_ptr<IssuerSearches::Ticket> ticket;
  };

  void work();
  bool scan(std::size_t budget);
  std::size_t look_at(store::EntryIndex entry);
  bool take_offers(std::size_t budget);
  LogLevel loudness(std::uint64_t profile) const;
  void refuse(Reason reason, std::uint64_t profile);
  Reason take(const store::Offer& offer);
  void search_over(std::list<Searching>::iterator at, const IssuerPtr& issuer);
  bool give_one_up();
  bool settle(ParsedCertificate parsed, std::uint64_t profile);
  Reason add(ParsedCertificate& parsed, std::uint64_t profile);
  std::size_t load(store::EntryIndex entry, const store::PerConnectionState& state);
  void keep(store::EntryIndex entry, std::uint64_t profile, ParsedCertificate parsed);
  Reason report_too_large(const store::Offer& offer);
  bool has_lookup_room() const;
  bool may_look_up(const crypto::Certificate& certificate) const;
  void begin_lookup(PerConnection& certificate, crypto::X509Ptr leaf);
  void take_issuers();
  enum class RemovalReason { kEvicted, kEnded, kConfigured, kGone };
  bool remove_entry(store::EntryIndex entry, RemovalReason why);
  void drop_record(store::EntryIndex entry, bool with_file);
  bool make_room();
  bool over_limit(std::size_t more) const;
  bool has_ended(const Target& target, const store::PerConnectionState& state) const;
  const Record* known(store::EntryIndex entry) const;

  Context context_;
  Report& report_;
  store::ZoneWriter& writer_;
  Gate& gate_;
  DiskCache& disk_cache_;
  Roster& roster_;
  Refresher& refresher_;
  MissingIssuers& issuers_;
  store::DiscoveryQueue offers_;
  std::unique_ptr<Timer> timer_;
  std::map<std::string, std::size_t> hosts_;  // number of certificates that ask each host
  std::set<store::EntryIndex> lookups_;       // entries with a Target::issuer_lookup
  std::size_t lookup_bytes_ = 0;              // DER bytes of their leaves
  std::list<Searching> searching_;
  std::size_t searching_bytes_ = 0;                                // DER bytes of their leaves
  std::deque<std::pair<ParsedCertificate, std::uint64_t>> again_;  // with profiles: the zone was busy
  store::EntryIndex next_ = 0;                                     // the next entry to be looked at
  bool round_over_ = false;                                        // all entries were looked at once
  std::uint64_t dropped_ = 0;                                      // the zone's counter at the last tick
};

}  // namespace ocsp_plus::engine
