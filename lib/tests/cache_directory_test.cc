// The cache directory itself: what a root master hands over and what it leaves alone, and what `nginx -t` finds, with
// the same words as the store that later opens it.
#include "store/cache_directory.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "store/cache_files.h"
#include "tests/fakes/descriptors.h"
#include "tests/fakes/scratch_directory.h"

namespace ocsp_plus::store {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using testing::open_descriptors;
using testing::ScratchDirectory;

constexpr uid_t kWorker = 65534;
constexpr gid_t kWorkers = 65533;
constexpr uid_t kEarlier = 65532;  // the worker user before
constexpr DirectoryUser kPrepared = {kWorker, kWorkers, true};

std::string outcome(const Result<void>& result) {
  return result ? "done" : std::string(token(result.error().reason)) + ": " + result.error().detail;
}

bool is_root() {
  return geteuid() == 0;
}

DirectoryUser ourselves() {
  return {geteuid(), getegid(), false};
}

struct stat status_of(const fs::path& path) {
  struct stat found = {};
  REQUIRE(lstat(path.c_str(), &found) == 0);
  return found;
}

// "uid:gid mode"
std::string owner_of(const fs::path& path) {
  const struct stat found = status_of(path);
  char text[64];
  std::snprintf(text, sizeof(text), "%u:%u %04o", found.st_uid, found.st_gid, found.st_mode & 07777u);
  return text;
}

void make(const fs::path& path, uid_t uid, gid_t gid, mode_t mode) {
  REQUIRE(mkdir(path.c_str(), 0700) == 0);
  REQUIRE(chmod(path.c_str(), mode) == 0);
  if (is_root()) {
    REQUIRE(lchown(path.c_str(), uid, gid) == 0);
  }
}

void touch(const fs::path& path) {
  REQUIRE(std::ofstream(path).good());
}

// In a process and a mount namespace of its own; what it returns.
std::string in_namespace(const std::function<std::string()>& run) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t pid = fork();
  if (pid == 0) {
    std::string said = "not possible";
    if (unshare(CLONE_NEWNS) == 0 && mount("none", "/", "none", MS_REC | MS_PRIVATE, nullptr) == 0) {
      said = run();
    }
    _exit(write(ends[1], said.data(), said.size()) == static_cast<ssize_t>(said.size()) ? 0 : 1);
  }
  REQUIRE(pid > 0);
  close(ends[1]);
  std::string said;
  char chunk[512];
  ssize_t size = 0;
  while ((size = read(ends[0], chunk, sizeof(chunk))) > 0) {
    said.append(chunk, static_cast<std::size_t>(size));
  }
  close(ends[0]);
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  REQUIRE((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  return said;
}

TEST_CASE("cache directory: it is made where it is missing, and only there", "[disk][directory]") {
  const ScratchDirectory scratch;
  const fs::path path = scratch / "cache";
  CHECK(outcome(prepare_directory(path.string() + "/", ourselves())) == "done");
  CHECK((status_of(path).st_mode & 07777) == 0700);
  REQUIRE(chmod(path.c_str(), 0711) == 0);
  CHECK(outcome(prepare_directory(path.string(), ourselves())) == "done");
  CHECK((status_of(path).st_mode & 07777) == 0711);

  const std::string below = (scratch / "none/cache").string();
  const std::string said = outcome(prepare_directory(below, ourselves()));
  CHECK_THAT(said, StartsWith("unwritable: " + below + " cannot be created: No such file or directory; create ") &&
                       Contains((scratch / "none").string() + " first"));
  CHECK(outcome(check_directory(below, ourselves())) == said);
}

TEST_CASE("cache directory: root hands over what nobody else trusts in", "[disk][directory]") {
  if (!is_root()) {
    WARN("not root: nothing can be handed over");
    return;
  }
  const ScratchDirectory scratch;
  REQUIRE(chmod(scratch.string().c_str(), 0755) == 0);
  const fs::path path = scratch / "cache";
  const long before = open_descriptors();
  struct Case {
    const char* what;
    std::function<void()> given;
    const char* owner;
  };
  const Case cases[] = {
      {"missing", [] {}, "65534:65533 0700"},
      {"of root and empty", [&] { make(path, 0, 0, 0755); }, "65534:0 0755"},
      {"of root and empty, for a group", [&] { make(path, 0, 1234, 02770); }, "65534:1234 2770"},
      {"of an earlier worker user",
       [&] {
         make(path, kEarlier, kWorkers, 0700);
         touch(path / "file");
       },
       "65534:65533 0700"},
      {"of the worker user already", [&] { make(path, kWorker, 0, 0700); }, "65534:0 0700"},
  };
  for (const Case& each : cases) {
    INFO(each.what);
    each.given();
    CHECK(outcome(check_directory(path.string(), kPrepared)) == "done");
    const std::string untouched = fs::exists(path) ? owner_of(path) : "";
    CHECK(outcome(check_directory(path.string() + "/", kPrepared)) == "done");
    CHECK((fs::exists(path) ? owner_of(path) : "") == untouched);
    CHECK(outcome(prepare_directory(path.string() + "//", kPrepared)) == "done");
    CHECK(owner_of(path) == each.owner);
    CHECK(outcome(check_directory(path.string(), kPrepared)) == "done");
    fs::remove_all(path);
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("cache directory: root leaves alone what may be anything", "[disk][directory]") {
  if (!is_root()) {
    WARN("not root: nothing can be handed over");
    return;
  }
  const ScratchDirectory scratch;
  REQUIRE(chmod(scratch.string().c_str(), 0755) == 0);
  const fs::path path = scratch / "cache";

  make(path, 0, 0, 0755);
  touch(path / ".hidden");
  CHECK_THAT(outcome(prepare_directory(path.string(), kPrepared)),
             Contains("belongs to root and is not empty, so it is left alone; chown it to uid 65534"));
  CHECK(owner_of(path) == "0:0 0755");
  CHECK_THAT(outcome(check_directory(path.string(), kPrepared)),
             StartsWith("unreadable: " + path.string() + " belongs to uid 0, but uid 65534 uses it; chown it"));
  fs::remove_all(path);

  // Without a root master nothing is handed over, whoever we are.
  make(path, kEarlier, kWorkers, 0700);
  CHECK(outcome(prepare_directory(path.string(), {kWorker, kWorkers, false})) == "done");
  CHECK(owner_of(path) == "65532:65533 0700");
  CHECK_THAT(outcome(check_directory(path.string(), {kWorker, kWorkers, false})), Contains("belongs to uid 65532"));
  fs::remove_all(path);

  // In its place: a link is not followed, whatever the slashes, and nothing else is touched.
  make(scratch / "elsewhere", 0, 0, 0700);
  fs::create_symlink("elsewhere", path);
  for (const char* slashes : {"", "/", "///"}) {
    CHECK(outcome(prepare_directory(path.string() + slashes, kPrepared)) == "done");
    CHECK_THAT(outcome(check_directory(path.string() + slashes, kPrepared)), Contains("is a symbolic link"));
  }
  CHECK(owner_of(scratch / "elsewhere") == "0:0 0700");
  CHECK(owner_of(path) == "0:0 0777");
  fs::remove(path);
  touch(path);
  const std::string file = owner_of(path);
  CHECK(outcome(prepare_directory(path.string(), kPrepared)) == "done");
  CHECK(owner_of(path) == file);
  CHECK_THAT(outcome(check_directory(path.string(), kPrepared)), Contains("is not a directory"));
}

TEST_CASE("cache directory: nothing in it changes its owner", "[disk][directory]") {
  if (!is_root()) {
    WARN("not root: nothing can be handed over");
    return;
  }
  const ScratchDirectory scratch;
  const fs::path path = scratch / "cache";
  make(path, kEarlier, kWorkers, 0700);
  touch(scratch / "secret");
  REQUIRE(chmod((scratch / "secret").c_str(), 0600) == 0);
  fs::create_hard_link(scratch / "secret", path / "hard");
  fs::create_symlink(scratch / "secret", path / "soft");
  REQUIRE(mkdir((path / "directory").c_str(), 0700) == 0);
  REQUIRE(mkfifo((path / "fifo").c_str(), 0600) == 0);
  CHECK(outcome(prepare_directory(path.string(), kPrepared)) == "done");
  CHECK(owner_of(path) == "65534:65533 0700");
  CHECK(owner_of(scratch / "secret") == "0:0 0600");
  for (const char* name : {"hard", "soft", "directory", "fifo"}) {
    INFO(name);
    CHECK(status_of(path / name).st_uid == 0);
  }
}

TEST_CASE("cache directory: what is found beforehand is what opening says", "[disk][directory]") {
  const ScratchDirectory scratch;
  const fs::path path = scratch / "cache";
  const auto compare = [&](const std::string& complaint) {
    const std::string found = outcome(check_directory(path.string(), ourselves()));
    const auto opened = CacheFiles::open(path.string(), 4096);
    CHECK_THAT(found, StartsWith("unreadable: " + path.string()) && Contains(complaint));
    CHECK((opened ? "opened" : std::string(token(opened.error().reason)) + ": " + opened.error().detail) == found);
  };
  touch(path);
  compare("is not a directory");
  fs::remove(path);
  fs::create_symlink("nowhere", path);
  compare("is a symbolic link");
  fs::remove(path);
  make(path, geteuid(), getegid(), 0777);
  compare("writable by others");
  fs::remove(path);
  if (is_root()) {
    make(path, kEarlier, kWorkers, 0755);
    compare("belongs to uid 65532");
    fs::remove(path);
  }
  make(path, geteuid(), getegid(), 02770);
  CHECK(outcome(check_directory(path.string(), ourselves())) == "done");
}

TEST_CASE("cache directory: the rights of the worker user, and of nobody else", "[disk][directory]") {
  if (!is_root()) {
    WARN("not root: other users cannot be tried");
    return;
  }
  const ScratchDirectory scratch;
  REQUIRE(chmod(scratch.string().c_str(), 0755) == 0);
  const fs::path above = scratch / "above";
  const fs::path path = above / "cache";
  make(above, 0, 0, 0755);
  make(path, kWorker, kWorkers, 0700);
  const auto check = [&] { return outcome(check_directory(path.string(), kPrepared)); };
  CHECK(check() == "done");
  REQUIRE(chmod(path.c_str(), 0300) == 0);
  CHECK_THAT(check(), StartsWith("unreadable: ") && Contains("cannot be opened by uid 65534: Permission denied"));
  REQUIRE(chmod(path.c_str(), 0577) == 0);
  CHECK_THAT(check(), Contains("writable by others"));
  REQUIRE(chmod(path.c_str(), 0555) == 0);
  CHECK_THAT(check(), StartsWith("unwritable: ") && Contains("uid 65534 must be able to write"));
  CHECK(outcome(check_directory(path.string(), {0, 0, true})) == "done");  // workers of root, to whom it is handed
  REQUIRE(chmod(path.c_str(), 0700) == 0);

  REQUIRE(chmod(above.c_str(), 0700) == 0);
  CHECK_THAT(check(), StartsWith("unreadable: ") && Contains("no right to pass " + above.string() + ";"));
  REQUIRE(chmod(above.c_str(), 0711) == 0);
  CHECK(check() == "done");
  REQUIRE(chmod(above.c_str(), 0710) == 0);  // root's group: the user may be in it, or an access control list says so
  CHECK(check() == "done");
  REQUIRE(lchown(above.c_str(), 0, kWorkers) == 0);
  REQUIRE(chmod(above.c_str(), 0701) == 0);  // of its own group, which has no right
  CHECK_THAT(check(), Contains("no right to pass"));
  REQUIRE(lchown(above.c_str(), kWorker, 0) == 0);
  REQUIRE(chmod(above.c_str(), 0077) == 0);
  CHECK_THAT(check(), Contains("no right to pass"));
  REQUIRE(chmod(above.c_str(), 0100) == 0);
  CHECK(check() == "done");

  // The same of one that is still to be made.
  fs::remove(path);
  CHECK(check() == "done");
  REQUIRE(chmod(above.c_str(), 0000) == 0);
  CHECK_THAT(check(), Contains("no right to pass"));
  CHECK_FALSE(fs::exists(path));
}

TEST_CASE("cache directory: disks that are full or read-only are found beforehand", "[disk][directory][full]") {
  const ScratchDirectory scratch;
  const std::string path = scratch.string();
  const auto on = [&](const char* options, unsigned long flags, bool fill) {
    return in_namespace([&]() -> std::string {
      if (mount("tmpfs", path.c_str(), "tmpfs", 0, options) != 0) {
        return "not possible";
      }
      mkdir((path + "/cache").c_str(), 0700);
      for (int i = 0; fill && i < 1000; ++i) {
        std::ofstream(path + "/ballast" + std::to_string(i)) << std::string(4096, 'x') << std::flush;
      }
      if (flags != 0 && mount("none", path.c_str(), "tmpfs", MS_REMOUNT | flags, nullptr) != 0) {
        return "not possible";
      }
      const std::string there = outcome(check_directory(path + "/cache", ourselves()));
      std::string said = there + " / " + outcome(check_directory(path + "/other", ourselves()));
      // The store says the same of a file in it, for the same reason.
      if (auto store = CacheFiles::open(path + "/cache", 4096)) {
        const auto saved = store->save(CertificateId(), {Bytes(10), 0});
        said += saved ? " / saved" : " / " + std::string(token(saved.error().reason));
      }
      return said;
    });
  };
  const std::string fine = on("size=64k,mode=0700", 0, false);
  if (fine == "not possible") {
    WARN("no right to mount a small disk");
    return;
  }
  CHECK(fine == "done / done / saved");
  const std::string full = path + "/cache cannot be written: No space left on device; make room on this disk";
  CHECK_THAT(on("size=64k,mode=0700", 0, true),
             StartsWith("disk_full: " + full + " / disk_full: " + path + "/other") &&
                 Contains("/ disk_full", Catch::CaseSensitive::Yes));
  CHECK_THAT(on("nr_inodes=8,mode=0700", 0, true), StartsWith("disk_full: ") && Contains("no inode left; remove"));
  CHECK_THAT(
      on("size=64k,mode=0700", MS_RDONLY, false),
      StartsWith("unwritable: " + path + "/cache cannot be written: Read-only file system; mount it writable") &&
          Contains(path + "/other cannot be created: Read-only file system; mount " + path + " writable") &&
          Contains(" / unwritable"));
}

TEST_CASE("cache directory: a local disk is no network file system", "[disk][directory]") {
  const ScratchDirectory scratch;
  // Whatever the tests run on: a directory that is still to be made is judged by the one above it.
  CHECK(network_file_system(scratch.string() + "/") == network_file_system((scratch / "missing").string()));
  CHECK(network_file_system("/proc").empty());
  CHECK(network_file_system("/none/at/all").empty());
}

}  // namespace
}  // namespace ocsp_plus::store
