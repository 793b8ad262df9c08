#include "cli/configured.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "base/text.h"
#include "cli/command.h"
#include "crypto/certificate.h"

namespace ocsp_plus::cli {
namespace {

// Whether clients can ask for the name: it is no pattern, no catch-all and no place in the configuration.
bool is_host_name(std::string_view name) {
  return !name.empty() && name.front() != '.' && name != "_" &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == name.npos;
}

// The names that servers have as they are, without patterns.
std::set<std::string> own_names(const admin::Inventory& inventory) {
  std::set<std::string> own;
  for (const admin::InventoryServer& server : inventory.servers) {
    std::copy_if(server.names.begin(), server.names.end(), std::inserter(own, own.end()), is_host_name);
  }
  return own;
}

// The names in a server's certificates that lead to no other server by its own name.
std::vector<std::string> certified_names(const admin::InventoryServer& server, const std::set<std::string>& own) {
  std::vector<std::string> names;
  for (const auto& shown : server.certificates) {
    if (const auto certificate = crypto::describe(shown.leaf)) {
      std::copy_if(certificate->names.begin(), certificate->names.end(), std::back_inserter(names),
                   [&own](const std::string& name) { return is_host_name(name) && own.count(name) == 0; });
    }
  }
  return names;
}

// A name that the patterns "*.example.com" and ".example.com" stand for: one of `certified`, else one that no server
// is likely to have for its own; empty: it is no such pattern.
std::string name_like(std::string_view pattern, const std::vector<std::string>& certified) {
  const std::string_view end = pattern.substr(pattern.substr(0, 1) == "*" ? 1 : 0);
  if (end.size() < 2 || end.front() != '.' || !is_host_name(end.substr(1))) {
    return {};
  }
  const auto found = std::find_if(certified.begin(), certified.end(), [end](std::string_view name) {
    return name.size() > end.size() && equals_ignoring_case(name.substr(name.size() - end.size()), end);
  });
  return found != certified.end() ? *found : "ocsp-plus-check" + std::string(end);
}

// A name to ask a server for; empty: it has none, and shows the certificate to whoever names no server. A name that
// is in its certificate alone may be another server's, so it serves only where a pattern can be nothing else.
std::string name_of(const admin::InventoryServer& server, const std::set<std::string>& own) {
  const auto found = std::find_if(server.names.begin(), server.names.end(), is_host_name);
  if (found != server.names.end()) {
    return *found;
  }
  const std::vector<std::string> certified = certified_names(server, own);
  for (const std::string& pattern : server.names) {
    if (std::string name = name_like(pattern, certified); !name.empty()) {
      return name;
    }
  }
  const bool is_asked_by_name = std::any_of(server.names.begin(), server.names.end(), [&server](const auto& name) {
    return name != "_" && name != server.place;
  });
  return is_asked_by_name && !certified.empty() ? certified.front() : "";
}

// Returns the address at which a client of this machine finds a server, which may listen on all addresses.
std::string reachable(const std::string& address) {
  const std::string port = address.substr(address.rfind(':'));
  return address == "0.0.0.0" + port ? "127.0.0.1" + port : address == "[::]" + port ? "[::1]" + port : address;
}

}  // namespace

void add_configuration_options(CLI::App& command, bool letters, ConfigurationOptions* options) {
  command
      .add_option(letters ? "-c,--conf" : "--conf", options->command.conf,
                  "nginx's configuration, if it is not nginx's own default")
      ->type_name("FILE");
  command.add_option(letters ? "-p,--prefix" : "--prefix", options->command.prefix, "nginx's prefix, likewise")
      ->type_name("DIR");
  command.add_option("--nginx", options->command.nginx, "nginx's program, if it is not in PATH")
      ->type_name("PROGRAM");
  command.add_flag("--unprivileged", options->unprivileged, "nginx's master runs as this user, who is not root");
}

Result<Configured> read_configuration(const std::string& command, const ConfigurationOptions& options) {
  if (geteuid() != 0 && !options.unprivileged) {
    return fail(Reason::kUnreadable,
                command +
                    " needs root, who alone can read every key that nginx -t reads and then become the worker user; "
                    "run it with sudo, or with --unprivileged where nginx's master runs as this user");
  }
  Configured configured;
  auto tested = test_configuration(options.command);
  RETURN_IF_ERROR(tested);
  configured.tested = std::move(*tested);
  if (!configured.tested.accepted || configured.tested.inventory.empty()) {
    return configured;
  }
  auto inventory = admin::read_inventory(configured.tested.inventory);
  RETURN_IF_ERROR(inventory);
  configured.inventory = std::move(*inventory);
  return configured;
}

Result<void> become_worker(const admin::Inventory& inventory) {
  const admin::InventoryOrigin& origin = inventory.origin;
  return become_user(origin.user.uid, origin.user.gid, origin.user_name);
}

std::string why_no_inventory(const NginxTested& tested) {
  if (!tested.accepted) {
    const auto& lines = tested.lines;
    const auto found = std::find_if(lines.begin(), lines.end(),
                                    [](const std::string& said) { return said.find("[emerg]") != said.npos; });
    return "nginx refuses this configuration: " + (found != lines.end() ? *found
                                                   : lines.empty()      ? "it does not say why"
                                                                        : lines.back());
  }
  return "nginx -t passes, but no module has told what it read: is ocsp_plus's http module loaded by load_module, "
         "and of this program's version?";
}

std::vector<CheckTarget> targets_of(const admin::Inventory& inventory) {
  std::vector<CheckTarget> targets;
  const std::set<std::string> own = own_names(inventory);
  for (const admin::InventoryServer& server : inventory.servers) {
    const std::string name = name_of(server, own);
    for (const std::string& address : std::set(server.addresses.begin(), server.addresses.end())) {
      auto target = parse_target(reachable(address), 0, name);
      if (!target) {
        continue;  // nginx writes addresses, and each parses
      }
      target->proxied = std::count(server.proxied.begin(), server.proxied.end(), address) != 0;
      for (const auto& shown : server.certificates) {
        if (const auto id = crypto::certificate_id(shown.leaf); id && !server.loads) {
          target->configured.push_back({*id, crypto::label_of(shown.leaf)});
        }
      }
      targets.push_back(std::move(*target));
    }
  }
  return targets;
}

}  // namespace ocsp_plus::cli
