// What the processes tell each other beside responses and counters. The designated worker records responders, the
// clock and the cache directory; workers ask it for a refresh; anybody notes that the first round is over.
//
// All of it is lock-free and may be written by a process that is killed at any instruction: each number is atomic for
// itself and nothing depends on two of them agreeing. Trust: as the rest of the zone; readers bound what they read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/reason.h"
#include "base/time.h"
#include "store/staple_zone.h"

namespace ocsp_plus::store {

// One of each in a zone; 0 where nobody has recorded any.
struct Number {
  enum Kind : std::size_t {
    kArenaUsed,          // bytes
    kInFlight,           // exchanges
    kBegan,              // monotonic clock, ms: when the zone was new
    kSettled,            // 1: the first round of fetches is over
    kClockJumpedAt,      // monotonic clock, ms: of the last jump of the wall clock
    kClockSkew,          // s: a responder's clock minus ours
    kClockComparedAt,    // wall clock: of that look
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

// The cache directory cannot be used: since `now`, unless it was so before.
void record_cache_failure(const StapleZone& zone, Reason reason, UnixSeconds now) noexcept;

// --- the shared store: the lease holder records, anybody reads ---

struct ShareState {
  std::uint32_t state = 0;              // net::SharedStore::State; whatever stands in the zone
  UnixSeconds since = 0;                // wall clock; 0: nobody has recorded any
  std::string place;                    // as SharedStore::Status has it; cut off if long; empty while it changes
  Reason reason = Reason::kNotChecked;  // of the last error; kNotChecked: there was none
  std::string detail;                   // as `place`
};
// What stands in the zone already is not written again.
void record_share(const StapleZone& zone, const ShareState& state) noexcept;
ShareState read_share(const StapleZone& zone);

// --- responders: the designated worker records, anybody reads ---

struct HostHealth {
  std::uint32_t state = 0;  // engine::ResponderHealth::State; whatever stands in the zone
  std::uint32_t failures = 0;
  std::uint32_t in_flight = 0;
  UnixSeconds next_probe = 0;
  UnixSeconds failed_at = 0;  // the last failure; 0: none
  Reason reason = Reason::kNotChecked;
};
// Under this key stands the health of the proxy that leads to all hosts; no host key looks like it.
constexpr std::string_view kProxyKey = "proxy";
// One for which the table has no room is not told.
void record_host(const StapleZone& zone, std::string_view host_key, const HostHealth& health) noexcept;
// Takes all others out of the table.
void keep_hosts(const StapleZone& zone, const std::vector<std::string>& host_keys);

class HostTable {
 public:
  explicit HostTable(const StapleZone& zone);
  // Nothing where the host was never told of.
  std::optional<HostHealth> find(std::string_view host_key) const;

 private:
  std::unordered_map<std::uint64_t, HostHealth> hosts_;
};

// How a responder has answered, by its base URL (net::Method). Nothing: nobody knows, or it is forgotten after
// kMethodFailures in a row. Whatever else stands in the zone counts as nothing. One for which there is no room is not
// remembered.
constexpr std::uint32_t kMethodFailures = 2;
std::optional<std::uint32_t> method_that_worked(const StapleZone& zone, std::string_view url) noexcept;
void record_method(const StapleZone& zone, std::string_view url, std::uint32_t method) noexcept;
void record_method_failure(const StapleZone& zone, std::string_view url) noexcept;
// Takes all others out of the table.
void keep_methods(const StapleZone& zone, const std::vector<std::string>& urls);

// --- of the zone itself ---

// What of it is in use, the table of entries included.
struct ZoneUse {
  std::size_t bytes = 0;
  std::uint32_t entries = 0;  // of certificates
};
ZoneUse zone_use(const StapleZone& zone) noexcept;

// --- requests to the designated worker ---

constexpr Millis kRefreshAllInterval = 60000;

// false: the last such request is less than kRefreshAllInterval ago.
bool request_refresh_all(const StapleZone& zone, Millis now) noexcept;
// false: too many requests wait.
bool request_refresh(const StapleZone& zone, EntryIndex entry) noexcept;

struct RefreshRequests {
  bool all = false;
  std::vector<EntryIndex> entries;
};
// What was asked for since the last call, by whichever process.
RefreshRequests take_refresh_requests(const StapleZone& zone);

// --- a zone of another size ---

// Numbers, for a fresh zone that replaces `from`: copy_counters(), what is known of methods, whether the first round
// is over, the cache directory's state, and the attempts for the certificates that `to` has registered. Nothing of it
// is believed more than it is in the zone itself; times that no clock of this boot can have written are left out.
// REQUIRES: nobody else uses `to` yet, and nobody has the lease.
void copy_stats(const StapleZone& from, const StapleZone& to, Millis now) noexcept;

}  // namespace ocsp_plus::store
