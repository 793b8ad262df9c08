// Snapshots of the engine and of a certificate, read once from the zone and the catalog, in bounded time: the status
// document and the metrics are made from them.
//
// Any process may take one. Names come from the configuration, or from the certificate itself where it was loaded per
// connection; numbers come from the zone, which another process may have corrupted: an impossible time counts as
// absent.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.h"
#include "crypto/verify.h"
#include "engine/catalog.h"
#include "engine/settings.h"
#include "store/counters.h"
#include "store/shared_stats.h"
#include "store/staple_zone.h"

namespace ocsp_plus::admin {

// The sources of a snapshot; all borrowed. Without a zone (nothing to staple) there are no certificates.
struct View {
  const engine::Catalog& catalog;
  const engine::Settings& settings;
  const std::optional<store::StapleZone>& zone;
  UnixSeconds now;
  Millis monotonic;
};

enum class State {
  kValid,        // a good response is stapled
  kPending,      // no response has been held yet
  kExpired,      // the held response has expired, or is not valid yet by our clock
  kRevoked,      // the held response says revoked, expired or not
  kUnsupported,  // there can be no response: CertificateStatus::reason
  kEnded,        // the certificate itself has expired and is not fetched
};
inline constexpr std::array kStates = {State::kValid,   State::kPending,     State::kExpired,
                                       State::kRevoked, State::kUnsupported, State::kEnded};
std::string_view token(State state);
std::optional<State> state_of(std::string_view token);
// Why there can be no response for a certificate. All but the first can be mended: the first is as its CA made it.
// Those that cannot be read are known to the catalog alone (Catalog::unusable()).
inline constexpr std::array kObstacles = {Reason::kNoResponder, Reason::kNoIssuer, Reason::kUrlMalformed,
                                          Reason::kUrlScheme, Reason::kUnreadable};
// Returns the token of a certificate's role.
constexpr std::string_view role_of(bool ca) {
  return ca ? "ca" : "leaf";
}

struct HeldResponse {
  crypto::CertStatus cert_status;
  UnixSeconds this_update;
  std::optional<UnixSeconds> next_update;
  UnixSeconds expires;
  UnixSeconds confirmed_at;  // when the responder last confirmed it
  std::string_view source;   // network, cache, file, shared
};

// The certificate's last attempt, or the responder's if the certificate was never fetched because its responder fails
// for others.
struct LastAttempt {
  UnixSeconds at;
  Reason reason;
  std::string detail;     // any bytes
  std::string responder;  // URL; empty if no longer known
};

struct CertificateStatus {
  const engine::Target* target;
  State state;
  std::optional<Reason> reason;  // why it is kUnsupported: one of kObstacles
  bool staplable;                // the held response may be stapled now
  std::optional<HeldResponse> held;
  std::optional<LastAttempt> last_attempt;
  std::optional<UnixSeconds> next_attempt;
  std::optional<UnixSeconds> last_success;
  std::uint32_t failures;  // in a row
  std::uint64_t stapled;   // handshakes
};
// REQUIRES: view.zone has a value; `target` is from the catalog or a LoadedTarget; `hosts` is the zone's.
// `verifiable`: the issuer is known or may be fetched.
CertificateStatus certificate_status(const View& view, const store::HostTable& hosts, const engine::Target& target,
                                     bool verifiable);

// A certificate loaded per connection, read from the zone each time: only the designated worker keeps it. Its content
// is untrusted.
struct LoadedTarget {
  engine::Target target;
  std::vector<std::unique_ptr<net::Url>> urls;
  bool verifiable = false;
  std::size_t bytes = 0;  // length of its DER
};
// Parses the certificate of an entry. nullptr: the entry is no certificate loaded per connection, or is being
// changed. REQUIRES: view.zone.
std::unique_ptr<LoadedTarget> loaded_target(const View& view, store::EntryIndex entry);

// The host that a certificate waits for: the proxy if it is failing, else, if all of its responders are failing, the
// one that is probed first.
struct FailingWay {
  std::string host;  // "host:port", or "the proxy"
  store::HostHealth health;
};
// Nothing: it waits for nobody. `hosts` is the zone's.
std::optional<FailingWay> failing_way(const store::HostTable& hosts, const engine::Target& target);

// Connections to a responder by one address family.
struct FamilyStatus {
  std::optional<UnixSeconds> last_ok;
  std::optional<UnixSeconds> last_failed;
  // The first failure since the last success, while the family is still tried.
  std::optional<UnixSeconds> failing_since;
};

struct ResponderStatus {
  std::string host;                         // "host:port"
  std::string_view state;                   // unproven, up, failing
  std::uint32_t failures;                   // if failing
  std::optional<UnixSeconds> next_attempt;  // if failing
  FamilyStatus ipv4, ipv6;
};
std::vector<ResponderStatus> responder_statuses(const View& view);

struct Worker {
  std::int32_t pid;
  std::uint32_t slot;
  UnixSeconds since;
  UnixSeconds heartbeat;
};

// The state of the ocsp_plus_cache directory, as last tried by the designated worker.
struct Cache {
  std::string_view state;  // off, works, failing; off also if there is nothing to staple
  std::string path;        // empty: off
  std::optional<Reason> reason;
  std::optional<UnixSeconds> since;
};
Cache cache_status(const View& view);

// The shared store of ocsp_plus_share, as last seen by the designated worker.
struct Share {
  std::string_view state;            // connecting, up, read_only, down
  std::optional<UnixSeconds> since;  // when it came to this state
  std::string place;                 // the one used or tried last; without secrets; empty if unknown
  std::optional<Reason> reason;      // the last error's
  std::string detail;                // any bytes
  std::optional<Millis> latency;     // the last answer's

  bool up() const { return state == "up" || state == "read_only"; }
};
// Returns the shared store's state; no value without ocsp_plus_share or a zone.
std::optional<Share> share_status(const View& view);

struct Overview {
  std::size_t zone_size = 0, zone_used = 0, zone_entries = 0;  // bytes, bytes, certificates
  std::optional<Worker> worker;                                // the designated one
  store::HandshakeTotals handshakes = {};
  std::array<std::uint64_t, store::Counter::kKinds> counters = {};
  store::Durations durations = {};    // how long exchanges took
  std::int64_t in_flight = 0;         // exchanges
  std::optional<Seconds> clock_skew;  // a responder's clock minus ours
};
Overview overview(const View& view);

// Counts of certificates loaded per connection by outcome: name and number.
using LoadedCounts = std::array<std::pair<std::string_view, std::uint64_t>, 7>;
// REQUIRES: view.zone.
LoadedCounts loaded_counts(const View& view);

}  // namespace ocsp_plus::admin
