// What there is to be said of the engine and of a certificate at one moment: read from the zone and the catalog once,
// bounded, and the same for all that show it (JSON, page, metrics, readiness, command line).
//
// Any process may take it. Names come from the configuration, numbers from the zone, where another process may have
// scribbled: a time that no calendar knows counts as none.
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
#include "store/shared_stats.h"
#include "store/staple_zone.h"

namespace ocsp_plus::admin {

// Where it is read from; all borrowed. Without a zone (nothing is to be stapled) there are no certificates.
struct View {
  const engine::Catalog& catalog;
  const engine::Settings& settings;
  const std::optional<store::StapleZone>& zone;
  UnixSeconds now;
  Millis monotonic;
};

enum class State {
  kValid,        // a good response is stapled
  kPending,      // none has been held yet
  kExpired,      // the one held has ended, or is not valid yet by our clock
  kRevoked,      // the one held says revoked, whether it has ended or not
  kUnsupported,  // there is nobody to ask and no file, or no issuer to verify with
  kEnded,        // the certificate itself has expired: nobody is asked
};
inline constexpr std::array kStates = {State::kValid,   State::kPending,     State::kExpired,
                                       State::kRevoked, State::kUnsupported, State::kEnded};
std::string_view token(State state);
std::optional<State> state_of(std::string_view token);

struct Held {
  crypto::CertStatus cert_status;
  UnixSeconds this_update;
  std::optional<UnixSeconds> next_update;
  UnixSeconds expires;
  UnixSeconds confirmed_at;  // when the responder last confirmed it
  std::string_view source;   // network, cache, file, shared
};

// Of a certificate that was never asked for because its responder fails for others, the responder's.
struct LastAttempt {
  UnixSeconds at;
  Reason reason;
  std::string detail;     // any bytes
  std::string responder;  // URL; empty where it is not known any more
};

struct CertificateStatus {
  const engine::Target* target;
  State state;
  bool staplable;  // what is held may be stapled now
  std::optional<Held> held;
  std::optional<LastAttempt> last_attempt;
  std::optional<UnixSeconds> next_attempt;
  std::optional<UnixSeconds> last_success;
  std::uint32_t failures;  // in a row
  std::uint64_t stapled;   // handshakes
};
// REQUIRES: view.zone has a value and `target` is the catalog's, or that of a LoadedTarget; `verifiable`: its issuer
// is known, or may be fetched. `hosts` is the zone's.
CertificateStatus certificate_status(const View& view, const store::HostTable& hosts, const engine::Target& target,
                                     bool verifiable);

// A certificate that is loaded per connection, read from the zone anew: no process but the designated worker keeps
// it. What it says of itself was chosen by whoever brought it.
struct LoadedTarget {
  engine::Target target;
  std::vector<std::unique_ptr<net::Url>> urls;
  bool verifiable = false;
  std::size_t bytes = 0;  // of DER
};
// nullptr: the entry is none of theirs, or changing at this moment. Parses a certificate. REQUIRES: view.zone.
std::unique_ptr<LoadedTarget> loaded_target(const View& view, store::EntryIndex entry);

struct ResponderStatus {
  std::string host;                         // "host:port"
  std::string_view state;                   // unproven, up, failing
  std::uint32_t failures;                   // of one that fails
  std::optional<UnixSeconds> next_attempt;  // likewise
};
std::vector<ResponderStatus> responder_statuses(const View& view);

struct Worker {
  std::int32_t pid;
  std::uint32_t slot;
  UnixSeconds since;
  UnixSeconds heartbeat;
};

// The directory of ocsp_plus_cache, as far as the designated worker has tried it.
struct Cache {
  std::string_view state;  // off, works, failing; off also where nothing is to be stapled
  std::string path;        // empty: off
  std::optional<Reason> reason;
  std::optional<UnixSeconds> since;
};
Cache cache_status(const View& view);

struct Overview {
  std::size_t zone_size = 0, zone_used = 0, zone_entries = 0;  // bytes, bytes, certificates
  std::optional<Worker> worker;                                // the designated one
  store::StapleZone::HandshakeTotals handshakes;
  store::ExchangeTotals exchanges;
  store::Connections connections;
  std::optional<Seconds> clock_skew;  // a responder's clock minus ours
};
Overview overview(const View& view);

// What became of certificates that were loaded per connection: name and number.
using LoadedCounts = std::array<std::pair<std::string_view, std::uint64_t>, 7>;
// REQUIRES: view.zone.
LoadedCounts loaded_counts(const View& view);

}  // namespace ocsp_plus::admin
