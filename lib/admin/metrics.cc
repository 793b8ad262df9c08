// Writes Prometheus' text format 0.0.4 and OpenMetrics 1.0.0, which differ in the declaration of counters and the
// last line.
#include "admin/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <optional>
#include <utility>
#include <vector>

#include "admin/document.h"
#include "admin/runway.h"
#include "base/printable.h"
#include "engine/readiness.h"
#include "store/counters.h"
#include "store/shared_stats.h"

namespace ocsp_plus::admin {
namespace {

struct Description {
  std::string_view name, type, help;
};

constexpr std::array kMetrics = {
#define OCSP_PLUS_METRIC_ROW(enumerator, name, type, help) Description{name, type, help},
    OCSP_PLUS_METRICS(OCSP_PLUS_METRIC_ROW)
#undef OCSP_PLUS_METRIC_ROW
};

// Formats a label's value: invalid UTF-8 becomes U+FFFD; backslash, quote and line feed are escaped. The format has
// no other escapes, so unsafe characters become the literal text \xNN.
std::string label(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Character found = first_character(text);
    const std::string_view character = text.substr(0, found.bytes);
    if (found.kind == Character::Kind::kInvalid) {
      out += "\xef\xbf\xbd";
    } else if (found.code == '\n') {
      out += "\\n";
    } else if (found.kind == Character::Kind::kUnsafe) {
      for (const char byte : character) {
        out += fmt::format("\\\\x{:02x}", static_cast<unsigned char>(byte));
      }
    } else {
      out += found.code == '\\' || found.code == '"' ? "\\" : "";
      out += character;
    }
    text.remove_prefix(found.bytes);
  }
  return out;
}

std::string seconds(std::uint64_t milliseconds) {
  return fmt::format("{}.{:03}", milliseconds / 1000, milliseconds % 1000);
}

// A family's samples must be contiguous, so each family walks over all certificates.
struct Family {
  Metric metric;
  // Empty: this certificate has none. nullptr: it is counted by its state.
  std::string (*value)(const CertificateStatus& status, UnixSeconds now);
};

constexpr std::array<Family, 15> kFamilies = {{
    {Metric::kCertificates, nullptr},
    {Metric::kStapleValid,
     [](const auto& status, auto) { return std::string(status.state == State::kValid ? "1" : "0"); }},
    {Metric::kThisUpdate,
     [](const auto& status, auto) {
       return status.held.has_value() ? fmt::to_string(status.held->this_update) : "";
     }},
    {Metric::kStapleExpiry,
     [](const auto& status, auto) { return status.held.has_value() ? fmt::to_string(status.held->expires) : ""; }},
    {Metric::kStapleExpiresIn,
     [](const auto& status, auto now) {
       return status.held.has_value() ? fmt::to_string(saturating_sub(status.held->expires, now)) : "";
     }},
    {Metric::kStatusAge,
     [](const auto& status, auto now) {
       return status.held.has_value()
                  ? fmt::to_string(std::max<Seconds>(saturating_sub(now, status.held->confirmed_at), 0))
                  : "";
     }},
    {Metric::kRefresh,
     [](const auto& status, auto) {
       return status.target->refresh != 0 ? fmt::to_string(status.target->refresh) : "";
     }},
    {Metric::kRevoked,
     [](const auto& status, auto) { return std::string(status.state == State::kRevoked ? "1" : "0"); }},
    {Metric::kRequired,
     [](const auto& status, auto) { return std::string(status.target->staple_required() ? "1" : "0"); }},
    {Metric::kNotAfter,
     [](const auto& status, auto) { return fmt::to_string(status.target->certificate.not_after); }},
    {Metric::kCertificateExpiresIn,
     [](const auto& status, auto now) {
       return fmt::to_string(saturating_sub(status.target->certificate.not_after, now));
     }},
    {Metric::kCertificateValidity,
     [](const auto& status, auto) {
       const crypto::Certificate& certificate = status.target->certificate;
       return fmt::to_string(saturating_sub(certificate.not_after, certificate.not_before));
     }},
    {Metric::kLastSuccess,
     [](const auto& status, auto) {
       return status.last_success.has_value() ? fmt::to_string(*status.last_success) : "";
     }},
    {Metric::kFailures, [](const auto& status, auto) { return fmt::to_string(status.failures); }},
    {Metric::kStaples, [](const auto& status, auto) { return fmt::to_string(status.stapled); }},
}};

class Metrics : public Document {
 public:
  Metrics(const View& view, const Query& query)
      : view_(view),
        query_(query),
        open_(query.format == Format::kOpenMetrics),
        all_(overview(view_)),
        runway_(view) {
    head_.content_type = open_ ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                               : "text/plain; version=0.0.4; charset=utf-8";
    head_.varies = query.negotiated;
  }

  bool next(std::string* out) override {
    if (step_ == Step::kEngine) {
      step_ = Step::kRunway;
      engine_metrics(out);
    }
    if (step_ == Step::kRunway) {
      if (runway_.next()) {
        return true;
      }
      step_ = Step::kCertificates;
      runway(out);
    }
    while (family_ < kFamilies.size()) {
      if (!selection_.has_value()) {
        selection_.emplace(view_, query_);
        if (kFamilies[family_].metric != Metric::kCertificates) {
          declare(kFamilies[family_].metric, out);
        }
      }
      std::size_t budget = kPieceCertificates;
      while (out->size() < kPieceBytes) {
        const auto status = selection_->next(&budget);
        if (!status.has_value()) {
          break;
        }
        write(*status, out);
      }
      if (!selection_->over()) {
        return true;
      }
      if (kFamilies[family_].metric == Metric::kCertificates) {
        certificates(out);
      }
      selection_.reset();
      ++family_;
      if (out->size() >= kPieceBytes || view_.catalog.targets().size() > kPieceCertificates) {
        return family_ < kFamilies.size() || end(out);
      }
    }
    return end(out);
  }

 private:
  enum class Step { kEngine, kRunway, kCertificates };

  bool end(std::string* out) const {
    *out += open_ ? "# EOF\n" : "";
    return false;
  }

  static std::string full_name(Metric metric) {
    return fmt::format("ocsp_plus_{}", kMetrics[static_cast<std::size_t>(metric)].name);
  }

  // OpenMetrics declares a counter's family without _total.
  void declare(Metric metric, std::string* out) const {
    const Description& about = kMetrics[static_cast<std::size_t>(metric)];
    std::string family = full_name(metric);
    constexpr std::string_view kTotal = "_total";
    if (open_ && about.type == "counter") {
      family.resize(family.size() - kTotal.size());
    }
    *out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", family, about.help, family, about.type);
  }

  template <typename Value>
  void sample(Metric metric, std::string_view labels, const Value& value, std::string* out) const {
    *out += fmt::format("{}{} {}\n", full_name(metric), labels.empty() ? "" : fmt::format("{{{}}}", labels), value);
  }

  template <typename Value>
  void single(Metric metric, const Value& value, std::string* out) const {
    declare(metric, out);
    sample(metric, "", value, out);
  }

  void engine_metrics(std::string* out) const {
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

  void runway(std::string* out) const {
    const auto all = runway_.result();
    const auto labels = [](const Runway& runway) {
      return fmt::format("kind=\"{}\",name=\"{}\"", token(runway.part), label(runway.name));
    };
    declare(Metric::kRunway, out);
    for (const Runway& runway : all) {
      if (runway.expires.has_value()) {
        sample(Metric::kRunway, labels(runway), saturating_sub(*runway.expires, view_.now), out);
      }
    }
    declare(Metric::kRunwayCertificates, out);
    for (const Runway& runway : all) {
      sample(Metric::kRunwayCertificates, labels(runway), runway.certificates, out);
    }
  }

  void certificates(std::string* out) const {
    declare(Metric::kCertificates, out);
    for (const bool ca : {false, true}) {
      for (std::size_t i = 0; i < kStates.size(); ++i) {
        sample(Metric::kCertificates, fmt::format("role=\"{}\",state=\"{}\"", role_of(ca), token(kStates[i])),
               by_state_[ca ? 1 : 0][i], out);
      }
    }
  }

  // A sample of the family, where the certificate has a value. The counts follow the first walk.
  void write(const CertificateStatus& status, std::string* out) {
    const Family& family = kFamilies[family_];
    if (family.value == nullptr) {
      ++by_state_[status.target->ca ? 1 : 0][static_cast<std::size_t>(status.state)];
    } else if (const std::string value = family.value(status, view_.now); !value.empty()) {
      const crypto::Certificate& certificate = status.target->certificate;
      sample(family.metric,
             fmt::format("id=\"{}\",name=\"{}\",role=\"{}\"", to_hex(certificate.id), label(certificate.label()),
                         role_of(status.target->ca)),
             value, out);
    }
  }

  View view_;
  Query query_;
  bool open_;
  Overview all_;
  RunwayWalk runway_;
  Step step_ = Step::kEngine;
  std::size_t family_ = 0;
  std::optional<Selection> selection_;
  std::array<std::array<std::uint64_t, kStates.size()>, 2> by_state_ = {};  // of leaves, of CA certificates
};

}  // namespace

std::unique_ptr<Document> make_metrics(const View& view, const Query& query) {
  return std::make_unique<Metrics>(view, query);
}

}  // namespace ocsp_plus::admin
