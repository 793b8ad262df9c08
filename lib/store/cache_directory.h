// The directory of ocsp_plus_cache itself, apart from the files in it: how a root master makes it and hands it to the
// workers' user, whether that user can work in it, and the sentences that say why not. CacheFiles, the master and
// `nginx -t` share them.
//
// Trust: others may have written to the directory. A root master may call all of this: names inside the directory are
// at most listed, never opened, followed or changed, and the directory itself is never reached through a symbolic
// link at its own name.
//
// Every call blocks for as long as the disk takes: a few small system calls each. Details name the directory, the
// cause and the remedy, and are the same wherever they come from.
#pragma once

#include <dirent.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ocsp_plus::store {

// Who reads and writes the directory.
struct DirectoryUser {
  uid_t uid = 0;
  gid_t gid = 0;
  bool prepared = false;  // the master is root and calls prepare_directory() for this user at each start and reload
};

// Makes the directory with mode 0700 where there is none. With user.prepared it is then handed to the user, by
// descriptor and without anything in it, if it was just made, is empty, or belongs to another user than root: nginx
// does the same with its temporary directories when `user` changes. The group changes only where it was just made.
// kUnwritable: it cannot be created or handed over, or is left alone because it belongs to root and is not empty.
// What is no directory is left alone without a word: CacheFiles::open() says so.
Result<void> prepare_directory(const std::string& path, const DirectoryUser& user);

// Whether the user will be able to read and write the directory once prepare_directory() was called; changes nothing.
// The reasons and details are those of CacheFiles::open() and CacheFiles::save(), or of prepare_directory() where it
// could not be created. What this process has no right to look at counts as usable.
Result<void> check_directory(const std::string& path, const DirectoryUser& user);

// The kind of network or user-space file system that the directory, or where it will be created, lies on, like "NFS";
// empty: none that is known. A worker reads the directory in its event loop, so a server that does not answer would
// hold up all of the worker's connections.
std::string_view network_file_system(const std::string& path);

// --- for CacheFiles ---

struct DirectoryCloser {
  void operator()(DIR* directory) const { closedir(directory); }
};
using OpenDirectory = std::unique_ptr<DIR, DirectoryCloser>;

// Without slashes at the end: with one the system would follow a symbolic link despite O_NOFOLLOW.
std::string strip_slashes(std::string path);

// kUnreadable: the directory belongs to another user, or others may replace files in it. Writable by a group is fine
// with the set-group-ID bit (Kubernetes' fsGroup, mode 2770) and writable by all with the sticky bit.
Result<void> check_owner_and_mode(const std::string& path, const struct stat& found, uid_t uid);

// kUnreadable: why open() failed with `error` (an errno). May look at the path again.
Error cannot_open(const std::string& path, int error, uid_t uid);

// kDiskFull or kUnwritable: why nothing could be written at `path`. `no_inodes`: it is they that have run out.
Error cannot_write(const std::string& path, int error, uid_t uid, bool no_inodes = false);

// Whether the file system of an open directory has no inode left for that user.
bool out_of_inodes(int fd, uid_t uid);

}  // namespace ocsp_plus::store
