// Responses made elsewhere (ocsp_plus_file: an offline CA, a cron job): looks at each file every few seconds, and
// shows it to the gate when it has changed, whether replaced by a rename or written in place. Files stand beside the
// responders: the newer response wins. A file belongs to all certificates of the servers that name it, and is of no
// use only if it is for none of them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
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
  struct Reader {
    const Target* target;
    FileStamp seen;     // stamp of the contents last shown to the gate for it
    bool fits = false;  // these are for it, and no line says that they have ended
  };
  // Why a file is of no use to a certificate.
  struct Refusal {
    const Target* target;
    Error error;
  };
  struct File {
    std::string path;
    std::vector<Reader> readers;
    bool missing = false;            // and logged
    FileStamp stamp;                 // stamp of the contents last shown for any reader
    bool fits = false;               // these are for one of the readers
    std::optional<Refusal> refusal;  // else, not logged yet
  };

  bool look_at(File* file, std::size_t* budget);
  bool is_there(File* file, const Target& reader);
  bool show(File* file, const std::vector<Reader*>& readers, std::size_t* budget);
  void show_for(File* file, ByteView response, Reader* reader);
  void look_at_end(const File& file, Reader* reader);
  bool lacks_all(const Target& target) const;
  void ignore(const File& file, const Refusal& refusal);
  Result<Bytes> read(const std::string& path) const;

  const Clock& clock_;
  Report& report_;
  const Settings& settings_;
  Gate& gate_;
  bool quiet_;
  std::vector<File> files_;
  std::size_t next_ = 0;
  bool midway_ = false;  // some certificates of the next one had their turn
  Millis round_began_ = 0;
};

}  // namespace ocsp_plus::engine
