// ocsp-plus, the command line for deploy hooks, monitoring and people.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <utility>
#include <vector>

#include "base/printable.h"
#include "cli/command.h"
#include "ocsp_plus/version.h"

namespace ocsp_plus::cli {
namespace {

// Subcommands, each in its own file.
constexpr std::array kCommands = {register_verify, register_fetch, register_check,
                                  register_plan,   register_show,  register_share};

using Registered = std::pair<CLI::App*, Command>;

// A file or connection that is opened while a standard stream is closed would become that stream, and get what is
// printed there. Instead the stream stays one that fails: reading of 0, writing of 1 and 2.
void keep_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(stream, F_GETFD) < 0) {
      (void)open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);  // the lowest number that is free
    }
  }
}

// Monitoring systems show what a plugin says on standard output, and take what follows a bar for performance data.
int tell(const std::string& error, const Command* command) {
  if (command == nullptr || command->plugin.empty()) {
    complain(error);
    return command == nullptr ? kUsage : command->usage_status;
  }
  std::string line = printable(error);
  std::replace(line.begin(), line.end(), '|', ' ');
  fmt::print("{} UNKNOWN - {}\n", command->plugin, line);
  return command->usage_status;
}

int usage_error(const CLI::App& app, const CLI::ParseError& error, const Command* command) {
  const auto chosen = app.get_subcommands();
  const std::string name = chosen.empty() ? "" : chosen.front()->get_name() + " ";
  return tell(fmt::format("{}; see ocsp-plus {}--help", error.what(), name), command);
}

// Sets *usage_status to that of the chosen command.
int run(int argc, char** argv, int* usage_status) {
  CLI::App app("Fetches, verifies, checks and shows OCSP responses.", "ocsp-plus");
  app.set_version_flag("--version", std::string("ocsp-plus ") + OCSP_PLUS_VERSION, "Print the version and exit");
  app.footer("ocsp-plus COMMAND --help tells a command's options; so does the manual page, ocsp-plus(1).");
  std::vector<Registered> commands;
  for (const Registration add : kCommands) {
    Command command = add(app);
    commands.emplace_back(app.get_subcommands([](CLI::App*) { return true; }).back(), std::move(command));
  }
  // CLI11 parses the subcommand's name before its options, so the command is known when an option is wrong.
  const auto chosen = [&commands]() -> const Command* {
    for (const auto& [subcommand, command] : commands) {
      if (subcommand->parsed()) {
        return &command;
      }
    }
    return nullptr;
  };
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // --help and --version arrive as exceptions too, with exit status 0.
    return error.get_exit_code() == 0 ? app.exit(error) : usage_error(app, error, chosen());
  }
  if (const Command* command = chosen()) {
    *usage_status = command->usage_status;
    const auto status = command->run();
    if (status) {
      return *status;
    }
    return tell(status.error().detail, command);
  }
  return tell("no command given; see ocsp-plus --help", nullptr);
}

}  // namespace
}  // namespace ocsp_plus::cli

int main(int argc, char** argv) {
  int usage_status = ocsp_plus::cli::kUsage;
  ocsp_plus::cli::keep_standard_streams();
  try {
    const int status = ocsp_plus::cli::run(argc, argv, &usage_status);
    // A failed write to standard output (a full disk) must not look like success.
    if (std::fflush(stdout) == 0) {
      return status;
    }
    ocsp_plus::cli::complain("cannot write to standard output; is the disk full?");
  } catch (const std::exception& error) {
    ocsp_plus::cli::complain(error.what());
  }
  return usage_status;
}
