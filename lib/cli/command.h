// The command line's framework. A subcommand is one file with one function that registers its options with CLI11 and
// returns a Command; main.cc has the table. Shared input and output functions are here too.
#pragma once

#include <sys/types.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"
#include "crypto/certificate.h"

namespace ocsp_plus::cli {

// Exit statuses of every command but `check` and `share`, which follow the monitoring plugins.
constexpr int kFit = 0;
constexpr int kUnfit = 1;
constexpr int kUsage = 2;         // wrong use, or unreadable input
constexpr int kCouldNotTell = 3;  // plan: as a monitoring plugin's UNKNOWN
constexpr int kNoResponder = 4;   // fetch: nobody can be asked

// A subcommand whose options have been parsed.
struct Command {
  // Returns the exit status, or what main() complains of with usage_status; owns the parsed options.
  std::function<Result<int>()> run;
  int usage_status = kUsage;  // the exit status of wrong use
  std::string plugin = {};    // name of a monitoring plugin: begins its lines, and errors are one on standard output
};

// Adds the subcommand's name, help and options to `app`.
using Registration = Command (*)(CLI::App& app);

Command register_check(CLI::App& app);
Command register_fetch(CLI::App& app);
Command register_plan(CLI::App& app);
Command register_share(CLI::App& app);
Command register_show(CLI::App& app);
Command register_verify(CLI::App& app);

// --- options ---

// Parses a duration as add_span() has it.
std::optional<Seconds> parse_span(std::string_view text);

// Adds an option for a duration such as "90s", "30m", "24h" or "7d"; a bare number is seconds. Not negative, at most
// ten years. `by_default` has the same form.
CLI::Option* add_span(CLI::App& command, const std::string& name, Seconds* span, const std::string& by_default,
                      const std::string& description);

// --- input; errors name the file, the fault and the remedy ---

// Reads a regular file or a pipe of at most `limit` bytes.
Result<std::string> read_file(const std::string& path, std::size_t limit);

// Returns all certificates of a PEM file, at least one.
Result<std::vector<crypto::X509Ptr>> read_certificates(const std::string& path);

// Returns whether one of `candidates` has signed `leaf`, the certificate of --cert.
bool has_issuer(x509_st* leaf, const std::vector<x509_st*>& candidates);
// The error if none has. `source`: where they are from, like "--issuer FILE".
tl::unexpected<Error> refuse_issuer(const std::string& source, x509_st* leaf,
                                    const std::vector<x509_st*>& candidates);

// Returns the DER of a response in a DER or PEM file, unparsed.
Result<Bytes> read_response(const std::string& path);

// --- the cache directory ---

// Becomes a user permanently if this process is root and the user is another. `name`: for its further groups; empty:
// none are taken. kUnreadable: it is not permitted.
Result<void> become_user(uid_t uid, gid_t gid, const std::string& name);

// If this process is root and `directory` belongs to another user, becomes that user permanently: root must not parse
// untrusted files and responses, and the owner must be able to read the files we write.
Result<void> become_owner(const std::string& directory);

// --- output ---

// Prints on standard error. If that cannot be written to (a full disk), the text is lost and the command goes on.
void print_error(std::string_view text);

// Prints "ocsp-plus: ..." on standard error, unsafe characters escaped.
void complain(std::string_view line);

// Shows progress in one line on standard error, replaced by the next and removed at the end; nothing if standard
// error is not a terminal, or if `quiet`. With --verbose, prints permanent lines to any standard error. Destroy it
// before printing anything else.
class Progress {
 public:
  Progress(bool verbose, bool quiet, Millis began);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void step(const std::string& what, Millis now);

 private:
  bool verbose_;
  bool terminal_;
  Millis began_;
};

// Replaces a file or a link by rename. New files have mode 0666 without the umask. Writes to a pipe, a terminal or a
// device only if the path names an open descriptor (/dev/stdout, /dev/stderr, /dev/fd/N, /proc/self/fd/N). Never
// waits for a FIFO's reader.
Result<void> write_file(const std::string& path, ByteView content);

}  // namespace ocsp_plus::cli
