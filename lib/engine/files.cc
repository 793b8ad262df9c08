#include "engine/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <string_view>
#include <utility>

#include "base/descriptor.h"
#include "crypto/response_file.h"

namespace ocsp_plus::engine {
namespace {

constexpr Millis kRound = 2000;       // each file is looked at about that often
constexpr std::size_t kBudget = 256;  // files looked at in one tick

// Whether the response is another certificate's.
bool is_foreign(Reason reason) {
  return reason == Reason::kOtherSerial || reason == Reason::kOtherIssuer;
}

}  // namespace

Files::Files(const Clock& clock, Report& report, const Catalog& catalog, const Settings& settings, Gate& gate,
             bool quiet)
    : clock_(clock), report_(report), settings_(settings), gate_(gate), quiet_(quiet) {
  std::map<std::string_view, std::size_t> known;
  for (const auto& target : catalog.targets()) {
    if (target->verifiable()) {
      for (const std::string& path : target->files) {
        const auto [place, fresh] = known.try_emplace(path, files_.size());
        if (fresh) {
          files_.emplace_back().path = path;
        }
        files_[place->second].readers.push_back({target.get(), {}});
      }
    }
  }
}

void Files::tick() {
  if (next_ == 0 && !midway_) {
    const Millis now = clock_.monotonic();
    if (files_.empty() || (round_began_ != 0 && now - round_began_ < kRound)) {
      return;
    }
    round_began_ = now;
  }
  for (std::size_t budget = kBudget; budget > 0 && next_ < files_.size();) {
    midway_ = !look_at(&files_[next_], &budget);
    next_ += midway_ ? 0 : 1;
  }
  if (next_ == files_.size()) {
    next_ = 0;
  }
}

void Files::look_at_all(const std::function<void()>& after_each) {
  for (File& file : files_) {
    for (bool done = false; !done; after_each()) {
      std::size_t budget = kBudget;
      done = look_at(&file, &budget);
    }
  }
}

void Files::look_again() {
  for (File& file : files_) {
    file.stamp = {};
    for (Reader& reader : file.readers) {
      reader.seen = {};
      reader.fits = false;
    }
  }
}

// Each look and each certificate that the file is shown for takes one of the budget. false: some had no turn.
bool Files::look_at(File* file, std::size_t* budget) {
  --*budget;
  std::vector<Reader*> ready;
  bool awaited = false;  // an issuer may still be fetched
  for (Reader& reader : file->readers) {
    if (!reader.target->ended(clock_.now())) {  // the clock may be set back
      reader.target->issuer == nullptr ? void(awaited = true) : ready.push_back(&reader);
    }
  }
  if (ready.empty() || !is_there(file, *ready.front()->target)) {
    return true;
  }
  const std::vector<Reader*> all = ready;
  const auto seen = [file](const Reader* reader) { return reader->seen == file->stamp; };
  ready.erase(std::remove_if(ready.begin(), ready.end(), seen), ready.end());
  if (!ready.empty() && !show(file, ready, budget)) {
    return false;
  }
  for (Reader* reader : all) {
    look_at_end(*file, reader);
  }
  awaited = awaited || !std::all_of(ready.begin(), ready.end(), seen);
  // The response may belong to a certificate that was not shown the file yet.
  if (file->refusal && !file->fits && !(awaited && is_foreign(file->refusal->error.reason))) {
    ignore(*file, *file->refusal);
    file->refusal.reset();
  }
  return true;
}

// Notes whether the file is there and has changed. `reader`: a certificate to name if it is not.
bool Files::is_there(File* file, const Target& reader) {
  struct stat status = {};
  const bool missing = stat(file->path.c_str(), &status) != 0;
  if (missing && !file->missing) {
    ignore(*file, {&reader, {Reason::kUnreadable, std::strerror(errno)}});
  }
  file->missing = missing;
  if (const FileStamp stamp = stamp_of(status); !missing && stamp != file->stamp) {
    file->stamp = stamp;
    file->fits = false;
    file->refusal.reset();
  }
  return !missing;
}

// Shows what the file holds for these certificates to the gate. false: the budget is spent.
bool Files::show(File* file, const std::vector<Reader*>& readers, std::size_t* budget) {
  const auto response = read(file->path);
  if (!response) {
    file->refusal = Refusal{readers.front()->target, response.error()};
    std::for_each(readers.begin(), readers.end(), [file](Reader* reader) { reader->seen = file->stamp; });
    return true;
  }
  for (Reader* reader : readers) {
    if (*budget == 0) {
      return false;
    }
    --*budget;
    show_for(file, *response, reader);
  }
  return true;
}

void Files::show_for(File* file, ByteView response, Reader* reader) {
  const Admission admission = gate_.admit(*reader->target, response, store::Source::kFile, {clock_.now()});
  if (admission.stored == Reason::kZoneBusy) {
    return;  // not marked as seen: the next round shows it again
  }
  reader->seen = file->stamp;
  reader->fits = admission.action != Action::kRefuse;
  if (reader->fits) {
    file->fits = true;
    report_.file_admitted(*reader->target, file->path, admission);
  } else if (!file->refusal || (is_foreign(file->refusal->error.reason) && !is_foreign(admission.verdict.reason))) {
    file->refusal = Refusal{reader->target, {admission.verdict.reason, admission.verdict.detail}};
  }
}

// Tells once that the response of a file has ended which nobody has replaced, where nobody else is asked for one.
void Files::look_at_end(const File& file, Reader* reader) {
  if (reader->fits && lacks_all(*reader->target)) {
    reader->fits = false;
    ignore(file, {reader->target, {Reason::kExpired, "its response has ended, and no newer one has come"}});
  }
}

// Whether nothing is stapled for a certificate whose responses come from files only.
bool Files::lacks_all(const Target& target) const {
  return target.responders.empty() && !gate_.stapled(target, clock_.now()).has_value();
}

void Files::ignore(const File& file, const Refusal& refusal) {
  if (quiet_) {
    return;
  }
  const Target* alone = nullptr;
  for (const Reader& reader : file.readers) {
    const bool lacks = !reader.target->ca && !reader.target->ended(clock_.now()) && lacks_all(*reader.target);
    if (lacks && (alone == nullptr || reader.target == refusal.target)) {
      alone = reader.target;
    }
  }
  report_.file_ignored(alone != nullptr ? *alone : *refusal.target, file.path, refusal.error, alone != nullptr);
}

Result<Bytes> Files::read(const std::string& path) const {
  // O_NONBLOCK: a FIFO must not block the worker.
  const Descriptor file(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat status = {};
  if (file.get() < 0 || fstat(file.get(), &status) != 0) {
    return fail(Reason::kUnreadable, std::strerror(errno));
  }
  if (!S_ISREG(status.st_mode)) {
    return fail(Reason::kUnreadable, "it is no regular file");
  }
  const std::size_t limit = 2 * settings_.max_response;  // PEM is a third larger than DER
  Bytes text(limit + 1);
  if (!read_up_to(file.get(), &text)) {
    return fail(Reason::kUnreadable, std::strerror(errno));
  }
  if (text.size() > limit) {
    return fail(Reason::kUnreadable, "it is larger than ocsp_plus_max_response allows");
  }
  return crypto::response_from_file(ByteView(text).text());
}

}  // namespace ocsp_plus::engine
