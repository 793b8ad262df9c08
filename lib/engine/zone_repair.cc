#include "engine/zone_repair.h"

#include <algorithm>
#include <optional>

#include "store/zone_registry.h"
#include "store/zone_repair.h"

namespace ocsp_plus::engine {

ZoneRepair::ZoneRepair(const Context& context, Report& report, store::ZoneWriter& writer, Gate& gate,
                       const Roster& roster, Refresher& refresher, const store::ProcessIdentity& self)
    : context_(context),
      report_(report),
      writer_(writer),
      gate_(gate),
      roster_(roster),
      refresher_(refresher),
      self_(self) {
  std::vector<store::EntryIndex> entries;
  const store::EntryIndex end = std::min(roster_.end(), context_.zone.capacity());
  for (store::EntryIndex entry = 0; entry < end; ++entry) {
    if (roster_.find(entry) != nullptr) {
      entries.push_back(entry);
    }
  }
  writer_.own(entries);
}

bool ZoneRepair::tick() {
  words_ = restored_ = lost_ = verified_ = 0;
  const auto header = store::repair_header(writer_, self_);
  if (!header) {
    return false;  // the zone is busy, or the lease is lost, as the next tick finds out
  }
  words_ += *header;
  for (std::size_t looks = 0; looks < kEntriesPerTick; ++looks) {
    if (next_ >= context_.zone.entries_used()) {
      next_ = 0;
      looks = std::max(looks, kEntriesPerTick - 1);  // the next round begins with the next tick
    } else if (look_at(next_)) {
      ++next_;
    } else {
      break;
    }
  }
  for (const store::EntryIndex entry : writer_.take_lost()) {
    lost(entry);
  }
  if (lost_ > 0) {
    refresher_.look_for_missing(false);
  }
  if (words_ + restored_ + lost_ == 0) {
    return false;
  }
  report_.zone_repaired(words_ + restored_, lost_);
  return true;
}

// While a newer configuration may be coming up, differences may be its doing.
bool ZoneRepair::is_newest() {
  if (context_.zone.generation() == self_.generation) {
    newer_since_ = 0;
    return true;
  }
  const Millis now = context_.clock.monotonic();
  if (newer_since_ == 0) {
    newer_since_ = now;
  }
  return now - newer_since_ >= kComesUp;
}

// false: not at this tick.
bool ZoneRepair::look_at(store::EntryIndex entry) {
  const Record* const record = roster_.find(entry);
  const Target* const about = record != nullptr ? &record->target : nullptr;
  bool repaired = false;
  if (about != nullptr && record->per_connection == nullptr) {
    const store::Registration registration = {
        about->certificate.id, about->issuer != nullptr ? about->issuer->key_sha256() : store::kUnknownIssuer};
    const auto done = store::repair_entry(writer_, entry, registration, self_.generation, is_newest());
    if (!done) {
      return false;
    }
    repaired = *done;
  }
  const auto response = store::check_response(writer_, entry);
  if (!response) {
    return false;
  }
  words_ += repaired ? 1 : 0;
  switch (*response) {
    case store::HeldResponse::kSound:
      // While the entry was another's, a response for it could not be published.
      if (repaired && !gate_.stapled(*about, context_.clock.now()).has_value()) {
        refresher_.response_lost(entry);
      }
      return true;
    case store::HeldResponse::kRestored:
      ++restored_;
      return true;
    case store::HeldResponse::kLost:
      return true;  // take_lost() returns it
    case store::HeldResponse::kUnknown:
      break;
  }
  // Other responses wait for the next round.
  if (about != nullptr && about->issuer != nullptr && verified_ < kVerifiedPerTick && !is_true(entry, *about) &&
      writer_.drop(entry)) {
    lost(entry);
  }
  return true;
}

// Whether the response that an earlier lease holder published there verifies. One that cannot be stapled does not
// matter.
bool ZoneRepair::is_true(store::EntryIndex entry, const Target& target) {
  store::BlobHeader header = {};
  const auto der = context_.zone.read(entry, target.certificate.id, &header);
  const crypto::VerifyPolicy& policy = context_.settings.policy;
  const UnixSeconds now = context_.clock.now();
  if (!der.has_value() || !is_current(header, policy.clock_skew, now)) {
    return true;
  }
  ++verified_;
  const auto verdict = verify_left(target, *der, policy, now);
  if (!verdict.has_value() || verdict->this_update != header.this_update || verdict->expires != header.expires ||
      static_cast<std::uint8_t>(verdict->cert_status) != header.cert_status ||
      header.unsendable != (verdict->sendable ? 0 : 1)) {
    return false;
  }
  writer_.vouch(entry, header, *der);
  return true;
}

void ZoneRepair::lost(store::EntryIndex entry) {
  if (roster_.find(entry) != nullptr) {
    ++lost_;
    refresher_.response_lost(entry);
  }
}

}  // namespace ocsp_plus::engine
