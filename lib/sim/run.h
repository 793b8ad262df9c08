// One run: a machine, the nodes on it and the world around them, from a script to the figures.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "ocsp_plus/defaults.h"
#include "sim/script.h"

namespace ocsp_plus::sim {

// Invariant (n): the requests that a fleet begins within two seconds with one responder, beside a probe of each node.
constexpr std::size_t kMostBegun = std::size_t{4} * OP_DEFAULT_CONCURRENCY;

// Trivially copyable: a run may be a separate process.
struct Figures {
  std::int64_t runs = 0, calm_runs = 0, lie_runs = 0, jump_runs = 0, kill_runs = 0;
  std::int64_t seconds = 0;  // simulated
  std::int64_t handshakes = 0, due = 0, bare = 0, refused = 0, omitted = 0;
  std::int64_t requests = 0, lies = 0, failures = 0, outages = 0, disk_faults = 0;
  std::int64_t jumps = 0, kills = 0, kills_locked = 0, helper_kills = 0;
  std::int64_t reloads = 0, failed_reloads = 0, restarts = 0, crashes = 0, power_cuts = 0, revocations = 0;
  double calm_fresh = 0, calm_advance = 0;  // maximum requests per certificate and validity in a calm run
  double faults = 0;                        // maximum share of the requests that faults allow
  double peak = 0;                          // maximum of requests per minute over their mean
  double restart_peak = 0;                  // the same of ten seconds after a restart
  double fleet_peak = 0;                    // the same of nodes that request one certificate within ten seconds
  // Runs under ocsp_plus_refresh, and how long it took until a revocation was served, with and without it.
  std::int64_t bound_runs = 0, noticed = 0, noticed_unbound = 0;
  double late = 0, early = 0;  // with it: the longest, as a part of the bound; without: the longest in hours
  double bound_peak = 0;       // maximum of requests per second over their mean, of many certificates
  // Certificates that servers load per connection.
  std::int64_t loaded_runs = 0, shown = 0, shown_due = 0, forged = 0, floods = 0, moves = 0, offering_kills = 0;
  std::int64_t handed = 0, dropped = 0, taken = 0, evicted = 0, ended = 0, issuer_requests = 0;
  // CA certificates that servers send: handshakes with their staples, those with all that the chain allows, as was
  // due by the oracle, those with a leaf loaded per connection, and those that end with a revoked one.
  std::int64_t chain_runs = 0, chain_stapled = 0, chain_due = 0, chain_loaded = 0, chain_revoked = 0,
               chain_renewals = 0;
  // Fleets.
  std::int64_t fleets = 0, fleet_nodes = 0, fleet_seconds = 0, fleet_due = 0;
  std::int64_t looks = 0, from_store = 0, leases = 0, elsewhere = 0, published = 0, not_newer = 0;
  std::int64_t store_deeds[14] = {};  // by StoreDeed
  double calm_fleet = 0;              // requests of a fleet, as a part of what one node alone may make
  std::uint64_t digest = 0;
  bool failed = false;
  char violation[400] = {};

  void add(const Figures& other);
};

using Narrator = std::function<void(std::string_view)>;

Figures run(const Script& script, const Narrator& narrator);
Figures run_nodes(const std::vector<Script>& scripts, const Narrator& narrator);

// Invariant (d): many certificates, all fetched in one minute; the same loaded from the directory; one certificate on
// many nodes.
Figures run_herd(std::size_t certificates);
Figures run_restarted_herd(std::size_t certificates);
Figures run_fleet(std::size_t nodes);
// Invariant (e): a revocation while the disk is full.
Figures run_full_disk();
// Invariant (i): what handshakes get where nothing is held, or what must be omitted.
Figures run_without_staple(op_require_t require);
// A start while the responder hangs for one certificate of many.
Figures run_hanging_start();
// A responder that accepts only POST, later only GET.
Figures run_other_method();
// Certificates loaded per connection, shown once an hour, through a reload, a restart, and a move into the
// configuration and back.
Figures run_loaded();
// A formerly configured certificate keeps its response when a server loads it per connection without its issuer.
Figures run_released();
// Certificates in use, in a zone that a flood of forged ones fills.
Figures run_loaded_flood(std::size_t forged);
// A responder that was dead for hours while nothing could be stapled: the node tries it again soon after its return.
Figures run_long_outage();
// Invariant (o), and (d) under a bound: many certificates, fetched together, are asked for evenly; a revocation is
// served within the bound, 0: by the schedule alone.
Figures run_refreshed(Seconds refresh);
// Invariant (o) after a responder was dead for hours.
Figures run_refreshed_outage();
// A responder refuses all requests while the wall clock jumps back and forth: requests and log lines stay bounded.
Figures run_flood(std::size_t certificates);
// Servers that send CA certificates: their responders are dead for long; the clock, the certificates and their status
// change.
Figures run_chain_outages();
Figures run_chain_changes(bool omits);

// Fleets: all nodes start at once; one hangs with a lease; starts while the store or another node hangs; the store is
// dead, or stuck, or poisoned; a publication that comes late; a revocation.
Figures run_cold_fleet(std::size_t nodes, std::size_t certificates);
Figures run_hanging_node();
Figures run_start_beside_others();
Figures run_dead_store();
Figures run_stuck_store();
Figures run_poisoned_store();
Figures run_late_publication();
Figures run_revoked_fleet();
// Invariant (o) where the store would hold every node for ever.
Figures run_refreshed_fleet();

}  // namespace ocsp_plus::sim
