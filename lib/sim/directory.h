// The disk: one directory that survives processes and restarts. store::CacheFiles leads here instead of to a file
// system; as with the network the header is the contract, and lib/tests/cache_files_test.cc tests the real one.
#pragma once

#include <map>

#include "base/bytes.h"
#include "base/time.h"
#include "sim/script.h"

namespace ocsp_plus::sim {

class Directory {
 public:
  explicit Directory(const Script& script);
  ~Directory();
  static Directory& here();

  struct File {
    Bytes bytes;
    Millis written = 0;        // true time, for the power cut
    UnixSeconds modified = 0;  // as CacheFiles set it
    int owner = 0;             // the worker user who wrote it
  };

  DiskFault fault() const;
  std::map<CertificateId, File>& files() { return files_; }
  // nginx runs as another user from now on, to whom it has given the directory.
  void change_user() { ++user_; }
  int user() const { return user_; }
  // What was not long on its way to the disk is torn.
  void cut_power(Prng& prng);

 private:
  const Script& script_;
  std::map<CertificateId, File> files_;
  int user_ = 0;
};

}  // namespace ocsp_plus::sim
