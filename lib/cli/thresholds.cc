#include "cli/thresholds.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "cli/command.h"

namespace ocsp_plus::cli {
namespace {

constexpr int kWhole = 100;

std::optional<Threshold> parse(const std::string& text) {
  Threshold threshold;
  threshold.given = true;
  if (!text.empty() && text.back() == '%') {
    const char* const last = text.data() + text.size() - 1;
    const auto [end, error] = std::from_chars(text.data(), last, threshold.percent);
    threshold.relative = true;
    const bool is_part = threshold.percent >= 0 && threshold.percent <= kWhole;
    return error == std::errc() && end == last && is_part ? std::optional(threshold) : std::nullopt;
  }
  const auto time = parse_span(text);
  threshold.time = time.value_or(0);
  return time ? std::optional(threshold) : std::nullopt;
}

void add(CLI::App& command, const std::string& name, const std::string& by_default, Threshold* threshold,
         const std::string& description) {
  *threshold = parse(by_default).value();
  threshold->given = false;
  const auto set = [name, threshold](const std::string& text) {
    const auto parsed = parse(text);
    if (!parsed) {
      throw CLI::ValidationError(name, text + " is no time; give it like 30s, 5m, 24h or 7d, or 25% of the validity");
    }
    *threshold = *parsed;
  };
  command.add_option_function<std::string>(name, set, description)->default_str(by_default)->type_name("TIME");
}

}  // namespace

Seconds Threshold::of(const crypto::Verdict& verdict) const {
  const Seconds validity = std::max<Seconds>(saturating_sub(verdict.expires, verdict.this_update), 0);
  return relative ? validity / kWhole * percent + validity % kWhole * percent / kWhole : time;
}

Seconds Thresholds::critical_of(const crypto::Verdict& verdict) const {
  const Seconds time = critical.of(verdict);
  return critical.given || !warning.given ? time : std::min(time, warning.of(verdict));
}

void add_thresholds(CLI::App& command, Thresholds* thresholds) {
  add(command, "-w,--warn", "25%", &thresholds->warning,
      "Warning where the staple ends within this time, or this part of its validity");
  add(command, "-c,--critical", "10%", &thresholds->critical,
      "Critical where the staple ends within this time, or this part of its validity");
}

Result<void> check(const Thresholds& thresholds) {
  const auto& [warning, critical] = thresholds;
  if (warning.given && critical.given && warning.relative == critical.relative &&
      (warning.relative ? warning.percent < critical.percent : warning.time < critical.time)) {
    return fail(Reason::kInvalidArgument,
                "--warn is below --critical, so there would never be a warning; give --warn the longer time");
  }
  return {};
}

}  // namespace ocsp_plus::cli
