#include "cli/configured.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>

#include "cli/command.h"
#include "crypto/certificate.h"

namespace ocsp_plus::cli {
namespace {

// Whether clients can ask for the name: it is no pattern, no catch-all and no place in the configuration.
bool is_host_name(std::string_view name) {
  return !name.empty() && name.front() != '.' && name != "_" &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == name.npos;
}

// A name to ask a server for; empty: it has none, and shows the certificate to whoever names no server.
std::string name_of(const admin::InventoryServer& server) {
  std::vector<std::string> names = server.names;
  for (const auto& shown : server.certificates) {
    if (const auto certificate = crypto::describe(shown.leaf)) {
      names.insert(names.end(), certificate->names.begin(), certificate->names.end());
    }
  }
  const auto found = std::find_if(names.begin(), names.end(), is_host_name);
  return found == names.end() ? "" : *found;
}

// Where a client of this machine finds a server that listens on all addresses.
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
         "and of "
         "this program's version?";
}

std::vector<CheckTarget> targets_of(const admin::Inventory& inventory) {
  std::vector<CheckTarget> targets;
  for (const admin::InventoryServer& server : inventory.servers) {
    const std::string name = name_of(server);
    for (const std::string& address : std::set(server.addresses.begin(), server.addresses.end())) {
      auto target = parse_target(reachable(address), 0, name);
      if (!target) {
        continue;  // nginx writes addresses, and each parses
      }
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
