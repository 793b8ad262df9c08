// The cache directory, as the engine uses it: what was published is kept, a little at a time, and what fails costs
// nothing but the keeping. A directory that cannot be used is one line in the log, and tried again.
//
// What is kept must never be believed after it stopped to be true: a response whose status has changed and that
// cannot be replaced (a full disk) is taken away.
//
// Lives in the process that holds the lease.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/ports.h"
#include "engine/catalog.h"
#include "engine/report.h"
#include "engine/settings.h"
#include "store/cache_files.h"
#include "store/staple_zone.h"
#include "store/zone_writer.h"

namespace ocsp_plus::engine {

class DiskCache {
 public:
  // With an empty settings.cache everything below does nothing. All references outlive the disk_cache. `quiet`: not a
  // word of a directory that cannot be used. `writer` knows whether somebody has written over what the zone holds, so
  // that nothing of that is kept; nullptr: nobody has.
  DiskCache(EventLoop& loop, const Clock& clock, Report& report, const store::StapleZone& zone,
            const Catalog& catalog, const Settings& settings, bool quiet = false,
            store::ZoneWriter* writer = nullptr);
  ~DiskCache();  // keeps what is left, up to a bound

  // What is kept for a target: unverified bytes, and when the responder last confirmed them. No bytes: nothing is
  // there. kUnreadable: something is, and it is of no use.
  Result<store::Kept> load(const Target& target);
  // Whether what is kept is a revocation that was lifted since: the good response that is held is newer, and its
  // responder confirmed it later. Unverified, so it is a reason to ignore what is kept, and for nothing else.
  bool was_lifted(const Target& target, const store::BlobHeader& held, const store::Kept& kept) const;

  // A response for `target` was published, or the one that is held was confirmed by its responder: the file is
  // brought in line with the zone in one of the loop's next turns.
  void changed(const Target& target);

  // Likewise, the certificate of an issuer that was fetched. REQUIRES: target.issuer_lookup.
  std::optional<Bytes> load_issuer(const Target& target);
  void keep_issuer(const Target& target, Bytes der);

  // The target is about to go. `with_file`: for good, so what is kept of it goes as well, in one of the loop's next
  // turns.
  void forget(const Target& target, bool with_file);

  // Whether what the directory holds can be replaced, should it stop to be true. Where it cannot (a disk that is
  // read-only), what comes from it is to be asked for soon.
  bool writable();

  // Finds out whether the directory can be used, before anything has to be kept; where not, it is said.
  bool check();

  // How often the directory came back after it could not be used: what it holds may be missing.
  unsigned recoveries() const { return recoveries_; }

  // Removes files that this instance does not want and whose response ended long ago; looks at a few at a call. Not
  // within an hour after the start or a jump of the wall clock, nor while the directory's newest file is so far from
  // the clock that it is the clock which is wrong.
  void sweep();

 private:
  bool open();
  Result<void> examine();
  void keep(std::size_t budget);
  const Target* next() const;
  void keep_response(const Target& target);
  bool is_true(const Target& target, const Bytes& response) const;
  bool knows_more(const Target& target, const store::BlobHeader& held, const store::Kept& kept) const;
  void remove_if_untrue(const Target& target, const store::BlobHeader& held, const Bytes& kept);
  void remove_forgotten(std::size_t* budget);
  void keep_issuers(std::size_t* budget);
  void begin();
  bool nothing_pending() const {
    return pending_.empty() && refused_.empty() && pending_issuers_.empty() && forgotten_.empty();
  }
  void failed(const Error& error);
  bool may_sweep() const;
  bool is_wanted(const store::Listed& file);
  bool has_ended(const store::Listed& file) const;

  const Clock& clock_;
  Report& report_;
  store::StapleZone zone_;
  const Catalog& catalog_;
  const Settings& settings_;
  bool quiet_;
  store::ZoneWriter* writer_;
  std::optional<store::CacheFiles> disk_;
  std::set<const Target*> pending_;                 // not looked at yet
  std::set<const Target*> refused_;                 // could not be kept; tried again when the directory has rested
  const Target* last_refused_ = nullptr;            // others go before it
  std::map<CertificateId, Bytes> pending_issuers_;  // by reference
  std::set<CertificateId> forgotten_;               // their files go
  std::unique_ptr<Timer> timer_;
  Millis retry_at_ = 0;   // monotonic
  bool failing_ = false;  // and said so; until nothing is pending
  bool read_only_ = false;
  unsigned recoveries_ = 0;
  // Of the sweep: the newest file of the round that runs, and of the last whole one.
  UnixSeconds newest_seen_ = 0, newest_ = 0;
  std::set<CertificateId> wanted_issuers_;  // by reference
};

}  // namespace ocsp_plus::engine
