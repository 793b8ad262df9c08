// The command line's frame. A subcommand is one file with one function that registers its options with CLI11 and
// returns what to run; main.cc holds the table of them.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ocsp_plus::cli {

// Exit statuses of every command but `check`, which follows the monitoring plugins.
constexpr int kFit = 0;
constexpr int kUnfit = 1;
constexpr int kUsage = 2;  // wrong use, or an input that cannot be read

// Runs a subcommand whose options have been parsed; returns the exit status.
using Command = std::function<int()>;

// Adds the subcommand's name, help and options to `app`. What they are parsed into lives as long as the Command.
using Registration = Command (*)(CLI::App& app);

Command register_verify(CLI::App& app);

// Reads a regular file or a pipe of at most `limit` octets. The error names the file and what is wrong with it.
Result<std::string> read_file(const std::string& path, std::size_t limit);

// One line on standard error, "ocsp-plus: ...", control bytes replaced. Returns kUsage.
int complain(std::string_view line);

}  // namespace ocsp_plus::cli
