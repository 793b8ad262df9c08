// Responses made elsewhere (ocsp_plus_file: an offline CA, a cron job): looks at each file every few seconds, and
// shows it to the gate when it has changed, whether replaced by a rename or written in place. Files stand beside the
// responders: the newer response wins.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/file_stamp.h"
#include "base/ports.h"
#include "engine/admit.h"
#include "engine/catalog.h"
#include "engine/report.h"
#include "engine/settings.h"

namespace ocsp_plus::engine {

class Files {
 public:
  // All references outlive the object. `quiet`: useless files are not logged.
  Files(const Clock& clock, Report& report, const Catalog& catalog, const Settings& settings, Gate& gate,
        bool quiet = false);

  // Call it at each tick: looks at a few files, so that each is looked at about every two seconds.
  void tick();
  // Looks at all files now; calls `after_each` after each.
  void look_at_all(const std::function<void()>& after_each);
  // The wall clock has jumped: files that were of no use may be of use now.
  void look_again();

 private:
  struct File {
    const Target* target;
    std::string path;
    // Of the contents last shown to the gate, or logged as useless
    FileStamp seen;
    bool missing = false;  // and logged
  };

  void look_at(File* file);
  void ignore(const File& file, const Error& error);
  Result<Bytes> read(const std::string& path) const;

  const Clock& clock_;
  Report& report_;
  const Settings& settings_;
  Gate& gate_;
  bool quiet_;
  std::vector<File> files_;
  std::size_t next_ = 0;
  Millis round_began_ = 0;
};

}  // namespace ocsp_plus::engine
