#include "engine/publisher.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "engine/schedule.h"

namespace ocsp_plus::engine {
namespace {

using net::SharedStore;

constexpr std::size_t kMostPublishing = 8;
constexpr unsigned kMostTries = 3;  // for a publication that the store refuses, or answers with useless responses
// A tenant's CA could fill the store with responses of certificates that nobody vouches for.
constexpr std::size_t kMostForeignResponse = 8192;

}  // namespace

Publisher::Publisher(const Context& context, Gate& gate, Roster& roster, SharedStore& store, SharingTally& tally,
                     OnOther on_other)
    : context_(context), gate_(gate), roster_(roster), store_(store), tally_(tally), on_other_(std::move(on_other)) {}

// --- leases ---

std::size_t Publisher::unused(const std::string& host) const {
  const Millis now = context_.clock.monotonic();
  return static_cast<std::size_t>(std::count_if(leases_.begin(), leases_.end(), [&](const auto& lease) {
    return !lease.second.asking && now < lease.second.until && lease.second.host == host;
  }));
}

void Publisher::asking(Entry entry) {
  const auto granted = leases_.find(entry);
  if (granted != leases_.end()) {
    granted->second.asking = true;
  }
}

void Publisher::release(Entry entry) {
  const auto granted = leases_.find(entry);
  if (granted != leases_.end()) {
    give_back(entry, std::move(granted->second.lease), granted->second.host);
    leases_.erase(granted);
  }
}

void Publisher::release_unused(Entry entry) {
  const auto granted = leases_.find(entry);
  if (granted != leases_.end() && !granted->second.asking) {
    release(entry);
  }
}

void Publisher::release_all() {
  while (!leases_.empty()) {
    release(leases_.begin()->first);
  }
}

void Publisher::give_back(Entry entry, SharedStore::Lease lease, const std::string& host) {
  settle(entry, std::move(lease), host, 0, false);
}

// The fleet's failures count where they are more than this node's own, so that it backs off as one.
void Publisher::settled(Entry entry, UnixSeconds next, bool failed) {
  const auto granted = leases_.find(entry);
  if (granted == leases_.end()) {
    return;
  }
  const Record& record = roster_.at(entry);
  const UnixSeconds now = context_.clock.now();
  const UnixSeconds held = gate_.stapled_until(record.target, now);
  const std::uint32_t failures = granted->second.failures + 1;
  if (failed && failures > record.attempt.failures) {
    Failure fleet;
    fleet.failures = failures;
    next = std::max(next, next_try(now, fleet, held, context_.settings.retry, context_.random.next()));
  }
  settle(entry, std::move(granted->second.lease), granted->second.host, note_time(now, next, held), failed);
  leases_.erase(granted);
}

void Publisher::settle(Entry entry, SharedStore::Lease lease, const std::string& host, Millis wait, bool failed) {
  if (!store_.up()) {
    return;  // the lease ends by itself
  }
  settlements_.emplace_back();
  const auto at = std::prev(settlements_.end());
  *at = store_.settle({roster_.at(entry).target.certificate.id, host, std::move(lease), wait, failed},
                      [this, at](const Result<bool>& settled) {
                        tally_.errors += settled.has_value() ? 0 : 1;
                        settlements_.erase(at);
                      });
}

// --- publications ---

void Publisher::fetched(Entry entry) {
  Pending pending;
  pending.host = roster_.at(entry).target.host(0);
  const auto granted = leases_.find(entry);
  if (granted != leases_.end()) {
    pending.lease = std::move(granted->second.lease);
    pending.replaces = granted->second.replaces;
    leases_.erase(granted);
  }
  drop(entry);
  pending_.emplace(entry, std::move(pending));
  publish_some();
}

void Publisher::end(Entry entry) {
  release(entry);
  drop(entry);
}

void Publisher::drop(Entry entry) {
  const auto pending = pending_.find(entry);
  if (pending != pending_.end()) {
    publishing_ -= pending->second.query != nullptr ? 1 : 0;
    pending_.erase(pending);
  }
}

void Publisher::publish_some() {
  if (!store_.up()) {
    return;
  }
  for (auto at = pending_.begin(); at != pending_.end() && publishing_ < kMostPublishing;) {
    const auto pending = at++;
    if (pending->second.query == nullptr && !pending->second.judging && !publish(pending->first, &pending->second)) {
      pending_.erase(pending);
    }
  }
}

// false: what the node holds is not to be shared.
bool Publisher::publish(Entry entry, Pending* pending) {
  const Record& record = roster_.at(entry);
  const UnixSeconds now = context_.clock.now();
  store::BlobHeader header;
  const auto response = context_.zone.read(entry, record.target.certificate.id, &header);
  // A revocation that OpenSSL does not send here is told to the others all the same.
  const bool fit = response.has_value() && is_valid(header, now, context_.settings.policy.clock_skew) &&
                   response->size() <= SharedStore::kMostResponse &&
                   (record.per_connection == nullptr || response->size() <= kMostForeignResponse);
  if (!fit) {
    if (pending->lease.has_value()) {
      give_back(entry, std::move(*pending->lease), pending->host);
    }
    return false;
  }
  SharedStore::Publication publication;
  publication.id = record.target.certificate.id;
  publication.host = pending->host;
  publication.lease = pending->lease;
  publication.response = *response;
  publication.keep = saturating_sub(header.expires, now) * 1000;
  publication.replaces = pending->replaces;
  ++publishing_;
  pending->query = store_.publish(
      publication, [this, entry](Result<SharedStore::Published> result) { published(entry, std::move(result)); });
  return true;
}

// A publication that failed is tried again when the store comes back, and with the news.
void Publisher::published(Entry entry, Result<SharedStore::Published> result) {
  --publishing_;
  Pending& pending = pending_.at(entry);
  pending.query.reset();
  if (!result) {
    ++tally_.errors;
    ++tally_.publications_failed;
    // One that is too large, or that this store never takes, would only keep others from theirs.
    if (result.error().reason == Reason::kInvalidArgument || (store_.up() && ++pending.failures >= kMostTries)) {
      pending_.erase(entry);
      publish_some();
    }
    return;
  }
  pending.lease.reset();  // given back
  if (result->stored) {
    ++tally_.published;
    pending_.erase(entry);
    return publish_some();
  }
  pending.judging = true;
  on_other_(entry, std::move(result->other));
}

void Publisher::judged(Entry entry, SharedResponses::Judged judged, const std::optional<net::Sha1>& digest) {
  using Judged = SharedResponses::Judged;
  const auto pending = pending_.find(entry);
  if (pending == pending_.end()) {
    return;
  }
  if ((judged == Judged::kSame || judged == Judged::kRefused) && digest.has_value() &&
      ++pending->second.tries < kMostTries) {
    pending->second.replaces = digest;
    pending->second.judging = false;
  } else {
    drop(entry);
  }
  publish_some();
}

}  // namespace ocsp_plus::engine
