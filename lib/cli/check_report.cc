#include "cli/check_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/printable.h"

namespace ocsp_plus::cli {
namespace {

// A bar begins performance data, in any line.
std::string plain(std::string_view text) {
  std::string line = printable(text);
  std::replace(line.begin(), line.end(), '|', ' ');
  return line;
}

std::string findings_of(const CheckResult& result) {
  std::string text = result.target.label();
  const char* separator = ": ";
  for (const Finding& finding : result.judgement.findings) {
    text += separator + finding.text;
    separator = "; ";
  }
  return text;
}

// Sums up one server's findings; of several servers, those of the ones that are not ok.
std::string summary_of(const std::vector<CheckResult>& results) {
  if (results.size() == 1) {
    return findings_of(results.front());
  }
  std::string text;
  std::size_t bad = 0;
  for (const CheckResult& result : results) {
    if (result.judgement.severity != Severity::kOk) {
      ++bad;
      text += "; " + findings_of(result);
    }
  }
  return bad == 0 ? fmt::format("{} servers staple", results.size())
                  : fmt::format("{} of {} servers{}", bad, results.size(), text);
}

// Quoted as the label of a value. An apostrophe is written twice, and an equals sign may not be there.
std::string quoted_label(const std::string& text) {
  std::string label;
  for (const char character : plain(text)) {
    label += character == '\'' ? std::string("''") : std::string(1, character == '=' ? ' ' : character);
  }
  return "'" + label + "'";
}

// 'label'=value;warning;critical;minimum;maximum: the Monitoring Plugins Development Guidelines. A staple that ends
// below a threshold is a problem, hence the colons.
std::string performance_of(const CheckResult& result, bool is_only, const Thresholds& thresholds) {
  if (!result.judgement.first_to_end.has_value()) {
    return {};
  }
  const crypto::Verdict& verdict = *result.judgement.first_to_end;
  const std::string label = is_only ? "expires_in" : quoted_label(result.target.label() + " expires_in");
  return fmt::format(" {}={}s;{}:;{}:;0;{}", label, saturating_sub(verdict.expires, result.at),
                     thresholds.warning_of(verdict), thresholds.critical_of(verdict),
                     saturating_sub(verdict.expires, verdict.this_update));
}

std::string lines_of(const CheckResult& result, bool is_only) {
  const std::string server = is_only ? "" : result.target.label() + ", ";
  std::string text;
  for (const Handshake& handshake : result.handshakes) {
    for (const Finding& finding : handshake.findings) {
      text += plain(fmt::format("{}{}: {} ({})", server, where(handshake), finding.text, finding.token)) + "\n";
    }
    for (const ChainCertificate& certificate : handshake.chain) {
      text += plain(fmt::format("{}TLS {}, {}", server, token(handshake.hello.version), text_of(certificate))) + "\n";
    }
  }
  return text;
}

Json json_of(const CheckResult& result) {
  const Judgement& judgement = result.judgement;
  Json json;
  json["host"] = result.target.host;
  json["port"] = result.target.port;
  json["servername"] = json_text(result.target.servername);
  json["status"] = std::string(word(judgement.severity));
  json["findings"] = Json::array();
  for (const Finding& finding : judgement.findings) {
    json["findings"].push_back(
        {{"finding", finding.token}, {"status", std::string(word(finding.severity))}, {"detail", finding.text}});
  }
  const UnixSeconds expires = judgement.first_to_end.has_value() ? judgement.first_to_end->expires : 0;
  json["expires"] = json_time(expires);
  json["expires_in"] = expires != 0 ? Json(saturating_sub(expires, result.at)) : Json();
  json["handshakes"] = Json::array();
  for (const Handshake& handshake : result.handshakes) {
    json["handshakes"].push_back(handshake_json(handshake));
  }
  return json;
}

}  // namespace

Severity severity_of(const std::vector<CheckResult>& results) {
  std::vector<Finding> gravest;
  gravest.reserve(results.size());
  for (const CheckResult& result : results) {
    gravest.push_back({"", result.judgement.severity, ""});
  }
  return worst(gravest);
}

std::string text_of(const std::vector<CheckResult>& results, const Thresholds& thresholds) {
  const bool is_only = results.size() == 1;
  std::string performance;
  std::string lines;
  for (const CheckResult& result : results) {
    performance += performance_of(result, is_only, thresholds);
    lines += lines_of(result, is_only);
  }
  return fmt::format("OCSP {} - {}{}{}\n{}", word(severity_of(results)), plain(summary_of(results)),
                     performance.empty() ? "" : " |", performance, lines);
}

Json json_of(const std::vector<CheckResult>& results) {
  if (results.size() == 1) {
    return json_of(results.front());
  }
  Json json;
  json["status"] = std::string(word(severity_of(results)));
  json["servers"] = Json::array();
  for (const CheckResult& result : results) {
    json["servers"].push_back(json_of(result));
  }
  return json;
}

}  // namespace ocsp_plus::cli
