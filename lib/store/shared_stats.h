// Facts that the processes tell each other beside responses and counters. The designated worker records responders,
// the clock and the cache directory; workers ask it for a refresh; any process notes that the first round is over.
//
// All of it is lock-free, and its writer may be killed at any instruction: each number is atomic on its own, and
// nothing depends on whether two of them agree. Trust: as for the rest of the zone; readers bound what they read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/family_times.h"
#include "base/reason.h"
#include "base/time.h"
#include "store/staple_zone.h"

namespace ocsp_plus::store {

// A zone has one of each; 0: no process has recorded it.
struct Number {
  enum Kind : std::size_t {
    kArenaUsed,          // bytes
    kInFlight,           // exchanges
    kBegan,              // monotonic clock, ms: when the zone was new
    kSettled,            // 1: the first round of fetches is over
    kClockJumpedAt,      // monotonic clock, ms: of the last jump of the wall clock
    kClockSkew,          // s: a responder's clock minus ours
    kClockComparedAt,    // wall clock: when kClockSkew was measured
    kCacheReason,        // Reason why the lease holder cannot use the cache directory
    kCacheFailingSince,  // wall clock; 0: the cache directory works, as far as it was tried
    kShareState,         // ShareState
    kShareSince,
    kShareReason,
    kShareLatency,  // ms that the shared store took for its last answer
    kKinds
  };
};
std::int64_t number(const StapleZone& zone, Number::Kind what) noexcept;
void record(const StapleZone& zone, Number::Kind what, std::int64_t value) noexcept;

// Records that the cache directory cannot be used: since `now`, or since earlier if it was so already.
void record_cache_failure(const StapleZone& zone, Reason reason, UnixSeconds now) noexcept;

// --- the shared store: the lease holder records, any process reads ---

struct ShareState {
  std::uint32_t state = 0;              // net::SharedStore::State; unchecked
  UnixSeconds since = 0;                // wall clock; 0: no process has recorded any
  std::string place;                    // as SharedStore::Status has it; cut off if long; empty while it changes
  Reason reason = Reason::kNotChecked;  // of the last error; kNotChecked: there was none
  std::string detail;                   // as `place`
};
// Records the state; does not write a text again that the zone has already.
void record_share(const StapleZone& zone, const ShareState& state) noexcept;
ShareState read_share(const StapleZone& zone);

// --- responders: the designated worker records, any process reads ---

struct HostHealth {
  std::uint32_t state = 0;  // engine::ResponderHealth::State; unchecked
  std::uint32_t failures = 0;
  std::uint32_t in_flight = 0;
  UnixSeconds next_probe = 0;
  UnixSeconds failed_at = 0;  // the last failure; 0: none
  Reason reason = Reason::kNotChecked;
};
struct HostRecord : HostHealth {
  HostFamilies families;
};
// The key of the proxy that leads to all hosts, for its health; no host key looks like it.
constexpr std::string_view kProxyKey = "proxy";
// Records a host's health; does nothing if the table has no room for the host, as does record_connections().
void record_host(const StapleZone& zone, std::string_view host_key, const HostHealth& health) noexcept;
// Records what became of connections to the host since the last call.
void record_connections(const StapleZone& zone, std::string_view host_key, const HostFamilies& since) noexcept;
// Removes all other hosts from the table.
void keep_hosts(const StapleZone& zone, const std::vector<std::string>& host_keys);

class HostTable {
 public:
  explicit HostTable(const StapleZone& zone);
  // Returns nothing if the host was never recorded.
  std::optional<HostRecord> find(std::string_view host_key) const;

 private:
  std::unordered_map<std::uint64_t, HostRecord> hosts_;
};

// The method (net::Method) by which a responder has answered, by its base URL. Nothing: none is known, or it is
// forgotten after kMethodFailures failures in a row. Any other number in the zone counts as nothing for the caller. A
// method for which the table has no room is not remembered.
constexpr std::uint32_t kMethodFailures = 2;
std::optional<std::uint32_t> method_that_worked(const StapleZone& zone, std::string_view url) noexcept;
void record_method(const StapleZone& zone, std::string_view url, std::uint32_t method) noexcept;
void record_method_failure(const StapleZone& zone, std::string_view url) noexcept;
// Removes all other URLs from the table.
void keep_methods(const StapleZone& zone, const std::vector<std::string>& urls);

// --- of the zone itself ---

// How much of the zone is in use, the table of entries included.
struct ZoneUse {
  std::size_t bytes = 0;
  std::uint32_t entries = 0;  // of certificates
};
ZoneUse zone_use(const StapleZone& zone) noexcept;

// --- requests to the designated worker ---

constexpr Millis kRefreshAllInterval = 60000;

// Requests all certificates. false: the last such request is less than kRefreshAllInterval ago.
bool request_refresh_all(const StapleZone& zone, Millis now) noexcept;
// Requests one certificate. false: too many requests wait.
bool request_refresh(const StapleZone& zone, EntryIndex entry) noexcept;

struct RefreshRequests {
  bool all = false;
  std::vector<EntryIndex> entries;
};
// Returns what any process has asked for since the last call.
RefreshRequests take_refresh_requests(const StapleZone& zone);

// --- a zone of another size ---

// Copies numbers into a fresh zone that replaces `from`: those of copy_counters(), what is known of methods and of
// connections to hosts, whether the first round is over, the cache directory's state, and the attempts for the
// certificates that `to` has registered. They are believed no more than in the zone itself; times that no clock of
// this boot can have written are left out. REQUIRES: no other process uses `to` yet, and none has the lease.
void copy_stats(const StapleZone& from, const StapleZone& to, Millis now) noexcept;

}  // namespace ocsp_plus::store
