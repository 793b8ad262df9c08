// The content of nginx's configuration, as `nginx -t` and the module tell it: for the commands that look at a whole
// nginx.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "admin/inventory.h"
#include "base/result.h"
#include "cli/nginx_test.h"
#include "cli/target.h"

namespace ocsp_plus::cli {

struct ConfigurationOptions {
  NginxCommand command = {"nginx", {}, {}};
  bool unprivileged = false;
};

// Adds --conf, --prefix, --nginx and --unprivileged. `letters`: -c and -p as well, which nginx has, too.
void add_configuration_options(CLI::App& command, bool letters, ConfigurationOptions* options);

struct Configured {
  NginxTested tested;
  std::unique_ptr<admin::Inventory>
      inventory;  // nullptr: nginx refuses the configuration, or the module is not in it
};

// Runs `nginx -t`. kUnreadable: this user must not, or nginx cannot be run; the text names `command`.
Result<Configured> read_configuration(const std::string& command, const ConfigurationOptions& options);

// Becomes nginx's worker user for good: what others can write (directories, responses) is looked at as that user
// only.
Result<void> become_worker(const admin::Inventory& inventory);

// Says why there is no inventory, for people.
std::string why_no_inventory(const NginxTested& tested);

// Returns the targets by which every certificate of every server is seen: each address of a server, with one of its
// names.
std::vector<CheckTarget> targets_of(const admin::Inventory& inventory);

}  // namespace ocsp_plus::cli
