#include "admin/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>

#include "admin/document.h"
#include "admin/metrics_engine.h"
#include "admin/metrics_text.h"
#include "admin/runway.h"

namespace ocsp_plus::admin {
namespace {

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
      : view_(view), query_(query), text_(query.format == Format::kOpenMetrics), runway_(view) {
    head_.content_type = text_.content_type();
    head_.varies = query.negotiated;
  }

  bool next(std::string* out) override {
    if (step_ == Step::kEngine) {
      step_ = Step::kRunway;
      write_engine_metrics(view_, text_, out);
    }
    if (step_ == Step::kRunway) {
      if (runway_.next()) {
        return true;
      }
      step_ = Step::kCertificates;
      write_runway_metrics(runway_.result(), view_.now, text_, out);
    }
    while (family_ < kFamilies.size()) {
      if (!walk(out)) {
        return true;
      }
      ++family_;
      const bool long_walks = view_.catalog.targets().size() > kPieceCertificates;
      if (family_ < kFamilies.size() && (long_walks || out->size() >= kPieceBytes)) {
        return true;
      }
    }
    text_.end(out);
    return false;
  }

 private:
  enum class Step { kEngine, kRunway, kCertificates };

  // Writes the next samples of the family. Returns whether it has no more.
  bool walk(std::string* out) {
    const bool counts = kFamilies[family_].metric == Metric::kCertificates;
    if (!selection_.has_value()) {
      selection_.emplace(view_, query_);
      if (!counts) {
        text_.declare(kFamilies[family_].metric, out);
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
      return false;
    }
    selection_.reset();
    if (counts) {
      certificates(out);
    }
    return true;
  }

  void certificates(std::string* out) const {
    by_state(out);
    text_.declare(Metric::kUnsupported, out);
    for (const bool ca : {false, true}) {
      for (const Reason reason : kObstacles) {
        const auto found = unsupported_[ca ? 1 : 0].find(reason);
        std::uint64_t number = found != unsupported_[ca ? 1 : 0].end() ? found->second : 0;
        if (!ca && reason == Reason::kUnreadable && query_.all()) {
          number += view_.catalog.unusable().size();
        }
        MetricsText::sample(Metric::kUnsupported,
                            fmt::format("role=\"{}\",reason=\"{}\"", role_of(ca), token(reason)), number, out);
      }
    }
  }

  void by_state(std::string* out) const {
    text_.declare(Metric::kCertificates, out);
    for (const bool ca : {false, true}) {
      for (std::size_t i = 0; i < kStates.size(); ++i) {
        MetricsText::sample(Metric::kCertificates,
                            fmt::format("role=\"{}\",state=\"{}\"", role_of(ca), token(kStates[i])),
                            by_state_[ca ? 1 : 0][i], out);
      }
    }
  }

  // A sample of the family, where the certificate has a value. The counts follow the first walk.
  void write(const CertificateStatus& status, std::string* out) {
    const Family& family = kFamilies[family_];
    if (family.value == nullptr) {
      ++by_state_[status.target->ca ? 1 : 0][static_cast<std::size_t>(status.state)];
      if (status.reason.has_value()) {
        ++unsupported_[status.target->ca ? 1 : 0][*status.reason];
      }
    } else if (const std::string value = family.value(status, view_.now); !value.empty()) {
      const crypto::Certificate& certificate = status.target->certificate;
      MetricsText::sample(family.metric,
                          fmt::format("id=\"{}\",name=\"{}\",role=\"{}\"", to_hex(certificate.id),
                                      MetricsText::label(certificate.label()), role_of(status.target->ca)),
                          value, out);
    }
  }

  View view_;
  Query query_;
  MetricsText text_;
  RunwayWalk runway_;
  Step step_ = Step::kEngine;
  std::size_t family_ = 0;
  std::optional<Selection> selection_;
  // Counts of leaves, then of CA certificates.
  std::array<std::array<std::uint64_t, kStates.size()>, 2> by_state_ = {};
  std::array<std::map<Reason, std::uint64_t>, 2> unsupported_;
};

}  // namespace

std::unique_ptr<Document> make_metrics(const View& view, const Query& query) {
  return std::make_unique<Metrics>(view, query);
}

}  // namespace ocsp_plus::admin
