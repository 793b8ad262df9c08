#include "engine/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/descriptor.h"
#include "crypto/response_file.h"

namespace ocsp_plus::engine {
namespace {

constexpr Millis kRound = 2000;       // each file is looked at about that often
constexpr std::size_t kBudget = 256;  // files looked at in one tick

}  // namespace

Files::Files(const Clock& clock, Report& report, const Catalog& catalog, const Settings& settings, Gate& gate,
             bool quiet)
    : clock_(clock), report_(report), settings_(settings), gate_(gate), quiet_(quiet) {
  for (const auto& target : catalog.targets()) {
    if (target->verifiable()) {
      for (const std::string& path : target->files) {
        files_.push_back({target.get(), path, {}, false});
      }
    }
  }
}

void Files::tick() {
  if (next_ == 0) {
    const Millis now = clock_.monotonic();
    if (files_.empty() || (round_began_ != 0 && now - round_began_ < kRound)) {
      return;
    }
    round_began_ = now;
  }
  for (std::size_t budget = kBudget; budget > 0 && next_ < files_.size(); --budget) {
    look_at(&files_[next_++]);
  }
  if (next_ == files_.size()) {
    next_ = 0;
  }
}

void Files::look_at_all(const std::function<void()>& after_each) {
  for (File& file : files_) {
    look_at(&file);
    after_each();
  }
}

void Files::look_again() {
  for (File& file : files_) {
    file.seen = {};
  }
}

void Files::look_at(File* file) {
  if (file->target->issuer == nullptr || file->target->ended(clock_.now())) {
    return;  // it waits until the issuer is fetched, or the clock is set back
  }
  struct stat status = {};
  if (stat(file->path.c_str(), &status) != 0) {
    if (!file->missing) {
      file->missing = true;
      ignore(*file, {Reason::kUnreadable, std::strerror(errno)});
    }
    return;
  }
  file->missing = false;
  const FileStamp stamp = stamp_of(status);
  if (stamp == file->seen) {
    return;
  }
  const auto response = read(file->path);
  if (!response) {
    file->seen = stamp;
    return ignore(*file, response.error());
  }
  const Admission admission = gate_.admit(*file->target, *response, store::Source::kFile, {clock_.now()});
  if (admission.stored == Reason::kZoneBusy) {
    return;  // not marked as seen: the next round shows it again
  }
  file->seen = stamp;
  if (admission.action == Action::kRefuse) {
    ignore(*file, {admission.verdict.reason, admission.verdict.detail});
  } else {
    report_.file_admitted(*file->target, file->path, admission);
  }
}

void Files::ignore(const File& file, const Error& error) {
  if (!quiet_) {
    report_.file_ignored(*file.target, file.path, error);
  }
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
