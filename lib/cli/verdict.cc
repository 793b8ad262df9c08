#include "cli/verdict.h"

#include <fmt/format.h>

#include <cstdio>

#include "base/printable.h"

namespace ocsp_plus::cli {

using crypto::Verdict;

Json json_text(std::string_view text) {
  return text.empty() ? Json() : Json(std::string(text));
}

std::string text_time(UnixSeconds time) {
  return time == 0 ? "" : to_rfc3339(time);
}

Json json_time(UnixSeconds time) {
  return json_text(text_time(time));
}

std::string line(std::string_view name, std::string_view value) {
  return value.empty() ? "" : fmt::format("{:<12} {}\n", fmt::format("{}:", name), printable(value));
}

Json verdict_json(const Verdict& verdict) {
  Json json;
  json["verdict"] = verdict.reason == Reason::kOk ? "accept" : "reject";
  json["reason"] = std::string(token(verdict.reason));
  json["cert_status"] = json_text(token(verdict.cert_status));
  json["this_update"] = json_time(verdict.this_update);
  json["next_update"] = json_time(verdict.next_update);
  json["expires"] = json_time(verdict.expires);
  json["detail"] = json_text(verdict.detail);
  return json;
}

std::string verdict_text(const Verdict& verdict) {
  const bool is_fit = verdict.reason == Reason::kOk;
  return line("verdict", is_fit ? "accept" : "reject") +
         line("reason", fmt::format("{} ({})", token(verdict.reason), meaning(verdict.reason))) +
         line("cert status", token(verdict.cert_status)) + line("this update", text_time(verdict.this_update)) +
         line("next update", text_time(verdict.next_update)) + line("expires", text_time(verdict.expires)) +
         line("detail", verdict.detail);
}

void print_json(const Json& json) {
  // Names in certificates may contain invalid UTF-8.
  fmt::print("{}\n", printable_json(json.dump(2, ' ', false, Json::error_handler_t::replace)));
}

}  // namespace ocsp_plus::cli
