// Certificates that servers load per connection, as the designated worker knows them: it takes them from the queue in
// the zone (store/offers.h), finds their issuers, gives them entries and hands them to the refresher. What lies in
// the zone it takes over from whoever had the post before, a little at a time.
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
// Lives in the process that holds the lease. Targets stay where they are until they go, and are taken from the
// refresher and the archive before.
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
#include "engine/archive.h"
#include "engine/catalog.h"
#include "engine/issuer_search.h"
#include "engine/issuers.h"
#include "engine/refresher.h"
#include "engine/report.h"
#include "store/offers.h"
#include "store/zone_writer.h"

namespace ocsp_plus::engine {

class LoadedCertificates {
 public:
  static constexpr Seconds kUnused = Seconds{30} * 86400;  // since the last handshake that used it
  static constexpr std::size_t kMaxLookups = 256;          // certificates whose issuer is being fetched; others wait
  static constexpr std::size_t kMaxSearching = 64;         // whose issuer is looked for among those that are known
  // Of either, of DER; what is kept of a leaf takes some ten times that.
  static constexpr std::size_t kMaxLookupBytes = 4 << 20;

  struct Environment {
    EventLoop& loop;
    const Clock& clock;
    Report& report;
    store::StapleZone zone;
    store::ZoneWriter& writer;
    Gate& gate;
    Archive& archive;
    Refresher& refresher;
    Issuers& issuers;
    const Catalog& catalog;
    const Settings& settings;
  };

  // Touches none of them before the first beat, nor when it is destroyed: refresher and archive may be younger.
  explicit LoadedCertificates(const Environment& environment);
  ~LoadedCertificates();
  LoadedCertificates(const LoadedCertificates&) = delete;
  LoadedCertificates& operator=(const LoadedCertificates&) = delete;

  // To be called about twice a second; it goes on in the loop's next turns while there is more to do.
  void beat();

  // An operator wants it asked for again. false: there is no such certificate.
  bool refresh(store::EntryIndex entry);

  std::size_t count() const { return count_; }
  // nullptr: not (yet) known.
  const Target* target(store::EntryIndex entry) const;

 private:
  struct Record {
    Target target;
    std::uint64_t profile = 0;
    std::vector<std::unique_ptr<net::Url>> urls;  // its own, responders and caIssuers
    std::optional<Refresher::Index> index;
  };
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
  bool look_around(std::size_t budget);
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
  Reason tell_too_large(const store::Offer& offer);
  bool has_lookup_room() const;
  bool may_look_up(const crypto::Certificate& certificate) const;
  void begin_lookup(store::EntryIndex entry, Record& record, crypto::X509Ptr leaf);
  void take_issuers();
  enum class RemovalReason { kEvicted, kEnded, kConfigured, kGone };
  bool remove_entry(store::EntryIndex entry, RemovalReason why);
  void drop_record(store::EntryIndex entry, bool with_file);
  bool make_room();
  bool over_limit(std::size_t more) const;
  bool has_ended(const Record& record, const store::StapleZone::LoadedState& state) const;

  Environment environment_;
  Report& report_;
  store::Offers offers_;
  std::unique_ptr<Timer> timer_;
  std::vector<std::unique_ptr<Record>> records_;  // by entry
  std::size_t count_ = 0;
  std::map<std::string, std::size_t> hosts_;  // how many certificates ask them
  std::set<store::EntryIndex> lookups_;       // those that have a Target::issuer_lookup
  std::size_t lookup_bytes_ = 0;              // DER of their leaves
  std::list<Searching> searching_;
  std::size_t searching_bytes_ = 0;                                // likewise
  std::deque<std::pair<ParsedCertificate, std::uint64_t>> again_;  // with profiles: the zone was busy
  store::EntryIndex next_ = 0;                                     // to be looked at
  bool round_over_ = false;                                        // all entries were looked at once
  std::uint64_t dropped_ = 0;                                      // as the zone's counter was at the last beat
};

}  // namespace ocsp_plus::engine
