#include "store/cache_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <optional>
#include <string_view>
#include <utility>

#include "base/descriptor.h"

namespace ocsp_plus::store {
namespace {

constexpr std::size_t kIdDigits = 2 * sizeof(CertificateId);
constexpr std::string_view kResponseEnd = ".der";
constexpr std::string_view kIssuerEnd = ".issuer";
constexpr std::string_view kTemporaryEnd = ".tmp";
constexpr int kTemporaryTries = 64;

timespec at(UnixSeconds time) {
  timespec spec = {};
  spec.tv_sec = static_cast<time_t>(time);
  return spec;
}

// Returns the times for futimens(): a new modification time; the access time stays.
std::array<timespec, 2> modified(UnixSeconds time) {
  timespec omitted = {};
  omitted.tv_nsec = UTIME_OMIT;
  return {omitted, at(time)};
}

// A file that the destructor removes unless it was renamed. The functions leave errno as the system call set it.
class TemporaryFile {
 public:
  TemporaryFile(int directory, std::string name, int fd) : directory_(directory), name_(std::move(name)), file_(fd) {}
  ~TemporaryFile() {
    if (!renamed_) {
      unlinkat(directory_, name_.c_str(), 0);
    }
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  bool write(ByteView bytes) { return write_all(file_.get(), bytes); }

  bool set_modified(UnixSeconds time) { return futimens(file_.get(), modified(time).data()) == 0; }
  // Lets all read the file: responses are public, and the workers' next user must be able to read them; the directory
  // keeps others out. fchmod() ignores the umask. A file system without modes may refuse: it has its own rule.
  void let_all_read() { (void)fchmod(file_.get(), 0644); }

  // Closes the file. Some file systems report only now that there was no room.
  bool close() { return file_.close(); }

  bool rename(const std::string& name) {
    renamed_ = renameat(directory_, name_.c_str(), directory_, name.c_str()) == 0;
    return renamed_;
  }

 private:
  int directory_;
  std::string name_;
  Descriptor file_;
  bool renamed_ = false;
};

// Returns why the file must not be read; empty: it may be.
std::string objection(const struct stat& found, std::size_t max_size) {
  if (!S_ISREG(found.st_mode)) {
    return "it is not a regular file";
  }
  // 0 links: another process has just replaced the file.
  if (found.st_nlink > 1) {
    return "it is a hard link to a file that has another name as well";
  }
  if (found.st_size <= 0) {
    return "it is empty";
  }
  if (static_cast<std::uintmax_t>(found.st_size) > max_size) {
    return fmt::format("its {} bytes are more than the {} allowed", found.st_size, max_size);
  }
  return {};
}

bool skip_id(std::string_view* name) {
  const bool is_id = name->size() >= kIdDigits && std::all_of(name->begin(), name->begin() + kIdDigits, [](char c) {
                       return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
                     });
  name->remove_prefix(is_id ? kIdDigits : 0);
  return is_id;
}

// Removes a dot and decimal digits from the front. false: there are none.
bool skip_number(std::string_view* name) {
  if (name->empty() || name->front() != '.') {
    return false;
  }
  const std::size_t end = std::min(name->find_first_not_of("0123456789", 1), name->size());
  name->remove_prefix(end);
  return end > 1;
}

// Returns what a name says; nothing: it is not one of ours.
std::optional<Listed> parse_name(std::string_view name) {
  Listed file;
  file.name = name;
  file.temporary = !name.empty() && name.front() == '.';
  name.remove_prefix(file.temporary ? 1 : 0);
  const auto id = parse_id(name.substr(0, kIdDigits));
  if (!id.has_value() || !skip_id(&name)) {  // upper-case digits are not ours
    return std::nullopt;
  }
  file.id = *id;
  if (file.temporary) {
    // Each call takes one number off the name. NOLINTNEXTLINE(misc-redundant-expression)
    const bool two_numbers = skip_number(&name) && skip_number(&name);
    return two_numbers && name == kTemporaryEnd ? std::optional(file) : std::nullopt;
  }
  file.kind = name == kIssuerEnd ? FileKind::kIssuer : FileKind::kResponse;
  return name == kIssuerEnd || name == kResponseEnd ? std::optional(file) : std::nullopt;
}

}  // namespace

CacheFiles::CacheFiles(std::string path, OpenDirectory directory, std::size_t max_file_size)
    : path_(std::move(path)), directory_(std::move(directory)), max_file_size_(max_file_size) {}

Result<OpenDirectory> CacheFiles::open_directory(const std::string& path) {
  Descriptor fd(uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC); }));
  struct stat found = {};
  if (fd.get() < 0 || fstat(fd.get(), &found) != 0) {
    return tl::unexpected<Error>(cannot_open(path, errno, geteuid()));
  }
  RETURN_IF_ERROR(check_owner_and_mode(path, found, geteuid()));
  OpenDirectory directory(fdopendir(fd.get()));
  if (directory == nullptr) {
    return tl::unexpected<Error>(cannot_open(path, errno, geteuid()));
  }
  (void)fd.release();
  return directory;
}

Result<CacheFiles> CacheFiles::open(const std::string& path, std::size_t max_file_size) {
  std::string stripped = strip_slashes(path);
  auto directory = open_directory(stripped);
  RETURN_IF_ERROR(directory);
  return CacheFiles(std::move(stripped), std::move(*directory), max_file_size);
}

std::string CacheFiles::file_name(const CertificateId& id, FileKind kind) {
  return to_hex(id).append(kind == FileKind::kResponse ? kResponseEnd : kIssuerEnd);
}

Result<Kept> CacheFiles::load(const CertificateId& id, FileKind kind) const {
  const std::string name = file_name(id, kind);
  const auto refuse = [&](const std::string& why) {
    return fail(Reason::kUnreadable, fmt::format("{}/{} is ignored: {}", path_, name, why));
  };
  // O_NONBLOCK: a FIFO must not block us. O_NOCTTY: a terminal must not become ours.
  constexpr int kFlags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  const Descriptor file(uninterrupted([&] { return openat(directory_fd(), name.c_str(), kFlags); }));
  struct stat found = {};
  if (file.get() < 0 || fstat(file.get(), &found) != 0) {
    const int error = errno;
    if (error == ENOENT) {
      return Kept();
    }
    return refuse(error == ELOOP ? "it is a symbolic link" : errno_text(error));
  }
  if (const std::string why = objection(found, max_file_size_); !why.empty()) {
    return refuse(why);
  }
  const auto size = static_cast<std::size_t>(found.st_size);
  Bytes bytes(size + 1);  // one byte more, to see that the file ends there
  if (!read_up_to(file.get(), &bytes)) {
    return refuse(errno_text(errno));
  }
  if (bytes.size() != size) {
    return refuse("it changes while it is read");
  }
  return Kept{std::move(bytes), found.st_mtim.tv_sec};
}

// Creates a file for writing, under a name that no other file has. Returns its descriptor or the negative errno.
int CacheFiles::create_temporary(const CertificateId& id, std::string* name) {
  const std::string hex = to_hex(id);
  // A killed process with our pid may have left a file of this name, and a living process in another container may
  // have our pid.
  for (int tries = 0; tries < kTemporaryTries; ++tries) {
    *name = fmt::format(".{}.{}.{}{}", hex, getpid(), next_temporary_++, kTemporaryEnd);
    const int fd = uninterrupted([&] {
      return openat(directory_fd(), name->c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    });
    if (fd >= 0) {
      return fd;
    }
    if (errno != EEXIST) {
      return -errno;
    }
  }
  return -EEXIST;
}

// Opens the directory again after somebody has removed it and perhaps created it anew.
Result<void> CacheFiles::reopen() {
  auto directory = open_directory(path_);
  RETURN_IF_ERROR(directory);
  directory_ = std::move(*directory);
  return {};
}

Result<void> CacheFiles::save(const CertificateId& id, const Kept& kept, FileKind kind) {
  const std::string name = file_name(id, kind);
  const ByteView bytes = kept.bytes;
  if (bytes.empty() || bytes.size() > max_file_size_) {
    return fail(Reason::kInvalidArgument,
                fmt::format("{}/{}: {} bytes are nothing to keep", path_, name, bytes.size()));
  }
  std::string temporary;
  int fd = create_temporary(id, &temporary);
  if (fd == -ENOENT) {
    RETURN_IF_ERROR(reopen());
    fd = create_temporary(id, &temporary);
  }
  const auto refuse = [&](int error) {
    const bool no_inodes = error == ENOSPC && out_of_inodes(directory_fd(), geteuid());
    return tl::unexpected<Error>(cannot_write(path_ + '/' + name, error, geteuid(), no_inodes));
  };
  if (fd < 0) {
    return refuse(-fd);
  }
  TemporaryFile file(directory_fd(), std::move(temporary), fd);
  file.let_all_read();
  if (!file.write(bytes) || !file.set_modified(kept.confirmed_at) || !file.close() || !file.rename(name)) {
    return refuse(errno);
  }
  return {};
}

bool CacheFiles::confirm(const CertificateId& id, UnixSeconds time, FileKind kind) const {
  return utimensat(directory_fd(), file_name(id, kind).c_str(), modified(time).data(), AT_SYMLINK_NOFOLLOW) == 0;
}

bool CacheFiles::remove(const CertificateId& id, FileKind kind) const {
  const std::string name = file_name(id, kind);
  if (unlinkat(directory_fd(), name.c_str(), 0) == 0 || errno == ENOENT) {
    return true;
  }
  // A link is not followed, and a file that has another name as well is not emptied: it may be anybody's.
  constexpr int kFlags = O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  const Descriptor file(uninterrupted([&] { return openat(directory_fd(), name.c_str(), kFlags); }));
  struct stat found = {};
  return file.get() >= 0 && fstat(file.get(), &found) == 0 && S_ISREG(found.st_mode) && found.st_nlink == 1 &&
         ftruncate(file.get(), 0) == 0;
}

Result<void> CacheFiles::check() const {
  return check_directory(path_, {geteuid(), getegid(), false});
}

bool CacheFiles::list(std::size_t looks, std::vector<Listed>* found) {
  for (; looks > 0; --looks) {
    const dirent* entry = readdir(directory_.get());
    if (entry == nullptr) {
      rewinddir(directory_.get());
      return false;
    }
    struct stat status = {};
    auto file = parse_name(entry->d_name);
    if (file.has_value() && fstatat(directory_fd(), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
      file->modified = status.st_mtim.tv_sec;
      found->push_back(*std::move(file));
    }
  }
  return true;
}

void CacheFiles::remove(const Listed& file) const {
  unlinkat(directory_fd(), file.name.c_str(), 0);
}

}  // namespace ocsp_plus::store
