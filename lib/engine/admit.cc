#include "engine/admit.h"

#include <utility>

#include "engine/disk_cache.h"
#include "engine/report.h"
#include "store/entry_state.h"

namespace ocsp_plus::engine {
namespace {

using crypto::CertStatus;

CertStatus status_of(const store::BlobHeader& header) {
  return static_cast<CertStatus>(header.cert_status);
}

// A later thisUpdate decides. With the same thisUpdate a later nextUpdate is newer as well, unless it would take a
// revocation back.
bool newer(const crypto::Verdict& verdict, const store::BlobHeader& held) {
  return verdict.this_update > held.this_update ||
         (verdict.this_update == held.this_update && verdict.expires > held.expires &&
          verdict.cert_status == status_of(held));
}

store::BlobHeader header_of(const Target& target, const crypto::Verdict& verdict, store::Source source,
                            UnixSeconds now) {
  store::BlobHeader header = {};
  header.id = target.certificate.id;
  header.issuer_key = target.issuer->key_sha256();
  header.this_update = verdict.this_update;
  header.next_update = verdict.next_update;
  header.expires = verdict.expires;
  header.produced_at = verdict.produced_at;
  header.revoked_at = verdict.revoked_at;
  header.admitted_at = now;
  header.cert_status = static_cast<std::uint8_t>(verdict.cert_status);
  header.source = source;
  header.unsendable = verdict.sendable ? 0 : 1;
  return header;
}

bool is_not_yet_valid(const store::BlobHeader& held, Seconds clock_skew, UnixSeconds now) {
  return saturating_add(now, clock_skew) < held.this_update;
}

}  // namespace

bool is_acceptable(const crypto::Verdict& verdict) {
  return verdict.reason == Reason::kOk || verdict.reason == Reason::kRevoked;
}

bool is_current(const store::BlobHeader& held, Seconds clock_skew, UnixSeconds now) {
  return now < held.expires && !is_not_yet_valid(held, clock_skew, now);
}

Action decide(const std::optional<store::BlobHeader>& held, const crypto::Verdict& verdict, Seconds clock_skew,
              Moment moment) {
  if (!is_acceptable(verdict)) {
    return Action::kRefuse;  // unknown, or not to be believed: changes nothing
  }
  const bool revoked = verdict.reason == Reason::kRevoked;
  if (!held.has_value()) {
    return Action::kPublish;
  }
  const bool held_good = status_of(*held) != CertStatus::kRevoked;
  const bool held_not_yet_valid = moment.confirmed && is_not_yet_valid(*held, clock_skew, moment.now);
  // Whatever its date, the revocation is the truth: a good response must never hide it.
  if (revoked && (held_good || held->expires <= moment.now || held_not_yet_valid)) {
    return Action::kPublish;
  }
  if (!revoked && held_good && held_not_yet_valid) {
    return Action::kPublish;
  }
  return newer(verdict, *held) ? Action::kPublish : Action::kKeep;
}

std::optional<crypto::Verdict> verify_left(const Target& target, ByteView response, crypto::VerifyPolicy policy,
                                           UnixSeconds now) {
  policy.accept_sha256_only = true;
  auto verdict = crypto::verify(response, target.certificate, *target.issuer, now, policy);
  return is_acceptable(verdict) ? std::optional(std::move(verdict)) : std::nullopt;
}

bool is_valid(const store::BlobHeader& held, UnixSeconds now, Seconds clock_skew) {
  const CertStatus status = status_of(held);
  return (status == CertStatus::kGood || status == CertStatus::kRevoked) && is_current(held, clock_skew, now);
}

bool is_staplable(const store::BlobHeader& held, UnixSeconds now, Seconds clock_skew) {
  return held.unsendable == 0 && is_valid(held, now, clock_skew);
}

Gate::Gate(const store::StapleZone& zone, store::ZoneWriter& writer, const crypto::VerifyPolicy& policy,
           DiskCache* disk_cache)
    : zone_(zone), writer_(writer), policy_(policy), disk_cache_(disk_cache) {}

Verified verify(const Target& target, ByteView octets, Origin origin, Moment moment,
                const crypto::VerifyPolicy& policy) {
  const ByteView response = crypto::cut_trailing(octets);
  return {response.copy(), response.size() < octets.size(),
          crypto::verify(response, target.certificate, *target.issuer, moment.now, policy), origin, moment};
}

Admission Gate::admit(const Target& target, ByteView octets, Origin origin, Moment moment) {
  std::optional<Verified> verified;
  if (is_waiting(target, octets)) {
    verified = std::move(waiting_->verified);
    waiting_.reset();
    verified->origin = origin;
    verified->moment.confirmed = moment.confirmed;
  } else {
    verified = verify(target, octets, origin, moment, policy_);
  }
  Admission admission = commit(target, *verified, moment.now);
  if (admission.stored == Reason::kZoneBusy) {
    waiting_ = {target.certificate.id, target.issuer, std::move(*verified)};
  }
  return admission;
}

bool Gate::is_waiting(const Target& target, ByteView octets) const {
  if (!waiting_.has_value() || waiting_->id != target.certificate.id || waiting_->issuer != target.issuer) {
    return false;
  }
  const ByteView response = crypto::cut_trailing(octets);
  return response == ByteView(waiting_->verified.response) &&
         (response.size() < octets.size()) == waiting_->verified.cut;
}

Admission Gate::commit(const Target& target, const Verified& verified, UnixSeconds now) {
  Admission admission;
  admission.verdict = verified.verdict;
  if (now > verified.moment.now && now >= verified.verdict.expires && is_acceptable(verified.verdict)) {
    admission.verdict.reason = Reason::kExpired;
  }
  const auto before = held(target);
  const Moment moment = {now, verified.moment.confirmed};
  admission.action = decide(before, admission.verdict, policy_.clock_skew, moment);
  admission.status_changed = admission.action == Action::kPublish && before.has_value() &&
                             admission.verdict.cert_status != status_of(*before);
  if (admission.action == Action::kKeep && admission.verdict.this_update == before->this_update &&
      admission.verdict.cert_status == status_of(*before)) {
    confirm(target, *before, verified.origin, now);
  }
  if (admission.action == Action::kPublish) {
    admission.stored = publish(target, verified, now);
  }
  return admission;
}

bool Gate::would_leave_staple(const Target& target, const Verified& verified) const {
  const Action action = decide(held(target), verified.verdict, policy_.clock_skew, verified.moment);
  return action == Action::kPublish || (action == Action::kKeep && stapled(target, verified.moment.now).has_value());
}

Reason Gate::publish(const Target& target, const Verified& verified, UnixSeconds now) {
  Result<void> published;
  if (target.issuer_lookup != nullptr) {
    published = writer_.set_issuer_key(target.entry, target.certificate.id, target.issuer->key_sha256());
  }
  const store::Source source = verified.origin.source;
  if (published) {
    published = writer_.publish(target.entry, header_of(target, verified.verdict, source, now), verified.response);
  }
  if (!published) {
    return published.error().reason;
  }
  store::record_confirmed_at(zone_, target.entry, verified.origin.confirmed_at);
  // A file with trailing octets is written anew.
  keep(target, verified.cut ? store::Source::kNone : source);
  return Reason::kOk;
}

Reason Gate::admit_kept(const Target& target, UnixSeconds now, Report* report) {
  const auto kept = disk_cache_->load(target);
  Error why;
  if (!kept) {
    why = kept.error();
  } else if (kept->bytes.empty()) {
    return Reason::kOk;
  } else {
    const Origin origin = {store::Source::kCache, kept->confirmed_at};
    store::BlobHeader before = {};
    if (zone_.read(target.entry, target.certificate.id, &before) == kept->bytes) {
      confirm(target, before, origin, now);
      return Reason::kOk;
    }
    const auto current = held(target);
    if (current.has_value() && disk_cache_->was_lifted(target, *current, *kept)) {
      return Reason::kOk;
    }
    const Admission admission = admit(target, kept->bytes, origin, {now});
    if (admission.action != Action::kRefuse) {
      return admission.stored;
    }
    why = {admission.verdict.reason, admission.verdict.detail};
  }
  if (report != nullptr) {
    report->cached_ignored(target, why);
  }
  return why.reason;
}

void Gate::confirm(const Target& target, const store::BlobHeader& held, Origin origin, UnixSeconds now) {
  if (origin.confirmed_at > confirmed_at(target, held, now) && origin.confirmed_at <= now) {
    store::record_confirmed_at(zone_, target.entry, origin.confirmed_at);
    keep(target, origin.source);
  }
}

// A response from the cache directory lies there already, unless its file has to be written anew.
void Gate::keep(const Target& target, store::Source source) {
  if (disk_cache_ != nullptr && source != store::Source::kCache) {
    disk_cache_->changed(target);
  }
}

std::optional<store::BlobHeader> Gate::held(const Target& target) const {
  return zone_.peek(target.entry, target.certificate.id);
}

std::optional<store::BlobHeader> Gate::stapled(const Target& target, UnixSeconds now) const {
  auto found = held(target);
  if (found.has_value() && !is_current(*found, policy_.clock_skew, now)) {
    found.reset();
  }
  return found;
}

UnixSeconds Gate::stapled_until(const Target& target, UnixSeconds now) const {
  const auto found = stapled(target, now);
  return found.has_value() ? found->expires : 0;
}

}  // namespace ocsp_plus::engine
