// Responses that outlive nginx: a directory with one raw DER file a certificate, named by the certificate id,
// readable by `openssl ocsp -respin`. Nothing but the response is kept; everything else is recomputed from it by the
// gate. Beside them the certificates of issuers that were fetched, named by crypto::issuer_reference().
//
// Trust: a directory that others may have written to. Names are ours; files are opened relative to the directory's
// own descriptor, never through a symbolic link, and only regular files of bounded size are read. What comes out is
// unverified bytes. Writers write to a temporary name and rename, without fsync: a torn file is refused by the gate
// and replaced by the next fetch. Any number of processes, and of instances of nginx that run as the same user, may
// share a directory, each with a CacheFiles of its own that it opened after its fork. The directory itself, its owner
// and mode: cache_directory.h.
//
// Every call blocks for as long as the disk takes: a few small system calls each.
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

// What a file holds: unverified bytes, and when the responder last confirmed them, which is the file's modification
// time. No bytes: there is no file.
struct Kept {
  Bytes bytes;
  UnixSeconds confirmed_at = 0;
};

// A file of ours that stands in the directory.
struct Listed {
  std::string name;
  CertificateId id = {};
  FileKind kind = FileKind::kResponse;
  bool temporary = false;  // what a killed process left
  UnixSeconds modified = 0;
};

// Owns one descriptor, that of the directory. A moved-from store may only be destroyed or assigned to.
class CacheFiles {
 public:
  // Opens an existing directory; symbolic links are followed above it, not at its own name. kUnreadable with the path
  // and what to do: it does not exist, is no directory, is a symbolic link, belongs to another user than the
  // effective one, may be written to by others (check_owner_and_mode()), cannot be read. A directory that can be read
  // but not written to (a disk that went read-only) is opened: what it keeps is worth most just then. Whether it can
  // be written to is told by save().
  static Result<CacheFiles> open(const std::string& path, std::size_t max_file_size);

  // What is kept for a certificate, never more than max_file_size bytes. Changes nothing, not even the file's times.
  // kUnreadable: there is something, but it is no regular file, has a second name (a hard link: it may be anybody's),
  // is empty or too large, or reading failed; the detail names the file and the cause. Never blocks on what others
  // have planted and never follows a link.
  Result<Kept> load(const CertificateId& id, FileKind kind = FileKind::kResponse) const;

  // Replaces what is kept for a certificate, whatever kind of file it is, in one step: who loads meanwhile gets the
  // old or the new response, with its modification time. The file is readable by all (mode 0644), so that it outlives
  // a change of the worker user. kDiskFull (no room, no inode, over quota) or kUnwritable (read-only, no permission,
  // a directory under the file's name, any other errno), with the errno text and the remedy; what was kept is
  // untouched then and no temporary file stays behind. If the directory itself was removed it is opened anew, with
  // the checks and errors of open(). kInvalidArgument: `bytes` is empty or larger than max_file_size.
  Result<void> save(const CertificateId& id, const Kept& kept, FileKind kind = FileKind::kResponse);

  // The responder has confirmed what the file holds. false: it cannot be noted (the file is another user's, or gone);
  // save() can.
  bool confirm(const CertificateId& id, UnixSeconds time, FileKind kind = FileKind::kResponse) const;

  // Takes back what is kept for a certificate: removes the file, and where that fails empties it. false: it is still
  // there, and still says what it said (a disk that is read-only).
  bool remove(const CertificateId& id, FileKind kind = FileKind::kResponse) const;

  // Whether files can be made in the directory: as check_directory() (store/cache_directory.h).
  Result<void> check() const;

  // Looks at the next `looks` names of the directory and appends those that are ours: a response, an issuer, or a
  // temporary file that a killed process left. false: the end was reached, and the next call begins anew.
  bool list(std::size_t looks, std::vector<Listed>* found);
  // Removes such a file. Another instance may save it between the look and the removal; it then fetches once more
  // at its next start. Failures are of no consequence and not told.
  void remove(const Listed& file) const;

  const std::string& path() const { return path_; }  // without trailing slashes

  // "<64 hex digits>.der", and ".issuer" for issuers: what looks for responses by their name does not find them.
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
  std::uint64_t next_temporary_ = 0;  // the last part of its name
};

}  // namespace ocsp_plus::store
