// Writes Prometheus' text format 0.0.4 and OpenMetrics 1.0.0, which differ in the declaration of counters and the
// last line.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "admin/metrics.h"

namespace ocsp_plus::admin {

class MetricsText {
 public:
  explicit MetricsText(bool open) : open_(open) {}

  std::string_view content_type() const {
    return open_ ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                 : "text/plain; version=0.0.4; charset=utf-8";
  }
  static std::string full_name(Metric metric);
  void declare(Metric metric, std::string* out) const;
  template <typename Value>
  static void sample(Metric metric, std::string_view labels, const Value& value, std::string* out) {
    *out += fmt::format("{}{} {}\n", full_name(metric), labels.empty() ? "" : fmt::format("{{{}}}", labels), value);
  }
  // A metric with one sample.
  template <typename Value>
  void single(Metric metric, const Value& value, std::string* out) const {
    declare(metric, out);
    sample(metric, "", value, out);
  }
  void end(std::string* out) const { *out += open_ ? "# EOF\n" : ""; }

  // Formats a label's value.
  static std::string label(std::string_view text);
  static std::string seconds(std::uint64_t milliseconds);

 private:
  bool open_;
};

}  // namespace ocsp_plus::admin
