// All metrics: name without the prefix, type, help. scripts/check-metrics compares the documentation, the alert rules
// and the dashboard with this table.
#pragma once

#include <cstddef>
#include <string_view>

namespace ocsp_plus::admin {

// X(enumerator, name, type, help); counters include _total
#define OCSP_PLUS_METRICS(X)                                                                                        \
  X(kBuildInfo, "build_info", "gauge", "1; the version is a label")                                                 \
  X(kReady, "ready", "gauge", "1 once the first round of fetches is over, as in the readiness document")            \
  X(kHeartbeat, "engine_heartbeat_timestamp_seconds", "gauge", "when the designated worker last renewed its lease") \
  X(kHeartbeatAge, "engine_heartbeat_age_seconds", "gauge", "seconds since then, by the node's own clock")          \
  X(kHandshakes, "handshakes_total", "counter", "handshakes that asked for a status, by outcome")                   \
  X(kChainStapled, "chain_stapled_total", "counter", "handshakes with a staple for a CA certificate as well")       \
  X(kMessageTooLarge, "message_too_large_total", "counter",                                                         \
    "handshakes whose staple was left out for the size of the Certificate message")                                 \
  X(kCallbacksReplaced, "callbacks_replaced_total", "counter",                                                      \
    "status callbacks that another module had replaced, restored")                                                  \
  X(kFetches, "fetches_total", "counter", "fetches by result")                                                      \
  X(kFetchFailures, "fetch_failures_total", "counter", "failed fetches by reason")                                  \
  X(kFetchesInFlight, "fetches_in_flight", "gauge", "fetches under way")                                            \
  X(kFetchDuration, "fetch_duration_seconds", "histogram", "duration of fetches, including failed ones")            \
  X(kConnections, "connections_total", "counter", "connections to responders or the proxy, by family and result")   \
  X(kClockSkew, "clock_skew_seconds", "gauge", "clock of the last responder minus the local clock")                 \
  X(kResponderUp, "responder_up", "gauge", "0 if a responder host fails and is only probed, else 1")                \
  X(kResponderFailures, "responder_failures", "gauge", "failures of a failing responder host")                      \
  X(kResponderConnected, "responder_last_connection_age_seconds", "gauge",                                          \
    "seconds since the last connection to a responder host, by family; absent if there was none")                   \
  X(kResponderFamilyFailing, "responder_family_failing_seconds", "gauge",                                           \
    "seconds for which all connections to a responder host by this family have failed")                             \
  X(kRunway, "runway_seconds", "gauge", "seconds until the first client would notice if this part failed now")      \
  X(kRunwayCertificates, "runway_certificates", "gauge", "certificates that depend on this part")                   \
  X(kZoneBytes, "zone_bytes", "gauge", "bytes of the shared zone, total and used")                                  \
  X(kZoneEntries, "zone_entries", "gauge", "certificates in the shared zone")                                       \
  X(kLoaded, "loaded_certificates_total", "counter", "certificates loaded per connection, by event")                \
  X(kCacheUsable, "cache_usable", "gauge", "0 if the cache directory cannot be used, else 1; absent when off")      \
  X(kShareUp, "share_up", "gauge", "1 if the shared store can be used, also if only read; absent when off")         \
  X(kShareLooks, "share_looks_total", "counter", "certificates looked for in the shared store, by result")          \
  X(kSharePublished, "share_published_total", "counter", "responses written to the shared store, by result")        \
  X(kShareLeases, "share_leases_total", "counter", "leases to ask a responder that the shared store has given")     \
  X(kShareBytes, "share_bytes_total", "counter", "bytes exchanged with the shared store, by direction")             \
  X(kShareLatency, "share_latency_seconds", "summary", "time that the shared store took for its answers")           \
  X(kCertificates, "certificates", "gauge", "certificates by role and state")                                       \
  X(kUnsupported, "unsupported_certificates", "gauge", "certificates that can have no staple, by role and reason")  \
  X(kStapleValid, "staple_valid", "gauge", "1 if a good response is stapled, as in state valid")                    \
  X(kThisUpdate, "staple_this_update_timestamp_seconds", "gauge", "thisUpdate of the current response")             \
  X(kStapleExpiry, "staple_expiry_timestamp_seconds", "gauge", "when the current response expires")                 \
  X(kStapleExpiresIn, "staple_expires_in_seconds", "gauge",                                                         \
    "seconds until the current response expires, by the node's own clock")                                          \
  X(kStatusAge, "status_age_seconds", "gauge", "seconds since the responder last confirmed the current response")   \
  X(kRefresh, "refresh_seconds", "gauge", "ocsp_plus_refresh of the certificate; absent when auto")                 \
  X(kRevoked, "certificate_revoked", "gauge", "1 if a verified response says revoked")                              \
  X(kRequired, "certificate_staple_required", "gauge", "1 if clients or a server refuse it without a staple")       \
  X(kNotAfter, "certificate_not_after_timestamp_seconds", "gauge", "when the certificate itself expires")           \
  X(kCertificateExpiresIn, "certificate_expires_in_seconds", "gauge",                                               \
    "seconds until the certificate itself expires, by the node's own clock")                                        \
  X(kCertificateValidity, "certificate_validity_seconds", "gauge", "how long the certificate itself is valid")      \
  X(kLastSuccess, "last_success_timestamp_seconds", "gauge", "when a fetch last returned an authentic response")    \
  X(kFailures, "fetch_consecutive_failures", "gauge", "failed fetches since the last success")                      \
  X(kStaples, "staples_total", "counter", "handshakes stapled, by certificate")

enum class Metric : std::size_t {
#define OCSP_PLUS_METRIC_ENUM(enumerator, name, type, help) enumerator,
  OCSP_PLUS_METRICS(OCSP_PLUS_METRIC_ENUM)
#undef OCSP_PLUS_METRIC_ENUM
};

}  // namespace ocsp_plus::admin
