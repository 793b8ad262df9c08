// ocsp-plus: the core's command line, for deploy hooks, monitoring and people.
#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <exception>
#include <utility>
#include <vector>

#include "cli/command.h"

namespace ocsp_plus::cli {
namespace {

// One file each: verify.cc, ...
constexpr std::array<Registration, 1> kCommands = {register_verify};

int usage_error(const CLI::App& app, const CLI::ParseError& error) {
  const auto chosen = app.get_subcommands();
  const std::string name = chosen.empty() ? "" : chosen.front()->get_name() + " ";
  return complain(fmt::format("{}; see ocsp-plus {}--help", error.what(), name));
}

int run(int argc, char** argv) {
  CLI::App app("Fetches, verifies and shows OCSP responses.", "ocsp-plus");
  app.set_version_flag("--version", std::string("ocsp-plus ") + OCSP_PLUS_VERSION);
  std::vector<std::pair<CLI::App*, Command>> commands;
  for (const Registration add : kCommands) {
    Command command = add(app);
    commands.emplace_back(app.get_subcommands([](CLI::App*) { return true; }).back(), std::move(command));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // --help and --version arrive as exceptions too, with exit status 0.
    return error.get_exit_code() == 0 ? app.exit(error) : usage_error(app, error);
  }
  for (const auto& [subcommand, command] : commands) {
    if (subcommand->parsed()) {
      return command();
    }
  }
  return complain("no command given; see ocsp-plus --help");
}

}  // namespace
}  // namespace ocsp_plus::cli

int main(int argc, char** argv) {
  try {
    const int status = ocsp_plus::cli::run(argc, argv);
    // A full disk behind standard output must not pass for an answer.
    return std::fflush(stdout) == 0 ? status
                                    : ocsp_plus::cli::complain("cannot write to standard output; is the disk full?");
  } catch (const std::exception& error) {
    return ocsp_plus::cli::complain(error.what());
  }
}
