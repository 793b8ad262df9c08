// Responses made elsewhere (ocsp_plus_file: an offline CA, a cron job): looked at every few seconds, shown to the
// gate when they have changed, whether by a rename over them or in place. Beside the responders: the newer response
// wins.
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
  // All references outlive the object. Without files it costs nothing. `quiet`: not a word of files that are of no
  // use.
  Files(const Clock& clock, Report& report, const Catalog& catalog, const Settings& settings, Gate& gate,
        bool quiet = false);

  // To be called at each tick: looks at a few files at a time, at each about every two seconds.
  void tick();
  // Looks at all of them now; `after_each` is called after each.
  void look_at_all(const std::function<void()>& after_each);
  // The wall clock has jumped: what was of no use then may be of use now.
  void look_again();

 private:
  struct File {
    const Target* target;
    std::string path;
    FileStamp seen;        // of the contents that were last shown to the gate, or
                           // complained about
    bool missing = false;  // and said so
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
