// How verdicts and times are printed: the same in every subcommand.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "crypto/verify.h"

namespace ocsp_plus::cli {

using Json = nlohmann::ordered_json;

// verdict, reason, cert_status, this_update, next_update, expires, detail. Null where not known.
Json verdict_json(const crypto::Verdict& verdict);

// The same in lines for people, each ended by a line feed.
std::string verdict_text(const crypto::Verdict& verdict);

// "name:       value\n", safe to show; nothing where there is no value.
std::string line(std::string_view name, std::string_view value);

// 0 stands for a time that is not there.
Json json_time(UnixSeconds time);
std::string text_time(UnixSeconds time);

// Null where empty.
Json json_text(std::string_view text);

// On standard output, with a line feed. Bytes that are not UTF-8 are replaced, what is unsafe to show is escaped.
void print_json(const Json& json);

}  // namespace ocsp_plus::cli
