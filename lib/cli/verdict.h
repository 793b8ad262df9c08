// Formats verdicts and times for every subcommand.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "crypto/verify.h"

namespace ocsp_plus::cli {

using Json = nlohmann::ordered_json;

// verdict, reason, cert_status, this_update, next_update, expires, detail. Null if unknown.
Json verdict_json(const crypto::Verdict& verdict);

// Writes the verdict as lines for people, each with a line feed.
std::string verdict_text(const crypto::Verdict& verdict);

// Returns "name: value\n", escaped for display; empty without a value.
std::string line(std::string_view name, std::string_view value);

// 0 is an absent time.
Json json_time(UnixSeconds time);
std::string text_time(UnixSeconds time);

// Null if empty.
Json json_text(std::string_view text);

// Prints to standard output with a line feed. Replaces invalid UTF-8, escapes unsafe characters.
void print_json(const Json& json);

}  // namespace ocsp_plus::cli
