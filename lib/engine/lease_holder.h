// Everything that exists only in the process that holds the lease, and only while it does. The owner of a LeaseHolder
// may write to the zone.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "base/ports.h"
#include "engine/admit.h"
#include "engine/context.h"
#include "engine/discovery.h"
#include "engine/disk_cache.h"
#include "engine/files.h"
#include "engine/missing_issuers.h"
#include "engine/readiness.h"
#include "engine/refresher.h"
#include "engine/report.h"
#include "engine/settings.h"
#include "engine/share_access.h"
#include "engine/tls_clients.h"
#include "engine/zone_repair.h"
#include "net/resolver.h"
#include "net/transport.h"
#include "store/lease.h"
#include "store/staple_zone.h"
#include "store/zone_writer.h"

namespace ocsp_plus::engine {

class LeaseHolder {
 public:
  // Takes the lease if it is ours to take (store/lease.h). kLeaseLost: it is not, or the zone is busy; try again. Any
  // other error: the resolver cannot be set up; trying again soon is of no use.
  static Result<std::unique_ptr<LeaseHolder>> take(const Context& context, const store::ProcessIdentity& self);
  // Cancels what is in flight and gives the lease up, if it is still ours.
  ~LeaseHolder();
  LeaseHolder(const LeaseHolder&) = delete;
  LeaseHolder& operator=(const LeaseHolder&) = delete;

  // Keeps the lease and does what is due. Call it about twice a second. false: another process has the lease now;
  // destroy the object.
  bool tick();

  // Brings zone and cache directory in line, a little at a time: keeps what only the zone holds, and reads what the
  // zone lacks. They differ if the previous holder was killed between publishing and keeping or while it read the
  // directory at the start, or if the directory failed then.
  void catch_up();

  // The start helper has read the cache directory: plans what it found.
  void plan_what_was_kept() { refresher_.plan_what_was_kept(); }

  // When something that a start waits for last happened: Refresher::progressed().
  Millis progressed() const { return refresher_.progressed(); }

  // Refresher::hopeless().
  bool hopeless(store::EntryIndex entry) const { return refresher_.hopeless(entry); }

  Report& report() { return report_; }
  Gate& gate() { return gate_; }
  MissingIssuers& issuers() { return issuers_; }
  Files& files() { return files_; }
  store::ZoneWriter& writer() { return writer_; }
  const Roster& roster() const { return roster_; }
  // Returns all leases to the shared store.
  void end_sharing();
  // Returns whether returned leases or publications are still in flight.
  bool sharing_ends() const;

 private:
  static constexpr std::size_t kShareCounts = 16;

  void open_share();
  void answer_requests();
  void tidy_tables();
  void record_hosts();
  void record_connections();
  void record_share();
  void count_share();
  LeaseHolder(const Context& context, const store::ProcessIdentity& self, std::uint32_t epoch,
              std::unique_ptr<net::Resolver> resolver, bool new_configuration);

  Context context_;
  store::ProcessIdentity self_;
  std::uint32_t epoch_;
  Report report_;  // shared by all members, so that its bounds hold for all
  std::unique_ptr<net::Resolver> resolver_;
  TlsClients tls_;
  net::Transport transport_;
  WorkQueue work_queue_;  // for all verifications
  IssuerSearches searches_;
  store::ZoneWriter writer_;
  Roster roster_;
  DiskCache disk_cache_;
  MissingIssuers issuers_;
  Gate gate_;
  Files files_;
  // The shared store, and what only it uses; nullptr: there is none.
  std::unique_ptr<ShareAccess> share_access_;
  std::unique_ptr<net::SharedStore> share_;
  std::array<std::uint64_t, kShareCounts> share_counted_ = {};  // count_share() has added these to the zone already
  Refresher refresher_;
  Discovery discovery_;
  Readiness readiness_;
  ZoneRepair repair_;
  Millis swept_ = 0;
  Millis forgot_ = 0;
  bool new_configuration_;
  unsigned jumps_ = 0;       // times that the refresher saw the wall clock jump
  unsigned recoveries_ = 0;  // recoveries of the cache directory that were seen
};

}  // namespace ocsp_plus::engine
