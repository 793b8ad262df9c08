// Keeps responses that outlive nginx: a directory with one raw DER file a certificate, named by the certificate's id,
// readable by `openssl ocsp -respin`. A file holds the response alone; the gate recomputes everything else from it.
// Beside them are the certificates of fetched issuers, named by crypto::issuer_reference().
//
// Trust: others may have written to the directory. The names are ours; files are opened relative to the directory's
// own descriptor, never through a symbolic link, and only regular files of bounded size are read. load() returns
// unverified bytes. Writers write to a temporary name and rename, without fsync: the gate refuses a torn file, and
// the next fetch replaces it. Any number of processes, and of instances of nginx that run as the same user, may share
// a directory; each has a CacheFiles of its own that it opened after its fork. cache_directory.h has the directory
// itself, its owner and mode.
//
// Every call makes a few small system calls and blocks for as long as the disk takes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"
#include "store/cache_directory.h"

namespace ocsp_plus::store {

enum class FileKind { kResponse, kIssuer };

// The contents of a file: unverified bytes, and when the responder last confirmed them, which is the file's
// modification time. No bytes: there is no file.
struct Kept {
  Bytes bytes;
  UnixSeconds confirmed_at = 0;
};

// One of our files in the directory.
struct Listed {
  std::string name;
  CertificateId id = {};
  FileKind kind = FileKind::kResponse;
  bool temporary = false;  // a killed process left it
  UnixSeconds modified = 0;
};

// Owns one descriptor, that of the directory. A moved-from object may only be destroyed or assigned to.
class CacheFiles {
 public:
  // Opens an existing directory; follows symbolic links above it, not at its own name. kUnreadable, with the path and
  // the remedy: the directory does not exist, is no directory, is a symbolic link, belongs to another user than the
  // effective one, may be written to by others (check_owner_and_mode()), or cannot be read. A directory that can be
  // read but not written (a disk that went read-only) is opened: its files are worth most just then. save() tells
  // whether it can be written.
  static Result<CacheFiles> open(const std::string& path, std::size_t max_file_size);

  // Reads what is kept for a certificate, at most max_file_size bytes. Changes nothing, not even the file's times.
  // kUnreadable: there is something, but it is no regular file, has a second name (a hard link may be anybody's
  // file), is empty or too large, or cannot be read; the detail names the file and the cause. Never blocks on what
  // others have planted and never follows a link.
  Result<Kept> load(const CertificateId& id, FileKind kind = FileKind::kResponse) const;

  // Replaces what is kept for a certificate, whatever kind of file it is, in one step: a load() at the same time gets
  // the old or the new response, with its modification time. All may read the file (mode 0644), so that it outlives a
  // change of the worker user. kDiskFull (no room, no inode, over quota) or kUnwritable (read-only, no permission, a
  // directory under the file's name, any other errno), with the errno text and the remedy; the old file is then
  // untouched, and no temporary file stays behind. If the directory itself was removed, save() opens it anew, with
  // the checks and errors of open(). kInvalidArgument: the bytes are none or more than max_file_size.
  Result<void> save(const CertificateId& id, const Kept& kept, FileKind kind = FileKind::kResponse);

  // Notes when the responder last confirmed the file's contents. false: that cannot be noted (the file is another
  // user's, or gone); save() can do it.
  bool confirm(const CertificateId& id, UnixSeconds time, FileKind kind = FileKind::kResponse) const;

  // Removes the file of a certificate, or empties it if that fails. false: the file is still there and still says
  // what it said (a read-only disk).
  bool remove(const CertificateId& id, FileKind kind = FileKind::kResponse) const;

  // Checks whether files can be created in the directory, as check_directory() does (store/cache_directory.h).
  Result<void> check() const;

  // Looks at the next `looks` names of the directory and appends those that are ours: a response, an issuer, or a
  // temporary file that a killed process left. false: the end was reached, and the next call begins anew.
  bool list(std::size_t looks, std::vector<Listed>* found);
  // Removes such a file. If another instance saves it between list() and remove(), that instance fetches once more at
  // its next start. Failures do no harm and are not reported.
  void remove(const Listed& file) const;

  const std::string& path() const { return path_; }  // without trailing slashes

  // Returns "<64 hex digits>.der", or ".issuer" for issuers: a search for responses by name does not find those.
  static std::string file_name(const CertificateId& id, FileKind kind = FileKind::kResponse);

 private:
  CacheFiles(std::string path, OpenDirectory directory, std::size_t max_file_size);
  static Result<OpenDirectory> open_directory(const std::string& path);
  Result<void> reopen();
  int directory_fd() const { return dirfd(directory_.get()); }
  int create_temporary(const CertificateId& id, std::string* name);

  std::string path_;
  OpenDirectory directory_;  // its read position is where list() stopped
  std::size_t max_file_size_ = 0;
  std::uint64_t next_temporary_ = 0;  // the last number in a temporary name
};

}  // namespace ocsp_plus::store
