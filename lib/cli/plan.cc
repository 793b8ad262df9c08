// ocsp-plus plan: tells before a start or a reload which handshakes will be stapled with a configuration, from what,
// and why others will not. The running nginx notices nothing.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "admin/inventory.h"
#include "admin/snapshot.h"
#include "base/log.h"
#include "base/poll_loop.h"
#include "cli/command.h"
#include "cli/configured.h"
#include "cli/preview.h"
#include "cli/verdict.h"
#include "ocsp_plus/version.h"
#include "store/cache_directory.h"

namespace ocsp_plus::cli {
namespace {

using Outcome = Expected::Outcome;

constexpr Seconds kClockAstray = 300;  // as responses from the future are judged

struct Options {
  ConfigurationOptions configuration;
  Seconds timeout = 0;
  bool verbose = false;
  bool json = false;
};

// All that the command has to tell.
struct Plan {
  Configured configured;
  std::string cache;  // the fault of the directory; empty: none
  std::vector<std::string> remarks;
  Preview preview;
};

// The engine's log lines, on standard error.
class ErrorLog : public LogSink {
 public:
  explicit ErrorLog(bool verbose) : verbose_(verbose) {}
  bool enabled(LogLevel) const override { return verbose_; }
  void write(LogLevel, std::string_view line) override { print_error(fmt::format("{}\n", line)); }

 private:
  bool verbose_;
};

bool has_server(const admin::Inventory& inventory) {
  return std::any_of(inventory.servers.begin(), inventory.servers.end(),
                     [](const admin::InventoryServer& server) { return !server.preload; });
}

std::vector<std::string> remarks_on(const admin::Inventory& inventory) {
  std::vector<std::string> remarks;
  if (inventory.origin.module != OCSP_PLUS_VERSION) {
    remarks.push_back(fmt::format("the module is of version {}, this program of {}: install both from one version",
                                  inventory.origin.module, OCSP_PLUS_VERSION));
  }
  if (inventory.origin.proxy_login) {
    remarks.emplace_back(
        "the proxy's user and password are not handed on, so what goes through it is asked for without them here");
  }
  if (inventory.origin.shares) {
    remarks.emplace_back("the shared store is not looked into; ocsp-plus share tells whether it can be used");
  }
  if (!has_server(inventory)) {
    remarks.emplace_back("no server has \"ocsp_plus on\", so the module staples nothing");
  }
  return remarks;
}

// --- output ---

const char* word(Reach::State state) {
  return state == Reach::State::kConnected ? "reached"
         : state == Reach::State::kFailed  ? "not reached"
                                           : "no address";
}

std::string text_of(const Reach& reach) {
  if (!reach.dns.empty()) {
    return line(reach.host, reach.dns);
  }
  std::string text = fmt::format("IPv4 {}, IPv6 {}", word(reach.ipv4.state), word(reach.ipv6.state));
  for (const Reach::Family* family : {&reach.ipv4, &reach.ipv6}) {
    text += family->why.empty() ? "" : " (" + family->why + ")";
  }
  return line(reach.host, text);
}

std::string text_of(const Expected& expected) {
  std::string text = fmt::format("  {:<12}", token(expected.outcome));
  text += expected.certificate + (expected.ca ? " (CA certificate)" : "");
  if (!expected.source.empty()) {
    text += fmt::format(", from {}, until {}", expected.source == "cache" ? "the cache directory" : expected.source,
                        to_rfc3339(expected.expires));
  }
  if (!expected.reason.empty()) {
    text += fmt::format(": {}: {}", expected.reason, expected.detail);
    text += expected.responder.empty() ? "" : " (" + expected.responder + ")";
  }
  return printable(text) + "\n";
}

std::string name_of(const admin::InventoryServer& server) {
  return server.preload ? "ocsp_plus_preload" : server.names.empty() ? server.place : server.names.front();
}

std::string summary(const std::vector<Expected>& handshakes) {
  constexpr std::array kOutcomes = {Outcome::kGood,        Outcome::kRevoked, Outcome::kOmitted, Outcome::kNone,
                                    Outcome::kUnsupported, Outcome::kEnded,   Outcome::kRefused};
  std::string text;
  for (const Outcome outcome : kOutcomes) {
    const auto count = std::count_if(handshakes.begin(), handshakes.end(),
                                     [outcome](const Expected& expected) { return expected.outcome == outcome; });
    if (count != 0) {
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, token(outcome));
    }
  }
  return text.empty() ? "nothing" : text;
}

std::string text_of(const Plan& plan) {
  const admin::Inventory& inventory = *plan.configured.inventory;
  std::string text = line("nginx", inventory.origin.nginx) + line("ocsp_plus", inventory.origin.module) +
                     line("worker user", inventory.origin.user_name) +
                     line("cache directory", inventory.settings.cache.empty() ? "off"
                                             : plan.cache.empty()             ? inventory.settings.cache
                                                                              : plan.cache);
  if (const auto skew = plan.preview.clock_skew; skew.has_value() && *skew != 0) {
    text += line("clock",
                 fmt::format("{} {} a responder's", to_span(std::abs(*skew)), *skew > 0 ? "behind" : "ahead of"));
  }
  for (const Reach& reach : plan.preview.responders) {
    text += text_of(reach);
  }
  for (const std::string& said : plan.configured.tested.lines) {
    text += printable(said) + "\n";
  }
  for (const std::string& remark : plan.remarks) {
    text += line("remark", remark);
  }
  const admin::InventoryServer* server = nullptr;
  for (const Expected& expected : plan.preview.handshakes) {
    if (expected.server != server) {
      server = expected.server;
      text += printable(fmt::format("{} ({})", name_of(*server), server->place)) + "\n";
    }
    text += text_of(expected);
  }
  for (const admin::InventoryServer& each : inventory.servers) {
    if (each.loads) {
      text += printable(fmt::format("{} ({}) loads certificates per connection, which only handshakes tell",
                                    name_of(each), each.place)) +
              "\n";
    }
  }
  return text + line("staples", summary(plan.preview.handshakes));
}

Json json_of(const Reach::Family& family) {
  Json json;
  json["state"] = std::string(token(family.state));
  json["detail"] = json_text(family.why);
  return json;
}

Json json_of(const Reach& reach) {
  Json json;
  json["host"] = reach.host;
  json["dns"] = json_text(reach.dns);
  json["ipv4"] = json_of(reach.ipv4);
  json["ipv6"] = json_of(reach.ipv6);
  return json;
}

Json json_of(const Expected& expected) {
  Json json;
  json["server"] = name_of(*expected.server);
  json["names"] = expected.server->names;
  json["place"] = expected.server->place;
  json["certificate"] = expected.certificate;
  json["id"] = json_text(expected.id);
  json["file"] = json_text(expected.file);
  json["role"] = std::string(admin::role_of(expected.ca));
  json["must_staple"] = expected.must_staple;
  json["staple"] = std::string(token(expected.outcome));
  json["source"] = json_text(expected.source);
  json["expires"] = json_time(expected.expires);
  json["reason"] = json_text(expected.reason);
  json["detail"] = json_text(expected.detail);
  json["responder"] = json_text(expected.responder);
  return json;
}

template <typename Item>
Json all_of(const std::vector<Item>& items) {
  Json json = Json::array();
  for (const Item& item : items) {
    json.push_back(json_of(item));
  }
  return json;
}

Json json_of(const Plan& plan) {
  Json json;
  json["accepted"] = plan.configured.tested.accepted;
  json["nginx_says"] = plan.configured.tested.lines;
  if (plan.configured.inventory == nullptr) {
    return json;
  }
  const admin::Inventory& inventory = *plan.configured.inventory;
  json["nginx"] = inventory.origin.nginx;
  json["version"] = inventory.origin.module;
  json["worker_user"] = json_text(inventory.origin.user_name);
  json["cache"]["path"] = json_text(inventory.settings.cache);
  json["cache"]["detail"] = json_text(plan.cache);
  json["clock_skew"] = plan.preview.clock_skew.has_value() ? Json(*plan.preview.clock_skew) : Json();
  json["remarks"] = plan.remarks;
  json["responders"] = all_of(plan.preview.responders);
  json["handshakes"] = all_of(plan.preview.handshakes);
  return json;
}

// nginx would not start, or the module is not in it.
int tell_failure(const Options& options, const Plan& plan) {
  if (options.json) {
    print_json(json_of(plan));
  } else {
    for (const std::string& said : plan.configured.tested.lines) {
      fmt::print("{}\n", printable(said));
    }
  }
  complain(why_no_inventory(plan.configured.tested));
  return plan.configured.tested.accepted ? kCouldNotTell : kUsage;
}

bool is_fine(const Plan& plan) {
  const auto skew = plan.preview.clock_skew.value_or(0);
  return has_server(*plan.configured.inventory) && plan.cache.empty() && skew <= kClockAstray &&
         skew >= -kClockAstray &&
         std::none_of(plan.preview.handshakes.begin(), plan.preview.handshakes.end(),
                      [](const Expected& expected) { return expected.wanting(); });
}

Result<int> run_plan(const Options& options) {
  Plan plan;
  auto configured = read_configuration("plan", options.configuration);
  RETURN_IF_ERROR(configured);
  plan.configured = std::move(*configured);
  if (plan.configured.inventory == nullptr) {
    return tell_failure(options, plan);
  }
  const admin::InventoryOrigin& origin = plan.configured.inventory->origin;
  if (const std::string& cache = plan.configured.inventory->settings.cache; !cache.empty()) {
    const auto usable = store::check_directory(cache, origin.user);
    plan.cache = usable ? "" : usable.error().detail;
  }
  RETURN_IF_ERROR(become_worker(*plan.configured.inventory));
  ErrorLog log(options.verbose);
  auto preview = make_preview(*plan.configured.inventory, options.timeout * 1000, log);
  RETURN_IF_ERROR(preview);
  plan.preview = std::move(*preview);
  plan.remarks = remarks_on(*plan.configured.inventory);
  if (options.json) {
    print_json(json_of(plan));
  } else {
    fmt::print("{}", text_of(plan));
  }
  return is_fine(plan) ? kFit : kUnfit;
}

}  // namespace

Command register_plan(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("plan", "Tells before a reload which handshakes will be stapled, and why others will not");
  add_configuration_options(*command, true, &options->configuration);
  add_span(*command, "--timeout", &options->timeout, "30s", "How long to wait for responders");
  command->add_flag("-v,--verbose", options->verbose, "Print what the engine would log on standard error");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(
      "Exit status: 0 every handshake that can be stapled will be, 1 not so, 2 nginx refuses the configuration, "
      "3 could not tell.");
  return {[options] { return run_plan(*options); }, kCouldNotTell};
}

}  // namespace ocsp_plus::cli
