// All metrics: name without the prefix, type, help. scripts/check-metrics compares the writer (metrics.cc), the
// documentation, the alert rules and the dashboard with this table.
#pragma once

#include <cstddef>
#include <string_view>

namespace ocsp_plus::admin {

// X(enumerator, name, type, help); counters include _total
#define OCSP_PLUS_METRICS(X)                                                                                         \
  X(kBuildInfo, "build_info", "gauge", "1; the version is a label")                                                  \
  X(kReady, "ready", "gauge", "1 once the first round of fetches is over, as the readiness location tells it")       \
  X(kHeartbeat, "engine_heartbeat_timestamp_seconds", "gauge", "when the designated worker last said that it lives") \
  X(kHandshakes, "handshakes_total", "counter", "handshakes that asked for a status, by what they got")              \
  X(kCallbacksReplaced, "callbacks_replaced_total", "counter",                                                       \
    "status callbacks that another module had replaced and that were put back")                                      \
  X(kFetches, "fetches_total", "counter", "fetches by result")                                                       \
  X(kFetchFailures, "fetch_failures_total", "counter", "failed fetches by reason")                                   \
  X(kFetchesInFlight, "fetches_in_flight", "gauge", "fetches that run now")                                          \
  X(kFetchDuration, "fetch_duration_seconds", "histogram", "how long fetches took, failed ones included")            \
  X(kConnections, "connections_total", "counter", "connections to responders or the proxy, by family and result")    \
  X(kClockSkew, "clock_skew_seconds", "gauge", "the clock of the responder that answered last minus ours")           \
  X(kResponderUp, "responder_up", "gauge", "0 where a responder host fails and is only probed, else 1")              \
  X(kResponderFailures, "responder_failures", "gauge", "failures of a responder host since it counts as failing")    \
  X(kZoneBytes, "zone_bytes", "gauge", "bytes of the shared zone: all there are, and those in use")                  \
  X(kZoneEntries, "zone_entries", "gauge", "certificates that the shared zone knows")                                \
  X(kLoaded, "loaded_certificates_total", "counter", "certificates loaded per connection, by what became of them")   \
  X(kCacheUsable, "cache_usable", "gauge", "0 where the cache directory cannot be used, else 1; absent when off")    \
  X(kCertificates, "certificates", "gauge", "certificates by state")                                                 \
  X(kStapleValid, "staple_valid", "gauge", "1 where a response is held that may be stapled now")                     \
  X(kStapleExpiry, "staple_expiry_timestamp_seconds", "gauge", "when the response that is held ends")                \
  X(kStatusAge, "status_age_seconds", "gauge", "since the responder last confirmed the response that is held")       \
  X(kRevoked, "certificate_revoked", "gauge", "1 where a verified response says revoked")                            \
  X(kRequired, "certificate_staple_required", "gauge", "1 where clients or a server refuse it without a staple")     \
  X(kNotAfter, "certificate_not_after_timestamp_seconds", "gauge", "when the certificate itself ends")               \
  X(kLastSuccess, "last_success_timestamp_seconds", "gauge", "when a fetch last brought something authentic")        \
  X(kFailures, "fetch_consecutive_failures", "gauge", "failed fetches since the last success")                       \
  X(kStaples, "staples_total", "counter", "handshakes that got the staple of a certificate")

enum class Metric : std::size_t {
#define OCSP_PLUS_METRIC_ENUM(enumerator, name, type, help) enumerator,
  OCSP_PLUS_METRICS(OCSP_PLUS_METRIC_ENUM)
#undef OCSP_PLUS_METRIC_ENUM
};

}  // namespace ocsp_plus::admin
