// The simulated disk of a node: one directory that survives processes and restarts. It implements store::CacheFiles
// in place of a file system, by the contract in that header; lib/tests/cache_files_test.cc tests the real one.
#pragma once

#include <map>

#include "base/bytes.h"
#include "base/time.h"
#include "sim/script.h"

namespace ocsp_plus::sim {

class Directory {
 public:
  explicit Directory(const Script& script, std::size_t node = 0);
  ~Directory();
  static Directory& here();  // of the machine's current node

  struct File {
    Bytes bytes;
    Millis written = 0;        // true time, for power cuts
    UnixSeconds modified = 0;  // as set by CacheFiles
    int owner = 0;             // the worker user that wrote it
  };

  DiskFault fault() const;
  std::map<CertificateId, File>& files() { return files_; }
  // Simulates nginx running as another user, to whom it gives the directory.
  void change_user() { ++user_; }
  int user() const { return user_; }
  // Damages files that the kernel may not have written to the disk yet.
  void cut_power(Prng& prng);

 private:
  const Script& script_;
  const std::size_t node_;
  std::map<CertificateId, File> files_;
  int user_ = 0;
};

}  // namespace ocsp_plus::sim
