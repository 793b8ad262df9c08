#include "engine/refresher.h"

#include <algorithm>

#include "engine/freshness.h"
#include "store/counters.h"
#include "store/entry_state.h"
#include "store/shared_stats.h"

namespace ocsp_plus::engine {
namespace {

constexpr Millis kPublishInterval = 20;      // between attempts to get the zone's lock
constexpr std::size_t kLooksPerTurn = 4096;  // at entries of the zone

// The next attempt for a doubtful response; `next`: for one that is not.
UnixSeconds soon_checked(UnixSeconds next, const RefreshBound& bound, UnixSeconds now, std::uint64_t random) {
  const UnixSeconds check = next_check(now, random);
  return bound.within == 0 ? check : std::min(check, next);
}

// Restarts an overdue bound at `now`, so that a start or a jump of the clock does not make all certificates due at
// once.
RefreshBound taken_up(RefreshBound bound, UnixSeconds now) {
  bound.asked = saturating_sub(now, bound.asked) < bound.within ? bound.asked : now;
  return bound;
}

}  // namespace

Refresher::Refresher(const Context& context, Report& report, net::Transport& transport, TlsClients& tls,
                     WorkQueue& work_queue, Gate& gate, Roster& roster, MissingIssuers* issuers,
                     DiskCache* disk_cache, bool new_configuration)
    : context_(context),
      report_(report),
      transport_(transport),
      tls_(tls),
      work_queue_(work_queue),
      gate_(gate),
      roster_(roster),
      issuers_(issuers),
      disk_cache_(disk_cache),
      health_(context.settings.concurrency),
      methods_(context.zone),
      plan_(health_),
      clock_watch_(context.clock),
      new_configuration_(new_configuration),
      pump_timer_(context.loop.timer([this] { pump(); })),
      publish_timer_(context.loop.timer([this] { retry_publish(); })),
      hang_timer_(context.loop.timer([this] { pump(); })) {
  store::record(context_.zone, store::Number::kInFlight, 0);  // the previous process's are gone
  load();
}

Refresher::~Refresher() {
  // Exchanges use health_ and plan_ until they end.
  for (Entry entry = 0; entry < roster_.end(); ++entry) {
    if (Record* const record = roster_.find(entry)) {
      record->exchange.reset();
    }
  }
}

void Refresher::share_through(net::SharedStore& store) {
  sharing_.emplace(context_, report_, work_queue_, gate_, roster_, store, static_cast<Sharing::User&>(*this));
}

// --- planning ---

void Refresher::load() {
  const UnixSeconds now = context_.clock.now();
  for (Entry entry = 0; entry < roster_.end(); ++entry) {
    const Record* const record = roster_.find(entry);
    if (record != nullptr && record->target.stapleable()) {
      take_over(entry, new_configuration_, now);
    }
  }
}

// Plans the certificate by its last attempt, which the zone has.
void Refresher::take_over(Entry entry, bool new_configuration, UnixSeconds now) {
  record(entry).attempt = store::read_attempt(context_.zone, entry);
  plan_.enqueue(entry, first_due(record(entry), new_configuration, now));
}

void Refresher::begin(Entry entry) {
  if (target(entry).stapleable()) {
    take_over(entry, false, context_.clock.now());
    pump_timer_->arm(0);
  }
}

void Refresher::end(Entry entry) {
  (void)plan_.remove(entry);
  if (sharing_.has_value()) {
    sharing_->end(entry);
  }
  pending_publish_.erase(std::remove_if(pending_publish_.begin(), pending_publish_.end(),
                                        [entry](const auto& pending) { return pending.first == entry; }),
                         pending_publish_.end());
  if (refreshing(entry)) {
    record(entry).exchange.reset();
    exchange_over(entry);
    pump_timer_->arm(0);
  }
  report_.forget(target(entry).certificate.id);
}

UnixSeconds Refresher::first_due(Record& record, bool new_configuration, UnixSeconds now) {
  store::Attempt& attempt = record.attempt;
  if (attempt.failures == 0 && attempt.next == 0) {
    const UnixSeconds due = due_by_held(record, now);
    if (due > now) {
      attempt.next = due;  // so that the next lease holder does not draw again
      store::record_attempt(context_.zone, record.target.entry, attempt);
    }
    return due;
  }
  const auto held = gate_.stapled(record.target, now);
  const UnixSeconds latest =
      held.has_value()
          ? refresh_of(*held, now, taken_up(bound_of(record.target, last_asked(record, *held, now)), now), kLatest)
          : now;
  // The zone's plan may be nonsense, or from before a jump of the clock: the delay has a bound.
  if (attempt.failures == 0) {
    return std::min(attempt.next, latest);
  }
  if (new_configuration || attempt.next == 0) {
    return now;
  }
  return std::min(attempt.next, latest > now ? latest : saturating_add(now, context_.settings.retry.max));
}

UnixSeconds Refresher::refresh_of(const store::BlobHeader& held, UnixSeconds now, const RefreshBound& bound,
                                  std::uint64_t random, std::optional<UnixSeconds> fresh_until) const {
  return next_refresh(now, {held.this_update, held.expires}, held.id, fresh_until, context_.settings.retry, random,
                      bound);
}

// All nodes of a fleet have the same turns, so that one asks for all.
RefreshBound Refresher::bound_of(const Target& target, UnixSeconds asked) {
  if (target.refresh == 0) {
    return {};
  }
  if (sharing_.has_value() && sharing_->store().up()) {
    return {turns_of_fleet(target.refresh), asked, 0};
  }
  if (!node_.has_value()) {
    node_ = context_.random.next();
  }
  return {target.refresh, asked, *node_};
}

UnixSeconds Refresher::last_asked(const Record& record, const store::BlobHeader& held, UnixSeconds now) const {
  return engine::last_asked(record, gate_.confirmed_at(record.target, held, now), now);
}

// The next attempt of a certificate for which none is planned yet.
UnixSeconds Refresher::due_by_held(const Record& record, UnixSeconds now) {
  const auto held = gate_.stapled(record.target, now);
  if (!held.has_value()) {
    return now;
  }
  const std::uint64_t random = context_.random.next();
  const RefreshBound bound = taken_up(bound_of(record.target, last_asked(record, *held, now)), now);
  const UnixSeconds next = refresh_of(*held, now, bound, random);
  return doubtful(record.target, *held, now) ? soon_checked(next, bound, now, random) : next;
}

// Returns whether the held response, if it came from the cache directory, may be outdated by a revocation. A
// directory that cannot be written could not have kept the revocation, however young the file is.
bool Refresher::doubtful(const Target& target, const store::BlobHeader& held, UnixSeconds now) const {
  return held.source == store::Source::kCache && disk_cache_ != nullptr &&
         (saturating_sub(now, gate_.confirmed_at(target, held, now)) > kBelievedFor || !disk_cache_->writable());
}

void Refresher::replan_if_clock_jumped() {
  const auto jump = clock_watch_.jump();
  if (!jump.has_value()) {
    return;
  }
  report_.clock_jumped(*jump);
  store::record(context_.zone, store::Number::kClockJumpedAt, context_.clock.monotonic());
  // How long a certificate waits for other nodes was decided by the wrong clock as well.
  for (Entry entry = 0; sharing_.has_value() && entry < roster_.end(); ++entry) {
    take_back(entry, context_.clock.now());
  }
  if (clock_watch_.permits_fresh_start()) {
    health_.forget_probe_times();
    replan(std::nullopt);
  } else {
    health_.shift_probe_times(*jump);
    replan(*jump);
  }
  look_for_missing(false);
}

void Refresher::plan_what_was_kept() {
  const UnixSeconds now = context_.clock.now();
  plan_.reschedule([&](Entry entry, UnixSeconds) { return first_due(record(entry), new_configuration_, now); });
}

// Plans the certificate here and in the zone, so that the next lease holder does not draw again.
void Refresher::plan_at(Entry entry, UnixSeconds when) {
  record(entry).attempt.next = when;
  store::record_attempt(context_.zone, entry, record(entry).attempt);
  plan_.enqueue(entry, when);
}

// Plans anew all certificates without a running exchange. `shift`: failing ones stay as far away as they were.
void Refresher::replan(std::optional<Seconds> shift) {
  const UnixSeconds now = context_.clock.now();
  ended_ = 0;
  for (const Entry entry : plan_.take_all()) {
    if (sharing_.has_value()) {
      sharing_->release(entry);
    }
    const store::Attempt& attempt = record(entry).attempt;
    const bool fails = shift.has_value() && attempt.failures > 0 && attempt.next != 0;
    plan_at(entry, fails ? std::clamp(saturating_add(attempt.next, *shift), now,
                                      saturating_add(now, context_.settings.retry.max))
                         : due_by_held(record(entry), now));
  }
}

// Plans a certificate that has ended for never. A jump of the clock brings it back.
void Refresher::park(Entry entry) {
  if (!target(entry).per_connection && ended_++ == 0) {
    first_ended_ = entry;
  }
  if (sharing_.has_value()) {
    sharing_->release(entry);
  }
  plan_.enqueue(entry, kNever);
}

// Waits for a trusted clock: a wrong one makes certificates look as if they had ended.
void Refresher::report_ended(UnixSeconds now) {
  if (ended_ > 0 && clock_watch_.trusted()) {
    report_.certificates_ended(target(first_ended_), ended_, now);
    ended_ = 0;
  }
}

void Refresher::refresh_all() {
  health_.forget_probe_times();
  const UnixSeconds now = context_.clock.now();
  for (Entry entry = 0; sharing_.has_value() && entry < roster_.end(); ++entry) {
    take_back(entry, now);
  }
  plan_.reschedule([&](Entry entry, UnixSeconds) {
    record(entry).ask = true;
    return now;
  });
}

void Refresher::refresh(Entry entry) {
  if (roster_.find(entry) == nullptr) {
    return;
  }
  const UnixSeconds now = context_.clock.now();
  for (std::size_t i = 0; i < target(entry).responders.size(); ++i) {
    health_.bring_probe_forward(target(entry).host(i), now);
  }
  record(entry).ask = true;
  take_back(entry, now);
  plan_.requeue(entry, now);
}

// Takes a certificate back from Sharing, if it is there.
void Refresher::take_back(Entry entry, UnixSeconds due) {
  if (sharing_.has_value() && sharing_->has(entry)) {
    sharing_->end(entry);
    plan_.enqueue(entry, due);
  }
}

void Refresher::response_lost(Entry entry) {
  const UnixSeconds now = context_.clock.now();
  if (!target(entry).ended(now)) {
    take_back(entry, now);  // it waits for other nodes as long as one that has a response
    plan_.requeue(entry, now);
  }
}

void Refresher::issuer_came(const Target& first) {
  const UnixSeconds now = context_.clock.now();
  progressed_ = context_.clock.monotonic();
  plan_.reschedule([&](Entry entry, UnixSeconds due) {
    const Target& about = target(entry);
    const bool waits = about.issuer == nullptr && about.issuer_lookup->reference == first.issuer_lookup->reference;
    return waits ? std::min(due, now) : due;
  });
}

// --- starting ---

void Refresher::tick() {
  replan_if_clock_jumped();
  pump();
  report_ended(context_.clock.now());
  report_.tick();
}

// All due certificates wait first, if only for a moment, so that each host gets its turn before one fills every slot.
void Refresher::pump() {
  if (lease_lost_) {
    return;
  }
  const UnixSeconds now = context_.clock.now();
  pump_due(now);
  if (sharing_.has_value()) {
    sharing_->pump();
  }
  while (free_slots() > 0 && resume_ == nullptr) {
    const auto entry =
        plan_.take_permitted(now, context_.clock.monotonic(), per_connection_in_flight_ < most_per_connection());
    if (!entry.has_value()) {
      return;
    }
    if (target(*entry).ended(now)) {
      park(*entry);
    } else if (kept_is_enough(*entry, now)) {
      // The check took a verification, and thousands may follow.
      resume_ = work_queue_.enqueue([this] {
        resume_.reset();
        pump();
      });
    } else {
      start(*entry);
    }
  }
}

// Asks for what is due. What an operator asks for is fetched for the fleet, whatever its store holds.
void Refresher::pump_due(UnixSeconds now) {
  while (const auto due = plan_.take_due(now)) {
    if (target(*due).ended(now)) {
      park(*due);
    } else if (!sharing_.has_value() || record(*due).ask || !sharing_->take(*due)) {
      wait(*due, now);
    }
  }
}

// --- sharing ---

void Refresher::ask(Entry entry) {
  wait(entry, context_.clock.now());
  pump_timer_->arm(0);
}

// A running exchange goes on: its answer is judged on its own.
void Refresher::received(Entry entry) {
  const bool exchanging =
      refreshing(entry) || std::any_of(pending_publish_.begin(), pending_publish_.end(),
                                       [entry](const auto& pending) { return pending.first == entry; });
  if (!exchanging && !record(entry).ask) {  // an operator wants to hear it from the responder
    (void)plan_.remove(entry);
    record(entry).attempt.failures = 0;
    const UnixSeconds now = context_.clock.now();
    const auto held = gate_.stapled(target(entry), now);
    // An old thisUpdate says nothing of today: the responder itself is asked then, in time.
    const RefreshBound bound = bound_of(target(entry), held ? last_asked(record(entry), *held, now) : 0);
    plan_at(entry, held ? refresh_of(*held, now, bound, context_.random.next()) : now);
  }
  pump_timer_->arm(0);
}

std::size_t Refresher::room(Entry entry) const {
  const Exchange::Choice choice = Exchange::choose(health_, target(entry), {}, context_.clock);
  if (choice.permit != ResponderHealth::Permit::kAllowed) {
    return 0;
  }
  return std::min(free_slots(), health_.leases(target(entry).host(choice.responder)));
}

bool Refresher::hopeless(Entry entry) const {
  const Target& about = target(entry);
  for (std::size_t i = 0; i < about.responders.size(); ++i) {
    if (!health_.failing(about.host(i))) {
      return false;
    }
  }
  return true;
}

void Refresher::wait(Entry entry, UnixSeconds now) {
  const Target& about = target(entry);
  const store::Attempt& attempt = record(entry).attempt;
  Plan::Waiting waiting;
  for (std::size_t i = 0; i < about.responders.size(); ++i) {
    waiting.hosts.push_back(about.host(i));
  }
  waiting.ends = gate_.stapled_until(about, now);
  waiting.staple_required = about.staple_required();
  waiting.tried = std::max(attempt.at, attempt.began);
  waiting.unanswered = attempt.began != 0;
  waiting.per_connection = about.per_connection;
  waiting.within = about.refresh;
  record(entry).waits_since = now;
  plan_.wait(entry, std::move(waiting), now);
}

// Looks, before a responder is asked, whether another instance that shares the cache directory has asked. true: its
// response is enough, and the next attempt is planned.
bool Refresher::kept_is_enough(Entry entry, UnixSeconds now) {
  const Target& about = target(entry);
  if (std::exchange(record(entry).ask, false) || disk_cache_ == nullptr || about.issuer == nullptr) {
    return false;
  }
  const auto before = gate_.held(about);
  const UnixSeconds confirmed_before = before ? gate_.confirmed_at(about, *before, now) : 0;
  (void)gate_.admit_kept(about, now);
  const auto held = gate_.stapled(about, now);
  if (!held.has_value()) {
    return false;
  }
  const UnixSeconds confirmed_at = gate_.confirmed_at(about, *held, now);
  const bool status_changed = before.has_value() && held->cert_status != before->cert_status;
  const bool published = !before.has_value() || held->this_update != before->this_update || status_changed;
  const bool doubted = doubtful(about, *held, now);
  // A later confirmation of the same response is no reason to wait if it is doubtful itself.
  const bool news = published || (confirmed_at > confirmed_before && !doubted);
  const std::uint64_t random = context_.random.next();
  // Counts from the responder's confirmation, as if we had asked then; from now if the held response was confirmed.
  const RefreshBound bound = bound_of(about, last_asked(record(entry), *held, now));
  UnixSeconds next = refresh_of(*held, published ? confirmed_at : now, bound, random);
  next = doubted ? soon_checked(next, bound, now, random) : next;
  if (!news || next <= now) {
    return false;
  }
  record(entry).attempt.failures = 0;
  plan_at(entry, next);
  if (sharing_.has_value()) {
    sharing_->release(entry);
  }
  report_.kept_used(about, *held, published, status_changed, confirmed_at, next);
  return true;
}

void Refresher::look_for_missing(bool loud) {
  if (disk_cache_ != nullptr) {
    next_missing_ = 0;
    loud_ = loud;
    search_ = work_queue_.enqueue([this] { look_for_next_missing(); });
  }
}

void Refresher::look_for_next_missing() {
  const UnixSeconds now = context_.clock.now();
  bool found = false;
  for (std::size_t looks = 0; !found && looks < kLooksPerTurn && next_missing_ < roster_.end(); ++looks) {
    const Entry entry = next_missing_++;
    const Record* const record = roster_.find(entry);
    if (record == nullptr || record->target.issuer == nullptr || record->target.ended(now) ||
        gate_.stapled(record->target, now).has_value()) {
      continue;
    }
    found = true;
    if (gate_.admit_kept(record->target, now, loud_ ? &report_ : nullptr) == Reason::kZoneBusy) {
      --next_missing_;
    } else if (gate_.stapled(record->target, now).has_value() && plan_.queued(entry)) {
      plan_.remove(entry);
      plan_at(entry, due_by_held(*record, now));
    }
  }
  search_ = next_missing_ < roster_.end() ? work_queue_.enqueue([this] { look_for_next_missing(); }) : nullptr;
}

void Refresher::start(Entry entry) {
  if (target(entry).issuer == nullptr) {
    const UnixSeconds now = context_.clock.now();
    const Target& about = target(entry);
    (void)next_issuer_probe(about, need_for(gate_.stapled_until(about, now), about.staple_required(), now), now);
  }
  ++in_flight_;
  per_connection_in_flight_ += target(entry).per_connection ? 1 : 0;
  store::record(context_.zone, store::Number::kInFlight, static_cast<std::int64_t>(in_flight_));
  const ExchangeServices services = {context_.clock, context_.random,   transport_, tls_,     health_,
                                     work_queue_,    context_.settings, {},         issuers_, &methods_,
                                     &gate_};
  Record& about = record(entry);
  about.started = context_.clock.monotonic();
  about.attempt.began = context_.clock.now();
  about.asked = about.attempt.began;
  store::record_attempt(context_.zone, entry, about.attempt);
  note_progress(about);
  if (sharing_.has_value()) {
    sharing_->asking(entry);
  }
  tell_if_late(about);
  const bool again = about.past_caches == 0 || about.started - about.past_caches >= about.target.refresh * 1000;
  about.exchange =
      std::make_unique<Exchange>(services, about.target, validators(entry), again ? about.target.refresh : 0,
                                 [this, entry](Exchange::End end) { exchange_ended(entry, std::move(end)); });
  hang_timer_->arm(ResponderHealth::kHangs);  // then its host may be asked for other certificates as well
}

// A host that has too many certificates for their bound, or for the exchanges that may run, is told of once.
void Refresher::tell_if_late(const Record& record) {
  const Seconds waited = saturating_sub(record.asked, record.waits_since);
  if (record.target.refresh == 0 || waited < record.target.refresh || record.attempt.failures != 0) {
    return;
  }
  const std::size_t responder = Exchange::choose(health_, record.target, {}, context_.clock).responder;
  if (health_.falls_behind(record.target.host(responder), record.waits_since)) {
    report_.falls_behind(record.target, responder, waited);
  }
}

// Notes progress, for which the start helper waits.
void Refresher::note_progress(const Record& record) {
  if (record.attempt.at == 0) {
    progressed_ = context_.clock.monotonic();
  }
}

// --- answers ---

// Returns the held response's validators, if it can be stapled; none in the last quarter of its validity, or a cache
// that says "not modified" for too long would lead us to its end.
std::optional<Exchange::HeldValidators> Refresher::validators(Entry entry) const {
  const Exchange::HeldValidators* known = record(entry).validators.get();
  const UnixSeconds now = context_.clock.now();
  const auto held = gate_.stapled(target(entry), now);
  if (known == nullptr || !held.has_value() || !known->belong_to(*held) ||
      saturating_sub(held->expires, now) <= saturating_sub(held->expires, held->this_update) / 4) {
    return std::nullopt;
  }
  return *known;
}

void Refresher::exchange_over(Entry entry) {
  --in_flight_;
  per_connection_in_flight_ -= target(entry).per_connection ? 1 : 0;
  store::record(context_.zone, store::Number::kInFlight, static_cast<std::int64_t>(in_flight_));
}

void Refresher::exchange_ended(Entry entry, Exchange::End end) {
  Record& about = record(entry);
  about.exchange.reset();
  about.attempt.began = 0;
  note_progress(about);
  exchange_over(entry);
  const UnixSeconds now = context_.clock.now();
  about.past_caches = end.past_caches ? about.started : about.past_caches;
  for (const std::string& host : end.hosts) {
    plan_.plan_probe_of(host, now);
  }
  store::count_duration(context_.zone, context_.clock.monotonic() - about.started);
  compare_clocks(about.target, end, now);
  if (!end.result) {
    failed(entry, end.result.error().responder, end.result.error().error);
  } else if (!settle(entry, *end.result)) {
    pending_publish_.emplace_back(entry, std::move(*end.result));
    publish_timer_->arm(kPublishInterval);
  }
  pump_timer_->arm(0);
}

void Refresher::compare_clocks(const Target& target, const Exchange::End& end, UnixSeconds now) {
  const auto date = end.result ? end.result->response.http.head.time() : end.result.error().error.date;
  if (date.has_value()) {
    const Seconds apart = saturating_sub(*date, now);
    clock_watch_.compared(apart);
    report_.compare_clocks(target, end.result ? end.result->responder : end.result.error().responder, *date, now);
    store::record(context_.zone, store::Number::kClockSkew, apart);
    store::record(context_.zone, store::Number::kClockComparedAt, now);
  }
}

// Publishes the response; after "not modified" confirms the held one, which stays.
Admission Refresher::commit(Entry entry, const Exchange::Accepted& accepted) {
  const UnixSeconds now = context_.clock.now();
  if (accepted.verified.has_value()) {
    return gate_.commit(target(entry), *accepted.verified, now);
  }
  Admission admission;
  admission.action = Action::kKeep;
  if (const auto held = gate_.held(target(entry))) {
    crypto::Verdict& verdict = admission.verdict;
    verdict.cert_status = static_cast<crypto::CertStatus>(held->cert_status);
    verdict.reason = verdict.cert_status == crypto::CertStatus::kRevoked ? Reason::kRevoked : Reason::kOk;
    verdict.this_update = held->this_update;
    verdict.next_update = held->next_update;
    verdict.expires = held->expires;
    gate_.confirm(target(entry), *held, {store::Source::kNetwork, confirmed_at(accepted.response.http.head, now)},
                  now);
  }
  return admission;
}

// Ends a successful exchange. false: the zone was busy, and nothing was done.
bool Refresher::settle(Entry entry, const Exchange::Accepted& accepted) {
  const Admission admission = commit(entry, accepted);
  net::Fetch::Failure failure;
  failure.reason = admission.action == Action::kRefuse ? admission.verdict.reason : admission.stored;
  switch (failure.reason) {
    case Reason::kOk:
      succeeded(entry, accepted, admission);
      return true;
    case Reason::kZoneBusy:
      return false;
    case Reason::kLeaseLost:
      lease_lost_ = true;
      return true;
    case Reason::kZoneFull:
      failure.detail = "enlarge ocsp_plus_zone";
      break;
    case Reason::kExpired:
      failure.detail = "it ended while the zone was busy";
      break;
    default:
      failure.detail = "a newer configuration has taken the entry over";
  }
  failed(entry, accepted.responder, failure);
  return true;
}

// Retries in order, up to the first that finds the zone still busy.
void Refresher::retry_publish() {
  while (!lease_lost_ && !pending_publish_.empty() &&
         settle(pending_publish_.front().first, pending_publish_.front().second)) {
    pending_publish_.pop_front();
  }
  if (!lease_lost_ && !pending_publish_.empty()) {
    publish_timer_->arm(kPublishInterval);
  }
  pump_timer_->arm(0);
}

// Records what success and failure have in common.
void Refresher::note(Record& record, Reason reason, std::size_t responder, UnixSeconds now) {
  store::Attempt& attempt = record.attempt;
  attempt.at = now;
  attempt.responder = static_cast<std::uint32_t>(responder);
  attempt.reason = reason;
}

void Refresher::succeeded(Entry entry, const Exchange::Accepted& accepted, const Admission& admission) {
  const UnixSeconds now = context_.clock.now();
  const Target& about = target(entry);
  note(record(entry), admission.action == Action::kKeep ? Reason::kNotNewer : admission.verdict.reason,
       accepted.responder, now);
  store::Attempt& attempt = record(entry).attempt;
  attempt.succeeded_at = now;
  attempt.failures = 0;
  // A registration may have removed it at this very moment.
  const auto held = gate_.stapled(about, now);
  if (accepted.verified.has_value()) {
    const Exchange::HeldValidators fresh = {accepted.responder, accepted.response.validators,
                                            admission.verdict.this_update, admission.verdict.produced_at};
    const bool useful = held.has_value() && fresh.belong_to(*held) && !fresh.validators.empty();
    record(entry).validators = useful ? std::make_unique<Exchange::HeldValidators>(fresh) : nullptr;
  }
  const UnixSeconds next = held.has_value()
                               ? refresh_of(*held, now, bound_of(about, record(entry).asked), context_.random.next(),
                                            fresh_until(accepted.response.http.head, now))
                               : saturating_add(now, context_.settings.retry.min);
  plan_at(entry, next);
  if (sharing_.has_value()) {
    if (admission.action == Action::kPublish) {
      sharing_->fetched(entry);
    } else {
      sharing_->settled(entry, next, false);
    }
  }
  store::record_detail(context_.zone, entry, {});
  store::count(context_.zone, store::Counter::kExchangesOk);
  report_.verified(about, accepted.responder, admission, next, accepted.response.took);
}

void Refresher::failed(Entry entry, std::size_t responder, const net::Fetch::Failure& error) {
  const UnixSeconds now = context_.clock.now();
  const Target& about = target(entry);
  note(record(entry), error.reason, responder, now);
  store::Attempt& attempt = record(entry).attempt;
  attempt.failures = std::min<std::uint32_t>(attempt.failures + 1, 1000000);
  const UnixSeconds expires = gate_.stapled_until(about, now);
  if (Exchange::choose(health_, about, {}, context_.clock).permit == ResponderHealth::Permit::kFailing) {
    wait(entry, now);  // goes as soon as one of its hosts answers any exchange
    attempt.next = std::max(next_probe(about), saturating_add(now, 1));
    store::record_attempt(context_.zone, entry, attempt);
  } else {
    plan_at(entry, next_attempt(entry, responder, error, now));
  }
  if (sharing_.has_value()) {
    sharing_->settled(entry, attempt.next, true);
  }
  store::record_detail(context_.zone, entry, error.detail);
  store::count_failure(context_.zone, error.reason);
  store::count(context_.zone, store::Counter::kExchangesFailed);
  report_.failed(about, responder, error, expires, attempt.next, attempt.failures);
}

// Returns when to ask again after a failure, if a host can be asked.
UnixSeconds Refresher::next_attempt(Entry entry, std::size_t responder, const net::Fetch::Failure& error,
                                    UnixSeconds now) {
  const Target& about = target(entry);
  Failure failure;
  failure.failures = record(entry).attempt.failures;
  failure.within = about.refresh;
  failure.retry_after = error.retry_after;
  if (may_pass(error.reason, error.status)) {
    failure.need = need_for(gate_.stapled_until(about, now), about.staple_required(), now);
  }
  failure.newly_issued = is_newly_issued(error.reason, about.certificate.not_before, now);
  if (failure.need == Need::kNone && responder < about.responders.size()) {
    failure.refusals = health_.consecutive_refusals(about.host(responder));
  }
  // A held response that is not yet valid by a clock that was set back will be stapled again: its end counts.
  const auto held = gate_.held(about);
  const UnixSeconds next =
      next_try(now, failure, held.has_value() ? held->expires : 0, context_.settings.retry, context_.random.next());
  if (responder == Exchange::kNoResponder && failure.need != Need::kNone) {
    return std::max(next, next_issuer_probe(about, failure.need, now));  // sooner would be in vain
  }
  return next;
}

// Returns the earliest probe of the hosts that have the target's issuer, brought forward as the need allows; `now` if
// one of them does not fail. Certificates do not wait for these hosts: each comes by its own plan.
UnixSeconds Refresher::next_issuer_probe(const Target& target, Need needed, UnixSeconds now) {
  UnixSeconds next = kNever;
  for (const auto& url : target.issuer_lookup->urls) {
    const std::string host = target.host(*url);
    health_.bring_probe_forward(host, needed);
    next = std::min(next, health_.failing(host) ? health_.next_probe(host) : now);
  }
  return next;
}

UnixSeconds Refresher::next_probe(const Target& target) const {
  UnixSeconds next = kNever;
  for (std::size_t i = 0; i < target.responders.size(); ++i) {
    next = std::min(next, health_.next_probe(target.host(i)));
  }
  return next;
}

}  // namespace ocsp_plus::engine
