// The directory of ocsp_plus_cache itself, without the files in it: how a root master creates it and hands it to the
// workers' user, whether that user can work in it, and the sentences that explain why not. CacheFiles, the master and
// `nginx -t` share them.
//
// Trust: others may have written to the directory. A root master may call all of this: the functions at most list the
// names inside the directory and never open, follow or change them, and they never reach the directory itself through
// a symbolic link at its own name.
//
// Every call makes a few small system calls and blocks for as long as the disk takes. Details name the directory, the
// cause and the remedy, in the same words whichever function returns them.
#pragma once

#include <dirent.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ocsp_plus::store {

// The user that reads and writes the directory.
struct DirectoryUser {
  uid_t uid = 0;
  gid_t gid = 0;
  bool prepared = false;  // the master is root and calls prepare_directory() for this user at each start and reload
};

// Creates the directory with mode 0700 if there is none. With user.prepared it then hands the directory to the user,
// by descriptor and without the files in it, if the directory is new or empty or belongs to a user other than root:
// nginx does the same with its temporary directories when `user` changes. The group changes only if the directory is
// new. kUnwritable: the directory cannot be created or handed over, or belongs to root, is not empty and so is left
// alone. Anything that is no directory is left alone without an error: CacheFiles::open() reports it.
Result<void> prepare_directory(const std::string& path, const DirectoryUser& user);

// Checks whether the user will be able to read and write the directory after prepare_directory(); changes nothing.
// The reasons and details are those of CacheFiles::open() and CacheFiles::save(), or those of prepare_directory() if
// it could not create the directory. What this process has no right to look at counts as usable.
Result<void> check_directory(const std::string& path, const DirectoryUser& user);

// Returns the kind of network or user-space file system that the directory lies on, or will lie on, such as "NFS";
// empty: none that is known. A worker reads the directory in its event loop, so a server that does not answer would
// hold up all of the worker's connections.
std::string_view network_file_system(const std::string& path);

// --- for CacheFiles ---

struct DirectoryCloser {
  void operator()(DIR* directory) const { closedir(directory); }
};
using OpenDirectory = std::unique_ptr<DIR, DirectoryCloser>;

// Removes the slashes at the end of a path: with one the system would follow a symbolic link despite O_NOFOLLOW.
std::string strip_slashes(std::string path);

// Checks who can replace files. kUnreadable: the directory belongs to another user, or others may replace files in
// it. A group may write with the set-group-ID bit (Kubernetes' fsGroup, mode 2770), and all may with the sticky bit.
Result<void> check_owner_and_mode(const std::string& path, const struct stat& found, uid_t uid);

// Returns kUnreadable and why open() failed with `error` (an errno). May look at the path again.
Error cannot_open(const std::string& path, int error, uid_t uid);

// Returns kDiskFull or kUnwritable and why writing at `path` failed. `no_inodes`: the inodes have run out.
Error cannot_write(const std::string& path, int error, uid_t uid, bool no_inodes = false);

// Returns whether the file system of an open directory has no inode left for that user.
bool out_of_inodes(int fd, uid_t uid);

}  // namespace ocsp_plus::store
