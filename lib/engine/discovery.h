// Certificates that servers load per connection, on their way into the roster: taken from the queue in the zone
// (store/discovery_queue.h), their issuers found, given entries, and let go again. What lies in the zone already is
// taken over from the last lease holder, a little at a time.
//
// They are not the operator's: their number, their bytes and the addresses they name are chosen by others. So memory
// is bounded by the zone, of which configured certificates keep their share; those that were not used for longest go
// first; an issuer has to have signed the leaf; and only public addresses are asked, but for those that the operator
// has vouched for. Where a chain comes without the issuer it is fetched (engine/issuers.h), for a bounded number of
// certificates at a time.
//
// Looking for issuers is what they can make dear: engine/issuer_search.h bounds it, and here is room for a number of
// searches, of which the longest gives way.
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
#include "engine/issuers.h"
#include "engine/refresher.h"
#include "engine/report.h"
#include "engine/roster.h"
#include "store/discovery_queue.h"
#include "store/zone_writer.h"

namespace ocsp_plus::engine {

class Discovery {
 public:
  static constexpr Seconds kUnused = Seconds{30} * 86400;  // since the last handshake that used it
  static constexpr std::size_t kMaxLookups = 256;          // certificates whose issuer is being fetched; others wait
  static constexpr std::size_t kMaxSearching = 64;         // whose issuer is looked for among those that are known
  // Of either, of DER; what is kept of a leaf takes some ten times that.
  static constexpr std::size_t kMaxLookupBytes = 4 << 20;

  // All of them outlive the object.
  Discovery(const Context& context, Report& report, store::ZoneWriter& writer, Gate& gate, DiskCache& disk_cache,
            Roster& roster, Refresher& refresher, Issuers& issuers);
  ~Discovery();
  Discovery(const Discovery&) = delete;
  Discovery& operator=(const Discovery&) = delete;

  // To be called about twice a second; it goes on in the loop's next turns while there is more to do.
  void tick();

 private:
  // What is known of a certificate before it has a record.
  struct ParsedCertificate {
    crypto::X509Ptr leaf;
    crypto::Certificate certificate;
    IssuerPtr issuer;
    crypto::IssuerFault fault = crypto::IssuerFault::kAbsent;  // why it has none
  };
  // One whose issuer is looked for.
  struct Searching {
    ParsedCertificate parsed;
    std::uint64_t profile = 0;
    std::size_t size = 0;  // of the leaf's DER
    std::unique_ptr<IssuerSearches::Ticket> ticket;
  };

  void work();
  bool scan(std::size_t budget);
  std::size_t look_at(store::EntryIndex entry);
  bool take_offers(std::size_t budget);
  void refuse(Reason reason);
  Reason take(const store::Offer& offer);
  void search_over(std::list<Searching>::iterator at, const IssuerPtr& issuer);
  bool give_one_up();
  bool settle(ParsedCertificate parsed, std::uint64_t profile);
  Reason add(ParsedCertificate& parsed, std::uint64_t profile);
  std::size_t load(store::EntryIndex entry, const store::StapleZone::LoadedState& state);
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
  bool has_ended(const Target& target, const store::StapleZone::LoadedState& state) const;
  const Record* known(store::EntryIndex entry) const;

  Context context_;
  Report& report_;
  store::ZoneWriter& writer_;
  Gate& gate_;
  DiskCache& disk_cache_;
  Roster& roster_;
  Refresher& refresher_;
  Issuers& issuers_;
  store::DiscoveryQueue offers_;
  std::unique_ptr<Timer> timer_;
  std::map<std::string, std::size_t> hosts_;  // how many certificates ask them
  std::set<store::EntryIndex> lookups_;       // those that have a Target::issuer_lookup
  std::size_t lookup_bytes_ = 0;              // DER of their leaves
  std::list<Searching> searching_;
  std::size_t searching_bytes_ = 0;                                // likewise
  std::deque<std::pair<ParsedCertificate, std::uint64_t>> again_;  // with profiles: the zone was busy
  store::EntryIndex next_ = 0;                                     // to be looked at
  bool round_over_ = false;                                        // all entries were looked at once
  std::uint64_t dropped_ = 0;                                      // as the zone's counter was at the last tick
};

}  // namespace ocsp_plus::engine
