// The options that say where a shared store is, for every command that has them; as the parameters of
// ocsp_plus_share.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/settings.h"

namespace ocsp_plus::cli {

struct ShareArguments {
  std::vector<std::string> places;
  std::string sentinel;
  std::string prefix;
  std::string user;
  std::string password_file;
  std::string trusted;
  std::string certificate;
  std::string key;

  // Prefix between "--" and an option's name: "share-" in fetch.
  std::string before;

  std::string option(const std::string& name) const { return "--" + before + name; }
};

// Adds all but the places. `needed`: the option without which they mean nothing, or nullptr. `arguments->before` must
// have been set.
void add_share_options(CLI::App& command, CLI::Option* needed, ShareArguments* arguments);

// Reads the files; call it before privileges are given up. The error names the option and the remedy, and shows no
// secret: a password in a place is refused, since all users of a machine can see arguments. REQUIRES: at least one
// place.
Result<engine::ShareSettings> read_share_arguments(const ShareArguments& arguments);

}  // namespace ocsp_plus::cli
