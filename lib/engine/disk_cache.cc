#include "engine/disk_cache.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "crypto/response_content.h"
#include "crypto/verify.h"
#include "engine/admit.h"
#include "store/entry_state.h"
#include "store/shared_stats.h"
#include "store/zone_repair.h"

namespace ocsp_plus::engine {
namespace {

constexpr std::size_t kBudget = 1;         // files written in one turn of the loop: one, as with verifications
constexpr std::size_t kLastBudget = 1000;  // files written when the process leaves
constexpr Millis kRetry = 30000;           // after the directory has failed
constexpr std::size_t kSweepLooks = 256;   // names looked at in a call
constexpr Millis kSweepRest = 3600000;     // after a start or a jump of the wall clock
constexpr Seconds kEndedFor = Seconds{90} * 86400;     // since the end of the response in an unwanted file
constexpr Seconds kClockAstray = Seconds{30} * 86400;  // farther than that from the newest file the clock is wrong
constexpr Seconds kWithoutEnd = 86400;  // a response without nextUpdate ends that long after thisUpdate

// A response's claim about a certificate, unverified.
struct Claim {
  bool revoked = false;
  UnixSeconds this_update = 0;
};

std::optional<Claim> claim_about(const Target& target, const Bytes& response) {
  const auto content = crypto::read_response_content(response);
  std::optional<Claim> claim;
  if (!content) {
    return claim;
  }
  for (const auto& single : content->singles) {
    if (single.serial == target.certificate.serial) {
      claim = claim.value_or(Claim());
      claim->revoked = claim->revoked || single.status == crypto::CertStatus::kRevoked;
      claim->this_update = std::max(claim->this_update, single.this_update);
    }
  }
  return claim;
}

bool is_revoked(const store::BlobHeader& held) {
  return static_cast<crypto::CertStatus>(held.cert_status) == crypto::CertStatus::kRevoked;
}

// When the contents of a file end; nothing: unreadable.
std::optional<UnixSeconds> end_of(const Bytes& bytes, store::FileKind kind) {
  if (kind == store::FileKind::kIssuer) {
    const auto certificates = crypto::parse_der_certificates(bytes);
    const auto issuer =
        certificates.size() == 1 ? crypto::describe(certificates[0].get()) : fail(Reason::kUnreadable);
    return issuer ? std::optional(issuer->not_after) : std::nullopt;
  }
  const auto content = crypto::read_response_content(bytes);
  if (!content || content->singles.empty()) {
    return std::nullopt;
  }
  UnixSeconds end = 0;
  for (const auto& single : content->singles) {
    end =
        std::max(end, single.next_update != 0 ? single.next_update : saturating_add(single.this_update, kWithoutEnd));
  }
  return end;
}

}  // namespace

DiskCache::DiskCache(EventLoop& loop, const Clock& clock, Report& report, const store::StapleZone& zone,
                     const Catalog& catalog, const Settings& settings, bool quiet, store::ZoneWriter* writer)
    : clock_(clock),
      report_(report),
      zone_(zone),
      catalog_(catalog),
      settings_(settings),
      quiet_(quiet),
      writer_(writer),
      timer_(loop.timer([this] { keep(kBudget); })) {
  store::record(zone_, store::Number::kCacheFailingSince, 0);
}

DiskCache::~DiskCache() {
  quiet_ = true;  // the next lease holder finds out by itself, and may be at work already
  try {
    keep(kLastBudget);
  } catch (...) {
    // Out of memory: what was not kept is fetched again after the next start.
  }
}

bool DiskCache::open() {
  if (settings_.cache.empty()) {
    return false;
  }
  if (disk_.has_value()) {
    return true;
  }
  if (failing_ && clock_.monotonic() < retry_at_) {
    return false;
  }
  auto disk = store::CacheFiles::open(settings_.cache, settings_.max_response);
  if (!disk) {
    failed(disk.error());
    return false;
  }
  disk_.emplace(std::move(*disk));
  (void)examine();
  return true;
}

Result<void> DiskCache::examine() {
  if (!writes()) {
    return {};
  }
  auto usable = disk_->check();
  read_only_ = !usable && usable.error().reason == Reason::kUnwritable;
  return usable;
}

bool DiskCache::check() {
  if (!open()) {
    return false;
  }
  const auto usable = examine();
  if (!usable) {
    failed(usable.error());
  }
  return usable.has_value();
}

bool DiskCache::writable() {
  return settings_.cache.empty() || (open() && !read_only_);
}

Result<store::Kept> DiskCache::load(const Target& target) {
  if (!open()) {
    return store::Kept();
  }
  forgotten_.erase(target.certificate.id);
  return disk_->load(target.certificate.id);
}

void DiskCache::changed(const Target& target) {
  if (!writes()) {
    return;
  }
  pending_.insert(&target);
  forgotten_.erase(target.certificate.id);
  begin();
}

// Arms the timer. Targets that were never tried do not wait, even if the directory fails: their old files may have to
// go.
void DiskCache::begin() {
  const bool wait = failing_ && (pending_.empty() || !disk_.has_value());
  timer_->arm(wait ? std::max<Millis>(retry_at_ - clock_.monotonic(), 0) : 0);
}

void DiskCache::forget(const Target& target, bool with_file) {
  pending_.erase(&target);
  refused_.erase(&target);
  if (with_file && writes()) {
    forgotten_.insert(target.certificate.id);
    begin();
  }
}

// Nothing can be removed in a failing directory; the sweep removes those files once they have ended.
void DiskCache::remove_forgotten(std::size_t* budget) {
  if (!forgotten_.empty() && !open()) {
    forgotten_.clear();
  }
  for (; *budget > 0 && !forgotten_.empty(); --*budget) {
    (void)disk_->remove(*forgotten_.begin());
    forgotten_.erase(forgotten_.begin());
  }
}

std::optional<Bytes> DiskCache::load_issuer(const Target& target) {
  if (!open()) {
    return std::nullopt;
  }
  auto kept = disk_->load(target.issuer_lookup->reference, store::FileKind::kIssuer);
  if (!kept || kept->bytes.empty()) {
    return std::nullopt;  // it is fetched again
  }
  return std::move(kept->bytes);
}

void DiskCache::keep_issuer(const Target& target, Bytes der) {
  if (writes()) {
    pending_issuers_[target.issuer_lookup->reference] = std::move(der);
    begin();
  }
}

void DiskCache::keep_issuers(std::size_t* budget) {
  for (auto it = pending_issuers_.begin();
       it != pending_issuers_.end() && *budget > 0 && clock_.monotonic() >= retry_at_ && open(); --*budget) {
    if (auto saved = disk_->save(it->first, {it->second, clock_.now()}, store::FileKind::kIssuer); !saved) {
      failed(saved.error());
    } else {
      it = pending_issuers_.erase(it);
      retry_at_ = 0;
    }
  }
}

void DiskCache::keep(std::size_t budget) {
  remove_forgotten(&budget);
  keep_issuers(&budget);
  for (; budget > 0 && !(pending_.empty() && refused_.empty()) && open(); --budget) {
    const Target* target = next();
    if (target == nullptr) {
      break;
    }
    keep_response(*target);
  }
  if (failing_ && nothing_pending() && clock_.monotonic() >= retry_at_ && check()) {
    failing_ = false;
    ++recoveries_;
    if (!quiet_) {
      store::record(zone_, store::Number::kCacheFailingSince, 0);
      report_.cache_works();
    }
  }
  if (failing_ || !nothing_pending()) {
    begin();
  }
}

// Targets that were not tried yet come first, and a target that cannot be kept goes behind the others.
const Target* DiskCache::next() const {
  if (!pending_.empty()) {
    return *pending_.begin();
  }
  if (refused_.empty() || clock_.monotonic() < retry_at_) {
    return nullptr;
  }
  const auto after = refused_.upper_bound(last_refused_);
  return after == refused_.end() ? *refused_.begin() : *after;
}

// Brings the file in line with the zone.
void DiskCache::keep_response(const Target& target) {
  const bool first = pending_.erase(&target) != 0;
  refused_.erase(&target);
  store::BlobHeader held = {};
  const auto response = zone_.read(target.entry, target.certificate.id, &held);
  if (!response.has_value()) {
    return;
  }
  const UnixSeconds now = clock_.now();
  const UnixSeconds confirmed_at = store::read_confirmed_at(zone_, target.entry, held, now);
  // Reading is cheap beside writing, and most of what a new lease holder finds in the zone is in the directory
  // already.
  const auto kept = disk_->load(target.certificate.id);
  const bool same = kept && kept->bytes == *response;
  if (same && ((kept->confirmed_at >= confirmed_at && kept->confirmed_at <= now) ||
               disk_->confirm(target.certificate.id, confirmed_at))) {
    retry_at_ = 0;
    return;
  }
  if (!is_true(target, *response)) {
    return;  // another process has corrupted the zone: the file is better
  }
  if (kept && !same && knows_more(target, held, *kept)) {
    return;  // from another instance that shares the directory; the next refresh takes it from there
  }
  if (auto saved = disk_->save(target.certificate.id, {*response, confirmed_at}); saved) {
    read_only_ = false;
  } else {
    refused_.insert(&target);
    last_refused_ = &target;
    failed(saved.error());
    if (kept && !same && first) {
      remove_if_untrue(target, held, kept->bytes);
    }
    return;
  }
  retry_at_ = 0;
}

bool DiskCache::was_lifted(const Target& target, const store::BlobHeader& held, const store::Kept& kept) const {
  const auto claim = is_revoked(held) ? std::nullopt : claim_about(target, kept.bytes);
  if (!claim.has_value() || !claim->revoked || claim->this_update >= held.this_update) {
    return false;
  }
  const UnixSeconds now = clock_.now();
  const UnixSeconds confirmed_at = kept.confirmed_at > now ? claim->this_update : kept.confirmed_at;
  return confirmed_at <= store::read_confirmed_at(zone_, target.entry, held, now);
}

// Whether the zone's response is the one that this process published or, if an earlier lease holder published it,
// verifies.
bool DiskCache::is_true(const Target& target, const Bytes& response) const {
  if (writer_ == nullptr) {
    return true;
  }
  const auto checked = store::check_response(*writer_, target.entry);
  if (!checked || *checked == store::HeldResponse::kLost) {
    return false;
  }
  if (*checked != store::HeldResponse::kUnknown) {
    return true;
  }
  return target.issuer != nullptr && verify_left(target, response, settings_.policy, clock_.now()).has_value();
}

// Whether the gate would prefer the file to the held response.
bool DiskCache::knows_more(const Target& target, const store::BlobHeader& held, const store::Kept& kept) const {
  const auto claim = claim_about(target, kept.bytes);
  const bool newer =
      claim.has_value() && (claim->this_update > held.this_update || (claim->revoked && !is_revoked(held)));
  if (!newer || target.issuer == nullptr || was_lifted(target, held, kept)) {
    return false;
  }
  const Moment moment = {clock_.now()};
  const auto verdict = crypto::verify(kept.bytes, target.certificate, *target.issuer, moment.now, settings_.policy);
  return decide(held, verdict, settings_.policy.clock_skew, moment) == Action::kPublish;
}

// The new status could not be written: removes a file with another status, which would be believed after a restart.
void DiskCache::remove_if_untrue(const Target& target, const store::BlobHeader& held, const Bytes& kept) {
  const auto claim = claim_about(target, kept);
  if (claim.has_value() && claim->revoked != is_revoked(held) && !disk_->remove(target.certificate.id) && !quiet_) {
    report_.cache_untrue(target, disk_->path());
  }
}

void DiskCache::failed(const Error& error) {
  retry_at_ = clock_.monotonic() + kRetry;
  read_only_ = read_only_ || error.reason == Reason::kUnwritable;
  if (!quiet_) {
    store::record_cache_failure(zone_, error.reason, clock_.now());
  }
  if (!failing_) {
    failing_ = true;
    if (!quiet_) {
      report_.cache_fails(error, kRetry / 1000);
    }
  }
  begin();  // the timer finds out when the directory works again
}

// --- the sweep ---

bool DiskCache::may_sweep() const {
  const Millis quiet_since =
      std::max(store::number(zone_, store::Number::kBegan), store::number(zone_, store::Number::kClockJumpedAt));
  return clock_.monotonic() - quiet_since >= kSweepRest;
}

void DiskCache::sweep() {
  if (!writes() || !may_sweep() || !open()) {
    return;
  }
  std::vector<store::Listed> files;
  const bool more = disk_->list(kSweepLooks, &files);
  // The first round only finds out whether the clock can be right.
  const Seconds astray = saturating_sub(clock_.now(), newest_);
  const bool may_remove = newest_ != 0 && astray <= kClockAstray && astray >= -kClockAstray;
  for (const store::Listed& file : files) {
    newest_seen_ = std::max(newest_seen_, file.modified);
    if (may_remove && !is_wanted(file) && has_ended(file)) {
      disk_->remove(file);
    }
  }
  if (!more) {
    newest_ = std::exchange(newest_seen_, 0);
  }
}

bool DiskCache::is_wanted(const store::Listed& file) {
  if (file.temporary) {
    return false;
  }
  if (file.kind == store::FileKind::kResponse) {
    return zone_.find(file.id) != store::kNoEntry;
  }
  if (wanted_issuers_.empty()) {
    for (const auto& target : catalog_.targets()) {
      if (target->issuer_lookup != nullptr) {
        wanted_issuers_.insert(target->issuer_lookup->reference);
      }
    }
  }
  return wanted_issuers_.count(file.id) != 0;
}

bool DiskCache::has_ended(const store::Listed& file) const {
  std::optional<UnixSeconds> end;
  if (!file.temporary) {
    const auto kept = disk_->load(file.id, file.kind);
    end = kept ? end_of(kept->bytes, file.kind) : std::nullopt;
  }
  return saturating_add(end.value_or(file.modified), kEndedFor) < clock_.now();
}

}  // namespace ocsp_plus::engine
