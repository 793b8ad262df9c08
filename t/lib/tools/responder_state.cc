#include "responder_state.h"

#include <sys/time.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <sstream>

namespace responder {
namespace {

// Every key of a scope, so that a mistyped one is an error and not a silent nothing.
const std::set<std::string> kKeys = {"status",      "revoked_at",  "reason",                // what is said
                                     "this_update", "next_update", "clock",       "cache",  // when
                                     "signer",      "hash",        "accept_hash", "rid",           "default",  // how
                                     "delay",       "date_offset", "max_age",     "cache_control", "expires",
                                     "header",      "code",  // in what HTTP
                                     "fault",       "arg",         "times"};

const std::set<std::string> kFaults = {"none",
                                       "refuse",
                                       "reset",
                                       "reset_on_connect",
                                       "close",
                                       "hang_after_connect",
                                       "hang_after_request",
                                       "hang_in_body",
                                       "slow_drip",
                                       "truncate",
                                       "too_large",
                                       "wrong_content_type",
                                       "garbage",
                                       "empty_body",
                                       "html_200",
                                       "not_http",
                                       "huge_header",
                                       "http10",
                                       "continue_100",
                                       "chunked",
                                       "chunked_truncated",
                                       "until_close",
                                       "bare_lf",
                                       "bare_status",
                                       "redirect",
                                       "try_later",
                                       "internal_error",
                                       "unauthorized",
                                       "malformed_request",
                                       "sig_required",
                                       "broken_signature",
                                       "foreign_signer",
                                       "no_certs",
                                       "other_serial",
                                       "other_issuer",
                                       "expired",
                                       "future",
                                       "not_basic",
                                       "two_responses_disagree",
                                       "no_responses",
                                       "other_hash_first",
                                       "other_too",
                                       "trailing",
                                       "trailing_inside",
                                       "old_same",
                                       "older"};

bool known_fault(const std::string& name) {
  if (name.size() == 8 && name.compare(0, 5, "http_") == 0) {
    return std::all_of(name.begin() + 5, name.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
  }
  return kFaults.count(name) != 0;
}

}  // namespace

std::string normal_serial(const std::string& hex) {
  std::string out;
  for (char c : hex) {
    out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  if (out.size() % 2 != 0) {
    out.insert(0, "0");
  }
  while (out.size() > 2 && out.compare(0, 2, "00") == 0) {
    out.erase(0, 2);
  }
  return out;
}

double wall_clock() {
  timeval now{};
  gettimeofday(&now, nullptr);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_usec) / 1e6;
}

std::string Settings::apply(const Fields& command) {
  Scope scope;
  for (const auto& [key, value] : command) {
    if (key == "port") {
      scope.port = std::atoi(value.c_str());
    } else if (key == "serial") {
      scope.serial = normal_serial(value);
    } else if (key != "reset" && key != "reset_all" && kKeys.count(key) == 0) {
      return "unknown key: " + key;
    } else if (key == "fault" && !known_fault(value)) {
      return "unknown fault: " + value;
    }
  }
  if (command.count("reset_all") != 0) {
    scopes_.clear();
  }
  Fields& fields = scopes_[scope];
  if (command.count("reset") != 0) {
    fields.clear();
  }
  if (command.count("fault") != 0) {
    fields.erase("arg");
    fields.erase("times");
  }
  for (const auto& [key, value] : command) {
    if (kKeys.count(key) == 0) {
      continue;
    }
    if (value == "default") {
      fields.erase(key);
    } else {
      fields[key] = value;
    }
  }
  return "";
}

const Fields* Settings::holder(const Scope& scope, const std::string& key) const {
  const Scope narrowing[] = {scope, {0, scope.serial}, {scope.port, ""}, {0, ""}};
  for (const Scope& candidate : narrowing) {
    auto it = scopes_.find(candidate);
    if (it != scopes_.end() && it->second.count(key) != 0) {
      return &it->second;
    }
  }
  return nullptr;
}

std::string Settings::get(const Scope& scope, const std::string& key, const std::string& otherwise) const {
  const Fields* fields = holder(scope, key);
  return fields == nullptr ? otherwise : fields->at(key);
}

long Settings::number(const Scope& scope, const std::string& key, long otherwise) const {
  const Fields* fields = holder(scope, key);
  return fields == nullptr ? otherwise : std::atol(fields->at(key).c_str());
}

Fault Settings::peek_fault(const Scope& scope) const {
  const Fields* fields = holder(scope, "fault");
  if (fields == nullptr) {
    return {"none", ""};
  }
  auto arg = fields->find("arg");
  return {fields->at("fault"), arg == fields->end() ? "" : arg->second};
}

Fault Settings::take_fault(const Scope& scope) {
  const Fault fault = peek_fault(scope);
  const Fields* found = holder(scope, "fault");
  if (found == nullptr || found->count("times") == 0) {
    return fault;
  }
  for (auto& [key, fields] : scopes_) {
    if (&fields != found) {
      continue;
    }
    const long left = std::atol(fields["times"].c_str()) - 1;
    if (left > 0) {
      fields["times"] = std::to_string(left);
    } else {
      fields.erase("fault");
      fields.erase("arg");
      fields.erase("times");
    }
  }
  return fault;
}

void Stats::request(const Seen& seen) {
  for (Counts* counts : {&all_, &ports_[seen.port]}) {
    ++counts->total;
    if (seen.method == "GET") {
      ++counts->get;
    } else if (seen.method == "POST") {
      ++counts->post;
    }
  }
  ++serials_[seen.serial];
  if (log_.size() < kLogLimit) {
    log_.push_back(seen);
  }
}

void Stats::opened(int port) {
  for (Counts* counts : {&all_, &ports_[port]}) {
    ++counts->connections;
    ++counts->open;
    counts->peak = std::max(counts->peak, counts->open);
  }
}

void Stats::closed(int port) {
  --all_.open;
  --ports_[port].open;
}

void Stats::working(int port, bool begins) {
  for (Counts* counts : {&all_, &ports_[port]}) {
    counts->working = begins ? counts->working + 1 : counts->working - 1;
    counts->working_peak = std::max(counts->working_peak, counts->working);
  }
}

void Stats::clear() {
  const auto keep_open = [](Counts& counts) {
    const Counts before = counts;
    counts = Counts();
    counts.open = counts.peak = before.open;
    counts.working = counts.working_peak = before.working;
  };
  keep_open(all_);
  for (auto& [port, counts] : ports_) {
    keep_open(counts);
  }
  serials_.clear();
  log_.clear();
}

std::string Stats::totals() const {
  std::ostringstream out;
  const auto line = [&out](const std::string& head, const Counts& c) {
    out << head << " total=" << c.total << " get=" << c.get << " post=" << c.post << " connections=" << c.connections
        << " open=" << c.open << " peak=" << c.peak << " working=" << c.working << " working_peak=" << c.working_peak
        << '\n';
  };
  line("all", all_);
  for (const auto& [port, counts] : ports_) {
    line("port " + std::to_string(port), counts);
  }
  for (const auto& [serial, count] : serials_) {
    out << "serial " << serial << " total=" << count << '\n';
  }
  return out.str();
}

std::string Stats::requests(size_t since) const {
  std::string out;
  for (size_t i = since; i < log_.size(); ++i) {
    const Seen& s = log_[i];
    char time[32];
    std::snprintf(time, sizeof time, "%.6f", s.time);
    out += std::string("time=") + time + " method=" + s.method + " port=" + std::to_string(s.port) +
           " serial=" + s.serial + " hash=" + s.hash + " nonce=" + (s.nonce ? "1" : "0") +
           " no_cache=" + (s.no_cache ? "1" : "0") + " conditional=" + (s.conditional ? "1" : "0") +
           " fault=" + s.fault + " url_size=" + std::to_string(s.url_size) + " host=" + s.host +
           " target=" + s.target + '\n';
  }
  return out;
}

}  // namespace responder
