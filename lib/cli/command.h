// The command line's frame. A subcommand is one file with one function that registers its options with CLI11 and
// returns what to run; main.cc holds the table of them. What they share of reading and printing is here as well.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"
#include "crypto/certificate.h"

namespace ocsp_plus::cli {

// Exit statuses of every command but `check`, which follows the monitoring plugins.
constexpr int kFit = 0;
constexpr int kUnfit = 1;
constexpr int kUsage = 2;  // wrong use, or an input that cannot be read

// A subcommand whose options have been parsed.
struct Command {
  std::function<int()> run;   // returns the exit status; what its options are parsed into lives as long as this
  int usage_status = kUsage;  // the exit status of wrong use
};

// Adds the subcommand's name, help and options to `app`.
using Registration = Command (*)(CLI::App& app);

Command register_check(CLI::App& app);
Command register_fetch(CLI::App& app);
Command register_show(CLI::App& app);
Command register_verify(CLI::App& app);

// --- options ---

// An option that takes a span such as "90s", "30m", "24h" or "7d"; a bare number is seconds. Not negative, at most
// ten years. `by_default` is of the same form.
CLI::Option* add_span(CLI::App& command, const std::string& name, Seconds* span, const std::string& by_default,
                      const std::string& description);

// --- input; errors name the file, what is wrong with it and what to do ---

// Reads a regular file or a pipe of at most `limit` octets.
Result<std::string> read_file(const std::string& path, std::size_t limit);

// All certificates of a PEM file; there is at least one.
Result<std::vector<crypto::X509Ptr>> read_certificates(const std::string& path);

// A response in DER or PEM form, not parsed yet.
Result<Bytes> read_response(const std::string& path);

// --- the cache directory ---

// Where we are root and `directory` belongs to somebody else, becomes its owner for good: what lies there and what
// comes from the network is not for root to parse, and what is kept has to be readable by the owner.
Result<void> become_owner(const std::string& directory);

// --- output ---

// One line on standard error, "ocsp-plus: ...", what is unsafe to show escaped. Returns kUsage.
int complain(std::string_view line);

// What goes on, for people who wait: one line on standard error that is replaced by the next and gone at the end.
// Does nothing where standard error is no terminal. For --verbose, lines that stay, whatever standard error is. It
// has to be gone before anything is printed.
class Progress {
 public:
  Progress(bool verbose, Millis began);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void step(const std::string& what, Millis now);

 private:
  bool verbose_;
  bool terminal_;
  Millis began_;
};

// Replaces a file, or a link, by rename. New files are readable by everybody that the umask lets. Into a pipe, a
// terminal or a device only where the path itself names an open descriptor (/dev/stdout, /dev/stderr, /dev/fd/N,
// /proc/self/fd/N), which is written to as it is. Never waits for somebody to open a FIFO.
Result<void> write_file(const std::string& path, ByteView content);

}  // namespace ocsp_plus::cli
