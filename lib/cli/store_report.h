// The findings of "ocsp-plus share" on a shared store, and how they are told: pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cli/stapling.h"
#include "cli/verdict.h"

namespace ocsp_plus::cli {

struct StoreReport {
  struct Response {  // the store's for a certificate
    std::size_t size = 0;
    Millis remaining = 0;  // until the store forgets it
  };

  std::string place;                                       // without secrets
  std::vector<std::pair<std::string, std::string>> facts;  // name, and what the server says; in order
  std::vector<Finding> findings;                           // none: nodes can use it
  std::optional<std::map<std::string, Response>> listed;   // by certificate id; nothing: not asked for, or not told

  void fact(std::string name, std::string text) { facts.emplace_back(std::move(name), std::move(text)); }
  // Adds the finding unless the same is there.
  void find(std::string token, Severity severity, std::string text);
};

// The gravest finding's.
Severity severity_of(const StoreReport& report);

// Writes the text as "ocsp-plus check" does: a line for the monitoring system, then a line for each fact. Everything
// is escaped.
std::string text_of(const StoreReport& report);
Json json_of(const StoreReport& report);

// "3d 4h", "5m 2s": the two largest units that are not zero.
std::string span_in_words(Seconds span);

}  // namespace ocsp_plus::cli
