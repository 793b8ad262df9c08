#include "engine/refresher.h"

#include <algorithm>

#include "engine/freshness.h"
#include "store/shared_stats.h"

namespace ocsp_plus::engine {
namespace {

constexpr Millis kPublishInterval = 20;    // until the zone's lock is free
constexpr Seconds kJump = 2;               // the wall clock moved this much more or less than the monotonic one
constexpr Seconds kNewborn = 3600;         // CAs may take a while until they answer for a new certificate
constexpr Millis kClockDoubted = 300000;   // without a responder to compare it with
constexpr std::size_t kLooksATurn = 4096;  // at entries of the zone
constexpr std::uint64_t kFreshStarts = 3;  // an hour, after jumps of the clock

// Half of what is left until `ends`, at least a second from now.
UnixSeconds halfway(UnixSeconds now, UnixSeconds ends) {
  return saturating_add(now, std::max<Seconds>(saturating_sub(ends, now) / 2, 1));
}

}  // namespace

Refresher::Refresher(const Environment& environment, bool new_configuration)
    : environment_(environment),
      report_(environment.report),
      health_(environment.settings.concurrency),
      methods_(environment.zone),
      fresh_starts_(kFreshStarts, RateLimit::kHour),
      new_configuration_(new_configuration),
      items_(environment.catalog.targets().size()),
      pump_timer_(environment.loop.timer([this] { pump(); })),
      publish_timer_(environment.loop.timer([this] { retry_publish(); })),
      hang_timer_(environment.loop.timer([this] { pump(); })),
      last_wall_(environment.clock.now()),
      last_monotonic_(environment.clock.monotonic()),
      clock_doubted_since_(last_monotonic_) {
  environment_.zone.header().fetches.in_flight.store(0, std::memory_order_relaxed);  // the previous holder's are gone
  load();
}

Refresher::~Refresher() = default;

// --- planning ---

void Refresher::load() {
  const UnixSeconds now = environment_.clock.now();
  for (const auto& each : environment_.catalog.targets()) {
    targets_.push_back(each.get());
  }
  for (Index index = 0; index < items_.size(); ++index) {
    if (target(index).stapleable()) {
      item(index).attempt = environment_.zone.attempt(target(index).entry);
      enqueue(index, first_due(index, new_configuration_, now));
    }
  }
}

Refresher::Index Refresher::add(const Target& target) {
  Index index = static_cast<Index>(items_.size());
  if (free_.empty()) {
    free_.reserve(items_.size() + 1);  // so that remove() needs no memory
    targets_.reserve(items_.size() + 1);
    items_.emplace_back();
    targets_.push_back(&target);
  } else {
    index = free_.back();
    free_.pop_back();
    targets_[index] = &target;
  }
  if (target.stapleable()) {
    item(index).attempt = environment_.zone.attempt(target.entry);
    enqueue(index, first_due(index, false, environment_.clock.now()));
    pump_timer_->arm(0);
  }
  return index;
}

void Refresher::remove(Index index) {
  queue_.erase({item(index).due, index});
  stop_waiting(index);
  pending_publish_.erase(std::remove_if(pending_publish_.begin(), pending_publish_.end(),
                                        [index](const auto& offer) { return offer.first == index; }),
                         pending_publish_.end());
  if (item(index).exchange != nullptr) {
    item(index).exchange.reset();
    exchange_over(index);
    pump_timer_->arm(0);
  }
  report_.forget(target(index).certificate.id);
  item(index) = Item();
  targets_[index] = nullptr;
  free_.push_back(index);
}

UnixSeconds Refresher::first_due(Index index, bool new_configuration, UnixSeconds now) {
  store::Attempt& attempt = item(index).attempt;
  if (attempt.failures == 0 && attempt.next == 0) {
    const UnixSeconds due = plan(index, now);
    if (due > now) {
      attempt.next = due;  // so that the next holder does not draw again
      environment_.zone.set_attempt(target(index).entry, attempt);
    }
    return due;
  }
  const UnixSeconds latest = latest_due(index, now);
  // What stands in the zone may be nonsense, or from before a jump of the clock: it may not delay beyond a bound.
  if (attempt.failures == 0) {
    return std::min(attempt.next, latest);
  }
  if (new_configuration || attempt.next == 0) {
    return now;
  }
  return std::min(attempt.next, latest > now ? latest : saturating_add(now, environment_.settings.retry.max));
}

// By what is held alone.
UnixSeconds Refresher::plan(Index index, UnixSeconds now) {
  const auto held = environment_.gate.stapled(target(index), now);
  if (!held.has_value()) {
    return now;
  }
  const std::uint64_t random = environment_.random.next();
  if (doubtful(target(index), *held, now)) {
    return next_check(now, random);
  }
  return next_look(now, {held->this_update, held->expires}, held->id, std::nullopt, environment_.settings.retry,
                   random);
}

UnixSeconds Refresher::latest_due(Index index, UnixSeconds now) const {
  const auto held = environment_.gate.stapled(target(index), now);
  if (!held.has_value()) {
    return now;
  }
  return next_look(now, {held->this_update, held->expires}, held->id, std::nullopt, environment_.settings.retry,
                   kLatest);
}

// It came from the cache directory, and may have been revoked since the responder confirmed it. Where the directory
// cannot be written to, a revocation could not be noted there either, however young the file is.
bool Refresher::doubtful(const Target& target, const store::BlobHeader& held, UnixSeconds now) const {
  return held.source == store::Source::kCache && environment_.disk_cache != nullptr &&
         (saturating_sub(now, environment_.gate.confirmed_at(target, held, now)) > kBelievedFor ||
          !environment_.disk_cache->writable());
}

UnixSeconds Refresher::valid_until(const Target& target, UnixSeconds now) const {
  const auto held = environment_.gate.stapled(target, now);
  return held.has_value() ? held->expires : 0;
}

Need Refresher::need(const Target& target, UnixSeconds held_until, UnixSeconds now) const {
  return held_until > now ? Need::kNone : target.staple_required() ? Need::kRequiredStaple : Need::kStaple;
}

void Refresher::replan_if_clock_jumped() {
  const UnixSeconds now = environment_.clock.now();
  const Millis monotonic = environment_.clock.monotonic();
  const Seconds jump = saturating_sub(saturating_sub(now, last_wall_), (monotonic - last_monotonic_) / 1000);
  last_wall_ = now;
  last_monotonic_ = monotonic;
  if (jump <= kJump && jump >= -kJump) {
    return;
  }
  report_.clock_jumped(jump);
  ++jumps_;
  store::record_clock_jump(environment_.zone, monotonic);
  clock_confirmed_ = false;
  clock_doubted_since_ = monotonic;
  if (fresh_starts_.permits(monotonic)) {
    health_.forget_probe_times();
    replan(std::nullopt);
  } else {
    // A clock that goes to and fro must not have those that fail asked for each time.
    health_.shift_probe_times(jump);
    replan(jump);
  }
  look_for_missing(false);
}

void Refresher::plan_what_was_kept() {
  const UnixSeconds now = environment_.clock.now();
  Queue queue;
  for (const auto& [due, index] : queue_) {
    item(index).due = first_due(index, new_configuration_, now);
    queue.emplace(item(index).due, index);
  }
  queue_.swap(queue);
}

// All that does not run. `shift`: what fails stays as far away as it was.
void Refresher::replan(std::optional<Seconds> shift) {
  const UnixSeconds now = environment_.clock.now();
  std::set<Index> idle;
  for (const auto& [due, index] : queue_) {
    idle.insert(index);
  }
  for (const auto& [host, waiting] : waiting_) {
    for (const auto& [ends, index] : waiting) {
      idle.insert(index);
    }
  }
  queue_.clear();
  waiting_.clear();
  ended_ = 0;
  for (const Index index : idle) {
    store::Attempt& attempt = item(index).attempt;
    const bool fails = shift.has_value() && attempt.failures > 0 && attempt.next != 0;
    attempt.next = fails ? std::clamp(saturating_add(attempt.next, *shift), now,
                                      saturating_add(now, environment_.settings.retry.max))
                         : plan(index, now);
    environment_.zone.set_attempt(target(index).entry, attempt);
    enqueue(index, attempt.next);
  }
}

// Nobody is asked for a certificate that has ended. A jump of the clock brings it back.
void Refresher::park(Index index) {
  if (!target(index).loaded && ended_++ == 0) {
    first_ended_ = index;
  }
  enqueue(index, kNever);
}

// A clock that is wrong makes certificates look as if they had ended.
void Refresher::report_ended(UnixSeconds now) {
  if (ended_ == 0 || (!clock_confirmed_ && environment_.clock.monotonic() - clock_doubted_since_ < kClockDoubted)) {
    return;
  }
  report_.certificates_ended(target(first_ended_), ended_, now);
  ended_ = 0;
}

void Refresher::refresh_all() {
  health_.forget_probe_times();
  const UnixSeconds now = environment_.clock.now();
  Queue due;
  for (const auto& [was, index] : queue_) {
    item(index).ask = true;
    item(index).due = now;
    due.emplace(now, index);
  }
  queue_.swap(due);
}

void Refresher::refresh(Index index) {
  const UnixSeconds now = environment_.clock.now();
  for (std::size_t i = 0; i < target(index).responders.size(); ++i) {
    health_.bring_probe_forward(target(index).host(i), now);
  }
  item(index).ask = true;
  if (queue_.erase({item(index).due, index}) != 0) {
    enqueue(index, now);
  }
}

void Refresher::response_lost(Index index) {
  const UnixSeconds now = environment_.clock.now();
  if (!target(index).ended(now) && queue_.erase({item(index).due, index}) != 0) {
    enqueue(index, now);
  }
}

void Refresher::issuer_came(const Target& first) {
  const UnixSeconds now = environment_.clock.now();
  progressed_ = environment_.clock.monotonic();
  Queue queue;
  for (const auto& [due, index] : queue_) {
    const Target& about = target(index);
    const bool waits = about.issuer == nullptr && about.issuer_lookup->reference == first.issuer_lookup->reference;
    item(index).due = waits ? std::min(due, now) : due;
    queue.emplace(item(index).due, index);
  }
  queue_.swap(queue);
}

// --- starting ---

void Refresher::tick() {
  replan_if_clock_jumped();
  pump();
  report_ended(environment_.clock.now());
  report_.tick();
}

// Everything that is due waits first, if only for a moment: so a host whose turn it is goes before those that could
// fill every slot.
void Refresher::pump() {
  if (lease_lost_) {
    return;
  }
  const UnixSeconds now = environment_.clock.now();
  while (!queue_.empty() && queue_.begin()->first <= now) {
    const Index index = queue_.begin()->second;
    queue_.erase(queue_.begin());
    if (target(index).ended(now)) {
      park(index);
    } else {
      wait(index, now);
    }
  }
  start_waiting(now);
}

// For every host that it might ask: the first that permits gets it.
void Refresher::wait(Index index, UnixSeconds now) {
  item(index).ends = valid_until(target(index), now);
  for (std::size_t i = 0; i < target(index).responders.size(); ++i) {
    const std::string host = target(index).host(i);
    waiting_[host].emplace(item(index).ends, index);
    if (health_.failing(host)) {
      health_.bring_probe_forward(host, need(target(index), item(index).ends, now));
    }
    probe_in_time(host, now);
  }
}

void Refresher::stop_waiting(Index index) {
  for (std::size_t i = 0; i < target(index).responders.size(); ++i) {
    const auto found = waiting_.find(target(index).host(i));
    if (found == waiting_.end()) {
      continue;  // two URLs of one host
    }
    found->second.erase({item(index).ends, index});
    if (found->second.empty()) {
      waiting_.erase(found);
    }
  }
}

void Refresher::start_waiting(UnixSeconds now) {
  // One for each host in turn, until nobody may go any more: a host with thousands of certificates does not push
  // the others aside.
  bool started = true;
  while (started && slot_free() && resume_ == nullptr) {
    started = false;
    std::vector<std::string> order;
    order.reserve(waiting_.size());
    for (auto it = waiting_.upper_bound(turn_); it != waiting_.end(); ++it) {
      order.push_back(it->first);
    }
    for (auto it = waiting_.begin(); it != waiting_.end() && it->first <= turn_; ++it) {
      order.push_back(it->first);
    }
    for (const std::string& host : order) {
      if (slot_free() && resume_ == nullptr && start_one_waiting_for(host, now)) {
        started = true;
        turn_ = host;
      }
    }
  }
}

// Whom the host is asked for first: the certificate whose response ends first. A host that fails, or has not answered
// this process yet, may choke on a single certificate.
Refresher::Queue::const_iterator Refresher::choose_waiting(const std::string& host, const Queue& waiting) const {
  if (health_.failing(host)) {
    // The one that was not tried for longest.
    const auto tried = [this](const auto& each) {
      const store::Attempt& attempt = items_[each.second].attempt;
      return std::max(attempt.at, attempt.began);
    };
    return std::min_element(waiting.begin(), waiting.end(),
                            [&](const auto& a, const auto& b) { return tried(a) < tried(b); });
  }
  if (health_.answers(host)) {
    return waiting.begin();
  }
  // Where the process before us was left without an answer, that is not asked for first again. They are few.
  const auto chosen = std::find_if(waiting.begin(), waiting.end(),
                                   [this](const auto& each) { return items_[each.second].attempt.began == 0; });
  return chosen != waiting.end() ? chosen : waiting.begin();
}

bool Refresher::start_one_waiting_for(const std::string& host, UnixSeconds now) {
  const auto found = waiting_.find(host);
  // Empty where memory ran out before the first was in it.
  if (found == waiting_.end() || found->second.empty() ||
      health_.may_start(host, now, environment_.clock.monotonic()) != ResponderHealth::Permit::kAllowed) {
    return false;
  }
  const auto chosen = choose_waiting(host, found->second);
  // Their hosts are counted apart, so all of this one's are.
  if (target(chosen->second).loaded && loaded_in_flight_ >= most_loaded()) {
    return false;
  }
  const Index index = chosen->second;
  stop_waiting(index);
  if (target(index).ended(now)) {
    park(index);
  } else if (kept_is_enough(index, now)) {
    // It took a verification, and there may be thousands of them.
    resume_ = environment_.work_queue.enqueue([this] {
      resume_.reset();
      pump();
    });
  } else {
    start(index);
  }
  return true;
}

// Before a responder is asked: another instance that shares the cache directory may have asked since. True: what it
// got goes, and the next look is planned.
bool Refresher::kept_is_enough(Index index, UnixSeconds now) {
  const Target& about = target(index);
  if (std::exchange(item(index).ask, false) || environment_.disk_cache == nullptr || about.issuer == nullptr) {
    return false;
  }
  const auto before = environment_.gate.held(about);
  const UnixSeconds confirmed_before = before ? environment_.gate.confirmed_at(about, *before, now) : 0;
  (void)environment_.gate.admit_kept(about, now);
  const auto held = environment_.gate.stapled(about, now);
  if (!held.has_value()) {
    return false;
  }
  const UnixSeconds confirmed_at = environment_.gate.confirmed_at(about, *held, now);
  const bool published =
      !before.has_value() || held->this_update != before->this_update || held->cert_status != before->cert_status;
  const bool doubted = doubtful(about, *held, now);
  // Of what is held, a confirmation that is not to be believed any more is no reason to put off the question again.
  const bool news = published || (confirmed_at > confirmed_before && !doubted);
  const std::uint64_t random = environment_.random.next();
  // As if it had been asked for when the responder gave it, or just now where it is the one that was held.
  const UnixSeconds next = doubted
                               ? next_check(now, random)
                               : next_look(published ? confirmed_at : now, {held->this_update, held->expires},
                                           about.certificate.id, std::nullopt, environment_.settings.retry, random);
  if (!news || next <= now) {
    return false;
  }
  store::Attempt& attempt = item(index).attempt;
  attempt.failures = 0;
  attempt.next = next;
  environment_.zone.set_attempt(about.entry, attempt);
  report_.kept_used(about, *held, published, confirmed_at, next);
  enqueue(index, next);
  return true;
}

void Refresher::look_for_missing(bool loud) {
  if (environment_.disk_cache != nullptr) {
    next_missing_ = 0;
    loud_ = loud;
    search_ = environment_.work_queue.enqueue([this] { look_for_next_missing(); });
  }
}

void Refresher::look_for_next_missing() {
  const UnixSeconds now = environment_.clock.now();
  bool found = false;
  for (std::size_t looks = 0; !found && looks < kLooksATurn && next_missing_ < items_.size(); ++looks) {
    const Index index = next_missing_++;
    const Target* about = targets_[index];
    if (about == nullptr || about->issuer == nullptr || about->ended(now) ||
        environment_.gate.stapled(*about, now).has_value()) {
      continue;
    }
    found = true;
    if (environment_.gate.admit_kept(*about, now, loud_ ? &report_ : nullptr) == Reason::kZoneBusy) {
      --next_missing_;
      continue;
    }
    if (environment_.gate.stapled(*about, now).has_value() && queue_.erase({item(index).due, index}) != 0) {
      store::Attempt& attempt = item(index).attempt;
      attempt.next = plan(index, now);
      environment_.zone.set_attempt(about->entry, attempt);
      enqueue(index, attempt.next);
    }
  }
  search_ =
      next_missing_ < items_.size() ? environment_.work_queue.enqueue([this] { look_for_next_missing(); }) : nullptr;
}

void Refresher::start(Index index) {
  if (target(index).issuer == nullptr) {
    const UnixSeconds now = environment_.clock.now();
    (void)next_issuer_probe(target(index), need(target(index), valid_until(target(index), now), now), now);
  }
  ++in_flight_;
  loaded_in_flight_ += target(index).loaded ? 1 : 0;
  environment_.zone.header().fetches.in_flight.store(in_flight_, std::memory_order_relaxed);
  const ExchangeContext context = {environment_.clock,
                                   environment_.random,
                                   environment_.transport,
                                   environment_.tls,
                                   health_,
                                   environment_.work_queue,
                                   environment_.settings,
                                   {},
                                   environment_.issuers,
                                   &methods_,
                                   &environment_.gate};
  item(index).started = environment_.clock.monotonic();
  item(index).attempt.began = environment_.clock.now();
  environment_.zone.set_attempt(target(index).entry, item(index).attempt);
  note_progress(index);
  item(index).exchange =
      std::make_unique<Exchange>(context, target(index), validators(index),
                                 [this, index](Exchange::End end) { exchange_ended(index, std::move(end)); });
  hang_timer_->arm(ResponderHealth::kHangs);  // then its host may be asked for others as well
}

// For a start that waits.
void Refresher::note_progress(Index index) {
  if (item(index).attempt.at == 0) {
    progressed_ = environment_.clock.monotonic();
  }
}

// --- answers ---

// Of what is held, if it can be stapled. Not in the last quarter of its time: a cache that says "not modified" for
// too long must not lead us to the end.
std::optional<Exchange::HeldValidators> Refresher::validators(Index index) const {
  const Exchange::HeldValidators* known = items_[index].validators.get();
  const UnixSeconds now = environment_.clock.now();
  const auto held = environment_.gate.stapled(target(index), now);
  if (known == nullptr || !held.has_value() || !known->belong_to(*held) ||
      saturating_sub(held->expires, now) <= saturating_sub(held->expires, held->this_update) / 4) {
    return std::nullopt;
  }
  return *known;
}

void Refresher::exchange_over(Index index) {
  --in_flight_;
  loaded_in_flight_ -= target(index).loaded ? 1 : 0;
  environment_.zone.header().fetches.in_flight.store(in_flight_, std::memory_order_relaxed);
}

void Refresher::exchange_ended(Index index, Exchange::End end) {
  item(index).exchange.reset();
  item(index).attempt.began = 0;
  note_progress(index);
  exchange_over(index);
  const UnixSeconds now = environment_.clock.now();
  for (const std::string& host : end.hosts) {
    if (health_.failing(host)) {
      health_.bring_probe_forward(host, most_urgent_waiting(host, now));
    }
    probe_in_time(host, now);
  }
  store::record_exchange(environment_.zone, environment_.clock.monotonic() - item(index).started);
  const auto date = end.result ? end.result->response.http.head.time() : end.result.error().error.date;
  if (date.has_value()) {
    report_.compare_clocks(target(index), end.result ? end.result->responder : end.result.error().responder, *date,
                           now);
    const Seconds apart = saturating_sub(*date, now);
    clock_confirmed_ = clock_confirmed_ || (apart <= kClocksDiffer && apart >= -kClocksDiffer);
    store::record_clock_skew(environment_.zone, apart, now);
  }
  if (!end.result) {
    failed(index, end.result.error().responder, end.result.error().error);
  } else if (!settle(index, *end.result)) {
    pending_publish_.emplace_back(index, std::move(*end.result));
    publish_timer_->arm(kPublishInterval);
  }
  pump_timer_->arm(0);
}

// Whoever needs it most among those who wait for a host.
Need Refresher::most_urgent_waiting(const std::string& host, UnixSeconds now) const {
  Need most = Need::kNone;
  const auto found = waiting_.find(host);
  if (found == waiting_.end()) {
    return most;
  }
  // Those of which nothing is held any more come first.
  for (auto it = found->second.begin();
       it != found->second.end() && it->first <= now && most != Need::kRequiredStaple; ++it) {
    most = std::max(most, need(target(it->second), it->first, now));
  }
  return most;
}

// Among those who wait for a failing host may be one whose response ends before the host's next probe.
void Refresher::probe_in_time(const std::string& host, UnixSeconds now) {
  const auto found = waiting_.find(host);
  if (found == waiting_.end() || !health_.failing(host)) {
    return;
  }
  const auto soonest = found->second.upper_bound({now, UINT32_MAX});
  if (soonest != found->second.end()) {
    health_.bring_probe_forward(host, halfway(now, soonest->first));
  }
}

// "Not modified": what is held goes on, and nothing enters the zone.
Admission Refresher::commit(Index index, const Exchange::Accepted& accepted) {
  const UnixSeconds now = environment_.clock.now();
  if (accepted.verified.has_value()) {
    return environment_.gate.commit(target(index), *accepted.verified, now);
  }
  Admission admission;
  admission.action = Action::kKeep;
  if (const auto held = environment_.gate.held(target(index))) {
    crypto::Verdict& verdict = admission.verdict;
    verdict.cert_status = static_cast<crypto::CertStatus>(held->cert_status);
    verdict.reason = verdict.cert_status == crypto::CertStatus::kRevoked ? Reason::kRevoked : Reason::kOk;
    verdict.this_update = held->this_update;
    verdict.next_update = held->next_update;
    verdict.expires = held->expires;
    environment_.gate.confirm(target(index), *held,
                              {store::Source::kNetwork, confirmed_at(accepted.response.http.head, now)}, now);
  }
  return admission;
}

// false: the zone was busy, and nothing was done.
bool Refresher::settle(Index index, const Exchange::Accepted& accepted) {
  const Admission admission = commit(index, accepted);
  net::Fetch::Failure failure;
  failure.reason = admission.action == Action::kRefuse ? admission.verdict.reason : admission.stored;
  switch (failure.reason) {
    case Reason::kOk:
      succeeded(index, accepted, admission);
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
  failed(index, accepted.responder, failure);
  return true;
}

// In order, and no further than to the first that finds the zone busy still.
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

// What both outcomes leave behind.
void Refresher::note(Index index, Reason reason, std::size_t responder, UnixSeconds now) {
  store::Attempt& attempt = item(index).attempt;
  attempt.at = now;
  attempt.responder = static_cast<std::uint32_t>(responder);
  attempt.reason = reason;
}

void Refresher::succeeded(Index index, const Exchange::Accepted& accepted, const Admission& admission) {
  const UnixSeconds now = environment_.clock.now();
  const Target& about = target(index);
  note(index, admission.action == Action::kKeep ? Reason::kNotNewer : admission.verdict.reason, accepted.responder,
       now);
  store::Attempt& attempt = item(index).attempt;
  attempt.succeeded_at = now;
  attempt.failures = 0;
  // A registration may have taken it away again this very moment.
  const auto held = environment_.gate.stapled(about, now);
  if (accepted.verified.has_value()) {
    const Exchange::HeldValidators fresh = {accepted.responder, accepted.response.validators,
                                            admission.verdict.this_update, admission.verdict.produced_at};
    const bool useful = held.has_value() && fresh.belong_to(*held) && !fresh.validators.empty();
    item(index).validators = useful ? std::make_unique<Exchange::HeldValidators>(fresh) : nullptr;
  }
  const RetryBounds& bounds = environment_.settings.retry;
  attempt.next = held.has_value()
                     ? next_look(now, {held->this_update, held->expires}, about.certificate.id,
                                 fresh_until(accepted.response.http.head, now), bounds, environment_.random.next())
                     : saturating_add(now, bounds.min);
  environment_.zone.set_attempt(about.entry, attempt);
  environment_.zone.set_detail(about.entry, {});
  environment_.zone.header().fetches.ok.fetch_add(1, std::memory_order_relaxed);
  report_.verified(about, accepted.responder, admission, attempt.next, accepted.response.took);
  enqueue(index, attempt.next);
}

void Refresher::failed(Index index, std::size_t responder, const net::Fetch::Failure& error) {
  const UnixSeconds now = environment_.clock.now();
  const Target& about = target(index);
  note(index, error.reason, responder, now);
  store::Attempt& attempt = item(index).attempt;
  attempt.failures = std::min<std::uint32_t>(attempt.failures + 1, 1000000);
  const UnixSeconds held_until = valid_until(about, now);
  if (Exchange::choose(health_, about, {}, environment_.clock).permit == ResponderHealth::Permit::kFailing) {
    wait(index, now);  // goes as soon as one of its hosts answers anybody
    attempt.next = std::max(next_probe(about), saturating_add(now, 1));
  } else {
    Failure failure;
    failure.failures = attempt.failures;
    failure.retry_after = error.retry_after;
    failure.need = may_pass(error.reason, error.status) ? need(about, held_until, now) : Need::kNone;
    failure.newly_issued =
        error.reason == Reason::kUnauthorized && saturating_sub(now, about.certificate.not_before) < kNewborn;
    if (failure.need == Need::kNone && responder < about.responders.size()) {
      failure.refusals = health_.refuses_everybody(about.host(responder));
    }
    // What lies ahead of a clock that was set back will be stapled again: its end counts as any other's.
    const auto held = environment_.gate.held(about);
    attempt.next = next_try(now, failure, held.has_value() ? held->expires : 0, environment_.settings.retry,
                            environment_.random.next());
    if (responder == Exchange::kNobody && failure.need != Need::kNone) {
      attempt.next = std::max(attempt.next, next_issuer_probe(about, failure.need, now));  // no sooner: in vain
    }
    enqueue(index, attempt.next);
  }
  environment_.zone.set_attempt(about.entry, attempt);
  environment_.zone.set_detail(about.entry, error.detail);
  store::record_failure(environment_.zone, error.reason);
  environment_.zone.header().fetches.failed.fetch_add(1, std::memory_order_relaxed);
  report_.failed(about, responder, error, held_until, attempt.next, attempt.failures);
}

// Of the hosts that have its issuer, as soon as the need allows; `now` where one of them does not fail. Nobody waits
// for these hosts: whoever needs the issuer comes by its own plan.
UnixSeconds Refresher::next_issuer_probe(const Target& target, Need needed, UnixSeconds now) {
  UnixSeconds next = kNever;
  for (const auto& url : target.issuer_lookup->urls) {
    const std::string host = url->host_key() + target.health_suffix;
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
