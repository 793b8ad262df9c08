// The cache folder, as the engine uses it: what was published is kept, a little at a time, and what fails costs
// nothing but the keeping. A folder that cannot be used is one line in the log, and tried again.
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
#include "store/disk_store.h"
#include "store/staple_zone.h"

namespace ocsp_plus::engine {

class Archive {
 public:
  // With an empty settings.cache everything below does nothing. All references outlive the archive. `mute`: not a
  // word of a folder that cannot be used.
  Archive(EventLoop& loop, const Clock& clock, LogSink& log, const store::StapleZone& zone, const Settings& settings,
          bool mute = false);
  ~Archive();  // keeps what is left, up to a bound

  // What is kept for a target: unverified bytes. Marks it as still wanted.
  std::optional<Bytes> load(const Target& target);

  // A response for `target` was published: it is read from the zone and kept in one of the loop's next turns.
  void published(const Target& target);

  // Likewise, the certificate of an issuer that was fetched. REQUIRES: target.sought.
  std::optional<Bytes> load_issuer(const Target& target);
  void keep_issuer(const Target& target, Bytes der);

  // The target is about to go. `with_file`: for good, so what is kept of it goes as well, in one of the loop's next
  // turns.
  void forget(const Target& target, bool with_file);

  // Removes files that nobody has wanted for long, a few at a call.
  void sweep();

 private:
  bool open();
  void keep(std::size_t budget);
  void remove_forgotten(std::size_t* budget);
  void keep_issuers(std::size_t* budget);
  void begin();
  bool nothing_pending() const { return pending_.empty() && pending_issuers_.empty() && forgotten_.empty(); }
  void failed(const Error& error);

  const Clock& clock_;
  Report report_;
  store::StapleZone zone_;
  const Settings& settings_;
  bool mute_;
  std::optional<store::DiskStore> disk_;
  std::set<const Target*> pending_;
  std::map<CertificateId, Bytes> pending_issuers_;  // by reference
  std::set<CertificateId> forgotten_;               // their files go
  const Target* refused_ = nullptr;                 // the last that could not be kept: others go first
  std::unique_ptr<Timer> timer_;
  Millis retry_at_ = 0;   // monotonic
  bool failing_ = false;  // and said so; until nothing is pending
};

}  // namespace ocsp_plus::engine
