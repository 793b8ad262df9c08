#include "cli/command.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>

#include "base/descriptor.h"
#include "base/log.h"
#include "base/printable.h"
#include "crypto/response_file.h"

namespace ocsp_plus::cli {
namespace {

constexpr std::size_t kMaxPemFile = 16 << 20;      // a whole trust store fits
constexpr std::size_t kMaxResponseFile = 1 << 20;  // far more than ocsp_plus_max_response admits by default
constexpr Seconds kMaxSpan = 10LL * 366 * 86400;
constexpr std::size_t kTerminalWidth = 78;

struct FileCloser {
  void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, FileCloser>;

// Returns the descriptor that `path` names. Only the path itself counts, not a link's target.
std::optional<int> descriptor_named(std::string_view path) {
  if (path == "/dev/stdout") {
    return STDOUT_FILENO;
  }
  if (path == "/dev/stderr") {
    return STDERR_FILENO;
  }
  for (const std::string_view directory : {"/dev/fd/", "/proc/self/fd/"}) {
    if (path.substr(0, directory.size()) != directory) {
      continue;
    }
    int number = -1;
    const char* const last = path.data() + path.size();
    const auto [end, error] = std::from_chars(path.data() + directory.size(), last, number);
    if (error == std::errc() && end == last && number >= 0) {
      return number;
    }
  }
  return std::nullopt;
}

// Explains errno.
tl::unexpected<Error> cannot_write(const std::string& path) {
  return fail(Reason::kUnreadable,
              fmt::format("cannot write \"{}\": {}; name a file in a directory that can be written to", path,
                          std::strerror(errno)));
}

}  // namespace

std::optional<Seconds> parse_span(std::string_view text) {
  Seconds number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  const Seconds factor = unit.empty() || unit == "s" ? 1
                         : unit == "m"               ? 60
                         : unit == "h"               ? 3600
                         : unit == "d"               ? 86400
                                                     : 0;
  if (error != std::errc() || factor == 0 || number < 0 || number > kMaxSpan / factor) {
    return std::nullopt;
  }
  return number * factor;
}

CLI::Option* add_span(CLI::App& command, const std::string& name, Seconds* span, const std::string& by_default,
                      const std::string& description) {
  *span = parse_span(by_default).value();
  const auto set = [name, span](const std::string& text) {
    const auto parsed = parse_span(text);
    if (!parsed) {
      throw CLI::ValidationError(name, text + " is no time; give it like 30s, 5m, 24h or 7d");
    }
    *span = *parsed;
  };
  return command.add_option_function<std::string>(name, set, description)->default_str(by_default)->type_name("TIME");
}

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  const File file(std::fopen(path.c_str(), "rbe"));
  if (file == nullptr) {
    return fail(Reason::kUnreadable,
                fmt::format("cannot open \"{}\": {}; name a file that can be read", path, std::strerror(errno)));
  }
  std::string content;
  std::array<char, 8192> chunk = {};
  while (const std::size_t size = std::fread(chunk.data(), 1, chunk.size(), file.get())) {
    content.append(chunk.data(), size);
    if (content.size() > limit) {
      return fail(Reason::kUnreadable, fmt::format("{} is larger than {} bytes; is it the right file?", path, limit));
    }
  }
  if (std::ferror(file.get()) != 0) {
    return fail(Reason::kUnreadable,
                fmt::format("cannot read \"{}\": {}; name a file that can be read", path, std::strerror(errno)));
  }
  return content;
}

Result<std::vector<crypto::X509Ptr>> read_certificates(const std::string& path) {
  const auto text = read_file(path, kMaxPemFile);
  RETURN_IF_ERROR(text);
  auto certificates = crypto::parse_pem_certificates(*text);
  if (!certificates) {
    return fail(Reason::kUnreadable,
                fmt::format("{}: {}; give certificates in PEM form", path, certificates.error().detail));
  }
  return certificates;
}

bool has_issuer(x509_st* leaf, const std::vector<x509_st*>& candidates) {
  const auto ranked = crypto::rank_issuers(leaf, candidates);
  return std::any_of(ranked.begin(), ranked.end(),
                     [leaf](x509_st* issuer) { return crypto::signed_by(leaf, issuer); });
}

tl::unexpected<Error> refuse_issuer(const std::string& source, x509_st* leaf,
                                    const std::vector<x509_st*>& candidates) {
  const auto certificate = crypto::describe(leaf);
  const std::string_view fault = crypto::describe(crypto::why_no_issuer(leaf, candidates));
  return fail(
      Reason::kNoIssuer,
      fmt::format(
          "{} has not issued {}: {}; give the certificate of {}, or leave the option out where --cert has the "
          "chain",
          source, ocsp_plus::quoted(crypto::label_of(leaf)), fault.empty() ? "its name is another" : fault,
          certificate ? ocsp_plus::quoted(certificate->issuer) : "its issuer"));
}

Result<Bytes> read_response(const std::string& path) {
  const auto file = read_file(path, kMaxResponseFile);
  RETURN_IF_ERROR(file);
  if (file->empty()) {
    return fail(Reason::kUnreadable, path + " is empty; give an OCSP response in DER or PEM form");
  }
  auto response = crypto::response_from_file(*file);
  if (!response) {
    return fail(Reason::kUnreadable,
                fmt::format("{}: {}; give an OCSP response in DER or PEM form", path, response.error().detail));
  }
  return response;
}

Result<void> become_user(uid_t uid, gid_t gid, const std::string& name) {
  if (geteuid() != 0 || uid == 0) {
    return {};
  }
  // May fail in a user namespace without group mappings, which nginx's workers tolerate too: the calls below count.
  (void)(name.empty() ? setgroups(0, nullptr) : initgroups(name.c_str(), gid));
  if (setgid(gid) != 0 || setuid(uid) != 0) {
    return fail(Reason::kUnreadable, fmt::format("cannot become uid {}: {}", uid, std::strerror(errno)));
  }
  return {};
}

Result<void> become_owner(const std::string& directory) {
  struct stat found = {};
  if (lstat(directory.c_str(), &found) != 0) {
    return {};
  }
  const auto become = become_user(found.st_uid, found.st_gid, {});
  return become ? Result<void>()
                : fail(Reason::kUnreadable,
                       fmt::format("{}, the owner of {}; run as that user", become.error().detail, directory));
}

void print_error(std::string_view text) {
  (void)std::fwrite(text.data(), 1, text.size(), stderr);
}

void complain(std::string_view line) {
  print_error(fmt::format("ocsp-plus: {}\n", printable(line)));
}

Progress::Progress(bool verbose, bool quiet, Millis began)
    : verbose_(verbose), terminal_(!verbose && !quiet && isatty(STDERR_FILENO) == 1), began_(began) {}

Progress::~Progress() {
  if (terminal_) {
    print_error("\r\033[K");
  }
}

void Progress::step(const std::string& what, Millis now) {
  if (verbose_) {
    print_error(fmt::format("{:>6} ms  {}\n", now - began_, printable(what)));
  } else if (terminal_) {
    print_error("\r\033[K" + printable(std::string_view(what).substr(0, kTerminalWidth)));
  }
}

Result<void> write_file(const std::string& path, ByteView content) {
  if (const auto open_one = descriptor_named(path)) {
    const Descriptor copy(fcntl(*open_one, F_DUPFD_CLOEXEC, 0));
    return copy.get() >= 0 && write_all(copy.get(), content) ? Result<void>() : cannot_write(path);
  }
  // Opening a FIFO would wait for its reader, and a device may do anything: neither is opened. The rename replaces a
  // link, or whatever else appears at the path from now on, instead of following it.
  struct stat found = {};
  if (stat(path.c_str(), &found) == 0 && !S_ISREG(found.st_mode)) {
    return fail(
        Reason::kUnreadable,
        fmt::format("cannot write \"{}\": it is no regular file; name a file, give no --out where only the verdict "
                    "is wanted, or /dev/stdout, which goes where the shell leads it",
                    path));
  }
  const std::string name = fmt::format("{}.{}.tmp", path, getpid());
  Descriptor file(::open(name.c_str(), O_WRONLY | O_CLOEXEC | O_CREAT | O_EXCL, 0666));
  if (file.get() < 0) {
    return cannot_write(path);
  }
  if (!write_all(file.get(), content) || !file.close() || std::rename(name.c_str(), path.c_str()) != 0) {
    auto refused = cannot_write(path);
    ::unlink(name.c_str());
    return refused;
  }
  return {};
}

}  // namespace ocsp_plus::cli
