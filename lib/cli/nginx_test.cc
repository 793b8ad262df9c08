#include "cli/nginx_test.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <utility>

#include "base/descriptor.h"
#include "base/text.h"

namespace ocsp_plus::cli {
namespace {

constexpr int kNotRun = 127;  // exit status, as of a shell

// A file in memory for what nginx writes: it never waits for us, as it would with a pipe.
class Output {
 public:
  Output() : fd_(memfd_create("ocsp-plus", MFD_CLOEXEC)) {}
  int get() const { return fd_.get(); }
  std::string text() const {
    struct stat found = {};
    if (fstat(fd_.get(), &found) != 0 || lseek(fd_.get(), 0, SEEK_SET) != 0) {
      return {};
    }
    Bytes bytes(static_cast<std::size_t>(found.st_size));
    return read_up_to(fd_.get(), &bytes) ? std::string(bytes.begin(), bytes.end()) : std::string();
  }

 private:
  Descriptor fd_;
};

bool is_program(const std::string& path) {
  struct stat found = {};
  return stat(path.c_str(), &found) == 0 && S_ISREG(found.st_mode) && access(path.c_str(), X_OK) == 0;
}

// Directories of PATH that are not absolute are passed over: root must not run what lies in the current directory.
std::string find_program(const std::string& name) {
  if (name.find('/') != name.npos) {
    return name;
  }
  const char* set = std::getenv("PATH");
  const std::string directories =
      std::string(set != nullptr ? set : "") + ":/usr/sbin:/usr/local/sbin:/usr/local/nginx/sbin";
  for (std::size_t at = 0; at < directories.size();) {
    const std::size_t end = std::min(directories.find(':', at), directories.size());
    std::string path = fmt::format("{}/{}", directories.substr(at, end - at), name);
    const bool absolute = directories[at] == '/';
    at = end + 1;
    if (absolute && is_program(path)) {
      return path;
    }
  }
  return {};
}

[[noreturn]] void become_nginx(const std::string& program, const NginxCommand& command, const Output& said,
                               const Output& inventory) {
  // Should we be killed, as by a monitoring system that waits no longer, a configuration that hangs must not stay.
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  const Descriptor nothing(open("/dev/null", O_RDWR));
  const Descriptor copy(dup(inventory.get()));  // is inherited
  std::vector<std::string> words = {program, "-t"};
  if (!command.conf.empty()) {
    words.insert(words.end(), {"-c", command.conf});
  }
  if (!command.prefix.empty()) {
    words.insert(words.end(), {"-p", command.prefix});
  }
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) {
    arguments.push_back(word.data());
  }
  arguments.push_back(nullptr);
  if (copy.get() > STDERR_FILENO && dup2(nothing.get(), STDIN_FILENO) >= 0 && dup2(said.get(), STDOUT_FILENO) >= 0 &&
      dup2(said.get(), STDERR_FILENO) >= 0 &&
      setenv("OCSP_PLUS_INVENTORY_FD", std::to_string(copy.get()).c_str(), 1) == 0) {
    execv(program.c_str(), arguments.data());
  }
  _exit(kNotRun);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    at = end + 1;
    // These two nginx says of a configuration that it accepts.
    if (!line.empty() && line.find(" syntax is ok") == line.npos && line.find(" test is successful") == line.npos) {
      lines.push_back(std::move(line));
    }
  }
  return lines;
}

}  // namespace

Result<NginxTested> test_configuration(const NginxCommand& command) {
  const std::string program = find_program(command.nginx);
  if (program.empty() || !is_program(program)) {
    return fail(Reason::kUnreadable,
                fmt::format("{} is no program that can be run; name nginx's with --nginx",
                            program.empty() ? command.nginx + " is in no directory of PATH, so it" : program));
  }
  // Whoever started us may not want to hear of its children; that is inherited, and then there is no exit status.
  (void)std::signal(SIGCHLD, SIG_DFL);
  const Output said;
  const Output inventory;
  const pid_t pid = said.get() < 0 || inventory.get() < 0 ? -1 : fork();
  if (pid < 0) {
    return fail(Reason::kInternal, fmt::format("cannot run {}: {}", program, errno_text(errno)));
  }
  if (pid == 0) {
    become_nginx(program, command, said, inventory);
  }
  int status = 0;
  if (uninterrupted([&] { return waitpid(pid, &status, 0); }) != pid) {
    return fail(Reason::kInternal, fmt::format("cannot wait for {}: {}", program, errno_text(errno)));
  }
  // An nginx that could not look at the configuration has not refused it.
  if (WIFSIGNALED(status)) {
    const auto lines = lines_of(said.text());
    return fail(Reason::kUnreadable, fmt::format("{} -t was ended by signal {}{}", program, WTERMSIG(status),
                                                 lines.empty() ? "" : "; it said last: " + lines.back()));
  }
  if (WEXITSTATUS(status) == kNotRun) {
    return fail(Reason::kUnreadable, program + " cannot be run; name nginx's with --nginx");
  }
  return NginxTested{WEXITSTATUS(status) == 0, lines_of(said.text()), inventory.text()};
}

}  // namespace ocsp_plus::cli
