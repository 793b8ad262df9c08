#include "engine/archive.h"

#include <algorithm>

#include "store/board.h"

namespace ocsp_plus::engine {
namespace {

constexpr std::size_t kBudget = 1;         // files written in one turn of the loop: no more than are verified in one
constexpr std::size_t kLastBudget = 1000;  // and when the process leaves
constexpr Millis kRetry = 30000;           // after the folder failed
constexpr Seconds kUnwanted = 90 * 86400;  // longer than any response lives
constexpr std::size_t kSweepBudget = 16;   // files removed at a call

}  // namespace

Archive::Archive(EventLoop& loop, const Clock& clock, LogSink& log, const store::StapleZone& zone,
                 const Settings& settings, bool mute)
    : clock_(clock), report_(log), zone_(zone), settings_(settings), mute_(mute), timer_(loop.timer([this] {
        keep(kBudget);
      })) {
  store::record_cache_works(zone_);
}

Archive::~Archive() {
  mute_ = true;  // the next holder finds out by itself, and may be at work already
  try {
    keep(kLastBudget);
  } catch (...) {
    // Out of memory: what was not kept is fetched again after the next start.
  }
}

bool Archive::open() {
  if (settings_.cache.empty()) {
    return false;
  }
  if (disk_.has_value()) {
    return true;
  }
  if (failing_ && clock_.monotonic() < retry_at_) {
    return false;
  }
  auto disk = store::DiskStore::open(settings_.cache, settings_.max_response);
  if (!disk) {
    failed(disk.error());
    return false;
  }
  disk_.emplace(std::move(*disk));
  return true;
}

std::optional<Bytes> Archive::load(const Target& target) {
  if (!open()) {
    return std::nullopt;
  }
  forgotten_.erase(target.certificate.id);
  auto bytes = disk_->load(target.certificate.id);
  if (!bytes) {
    report_.cached_ignored(target, bytes.error());
    return std::nullopt;
  }
  if (bytes->empty()) {
    return std::nullopt;
  }
  disk_->touch(target.certificate.id);
  return std::move(*bytes);
}

void Archive::published(const Target& target) {
  if (settings_.cache.empty()) {
    return;
  }
  pending_.insert(&target);
  forgotten_.erase(target.certificate.id);
  begin();
}

void Archive::begin() {
  timer_->arm(failing_ ? std::max<Millis>(retry_at_ - clock_.monotonic(), 0) : 0);
}

void Archive::forget(const Target& target, bool with_file) {
  pending_.erase(&target);
  if (refused_ == &target) {
    refused_ = nullptr;
  }
  if (with_file && !settings_.cache.empty()) {
    forgotten_.insert(target.certificate.id);
    begin();
  }
}

// In a folder that cannot be used nothing can be removed; what was left in it goes when it is old.
void Archive::remove_forgotten(std::size_t* budget) {
  if (!forgotten_.empty() && !open()) {
    forgotten_.clear();
  }
  for (; *budget > 0 && !forgotten_.empty(); --*budget) {
    disk_->remove(*forgotten_.begin());
    forgotten_.erase(forgotten_.begin());
  }
}

std::optional<Bytes> Archive::load_issuer(const Target& target) {
  if (!open()) {
    return std::nullopt;
  }
  auto bytes = disk_->load(target.sought->reference, store::FileKind::kIssuer);
  if (!bytes || bytes->empty()) {
    return std::nullopt;  // it is fetched again
  }
  disk_->touch(target.sought->reference, store::FileKind::kIssuer);
  return std::move(*bytes);
}

void Archive::keep_issuer(const Target& target, Bytes der) {
  if (!settings_.cache.empty()) {
    pending_issuers_[target.sought->reference] = std::move(der);
    begin();
  }
}

void Archive::keep_issuers(std::size_t* budget) {
  for (auto it = pending_issuers_.begin(); it != pending_issuers_.end() && *budget > 0 && open(); --*budget) {
    if (auto saved = disk_->save(it->first, it->second, store::FileKind::kIssuer); !saved) {
      failed(saved.error());
      ++it;
    } else {
      it = pending_issuers_.erase(it);
      retry_at_ = 0;
    }
  }
}

void Archive::keep(std::size_t budget) {
  remove_forgotten(&budget);
  keep_issuers(&budget);
  for (; budget > 0 && !pending_.empty() && open(); --budget) {
    // One that cannot be kept must not be in the way of the others.
    auto next = pending_.upper_bound(refused_);
    if (next == pending_.end()) {
      next = pending_.begin();
    }
    const Target& target = **next;
    const auto response = zone_.read(target.entry, target.certificate.id);
    if (response.has_value()) {
      // Reading is cheap beside writing, and most of what a new holder finds in the zone is in the folder already.
      const auto kept = disk_->load(target.certificate.id);
      if (!kept || *kept != *response) {
        if (auto saved = disk_->save(target.certificate.id, *response); !saved) {
          refused_ = &target;
          failed(saved.error());
          break;
        }
      }
      retry_at_ = 0;
      if (target.sought != nullptr) {
        disk_->touch(target.sought->reference, store::FileKind::kIssuer);
      }
    }
    pending_.erase(next);
  }
  if (failing_ && nothing_pending()) {
    failing_ = false;
    if (!mute_) {
      store::record_cache_works(zone_);
      report_.cache_works();
    }
  }
  if (!nothing_pending()) {
    timer_->arm(failing_ ? std::max<Millis>(retry_at_ - clock_.monotonic(), 0) : 0);
  }
}

void Archive::failed(const Error& error) {
  retry_at_ = clock_.monotonic() + kRetry;
  if (!mute_) {
    store::record_cache_failure(zone_, error.reason, clock_.now());
  }
  if (!failing_) {
    failing_ = true;
    if (!mute_) {
      report_.cache_fails(error, kRetry / 1000);
    }
  }
}

void Archive::sweep() {
  if (open()) {
    disk_->remove_older_than(kUnwanted, clock_.now(), kSweepBudget);
  }
}

}  // namespace ocsp_plus::engine
