// The cache directory: what is kept comes back, whatever else lies there is reported and neither followed nor waited
// for, and no failure of the disk leaves anything but the old response.
#include "store/cache_files.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "tests/fakes/descriptors.h"
#include "tests/fakes/scratch_directory.h"

namespace ocsp_plus::store {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using testing::open_descriptors;
using testing::ScratchDirectory;

constexpr std::size_t kMax = 4096;
constexpr uid_t kNobody = 65534;
constexpr Seconds kDay = 86400;

CertificateId make_id(std::uint8_t first) {
  CertificateId id = {};
  id[0] = first;
  id[31] = 0xab;
  return id;
}

Bytes make_response(std::size_t size, std::uint8_t seed = 0x30) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::uint8_t>(seed + i * 7);
  }
  return bytes;
}

Kept kept(Bytes bytes, UnixSeconds confirmed_at = 1800000000) {
  return {std::move(bytes), confirmed_at};
}

// What list() finds in a round, of the names of all files that are older.
std::size_t remove_older_than(CacheFiles& store, Seconds age, UnixSeconds now) {
  std::vector<Listed> files;
  while (store.list(100, &files)) {
  }
  std::size_t removed = 0;
  for (const Listed& file : files) {
    if (file.modified < saturating_sub(now, age)) {
      store.remove(file);
      removed += fs::exists(fs::symlink_status(fs::path(store.path()) / file.name)) ? 0 : 1;
    }
  }
  return removed;
}

CacheFiles open_store(const std::string& path, std::size_t max = kMax) {
  auto store = CacheFiles::open(path, max);
  INFO((store ? std::string() : store.error().detail));
  REQUIRE(store);
  return std::move(*store);
}

void write_file(const fs::path& path, ByteView bytes) {
  std::ofstream file(path, std::ios::binary);
  file << bytes.text();
  REQUIRE(file.good());
}

void set_mtime(const fs::path& path, UnixSeconds time) {
  const timespec times[2] = {{time, 0}, {time, 0}};
  REQUIRE(utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0);
}

UnixSeconds mtime(const fs::path& path) {
  struct stat found = {};
  REQUIRE(lstat(path.c_str(), &found) == 0);
  return found.st_mtim.tv_sec;
}

std::string outcome(const Result<void>& result) {
  return result ? "done" : std::string(token(result.error().reason)) + ": " + result.error().detail;
}
std::string outcome(const Result<Kept>& result) {
  return result ? std::to_string(result->bytes.size()) + " bytes"
                : std::string(token(result.error().reason)) + ": " + result.error().detail;
}
std::string outcome(const Result<CacheFiles>& result) {
  return result ? "done" : std::string(token(result.error().reason)) + ": " + result.error().detail;
}

// A process that ends with its parent.
pid_t start_child(const std::function<int()>& run) {
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int code = 99;
    try {
      code = getppid() == parent ? run() : 0;
    } catch (...) {
    }
    _exit(code);
  }
  REQUIRE(pid > 0);
  return pid;
}

int reap(pid_t pid) {
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

// Runs in a process of its own; what it returns, or what it threw.
std::string in_child(const std::function<std::string()>& run) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t pid = start_child([&] {
    std::string said;
    try {
      said = run();
    } catch (const std::exception& thrown) {
      said = std::string("threw ") + thrown.what();
    }
    return write(ends[1], said.data(), said.size()) == static_cast<ssize_t>(said.size()) ? 0 : 1;
  });
  close(ends[1]);
  std::string said;
  char chunk[512];
  ssize_t size = 0;
  while ((size = read(ends[0], chunk, sizeof(chunk))) > 0) {
    said.append(chunk, static_cast<std::size_t>(size));
  }
  close(ends[0]);
  REQUIRE(reap(pid) == 0);
  return said;
}

bool is_root() {
  return geteuid() == 0;
}

// As in_child(), without the rights of root.
std::string unprivileged(const std::function<std::string()>& run) {
  return in_child([&]() -> std::string {
    if (is_root() && (setegid(kNobody) != 0 || seteuid(kNobody) != 0)) {
      return "cannot become nobody";
    }
    return run();
  });
}

void give_away(const fs::path& path) {
  if (is_root()) {
    REQUIRE(lchown(path.c_str(), kNobody, kNobody) == 0);
  }
}

// No file of this process grows beyond `size`.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t size) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit = {size, old_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit old_ = {};
};

TEST_CASE("disk: a response comes back as it was kept", "[disk]") {
  const ScratchDirectory directory;
  CacheFiles store = open_store(directory.string());
  const CertificateId id = make_id(1);
  CHECK(outcome(store.load(id)) == "0 bytes");

  REQUIRE(outcome(store.save(id, kept(make_response(1000)))) == "done");
  CHECK(store.load(id)->bytes == make_response(1000));
  CHECK(outcome(store.load(make_id(2))) == "0 bytes");

  REQUIRE(outcome(store.save(id, kept(make_response(10, 1)))) == "done");
  CHECK(store.load(id)->bytes == make_response(10, 1));
  CHECK(directory.names() == std::set<std::string>{CacheFiles::file_name(id)});
}

TEST_CASE("disk: a file is named by the certificate and all may read it, whatever the umask", "[disk]") {
  const ScratchDirectory directory;
  CacheFiles store = open_store(directory.string());
  CHECK(CacheFiles::file_name(make_id(0x0f)) == "0f" + std::string(60, '0') + "ab.der");
  for (const mode_t mask : {0077, 0, 0777}) {
    const mode_t before = umask(mask);
    const std::string said = outcome(store.save(make_id(0x0f), kept(make_response(10))));
    umask(before);
    CHECK(said == "done");
    struct stat found = {};
    REQUIRE(stat(directory.file(make_id(0x0f)).c_str(), &found) == 0);
    CHECK((found.st_mode & 07777) == 0644);
    CHECK(found.st_nlink == 1);
  }
}

TEST_CASE("disk: another user who is given the directory reads and replaces what was kept", "[disk]") {
  if (!is_root()) {
    WARN("not root: nothing can be given away");
    return;
  }
  const ScratchDirectory directory;
  REQUIRE(open_store(directory.string()).save(make_id(1), kept(make_response(10))));
  give_away(directory.string());
  const std::string said = unprivileged([&] {
    CacheFiles store = open_store(directory.string());
    std::string each = outcome(store.load(make_id(1)));
    each += " / " + outcome(store.save(make_id(1), kept(make_response(20))));
    return each + " / " + outcome(store.load(make_id(1)));
  });
  CHECK(said == "10 bytes / done / 20 bytes");
}

TEST_CASE("disk: sizes at the bound", "[disk]") {
  const ScratchDirectory directory;
  CacheFiles store = open_store(directory.string());
  const CertificateId id = make_id(1);
  REQUIRE(store.save(id, kept(make_response(kMax))));
  CHECK(store.load(id)->bytes == make_response(kMax));

  CHECK_THAT(outcome(store.save(id, kept(make_response(kMax + 1)))),
             Contains("invalid_argument") && Contains("4097 bytes"));
  CHECK_THAT(outcome(store.save(id, Kept())), Contains("invalid_argument"));
  CHECK(store.load(id)->bytes == make_response(kMax));

  // The bound was lowered since.
  const CacheFiles smaller = open_store(directory.string(), kMax - 1);
  CHECK_THAT(outcome(smaller.load(id)), Contains("4096 bytes are more than the 4095 allowed"));
}

TEST_CASE("disk: a store can be moved and gives its descriptors back", "[disk]") {
  const ScratchDirectory directory;
  const ScratchDirectory other;
  const long before = open_descriptors();
  {
    CacheFiles store = open_store(directory.string());
    CacheFiles target = open_store(other.string());
    target = std::move(store);
    CacheFiles last(std::move(target));
    REQUIRE(last.save(make_id(1), kept(make_response(10))));
    CHECK(last.path() == directory.string());
    CHECK(open_descriptors() == before + 1);
  }
  CHECK(directory.names().size() == 1);
  CHECK(open_descriptors() == before);
}

TEST_CASE("disk: opening refuses what is no directory", "[disk][open]") {
  const ScratchDirectory scratch;
  const long before = open_descriptors();
  fs::create_directory(scratch / "real");
  fs::permissions(scratch / "real", fs::perms::owner_all);

  const std::string missing = (scratch / "missing").string();
  CHECK_THAT(outcome(CacheFiles::open(missing, kMax)),
             Contains("unreadable: " + missing + " does not exist") && Contains("create it"));
  CHECK_THAT(outcome(CacheFiles::open("", kMax)), Contains("does not exist"));

  write_file(scratch / "file", make_response(1));
  CHECK_THAT(outcome(CacheFiles::open((scratch / "file").string(), kMax)), Contains("/file is not a directory"));
  CHECK_THAT(outcome(CacheFiles::open((scratch / "file/below").string(), kMax)), Contains("not a directory"));
  REQUIRE(mkfifo((scratch / "fifo").c_str(), 0600) == 0);
  CHECK_THAT(outcome(CacheFiles::open((scratch / "fifo").string(), kMax)), Contains("is not a directory"));

  fs::create_symlink("real", scratch / "link");
  fs::create_symlink("nowhere", scratch / "dangling");
  for (const std::string name : {"link", "link/", "link//", "dangling", "dangling/"}) {
    INFO(name);
    CHECK_THAT(outcome(CacheFiles::open((scratch / name).string(), kMax)), Contains("is a symbolic link"));
  }
  CHECK_THAT(outcome(CacheFiles::open(std::string(5000, 'x'), kMax)), Contains("File name too long"));
  CHECK(open_descriptors() == before);
}

TEST_CASE("disk: a slash at the end of the directory's path does not matter", "[disk][open]") {
  const ScratchDirectory directory;
  CHECK(open_store(directory.string() + "//").path() == directory.string());
}

TEST_CASE("disk: opening refuses a directory that others may write to", "[disk][open]") {
  const ScratchDirectory directory;
  const auto with_mode = [&](mode_t mode) {
    REQUIRE(chmod(directory.string().c_str(), mode) == 0);
    return outcome(CacheFiles::open(directory.string(), kMax));
  };
  CHECK_THAT(with_mode(0770),
             Contains("unreadable: " + directory.string()) && Contains("mode 0770") && Contains("chmod 0700"));
  CHECK_THAT(with_mode(0720), Contains("writable by others"));
  CHECK_THAT(with_mode(0702), Contains("writable by others"));
  CHECK_THAT(with_mode(02777), Contains("mode 2777"));
  CHECK_THAT(with_mode(02772), Contains("mode 2772"));
  CHECK(with_mode(02770) == "done");  // Kubernetes' fsGroup
  CHECK(with_mode(02775) == "done");
  CHECK(with_mode(01777) == "done");
  CHECK(with_mode(0755) == "done");
  CHECK(with_mode(0700) == "done");
}

TEST_CASE("disk: opening refuses a directory of another user", "[disk][open]") {
  CHECK_THAT(unprivileged([] { return outcome(CacheFiles::open("/usr", kMax)); }),
             Contains("/usr belongs to uid 0") && Contains("chown"));
  if (!is_root()) {
    WARN("not root: a directory of another user seen by root is not tried");
    return;
  }
  const ScratchDirectory directory;
  give_away(directory.string());
  CHECK_THAT(outcome(CacheFiles::open(directory.string(), kMax)),
             Contains("belongs to uid 65534, but uid 0 uses it"));
  CHECK(unprivileged([&] { return outcome(CacheFiles::open(directory.string(), kMax)); }) == "done");
}

TEST_CASE("disk: opening refuses a directory that cannot be read", "[disk][open]") {
  const ScratchDirectory directory;
  give_away(directory.string());
  REQUIRE(chmod(directory.string().c_str(), 0300) == 0);
  CHECK_THAT(unprivileged([&] { return outcome(CacheFiles::open(directory.string(), kMax)); }),
             Contains("Permission denied") && Contains("mode 0700"));
  REQUIRE(chmod(directory.string().c_str(), 0700) == 0);
}

// What others may have put under one of our names, and what load() says about it.
struct Planted {
  std::string name;
  std::string complaint;
  std::function<bool(const std::string& path)> plant;
};

std::vector<Planted> planted_files(const ScratchDirectory& outside) {
  const std::string secret = (outside / "secret").string();
  write_file(secret, make_response(100));
  return {
      {"fifo", "not a regular file", [](const std::string& path) { return mkfifo(path.c_str(), 0600) == 0; }},
      {"null device", "not a regular file",
       [](const std::string& path) { return mknod(path.c_str(), S_IFCHR | 0600, makedev(1, 3)) == 0; }},
      {"endless device", "not a regular file",
       [](const std::string& path) { return mknod(path.c_str(), S_IFCHR | 0600, makedev(1, 5)) == 0; }},
      {"link to a file", "symbolic link",
       [=](const std::string& path) { return symlink(secret.c_str(), path.c_str()) == 0; }},
      {"link to nothing", "symbolic link",
       [](const std::string& path) { return symlink("/nowhere/at/all", path.c_str()) == 0; }},
      {"link to itself", "symbolic link",
       [](const std::string& path) { return symlink(path.c_str(), path.c_str()) == 0; }},
      {"hard link", "hard link", [=](const std::string& path) { return link(secret.c_str(), path.c_str()) == 0; }},
      {"huge sparse file", "1099511627776 bytes are more than the 4096 allowed",
       [](const std::string& path) {
         return std::ofstream(path).good() && truncate(path.c_str(), off_t{1} << 40) == 0;
       }},
      {"empty file", "it is empty", [](const std::string& path) { return std::ofstream(path).good(); }},
      {"socket", "No such device",
       [](const std::string& path) {
         sockaddr_un address = {};
         address.sun_family = AF_UNIX;
         path.copy(address.sun_path, sizeof(address.sun_path) - 1);
         const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
         const bool bound = bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
         close(fd);
         return bound;
       }},
  };
}

TEST_CASE("disk: planted files are reported by load and replaced by save", "[disk][planted]") {
  const ScratchDirectory directory;
  const ScratchDirectory outside;
  CacheFiles store = open_store(directory.string());
  const CertificateId id = make_id(9);
  const std::string path = directory.file(id).string();
  for (const Planted& planted : planted_files(outside)) {
    INFO(planted.name);
    if (!planted.plant(path)) {
      WARN(planted.name << " cannot be made here: " << std::generic_category().message(errno));
      fs::remove(path);
      continue;
    }
    const long before = open_descriptors();
    alarm(20);  // it must not block
    CHECK_THAT(outcome(store.load(id)),
               Contains("unreadable: " + path + " is ignored") && Contains(planted.complaint));
    (void)store.confirm(id, 1000);
    CHECK(outcome(store.save(id, kept(make_response(77)))) == "done");
    alarm(0);
    CHECK(outcome(store.load(id)) == "77 bytes");
    CHECK(open_descriptors() == before);
    fs::remove(path);
  }
  // Nothing was written through a link.
  CHECK(fs::file_size(outside / "secret") == 100);
}

TEST_CASE("disk: a directory under a file's name cannot be replaced", "[disk][planted]") {
  const ScratchDirectory directory;
  CacheFiles store = open_store(directory.string());
  const CertificateId id = make_id(9);
  fs::create_directory(directory.file(id));
  CHECK_THAT(outcome(store.load(id)), Contains("not a regular file"));
  CHECK_THAT(outcome(store.save(id, kept(make_response(10)))),
             Contains("unwritable") && Contains("Is a directory") && Contains("remove the directory"));
  CHECK(directory.names() == std::set<std::string>{CacheFiles::file_name(id)});
  CHECK(remove_older_than(store, -kDay, std::time(nullptr)) == 0);
  CHECK(fs::is_directory(directory.file(id)));
}

TEST_CASE("disk: a file that others forbid us to read is reported", "[disk][planted]") {
  const ScratchDirectory directory;
  give_away(directory.string());
  write_file(directory.file(make_id(1)), make_response(10));
  REQUIRE(chmod(directory.file(make_id(1)).c_str(), 0) == 0);
  CHECK_THAT(unprivileged([&] { return outcome(CacheFiles::open(directory.string(), kMax)->load(make_id(1))); }),
             Contains("unreadable") && Contains("Permission denied"));
}

TEST_CASE("disk: a short write leaves the old response and no temporary file", "[disk][full]") {
  const ScratchDirectory directory;
  CacheFiles store = open_store(directory.string());
  REQUIRE(store.save(make_id(1), kept(make_response(500))));
  const long before = open_descriptors();
  for (const rlim_t limit : {0, 1, 1000, 1999}) {
    INFO(limit);
    std::string said;
    {
      const FileSizeLimit scope(limit);
      said = outcome(store.save(make_id(1), kept(make_response(2000, 1))));
    }
    CHECK_THAT(said, Contains("unwritable: " + directory.file(make_id(1)).string()) && Contains("File too large"));
  }
  CHECK(store.load(make_id(1))->bytes == make_response(500));
  CHECK(directory.names() == std::set<std::string>{CacheFiles::file_name(make_id(1))});
  CHECK(open_descriptors() == before);
  REQUIRE(store.save(make_id(1), kept(make_response(2000, 1))));
  CHECK(store.load(make_id(1))->bytes == make_response(2000, 1));
}

// In a mount namespace of its own, so nothing of it is seen outside or outlives the child.
std::string on_small_disk(const std::string& path, const std::function<std::string(CacheFiles&)>& run,
                          const char* options = "size=64k,mode=0700") {
  return in_child([&]() -> std::string {
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("tmpfs", path.c_str(), "tmpfs", 0, options) != 0) {
      return "not possible";
    }
    CacheFiles store = open_store(path, 64 << 10);
    return run(store);
  });
}

TEST_CASE("disk: a full disk keeps the old responses and works again when there is room", "[disk][full]") {
  const ScratchDirectory directory;
  const std::string said = on_small_disk(directory.string(), [&](CacheFiles& store) -> std::string {
    std::uint8_t number = 0;
    Result<void> saved;
    while ((saved = store.save(make_id(number), kept(make_response(10000, number))))) {
      ++number;
    }
    std::string text = outcome(saved) + " / " + std::to_string(directory.names().size() - number) + " too many";
    for (std::uint8_t i = 0; i < number; ++i) {
      text += store.load(make_id(i))->bytes == make_response(10000, i) ? "" : " / lost";
    }
    // Even to replace one there must be room for both.
    text += store.save(make_id(0), kept(make_response(10000, 99))) ? " / replaced" : "";
    text += store.load(make_id(0))->bytes == make_response(10000, 0) ? "" : " / torn";
    fs::remove(directory.file(make_id(1)));
    return text + " / " + outcome(store.save(make_id(number), kept(make_response(10000))));
  });
  if (said == "not possible") {
    WARN("no right to mount a small disk");
    return;
  }
  CHECK_THAT(said, StartsWith("disk_full: ") && Contains("No space left on device; make room") &&
                       Contains("/ 0 too many / done"));
}

TEST_CASE("disk: a disk without inodes is full, too, and says what it lacks", "[disk][full]") {
  const ScratchDirectory directory;
  const std::string said = on_small_disk(
      directory.string(),
      [&](CacheFiles& store) -> std::string {
        Result<void> saved;
        for (std::uint8_t i = 0; i < 100 && (saved = store.save(make_id(i), kept(make_response(1)))); ++i) {
        }
        return outcome(saved);
      },
      "nr_inodes=10,mode=0700");
  if (said == "not possible") {
    WARN("no right to mount a small disk");
    return;
  }
  CHECK_THAT(said, StartsWith("disk_full: ") && Contains("it has no inode left; remove files"));
}

TEST_CASE("disk: a read-only disk can be loaded from, and save says why it fails", "[disk][full]") {
  const ScratchDirectory directory;
  const std::string said = on_small_disk(directory.string(), [&](CacheFiles& store) -> std::string {
    const std::string saved = outcome(store.save(make_id(1), kept(make_response(10))));
    if (mount("none", directory.string().c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, nullptr) != 0) {
      return "not possible";
    }
    auto again = CacheFiles::open(directory.string(), kMax);
    CHECK_FALSE(again->confirm(make_id(1), 1000));
    CHECK_FALSE(again->check());
    CHECK_FALSE(again->remove(make_id(1)));
    return saved + " / " + outcome(again->load(make_id(1))) + " / " +
           outcome(again->save(make_id(1), kept(make_response(20)))) + " / " +
           std::to_string(remove_older_than(*again, 0, INT64_MAX)) + " removed";
  });
  if (said == "not possible") {
    WARN("no right to mount a small disk");
    return;
  }
  CHECK_THAT(said, Contains("done / 10 bytes / unwritable") && Contains("mount it writable / 0 removed"));
}

TEST_CASE("disk: a directory without the right to write can be loaded from", "[disk][full]") {
  const ScratchDirectory directory;
  const CertificateId id = make_id(1);
  write_file(directory.file(id), make_response(10));
  give_away(directory.string());
  give_away(directory.file(id));
  REQUIRE(chmod(directory.string().c_str(), 0500) == 0);
  const std::string said = unprivileged([&] {
    auto store = CacheFiles::open(directory.string(), kMax);
    return outcome(store->load(id)) + " / " + outcome(store->save(id, kept(make_response(20)))) + " / " +
           outcome(store->load(id)) + " / " + std::to_string(remove_older_than(*store, 0, INT64_MAX));
  });
  CHECK_THAT(said, Contains("10 bytes / unwritable") && Contains("Permission denied; uid ") &&
                       Contains("must be able to write to this directory / 10 bytes / 0"));
  REQUIRE(chmod(directory.string().c_str(), 0700) == 0);
  CHECK(directory.names().size() == 1);
}

TEST_CASE("disk: a directory that is removed while open costs nothing but what it held", "[disk][full]") {
  const ScratchDirectory scratch;
  const fs::path directory = scratch / "cache";
  const auto make = [&](mode_t mode) {
    REQUIRE(mkdir(directory.c_str(), 0700) == 0);
    REQUIRE(chmod(directory.c_str(), mode) == 0);
  };
  make(0700);
  CacheFiles store = open_store(directory.string());
  REQUIRE(store.save(make_id(1), kept(make_response(10))));
  const long before = open_descriptors();

  fs::remove_all(directory);
  CHECK(outcome(store.load(make_id(1))) == "0 bytes");
  CHECK_THAT(outcome(store.save(make_id(1), kept(make_response(10)))), Contains("does not exist; create it"));
  CHECK(remove_older_than(store, 0, INT64_MAX) == 0);

  make(0777);
  CHECK_THAT(outcome(store.save(make_id(1), kept(make_response(10)))), Contains("writable by others"));
  fs::remove_all(directory);
  make(0700);
  CHECK(outcome(store.save(make_id(1), kept(make_response(10)))) == "done");
  CHECK(outcome(store.load(make_id(1))) == "10 bytes");
  CHECK(open_descriptors() == before);
}

TEST_CASE("disk: temporary names that are taken are passed over and left alone", "[disk]") {
  const ScratchDirectory directory;
  CacheFiles store = open_store(directory.string());
  const CertificateId id = make_id(1);
  const auto temporary = [&](int number) {
    return "." + to_hex(id) + "." + std::to_string(getpid()) + "." + std::to_string(number) + ".tmp";
  };
  // A file, and a trap: a link that must not be written through.
  const ScratchDirectory outside;
  write_file(directory / temporary(0), make_response(3));
  fs::create_symlink(outside / "created", directory / temporary(1));
  REQUIRE(outcome(store.save(id, kept(make_response(10)))) == "done");
  CHECK(directory.names() == std::set<std::string>{temporary(0), temporary(1), CacheFiles::file_name(id)});
  CHECK(outside.names().empty());

  // With very many of them this call fails, a later one finds a free name.
  for (int i = 3; i < 80; ++i) {
    write_file(directory / temporary(i), make_response(1));
  }
  CHECK_THAT(outcome(store.save(id, kept(make_response(20)))), Contains("File exists"));
  CHECK(outcome(store.save(id, kept(make_response(20)))) == "done");
}

TEST_CASE("disk: cleaning removes what is ours and old, nothing else", "[disk][clean]") {
  const ScratchDirectory directory;
  CacheFiles store = open_store(directory.string());
  const UnixSeconds now = 1800000000;
  const std::string hex = to_hex(make_id(1));
  const std::vector<std::string> ours = {hex + ".der", "." + hex + ".1.0.tmp", "." + hex + ".4194304.99999.tmp"};
  const std::vector<std::string> others = {
      "index.html",
      hex,
      hex + ".der.bak",
      hex + "0.der",
      hex.substr(1) + ".der",
      "A" + hex.substr(1) + ".der",
      "." + hex + ".der",
      "." + hex + ".1.tmp",
      "." + hex + ".1..tmp",
      "." + hex + ".1.x.tmp",
      "." + hex + ".1.2.3.tmp",
      hex + ".1.0.tmp",
      ".tmp",
      ".der",
  };
  for (const std::string& name : ours) {
    write_file(directory / name, make_response(1));
    set_mtime(directory / name, now - kDay - 1);
  }
  for (const std::string& name : others) {
    write_file(directory / name, make_response(1));
    set_mtime(directory / name, 0);
  }
  write_file(directory.file(make_id(2)), make_response(1));
  set_mtime(directory.file(make_id(2)), now - kDay);  // not older than a day
  write_file(directory.file(make_id(3)), make_response(1));
  set_mtime(directory.file(make_id(3)), now + 10 * kDay);

  CHECK(remove_older_than(store, kDay, now) == ours.size());
  CHECK(remove_older_than(store, kDay, now) == 0);
  std::set<std::string> left(others.begin(), others.end());
  left.insert({CacheFiles::file_name(make_id(2)), CacheFiles::file_name(make_id(3))});
  CHECK(directory.names() == left);

  CHECK(remove_older_than(store, 0, INT64_MAX) == 2);
  CHECK(remove_older_than(store, INT64_MAX, INT64_MIN) == 0);
}

TEST_CASE("disk: a file's time is when the responder last confirmed it", "[disk]") {
  const ScratchDirectory directory;
  CacheFiles store = open_store(directory.string());
  const CertificateId id = make_id(1);
  REQUIRE(store.save(id, kept(make_response(10), 1500000000)));
  CHECK(mtime(directory.file(id)) == 1500000000);
  const Result<Kept> loaded = store.load(id);
  REQUIRE(loaded);
  CHECK(loaded->confirmed_at == 1500000000);
  CHECK(mtime(directory.file(id)) == 1500000000);  // looking changes nothing

  CHECK(store.confirm(id, 1500000777));
  CHECK(store.load(id)->confirmed_at == 1500000777);
  REQUIRE(store.save(id, kept(make_response(11), 1400000000)));
  CHECK(store.load(id)->confirmed_at == 1400000000);

  CHECK_FALSE(store.confirm(make_id(3), 1500000000));  // there is none, and none comes to be
  CHECK(directory.names().size() == 1);
}

TEST_CASE("disk: another user's file is not confirmed but can be replaced and removed", "[disk]") {
  if (geteuid() != 0) {
    return;
  }
  const ScratchDirectory directory;
  CacheFiles store = open_store(directory.string());
  REQUIRE(store.save(make_id(1), kept(make_response(10))));
  REQUIRE(store.save(make_id(2), kept(make_response(10))));
  // The directory has been given to another user; what was kept is root's still.
  REQUIRE(chown(directory.string().c_str(), kNobody, kNobody) == 0);
  REQUIRE(chmod(directory.file(make_id(1)).c_str(), 0644) == 0);
  CHECK(unprivileged([&] {
          auto mine = CacheFiles::open(directory.string(), kMax);
          std::string text = outcome(mine->load(make_id(1)));
          text += mine->confirm(make_id(1), 1700000000) ? " / confirmed" : " / not confirmed";
          text += " / " + outcome(mine->save(make_id(1), kept(make_response(10), 1700000000)));
          text += mine->confirm(make_id(1), 1700000001) ? " / confirmed" : " / not confirmed";
          return text + (mine->remove(make_id(2)) ? " / removed" : " / not removed");
        }) == "10 bytes / not confirmed / done / confirmed / removed");
  CHECK(mtime(directory.file(make_id(1))) == 1700000001);
  CHECK_FALSE(fs::exists(directory.file(make_id(2))));
}

TEST_CASE("disk: what cannot be removed is emptied, but not through a link", "[disk]") {
  const ScratchDirectory directory;
  const ScratchDirectory outside;
  CacheFiles store = open_store(directory.string());
  CHECK(store.remove(make_id(1)));  // there is none
  REQUIRE(store.save(make_id(1), kept(make_response(10))));
  CHECK(store.remove(make_id(1)));
  CHECK(directory.names().empty());

  // A directory under the name can be neither.
  fs::create_directory(directory.file(make_id(2)));
  CHECK_FALSE(store.remove(make_id(2)));
  if (geteuid() != 0) {
    return;
  }
  // Of a directory that is not writable no file can be removed, but the files are.
  REQUIRE(store.save(make_id(3), kept(make_response(10))));
  write_file(outside / "file", make_response(10));
  fs::permissions(outside / "file", fs::perms::all);
  fs::create_symlink(outside / "file", directory.file(make_id(4)));
  write_file(outside / "twin", make_response(10));
  fs::permissions(outside / "twin", fs::perms::all);
  fs::create_hard_link(outside / "twin", directory.file(make_id(5)));
  REQUIRE(chown(directory.file(make_id(3)).c_str(), kNobody, kNobody) == 0);
  REQUIRE(chown(directory.string().c_str(), kNobody, kNobody) == 0);
  REQUIRE(chmod(directory.string().c_str(), 0500) == 0);
  REQUIRE(chmod(outside.string().c_str(), 0755) == 0);
  CHECK(unprivileged([&] {
          auto mine = CacheFiles::open(directory.string(), kMax);
          std::string text = mine->check() ? "writable" : "not writable";
          for (const std::uint8_t number : {3, 4, 5}) {
            text += mine->remove(make_id(number)) ? " / gone" : " / there";
          }
          return text;
        }) == "not writable / gone / there / there");
  CHECK(fs::file_size(directory.file(make_id(3))) == 0);
  CHECK(fs::file_size(outside / "file") == 10);
  CHECK(fs::file_size(outside / "twin") == 10);
  REQUIRE(chmod(directory.string().c_str(), 0700) == 0);
}

TEST_CASE("disk: a listing goes through the whole directory, a bounded part at a call", "[disk][clean]") {
  const ScratchDirectory directory;
  const ScratchDirectory outside;
  CacheFiles store = open_store(directory.string());
  constexpr std::size_t kOurs = 300;
  std::set<std::string> names;
  CertificateId id = {};
  for (std::size_t i = 0; i < kOurs; ++i) {
    id[0] = static_cast<std::uint8_t>(i);
    id[1] = static_cast<std::uint8_t>(i >> 8);
    const FileKind kind = i % 3 == 0 ? FileKind::kIssuer : FileKind::kResponse;
    REQUIRE(store.save(id, kept(make_response(1), 1000000 + static_cast<UnixSeconds>(i)), kind));
    names.insert(CacheFiles::file_name(id, kind));
    write_file(directory / ("other" + std::to_string(i)), {});
  }
  const long before = open_descriptors();
  for (int round = 0; round < 2; ++round) {
    std::set<std::string> seen;
    std::size_t calls = 0;
    for (bool more = true; more; ++calls) {
      std::vector<Listed> files;
      more = store.list(20, &files);
      CHECK(files.size() <= 20);
      for (const Listed& file : files) {
        CHECK(seen.insert(file.name).second);
        CHECK(CacheFiles::file_name(file.id, file.kind) == file.name);
        CHECK(file.modified == 1000000 + file.id[0] + 256 * file.id[1]);
        CHECK_FALSE(file.temporary);
      }
    }
    CHECK(seen == names);
    CHECK(calls >= 2 * kOurs / 20);
  }
  CHECK(open_descriptors() == before);

  // A link is listed and removed as what it is.
  write_file(outside / "file", make_response(1));
  fs::create_symlink(outside / "file", directory.file(make_id(0xff)));
  set_mtime(directory.file(make_id(0xff)), 1000);
  CHECK(remove_older_than(store, 0, 2000) == 1);
  CHECK(outside.names().size() == 1);
}

// Saves one of two responses in turn, for ever or for some rounds.
int keep_saving(const std::string& path, const Bytes& first, const Bytes& second, std::size_t rounds) {
  auto store = CacheFiles::open(path, 64 << 10);
  if (!store) {
    return 2;
  }
  for (std::size_t i = 0; i < rounds; ++i) {
    if (!store->save(make_id(7), kept(i % 2 == 0 ? first : second))) {
      return 3;
    }
  }
  return 0;
}

TEST_CASE("disk: two processes save the same certificate and every load sees a whole response", "[disk][processes]") {
  const ScratchDirectory directory;
  CacheFiles store = open_store(directory.string(), 64 << 10);
  const Bytes small = make_response(300, 1);
  const Bytes large = make_response(30000, 2);
  REQUIRE(store.save(make_id(7), kept(small)));
  constexpr std::size_t kRounds = 600;
  std::vector<pid_t> writers = {
      start_child([&] { return keep_saving(directory.string(), small, large, kRounds); }),
      start_child([&] { return keep_saving(directory.string(), large, small, kRounds); }),
  };
  std::size_t smalls = 0;
  std::size_t larges = 0;
  std::size_t wrong = 0;
  while (!writers.empty()) {
    const auto loaded = store.load(make_id(7));
    smalls += loaded && loaded->bytes == small ? 1 : 0;
    larges += loaded && loaded->bytes == large ? 1 : 0;
    wrong += !loaded || (loaded->bytes != small && loaded->bytes != large) ? 1 : 0;
    int status = 0;
    if (waitpid(writers.back(), &status, WNOHANG) == writers.back()) {
      CHECK(WIFEXITED(status));
      CHECK(WEXITSTATUS(status) == 0);
      writers.pop_back();
    }
  }
  INFO(smalls << " small, " << larges << " large, " << wrong << " wrong");
  CHECK(wrong == 0);
  CHECK(smalls > 0);
  CHECK(larges > 0);
  CHECK(directory.names() == std::set<std::string>{CacheFiles::file_name(make_id(7))});
}

TEST_CASE("disk: a writer killed at any point leaves a whole response, and its rest is cleaned up",
          "[disk][processes]") {
  const ScratchDirectory directory;
  CacheFiles store = open_store(directory.string(), 64 << 10);
  const Bytes one = make_response(60000, 1);
  const Bytes two = make_response(60000, 2);
  REQUIRE(store.save(make_id(7), kept(one)));
  for (int kills = 0; kills < 60; ++kills) {
    const pid_t writer = start_child([&] { return keep_saving(directory.string(), two, one, SIZE_MAX); });
    usleep(static_cast<useconds_t>(500 + kills * 37));
    kill(writer, SIGKILL);
    REQUIRE(reap(writer) == -SIGKILL);
    const auto loaded = store.load(make_id(7));
    REQUIRE(loaded);
    REQUIRE((loaded->bytes == one || loaded->bytes == two));
  }
  const std::size_t left = directory.names().size() - 1;
  for (const std::string& name : directory.names()) {
    set_mtime(directory / name, 1000);
  }
  (void)store.confirm(make_id(7), std::time(nullptr));
  CHECK(remove_older_than(store, kDay, std::time(nullptr)) == left);
  CHECK(directory.names() == std::set<std::string>{CacheFiles::file_name(make_id(7))});
}

}  // namespace
}  // namespace ocsp_plus::store
