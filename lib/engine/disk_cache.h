// The engine's use of the cache directory: writes what was published, a few files at a time. A failing directory
// costs only what it would have kept: it is one line in the log, and tried again later.
//
// A file must not be believed once it is no longer true: where a response's status has changed and the new one cannot
// be written (a full disk), the old file is removed.
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
  // Everything below does nothing with an empty settings.cache, nor with settings.cache_read_only what would change
  // the directory. All references outlive the object. `quiet`: a failing directory is not logged.
  // `writer` knows whether another process has written over the zone's contents, which are then not kept; nullptr: no
  // process has.
  DiskCache(EventLoop& loop, const Clock& clock, Report& report, const store::StapleZone& zone,
            const Catalog& catalog, const Settings& settings, bool quiet = false,
            store::ZoneWriter* writer = nullptr);
  ~DiskCache();  // writes what is pending, up to a bound

  // The file of a target: unverified bytes, and when the responder last confirmed them. No bytes: there is no file.
  // kUnreadable: there is one, and it is of no use.
  Result<store::Kept> load(const Target& target);
  // Whether the file is a revocation that was lifted since: the held response is good and newer, and its responder
  // confirmed it later. Unverified, so it is only a reason to ignore the file.
  bool was_lifted(const Target& target, const store::BlobHeader& held, const store::Kept& kept) const;

  // A response for `target` was published, or its responder confirmed the held one: the file is brought in line with
  // the zone in one of the loop's next turns.
  void changed(const Target& target);

  // Reads and keeps the certificate of a fetched issuer. REQUIRES: target.issuer_lookup.
  std::optional<Bytes> load_issuer(const Target& target);
  void keep_issuer(const Target& target, Bytes der);

  // The target is about to be destroyed. `with_file`: for good, so its file is removed in one of the loop's next
  // turns.
  void forget(const Target& target, bool with_file);

  // Whether files can be replaced once they are no longer true. If not (a read-only disk), what was read from them
  // has to be asked for again soon.
  bool writable();

  // Tests, before anything has to be kept, whether the directory can be used; logs it if not.
  bool check();

  // How often the directory came back after it had failed: files may be missing.
  unsigned recoveries() const { return recoveries_; }

  // Removes files that this instance does not want and whose response ended long ago; looks at a few files a call.
  // Does nothing within an hour of the start or of a jump of the wall clock, nor while the clock is so far from the
  // directory's newest file that the clock must be wrong.
  void sweep();

 private:
  bool writes() const { return !settings_.cache.empty() && !settings_.cache_read_only; }
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
  std::set<const Target*> pending_;                 // not tried yet
  std::set<const Target*> refused_;                 // could not be written; tried again after a pause
  const Target* last_refused_ = nullptr;            // the others are tried before it
  std::map<CertificateId, Bytes> pending_issuers_;  // by reference
  std::set<CertificateId> forgotten_;               // their files are removed
  std::unique_ptr<Timer> timer_;
  Millis retry_at_ = 0;   // monotonic
  bool failing_ = false;  // and logged; until nothing is pending
  bool read_only_ = false;
  unsigned recoveries_ = 0;
  // The sweep's newest file: of the running round, and of the last whole one.
  UnixSeconds newest_seen_ = 0, newest_ = 0;
  std::set<CertificateId> wanted_issuers_;  // by reference
};

}  // namespace ocsp_plus::engine
