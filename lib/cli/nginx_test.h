// Runs `nginx -t`, under which the module hands its inventory (admin/inventory.h) to a descriptor that is named in
// the environment. The running nginx notices nothing.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace ocsp_plus::cli {

struct NginxCommand {
  std::string nginx;   // the program; looked for in PATH and in the directories of system programs if it has no slash
  std::string conf;    // -c; empty: nginx's own default
  std::string prefix;  // -p; empty: nginx's own default
};

struct NginxTested {
  bool accepted = false;           // nginx would start with this configuration
  std::vector<std::string> lines;  // what nginx says of it
  std::string inventory;           // empty: the module is not loaded, or of a version that writes none
};

// Waits until nginx is done. kUnreadable: nginx cannot be run, or was ended by a signal.
Result<NginxTested> test_configuration(const NginxCommand& command);

}  // namespace ocsp_plus::cli
