#include "admin/metrics_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <utility>

#include "engine/readiness.h"
#include "ocsp_plus/version.h"
#include "store/counters.h"
#include "store/shared_stats.h"

namespace ocsp_plus::admin {
namespace {

// The parts of the engine's metrics, each with its declarations.
class EngineMetrics : private MetricsText {
 public:
  EngineMetrics(const View& view, const MetricsText& text) : MetricsText(text), view_(view), all_(overview(view)) {}

  void write(std::string* out) const {
    declare(Metric::kBuildInfo, out);
    sample(Metric::kBuildInfo, "version=\"" OCSP_PLUS_VERSION "\"", 1, out);
    single(Metric::kReady, !view_.zone.has_value() || engine::Readiness::over(*view_.zone) ? 1 : 0, out);
    if (all_.worker.has_value()) {
      single(Metric::kHeartbeat, all_.worker->heartbeat, out);
      single(Metric::kHeartbeatAge, std::max<Seconds>(saturating_sub(view_.now, all_.worker->heartbeat), 0), out);
    }
    declare(Metric::kHandshakes, out);
    sample(Metric::kHandshakes, "staple=\"sent\"", all_.handshakes[store::Handshake::kStapled], out);
    sample(Metric::kHandshakes, "staple=\"none\"", all_.handshakes[store::Handshake::kMissing], out);
    sample(Metric::kHandshakes, "staple=\"unsupported\"", all_.handshakes[store::Handshake::kUnsupported], out);
    sample(Metric::kHandshakes, "staple=\"refused\"", all_.handshakes[store::Handshake::kRefused], out);
    sample(Metric::kHandshakes, "staple=\"foreign\"", all_.handshakes[store::Handshake::kForeign], out);
    single(Metric::kChainStapled, all_.handshakes[store::Handshake::kChainStapled], out);
    single(Metric::kMessageTooLarge, all_.handshakes[store::Handshake::kTooLarge], out);
    single(Metric::kCallbacksReplaced, all_.handshakes[store::Handshake::kReplaced], out);
    fetches(out);
    declare(Metric::kConnections, out);
    sample(Metric::kConnections, "family=\"ipv4\",result=\"ok\"", all_.counters[store::Counter::kIpv4Ok], out);
    sample(Metric::kConnections, "family=\"ipv4\",result=\"failed\"", all_.counters[store::Counter::kIpv4Failed],
           out);
    sample(Metric::kConnections, "family=\"ipv6\",result=\"ok\"", all_.counters[store::Counter::kIpv6Ok], out);
    sample(Metric::kConnections, "family=\"ipv6\",result=\"failed\"", all_.counters[store::Counter::kIpv6Failed],
           out);
    if (all_.clock_skew.has_value()) {
      single(Metric::kClockSkew, *all_.clock_skew, out);
    }
    responders(out);
    declare(Metric::kZoneBytes, out);
    sample(Metric::kZoneBytes, "kind=\"total\"", all_.zone_size, out);
    sample(Metric::kZoneBytes, "kind=\"used\"", all_.zone_used, out);
    single(Metric::kZoneEntries, all_.zone_entries, out);
    declare(Metric::kLoaded, out);
    if (view_.zone.has_value()) {
      for (const auto& [name, number] : loaded_counts(view_)) {
        sample(Metric::kLoaded, fmt::format("result=\"{}\"", name), number, out);
      }
    }
    if (const Cache cache = cache_status(view_); cache.state != "off") {
      single(Metric::kCacheUsable, cache.state == "failing" ? 0 : 1, out);
    }
    if (const auto share = share_status(view_); share.has_value()) {
      share_metrics(*share, out);
    }
  }

 private:
  void share_metrics(const Share& share, std::string* out) const {
    using Counter = store::Counter;
    struct Sample {
      std::string_view labels;
      Counter::Kind counter;
    };
    const auto family = [&](Metric metric, std::initializer_list<Sample> samples) {
      declare(metric, out);
      for (const Sample& each : samples) {
        sample(metric, each.labels, all_.counters[each.counter], out);
      }
    };
    single(Metric::kShareUp, share.up() ? 1 : 0, out);
    family(Metric::kShareLooks, {{"result=\"hit\"", Counter::kShareHits},
                                 {"result=\"same\"", Counter::kShareSame},
                                 {"result=\"refused\"", Counter::kShareRefused},
                                 {"result=\"miss\"", Counter::kShareMisses},
                                 {"result=\"elsewhere\"", Counter::kShareElsewhere},
                                 {"result=\"error\"", Counter::kShareLooksFailed}});
    family(Metric::kSharePublished, {{"result=\"stored\"", Counter::kSharePublished},
                                     {"result=\"failed\"", Counter::kSharePublicationsFailed}});
    family(Metric::kShareLeases, {{"", Counter::kShareLeases}});
    family(Metric::kShareBytes,
           {{"direction=\"sent\"", Counter::kShareSent}, {"direction=\"received\"", Counter::kShareReceived}});
    declare(Metric::kShareLatency, out);
    const std::string name = full_name(Metric::kShareLatency);
    *out += fmt::format("{}_sum {}\n{}_count {}\n", name, seconds(all_.counters[Counter::kShareMillis]), name,
                        all_.counters[Counter::kShareCommands]);
  }

  void fetches(std::string* out) const {
    declare(Metric::kFetches, out);
    sample(Metric::kFetches, "result=\"ok\"", all_.counters[store::Counter::kExchangesOk], out);
    sample(Metric::kFetches, "result=\"failed\"", all_.counters[store::Counter::kExchangesFailed], out);
    declare(Metric::kFetchFailures, out);
    if (view_.zone.has_value()) {
      for (std::size_t number = 0; number < store::kReasonNumbers; ++number) {
        const auto reason = static_cast<Reason>(number);
        // An unknown number has the token of kNotChecked, which is no reason for a failed fetch.
        const std::uint64_t count = store::failures(*view_.zone, reason);
        if (count != 0 && token(reason) != token(Reason::kNotChecked)) {
          sample(Metric::kFetchFailures, fmt::format("reason=\"{}\"", token(reason)), count, out);
        }
      }
    }
    single(Metric::kFetchesInFlight, all_.in_flight, out);
    declare(Metric::kFetchDuration, out);
    const std::string name = full_name(Metric::kFetchDuration);
    std::uint64_t count = 0;
    for (std::size_t i = 0; i < all_.durations.size(); ++i) {
      count += all_.durations[i];
      const bool last = i == store::kDurationBounds.size();
      *out +=
          fmt::format("{}_bucket{{le=\"{}\"}} {}\n", name, last ? "+Inf" : seconds(store::kDurationBounds[i]), count);
    }
    *out += fmt::format("{}_sum {}\n{}_count {}\n", name, seconds(all_.counters[store::Counter::kExchangeMillis]),
                        name, count);
  }

  void responders(std::string* out) const {
    const auto all = responder_statuses(view_);
    declare(Metric::kResponderUp, out);
    for (const ResponderStatus& responder : all) {
      sample(Metric::kResponderUp, fmt::format("responder=\"{}\"", label(responder.host)),
             responder.state == "failing" ? 0 : 1, out);
    }
    declare(Metric::kResponderFailures, out);
    for (const ResponderStatus& responder : all) {
      sample(Metric::kResponderFailures, fmt::format("responder=\"{}\"", label(responder.host)), responder.failures,
             out);
    }
    const auto age = [this](UnixSeconds time) { return std::max<Seconds>(saturating_sub(view_.now, time), 0); };
    families(Metric::kResponderConnected, all, out, [&age](const FamilyStatus& family) {
      return family.last_ok.has_value() ? std::optional(age(*family.last_ok)) : std::nullopt;
    });
    families(Metric::kResponderFamilyFailing, all, out, [&age](const FamilyStatus& family) -> std::optional<Seconds> {
      if (family.failing_since.has_value()) {
        return age(*family.failing_since);
      }
      return family.last_ok.has_value() || family.last_failed.has_value() ? std::optional<Seconds>(0) : std::nullopt;
    });
  }

  // Samples of the families for which `value` returns one.
  template <typename Value>
  void families(Metric metric, const std::vector<ResponderStatus>& all, std::string* out, const Value& value) const {
    declare(metric, out);
    for (const ResponderStatus& responder : all) {
      for (const auto& [name, family] : {std::pair("ipv4", &responder.ipv4), std::pair("ipv6", &responder.ipv6)}) {
        if (const std::optional<Seconds> found = value(*family); found.has_value()) {
          sample(metric, fmt::format("responder=\"{}\",family=\"{}\"", label(responder.host), name), *found, out);
        }
      }
    }
  }

  const View& view_;
  Overview all_;
};

}  // namespace

void write_engine_metrics(const View& view, const MetricsText& text, std::string* out) {
  EngineMetrics(view, text).write(out);
}

void write_runway_metrics(const std::vector<Runway>& all, UnixSeconds now, const MetricsText& text,
                          std::string* out) {
  const auto labels = [](const Runway& runway) {
    return fmt::format("kind=\"{}\",name=\"{}\"", token(runway.part), MetricsText::label(runway.name));
  };
  text.declare(Metric::kRunway, out);
  for (const Runway& runway : all) {
    if (runway.expires.has_value()) {
      MetricsText::sample(Metric::kRunway, labels(runway), saturating_sub(*runway.expires, now), out);
    }
  }
  text.declare(Metric::kRunwayCertificates, out);
  for (const Runway& runway : all) {
    MetricsText::sample(Metric::kRunwayCertificates, labels(runway), runway.certificates, out);
  }
}

}  // namespace ocsp_plus::admin
