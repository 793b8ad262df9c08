#include "cli/store_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/printable.h"

namespace ocsp_plus::cli {

void StoreReport::find(std::string token, Severity severity, std::string text) {
  const bool known = std::any_of(findings.begin(), findings.end(), [&](const Finding& finding) {
    return finding.token == token && finding.text == text;
  });
  if (!known) {
    findings.push_back({std::move(token), severity, std::move(text)});
  }
}

// Unlike in the numbers, kUnknown is less grave than what is known.
Severity severity_of(const StoreReport& report) {
  Severity gravest = Severity::kOk;
  for (const Severity severity : {Severity::kWarning, Severity::kUnknown, Severity::kCritical}) {
    for (const Finding& finding : report.findings) {
      gravest = finding.severity == severity ? severity : gravest;
    }
  }
  return gravest;
}

std::string span_in_words(Seconds span) {
  constexpr std::array<std::pair<Seconds, char>, 4> kUnits = {{{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}}};
  std::string text;
  int units = 0;
  for (const auto& [unit, letter] : kUnits) {
    if (units < 2 && (span >= unit || (unit == 1 && units == 0))) {
      text += fmt::format("{}{}{}", text.empty() ? "" : " ", span / unit, letter);
      span %= unit;
      ++units;
    }
  }
  return text;
}

std::string text_of(const StoreReport& report) {
  std::string first = fmt::format("SHARE {} - {}", word(severity_of(report)), report.place);
  const char* separator = ": ";
  for (const Finding& finding : report.findings) {
    first += separator + finding.text;
    separator = "; ";
  }
  if (report.findings.empty()) {
    first += ": nodes can use it";
  }
  std::string text = printable(first) + "\n";
  for (const auto& [name, value] : report.facts) {
    text += line(name, value);
  }
  if (report.listed) {
    text += line("responses", fmt::format("{}", report.listed->size()));
    for (const auto& [id, response] : *report.listed) {
      text += fmt::format("{} {:>6} bytes, for {}\n", printable(id), response.size,
                          span_in_words(response.remaining / 1000));
    }
  }
  std::replace(text.begin(), text.end(), '|', ' ');  // performance data would follow, in any line
  return text;
}

Json json_of(const StoreReport& report) {
  Json json;
  json["place"] = report.place;
  json["status"] = std::string(word(severity_of(report)));
  json["findings"] = Json::array();
  for (const Finding& finding : report.findings) {
    json["findings"].push_back(
        {{"finding", finding.token}, {"status", std::string(word(finding.severity))}, {"detail", finding.text}});
  }
  json["facts"] = Json::object();
  for (const auto& [name, value] : report.facts) {
    json["facts"][name] = value;
  }
  json["responses"] = Json();
  if (report.listed) {
    json["responses"] = Json::array();
    for (const auto& [id, response] : *report.listed) {
      json["responses"].push_back(
          {{"certificate_id", id}, {"bytes", response.size}, {"remaining", response.remaining / 1000}});
    }
  }
  return json;
}

}  // namespace ocsp_plus::cli
