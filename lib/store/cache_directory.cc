#include "store/cache_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <utility>

#include "base/descriptor.h"

namespace ocsp_plus::store {
namespace {

constexpr mode_t kMode = 0700;

struct FileSystem {
  std::uint32_t type;
  std::string_view name;
};

// The types of statfs(2) and linux/magic.h. FUSE is among them because most of what uses it (sshfs, s3fs, gcsfuse,
// GlusterFS, shared directories of virtual machines) ends at another machine; the type does not tell which.
constexpr std::array kNetworkFileSystems = {
    FileSystem{0x6969, "NFS"},        FileSystem{0x517b, "SMB"},         FileSystem{0xff534d42, "CIFS"},
    FileSystem{0xfe534d42, "SMB"},    FileSystem{0x01021997, "9p"},      FileSystem{0x00c36400, "Ceph"},
    FileSystem{0x65735546, "FUSE"},   FileSystem{0x5346414f, "AFS"},     FileSystem{0x6b414653, "AFS"},
    FileSystem{0x73757245, "Coda"},   FileSystem{0x0bd00bd0, "Lustre"},  FileSystem{0x47504653, "GPFS"},
    FileSystem{0x01161970, "GFS2"},   FileSystem{0x7461636f, "OCFS2"},   FileSystem{0x19830326, "BeeGFS"},
    FileSystem{0x786f4256, "vboxsf"}, FileSystem{0x20030528, "OrangeFS"}};

// Opens the directory without the right to read it: a root master may have given that up (CAP_DAC_OVERRIDE).
int open_itself(const std::string& path) {
  return ::open(path.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

// Returns whether the directory is empty. One that cannot be read counts as not empty.
bool is_empty(int itself) {
  Descriptor fd(openat(itself, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const OpenDirectory directory(fd.get() < 0 ? nullptr : fdopendir(fd.get()));
  if (directory == nullptr) {
    return false;
  }
  (void)fd.release();
  errno = 0;
  while (const dirent* entry = readdir(directory.get())) {
    if (const std::string_view name = entry->d_name; name != "." && name != "..") {
      return false;
    }
  }
  return errno == 0;
}

// Root keeps a directory that is not empty: somebody whom root trusts put the files there, and they may be anything.
bool is_handed_over(int itself, const struct stat& found, uid_t uid) {
  return found.st_uid != uid && (found.st_uid != 0 || is_empty(itself));
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

Error cannot_create(const std::string& path, int error) {
  const std::string parent = parent_of(path);
  const std::string what = error == ENOENT || error == ENOTDIR ? fmt::format("create {} first", parent)
                           : error == EROFS                    ? fmt::format("mount {} writable", parent)
                                            : fmt::format("uid {} must be able to write to {}", geteuid(), parent);
  return {Reason::kUnwritable,
          fmt::format("{} cannot be created: {}; {}, or name another directory", path, errno_text(error), what)};
}

// Returns whether the user may pass the directory. Supplementary groups and access control lists are not known here:
// if one of them might let the user through (either needs the group's bit), the answer is yes.
bool may_search(const struct stat& directory, const DirectoryUser& user) {
  const mode_t bits = directory.st_uid == user.uid   ? S_IXUSR
                      : directory.st_gid == user.gid ? S_IXGRP
                                                     : S_IXGRP | S_IXOTH;
  return user.uid == 0 || (directory.st_mode & bits) != 0;
}

// Returns the first directory above `path` that the user cannot pass; empty: there is none.
std::string barrier_above(const std::string& path, const DirectoryUser& user) {
  for (std::size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    std::string above = slash == 0 ? "/" : path.substr(0, slash);
    struct stat found = {};
    if (stat(above.c_str(), &found) == 0 && !may_search(found, user)) {
      return above;
    }
  }
  return {};
}

// REQUIRES: `at` exists and is on the file system of `path`.
Result<void> check_room(const std::string& path, const std::string& at, uid_t uid) {
  struct statvfs room = {};
  if (statvfs(at.c_str(), &room) != 0) {
    return {};
  }
  if ((room.f_flag & ST_RDONLY) != 0) {
    return tl::unexpected<Error>(cannot_write(path, EROFS, uid));
  }
  // A file system that keeps no count reports zero of zero.
  if (room.f_blocks > 0 && (uid == 0 ? room.f_bfree : room.f_bavail) == 0) {
    return tl::unexpected<Error>(cannot_write(path, ENOSPC, uid));
  }
  if (room.f_files > 0 && (uid == 0 ? room.f_ffree : room.f_favail) == 0) {
    return tl::unexpected<Error>(cannot_write(path, ENOSPC, uid, true));
  }
  return {};
}

Result<void> check_existing(const std::string& path, struct stat found, const DirectoryUser& user) {
  if (!S_ISDIR(found.st_mode)) {
    return tl::unexpected<Error>(cannot_open(path, ENOTDIR, user.uid));
  }
  const Descriptor itself(open_itself(path));
  if (user.prepared && itself.get() >= 0 && is_handed_over(itself.get(), found, user.uid)) {
    found.st_uid = user.uid;
  }
  RETURN_IF_ERROR(check_owner_and_mode(path, found, user.uid));
  const auto lacks = [&](mode_t bits) { return user.uid != 0 && (found.st_mode & bits) != bits; };
  if (lacks(S_IRUSR | S_IXUSR)) {
    return tl::unexpected<Error>(cannot_open(path, EACCES, user.uid));
  }
  if (lacks(S_IWUSR)) {
    return tl::unexpected<Error>(cannot_write(path, EACCES, user.uid));
  }
  return check_room(path, path, user.uid);
}

Result<void> check_missing(const std::string& path, const DirectoryUser& user) {
  const std::string parent = parent_of(path);
  if (faccessat(AT_FDCWD, parent.c_str(), W_OK | X_OK, AT_EACCESS) != 0) {
    return tl::unexpected<Error>(cannot_create(path, errno));
  }
  return check_room(path, parent, user.uid);
}

}  // namespace

Result<void> prepare_directory(const std::string& given, const DirectoryUser& user) {
  const std::string path = strip_slashes(given);
  const bool made = mkdir(path.c_str(), kMode) == 0;
  if (!made && errno != EEXIST) {
    return tl::unexpected<Error>(cannot_create(path, errno));
  }
  if (!user.prepared) {
    return {};
  }
  const Descriptor itself(open_itself(path));
  struct stat found = {};
  if (itself.get() < 0 || fstat(itself.get(), &found) != 0 || found.st_uid == user.uid) {
    return {};
  }
  // A directory that was created just now is checked too: whoever may write above it could have replaced it.
  if (!is_handed_over(itself.get(), found, user.uid)) {
    return fail(Reason::kUnwritable, fmt::format("{} belongs to root and is not empty, so it is left alone; chown it "
                                                 "to uid {}, or name another directory",
                                                 path, user.uid));
  }
  constexpr gid_t kUnchanged = static_cast<gid_t>(-1);
  if (fchownat(itself.get(), "", user.uid, made ? user.gid : kUnchanged, AT_EMPTY_PATH) != 0) {
    return fail(Reason::kUnwritable,
                fmt::format("{} cannot be given to uid {}: {}", path, user.uid, errno_text(errno)));
  }
  return {};
}

Result<void> check_directory(const std::string& given, const DirectoryUser& user) {
  const std::string path = strip_slashes(given);
  struct stat found = {};
  const int error = lstat(path.c_str(), &found) == 0 ? 0 : errno;
  if (error == EACCES && geteuid() != user.uid) {
    return {};
  }
  if (error != 0 && error != ENOENT) {
    return tl::unexpected<Error>(cannot_open(path, error, user.uid));
  }
  RETURN_IF_ERROR(error == 0 ? check_existing(path, found, user) : check_missing(path, user));
  if (const std::string barrier = barrier_above(path, user); !barrier.empty()) {
    return fail(
        Reason::kUnreadable,
        fmt::format("{} cannot be reached by uid {}, which has no right to pass {}; give it that (chmod o+x), "
                    "or name another directory",
                    path, user.uid, barrier));
  }
  return {};
}

std::string_view network_file_system(const std::string& given) {
  const std::string path = strip_slashes(given);
  struct statfs found = {};
  if (statfs(path.c_str(), &found) != 0 && statfs(parent_of(path).c_str(), &found) != 0) {
    return {};
  }
  // Some types are sign-extended.
  const auto type = static_cast<std::uint32_t>(found.f_type);
  const auto* const known = std::find_if(kNetworkFileSystems.begin(), kNetworkFileSystems.end(),
                                         [type](const FileSystem& system) { return system.type == type; });
  return known == kNetworkFileSystems.end() ? std::string_view() : known->name;
}

std::string strip_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') {
    path.pop_back();
  }
  return path;
}

// If others can replace our files, admit still lets nothing false through, but they decide what we keep.
Result<void> check_owner_and_mode(const std::string& path, const struct stat& found, uid_t uid) {
  if (found.st_uid != uid) {
    return fail(Reason::kUnreadable,
                fmt::format("{} belongs to uid {}, but uid {} uses it; chown it to uid {}, or name another directory",
                            path, found.st_uid, uid, uid));
  }
  // The volume's group is, with fsGroup, containers of the same pod, chosen by whoever runs the pod.
  const bool group = (found.st_mode & S_IWGRP) != 0 && (found.st_mode & S_ISGID) == 0;
  if ((group || (found.st_mode & S_IWOTH) != 0) && (found.st_mode & S_ISVTX) == 0) {
    return fail(Reason::kUnreadable,
                fmt::format("{} is writable by others (mode {:04o}); chmod 0700 it", path, found.st_mode & 07777));
  }
  return {};
}

Error cannot_open(const std::string& path, int error, uid_t uid) {
  const auto because = [](std::string text) { return Error{Reason::kUnreadable, std::move(text)}; };
  if (error == ENOENT) {
    return because(fmt::format("{} does not exist; create it as a directory of uid {} with mode 0700", path, uid));
  }
  // This look serves only the message; the refusal stands.
  struct stat found = {};
  if (lstat(path.c_str(), &found) == 0 && S_ISLNK(found.st_mode)) {
    return because(fmt::format("{} is a symbolic link; name the directory itself", path));
  }
  if (error == ENOTDIR) {
    return because(fmt::format("{} is not a directory; name one, or remove what is in its place", path));
  }
  if (error == EACCES) {
    return because(fmt::format("{} cannot be opened by uid {}: {}; make it a directory of this user with mode 0700",
                               path, uid, errno_text(error)));
  }
  return because(fmt::format("{} cannot be opened: {}", path, errno_text(error)));
}

Error cannot_write(const std::string& path, int error, uid_t uid, bool no_inodes) {
  const auto because = [&](Reason reason, std::string_view remedy) {
    return Error{reason, fmt::format("{} cannot be written: {}{}", path, errno_text(error), remedy)};
  };
  switch (error) {
    case ENOSPC:
      return because(Reason::kDiskFull,
                     no_inodes ? ", it has no inode left; remove files from this disk" : "; make room on this disk");
    case EDQUOT:
      return because(Reason::kDiskFull, fmt::format("; make room for uid {} on this disk, or raise its quota", uid));
    case EROFS:
      return because(Reason::kUnwritable, "; mount it writable");
    case EACCES:
    case EPERM:
      return because(Reason::kUnwritable, fmt::format("; uid {} must be able to write to this directory", uid));
    case EISDIR:
      return because(Reason::kUnwritable, "; remove the directory of this name");
    default:
      return because(Reason::kUnwritable, {});
  }
}

bool out_of_inodes(int fd, uid_t uid) {
  struct statvfs room = {};
  return fstatvfs(fd, &room) == 0 && room.f_files > 0 && (uid == 0 ? room.f_ffree : room.f_favail) == 0;
}

}  // namespace ocsp_plus::store
