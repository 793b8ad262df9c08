#include "engine/sharing.h"

#include <algorithm>
#include <utility>

#include "crypto/digest.h"

namespace ocsp_plus::engine {
namespace {

using net::SharedStore;

constexpr Millis kNewsInterval = 10000;
constexpr Millis kNewsSpread = 2000;
constexpr Millis kThrottled = 500;  // doubles with each look in vain, up to kMostThrottled
constexpr Millis kMostThrottled = 2000;
constexpr Millis kLongestThrottled = 60000;  // in all, while the store makes progress for others
// For another node's request, with nothing to staple: doubles from one to the other.
constexpr Millis kShortestWait = 100;
constexpr Millis kLongestWait = 1000;
constexpr Millis kLongestStarved = 30000;  // for room in this node, with nothing to staple
constexpr Millis kForEachWaiting = 2;      // so many looks are spread
constexpr unsigned kMostBegunPerSlot = 4;  // requests that the fleet may begin with a host within two seconds
constexpr unsigned kMostJudged = 3;        // useless responses for a certificate, until it asks on its own
constexpr std::size_t kMostPublishing = 8;
constexpr Millis kZoneBusyPause = 20;
constexpr Millis kSlow = 250;  // an answer of the store that takes longer holds up a node with nothing to staple
// A store may answer with more than can be verified at once. No more looks are sent then, so that memory is bounded.
constexpr std::size_t kMostLooks = 8;      // under way, for all hosts
constexpr std::size_t kMostJudging = 128;  // responses that wait to be verified
// Each answer that is full settles one certificate at least, up to kMostJudged times.
constexpr unsigned kMostPutOff = kMostJudged * SharedStore::kMostItems;
// A tenant's CA could fill the store with responses of certificates that nobody vouches for.
constexpr std::size_t kMostForeignResponse = 8192;

}  // namespace

bool concerns_this_node(Reason reason) {
  return reason == Reason::kUnsupportedHash || reason == Reason::kSha256Only ||
         reason == Reason::kThisUpdateInFuture || reason == Reason::kProducedAtInFuture ||
         reason == Reason::kUnsupportedSignature || reason == Reason::kOutOfMemory;
}

Sharing::Sharing(const Context& context, Report& report, WorkQueue& work_queue, Gate& gate, Roster& roster,
                 SharedStore& store, User& user)
    : context_(context),
      report_(report),
      work_queue_(work_queue),
      gate_(gate),
      roster_(roster),
      store_(store),
      user_(user),
      timer_(context.loop.timer([this] { pump(); })),
      news_timer_(context.loop.timer([this] { read_news(); })),
      verdict_timer_(context.loop.timer([this] { verdict_overdue(); })),
      judge_timer_(context.loop.timer([this] { queue_judging(); })) {
  verdict_timer_->arm(kVerdictWithin);
}

Sharing::~Sharing() = default;

// --- taking and handing back ---

// Without the issuer no response can be verified; the exchange gets it first.
bool Sharing::shares(Entry entry) const {
  return roster_.at(entry).target.issuer != nullptr;
}

bool Sharing::take(Entry entry) {
  const bool may_answer = store_.up() || (store_.state() == SharedStore::State::kConnecting && progressed_ == 0);
  if (!may_answer || !shares(entry)) {
    return false;
  }
  unschedule(entry);
  Item& item = items_[entry];
  item.host = host_of(entry);
  item.order = static_cast<std::uint32_t>(context_.random.next());
  item.taken = context_.clock.monotonic();
  wait(entry, item.taken);  // those that become due together go in one batch
  return true;
}

// The hosts take turns: the first ones must not use up the looks.
void Sharing::pump() {
  if (store_.up()) {
    std::vector<std::string> hosts;
    const auto first = queues_.upper_bound(last_looked_);
    for (auto queue = first; queue != queues_.end(); ++queue) {
      hosts.push_back(queue->first);
    }
    for (auto queue = queues_.begin(); queue != first; ++queue) {
      hosts.push_back(queue->first);
    }
    for (const std::string& host : hosts) {
      look(host);
    }
  }
  arm();
}

// The store itself costs a certificate with nothing to staple too much time: it is slow, or never comes to the point.
bool Sharing::held_up(Entry entry) const {
  const Item& item = items_.at(entry);
  const bool slow = store_.tally().last >= kSlow || item.put_off > 0;
  return slow && !item.host.empty() && context_.clock.monotonic() - item.taken >= context_.settings.timeout &&
         held_until(entry) == 0;
}

bool Sharing::may_look() const {
  return batches_.size() < kMostLooks && judging_.size() < kMostJudging;
}

void Sharing::state_changed(SharedStore::State state) {
  if (progressed_ == 0) {
    progressed_ = context_.clock.monotonic();
  }
  report_.share_state(store_.status(), context_.starting);
  if (state == SharedStore::State::kDown) {
    news_.reset();
    news_timer_->disarm();
    hand_back_all();
    return;
  }
  if (news_ == nullptr) {
    news_timer_->arm(jitter(kNewsSpread));
  }
  publish_some();
  pump();
}

// Several places may be tried, each for as long as ocsp_plus_share allows.
void Sharing::verdict_overdue() {
  if (store_.state() == SharedStore::State::kConnecting) {
    progressed_ = context_.clock.monotonic();
    hand_back_all();
  }
}

// The store is of no use: each asks on its own, as if there were none. Those that are looked for come back with an
// error.
void Sharing::hand_back_all() {
  std::vector<Entry> waiting;
  for (const auto& [host, queue] : queues_) {
    for (const auto* orders : {&queue.due, &queue.starved}) {
      for (const auto& order : *orders) {
        waiting.push_back(order.entry);
      }
    }
  }
  for (const Entry entry : waiting) {
    if (items_.count(entry) != 0) {
      hand_back(entry);
    }
  }
}

void Sharing::hand_back(Entry entry) {
  const bool news = items_.at(entry).host.empty();
  forget(entry);
  if (!news) {
    tally_.alone += leases_.count(entry) == 0 ? 1 : 0;
    user_.ask(entry);
  }
}

void Sharing::forget(Entry entry) {
  unschedule(entry);
  items_.erase(entry);
}

void Sharing::end(Entry entry) {
  forget(entry);
  release(entry);
  drop_pending(entry);
  judging_.erase(std::remove_if(judging_.begin(), judging_.end(),
                                [entry](const Judging& judging) { return judging.entry == entry; }),
                 judging_.end());
}

bool Sharing::has(Entry entry) const {
  const auto item = items_.find(entry);
  return item != items_.end() && !item->second.host.empty();
}

// --- queues ---

void Sharing::wait(Entry entry, Millis due) {
  Item& item = items_.at(entry);
  unschedule(entry);
  item.due = due;
  queues_[item.host].due.insert({item.due, item.order, entry});
  arm_by(due);
}

// Room may be long in coming, if the responder hangs for this node. With nothing to staple it looks for what another
// node may have got meanwhile.
void Sharing::starve(Entry entry) {
  Item& item = items_.at(entry);
  unschedule(entry);
  Queue& queue = queues_[item.host];
  if (held_until(entry) == 0) {
    item.due = context_.clock.monotonic() + spread(kLongestWait, kLongestStarved);
    queue.due.insert({item.due, item.order, entry});
    arm_by(item.due);
  }
  queue.starved.insert({item.due, item.order, entry});
}

void Sharing::unschedule(Entry entry) {
  const auto item = items_.find(entry);
  const auto queue = item == items_.end() ? queues_.end() : queues_.find(item->second.host);
  if (queue == queues_.end()) {
    return;
  }
  const Order order = {item->second.due, item->second.order, entry};
  queue->second.due.erase(order);
  queue->second.starved.erase(order);
}

void Sharing::arm() {
  Millis next = INT64_MAX;
  for (const auto& [host, queue] : queues_) {
    if (!queue.due.empty() && queue.batches < kMostBatches) {
      next = std::min(next, queue.due.begin()->due);
    }
  }
  armed_ = 0;
  if (next != INT64_MAX && may_look()) {
    arm_by(next);
  }
}

void Sharing::arm_by(Millis due) {
  if (store_.up() && (armed_ == 0 || due < armed_)) {
    const Millis now = context_.clock.monotonic();
    armed_ = std::max(due, now);
    timer_->arm(armed_ - now);
  }
}

// --- looking ---

// Leases that make sense now: room for exchanges, less what was granted or is asked for already.
std::size_t Sharing::room(Entry entry, const std::string& host) const {
  std::size_t spoken_for = queues_.at(host).wanted;
  const Millis now = context_.clock.monotonic();
  for (const auto& [leased, granted] : leases_) {
    spoken_for += !granted.asking && now < granted.until && granted.host == host ? 1 : 0;
  }
  const std::size_t room = host.empty() || user_.hopeless(entry) ? 0 : user_.room(entry);
  return room > spoken_for ? room - spoken_for : 0;
}

SharedStore::Item Sharing::question(Entry entry, const Item& item, Millis now) const {
  SharedStore::Item question;
  question.id = roster_.at(entry).target.certificate.id;
  question.known = item.known.has_value() ? item.known : held_digest(entry);
  if (item.waits_since != 0 && held_until(entry) == 0) {
    question.lease = lease_number(now - item.waits_since, context_.random.next());
  }
  question.past_note = item.note_patience != 0 && now >= item.note_patience;
  return question;
}

// They wait for one of their responders, where each of them may be the one that finds it working again. Here nothing
// would wake them: there is no room as long as the host fails.
void Sharing::hand_back_hopeless(const std::string& host) {
  const std::set<Order>& starved = queues_.at(host).starved;
  if (starved.empty() || !user_.hopeless(starved.begin()->entry)) {
    return;
  }
  for (const Order& order : std::set<Order>(starved)) {
    if (user_.hopeless(order.entry)) {
      hand_back(order.entry);
    }
  }
}

void Sharing::look(const std::string& host) {
  hand_back_hopeless(host);
  while (queues_.at(host).batches < kMostBatches && may_look()) {
    Batch batch = gather(host);
    if (batch.entries.empty()) {
      const Queue& queue = queues_.at(host);
      if (queue.due.empty() && queue.starved.empty() && queue.batches == 0) {
        queues_.erase(host);
      }
      return;
    }
    send(std::move(batch));
  }
}

// Takes those that are due from the host's queue, and those that wait for room if there is some.
Sharing::Batch Sharing::gather(const std::string& host) {
  const Millis now = context_.clock.monotonic();
  Queue& queue = queues_.at(host);
  Batch batch;
  batch.host = host;
  const auto take_first = [&](const std::set<Order>& orders) {
    const Entry entry = orders.begin()->entry;
    if (held_up(entry)) {
      return hand_back(entry);
    }
    unschedule(entry);
    batch.entries.push_back(entry);
    batch.ids.push_back(roster_.at(entry).target.certificate.id);
  };
  while (!queue.due.empty() && queue.due.begin()->due <= now && batch.entries.size() < SharedStore::kMostItems) {
    take_first(queue.due);
  }
  if (!batch.entries.empty()) {
    batch.leases = room(batch.entries.front(), host);
  } else if (!queue.starved.empty()) {
    batch.leases = room(queue.starved.begin()->entry, host);
  }
  while (batch.leases > 0 && !queue.starved.empty() && batch.entries.size() < SharedStore::kMostItems) {
    take_first(queue.starved);
  }
  return batch;
}

void Sharing::send(Batch batch) {
  const Millis now = context_.clock.monotonic();
  SharedStore::Wanted wanted;
  for (const Entry entry : batch.entries) {
    wanted.items.push_back(question(entry, items_.at(entry), now));
  }
  wanted.host = batch.host;
  wanted.leases = static_cast<unsigned>(batch.leases);
  wanted.lease_time = context_.settings.timeout + kLeaseMargin;
  wanted.most_begun = static_cast<unsigned>(kMostBegunPerSlot * context_.settings.concurrency);
  Queue& queue = queues_.at(batch.host);
  ++queue.batches;
  queue.wanted += batch.leases;
  tally_.looks += batch.entries.size();
  last_looked_ = batch.host;
  batches_.push_back(std::move(batch));
  const auto at = std::prev(batches_.end());
  at->query = store_.look(wanted, [this, at](Result<std::vector<Found>> found) { looked(at, std::move(found)); });
}

void Sharing::looked(std::list<Batch>::iterator at, Result<std::vector<Found>> found) {
  const Batch batch = std::move(*at);
  batches_.erase(at);
  Queue& queue = queues_.at(batch.host);
  --queue.batches;
  queue.wanted -= batch.leases;
  if (!found) {
    ++tally_.errors;
    tally_.looks_failed += batch.entries.size();
    for (const Entry entry : batch.entries) {
      if (items_.count(entry) != 0) {
        hand_back(entry);
      }
    }
    return;
  }
  const auto leases = static_cast<std::size_t>(
      std::count_if(found->begin(), found->end(), [](const Found& one) { return one.kind == Found::Kind::kLease; }));
  for (std::size_t i = 0; i < batch.entries.size() && i < found->size(); ++i) {
    looked_one(batch.entries[i], batch.ids[i], std::move((*found)[i]), leases >= batch.leases);
  }
  pump();
}

void Sharing::looked_one(Entry entry, const CertificateId& id, Found found, bool room_used_up) {
  const Record* const record = roster_.find(entry);
  if (record == nullptr || record->target.certificate.id != id) {
    return;  // what was given for another certificate ends by itself
  }
  const auto item = items_.find(entry);
  if (item == items_.end()) {
    if (found.kind == Found::Kind::kLease) {
      settle(entry, {std::move(found.lease), host_of(entry), 0, std::nullopt, 0, false}, 0, false);
    }
    return;
  }
  item->second.put_off = found.kind == Found::Kind::kMore ? item->second.put_off + 1 : 0;
  const Millis now = context_.clock.monotonic();
  switch (found.kind) {
    case Found::Kind::kResponse:
      queues_[item->second.host].progressed = now;
      return judge({entry, std::move(found.response), false, std::nullopt});
    case Found::Kind::kMore:
      if (item->second.put_off < kMostPutOff) {
        return wait(entry, now);
      }
      return hand_back(entry);  // a server that only ever says so
    case Found::Kind::kLease:
      ++tally_.misses;
      return leased(entry, std::move(found));
    default:
      break;
  }
  if (item->second.host.empty()) {
    ++tally_.misses;
    return forget(entry);  // there is no news
  }
  switch (found.kind) {
    case Found::Kind::kElsewhere:
    case Found::Kind::kNote:
      return elsewhere(entry, found);
    case Found::Kind::kNothing:
      ++tally_.misses;
      if (!user_.hopeless(entry)) {
        return room_used_up ? starve(entry) : throttled(entry);
      }
      break;
    default:
      ++tally_.misses;
      break;
  }
  hand_back(entry);
}

void Sharing::leased(Entry entry, Found found) {
  const Item& item = items_.at(entry);
  ++tally_.leases;
  queues_[item.host].progressed = context_.clock.monotonic();
  // The store has nothing but what it was told to be known.
  const std::optional<Sha1> replaces = item.may_replace         ? item.known
                                       : item.known.has_value() ? std::nullopt
                                                                : held_digest(entry);
  leases_[entry] = {std::move(found.lease),
                    item.host,
                    found.failures,
                    replaces,
                    context_.clock.monotonic() + context_.settings.timeout + kLeaseMargin,
                    false};
  hand_back(entry);
}

// Another node asks, or nobody need ask. Whoever has nothing to staple looks again after 0.1 s, then less and less
// often up to once a second; also less often if there are many such certificates.
void Sharing::elsewhere(Entry entry, const Found& found) {
  Item& item = items_.at(entry);
  const Millis now = context_.clock.monotonic();
  const UnixSeconds wall = context_.clock.now();
  const UnixSeconds held = held_until(entry);
  ++tally_.elsewhere;
  item.throttled_since = 0;
  if (held == 0 && found.kind == Found::Kind::kElsewhere) {
    progressed_ = now;
  }
  if (item.waits_since == 0) {
    const Record& record = roster_.at(entry);
    // What a node that is alone would do by itself: it tries more often where the failure may have passed.
    const Need need =
        may_pass(record.attempt.reason, 500) ? need_for(held, record.target.staple_required(), wall) : Need::kNone;
    const Patience patience = patience_for(wall, held, record.attempt.failures, need, context_.settings.retry,
                                           context_.settings.timeout, context_.random.next());
    item.waits_since = now;
    item.lease_patience = saturating_add(now, patience.lease);
    item.note_patience = saturating_add(now, patience.note);
    if (found.kind == Found::Kind::kElsewhere) {
      report_.share_waits(record.target, found.wait);
    }
  } else if (now >= item.lease_patience) {
    return hand_back(entry);  // this was its last look
  }
  Millis due = saturating_add(now, saturating_add(found.wait, jitter(found.wait / 8)));
  if (found.kind == Found::Kind::kNote) {
    due = std::min(due, std::max(item.note_patience, now));
    if (held == 0) {  // a lease comes after the note
      item.lease_patience =
          std::max(item.lease_patience, saturating_add(item.note_patience, context_.settings.timeout));
    }
  } else if (held == 0) {
    const Millis pause = spread(kShortestWait << std::min(item.tries++, 4U), kLongestWait);
    due = std::min(due, now + pause + jitter(pause / 8));
  }
  wait(entry, std::min(due, std::max(item.lease_patience, now)));
}

// The fleet has begun as many requests with the host as it may. Nobody has the lease: whoever waits for this must not
// come to ask for a second one.
void Sharing::throttled(Entry entry) {
  Item& item = items_.at(entry);
  const Millis now = context_.clock.monotonic();
  const Millis pause = std::min(kThrottled << std::min(item.tries++, 2U), kMostThrottled);
  if (item.throttled_since == 0) {
    item.throttled_since = now;
  }
  const bool progress = now - queues_[item.host].progressed < context_.settings.timeout;
  const Millis end = item.throttled_since + (progress ? kLongestThrottled : context_.settings.timeout);
  if (now >= end || (item.waits_since != 0 && now >= item.lease_patience)) {
    return hand_back(entry);
  }
  wait(entry, std::min(now + pause / 2 + jitter(pause), end));
}

// --- judging ---

void Sharing::judge(Judging judging) {
  judging_.push_back(std::move(judging));
  queue_judging();
}

void Sharing::queue_judging() {
  if (judge_ == nullptr) {
    judge_ = work_queue_.enqueue([this] { judge_next(); });
  }
}

void Sharing::judge_next() {
  judge_.reset();
  if (judging_.empty()) {
    return;
  }
  Judging judging = std::move(judging_.front());
  judging_.pop_front();
  if (judging_.size() + 1 == kMostJudging) {
    arm();
  }
  if (!judging_.empty()) {
    judge_ = work_queue_.enqueue([this] { judge_next(); });
  }
  const Judged found = judge_one(&judging);
  if (found == Judged::kLost) {
    return user_.zone_lost();
  }
  if (found == Judged::kBusy) {
    judging_.push_front(std::move(judging));
    judge_.reset();
    return judge_timer_->arm(kZoneBusyPause);
  }
  const auto digest = crypto::sha1(judging.response);
  if (judging.publication) {
    judged_publication(judging.entry, found, digest);
  } else if (items_.count(judging.entry) != 0) {
    judged(judging.entry, found, digest);
  }
}

// A response that found the zone busy is not verified again.
Sharing::Judged Sharing::judge_one(Judging* judging) {
  const Target& target = roster_.at(judging->entry).target;
  const UnixSeconds now = context_.clock.now();
  if (!shares(judging->entry)) {
    return Judged::kNotForUs;  // its issuer has gone meanwhile
  }
  if (!judging->verified.has_value()) {
    judging->verified =
        verify(target, judging->response, store::Source::kShared, {now, false}, context_.settings.policy);
  }
  const Admission admission = gate_.commit(target, *judging->verified, now);
  if (admission.stored == Reason::kZoneBusy) {
    return Judged::kBusy;
  }
  if (admission.stored == Reason::kLeaseLost) {
    return Judged::kLost;
  }
  if (admission.action == Action::kRefuse) {
    if (concerns_this_node(admission.verdict.reason)) {
      ++tally_.misses;
      return Judged::kNotForUs;
    }
    ++tally_.refused;
    report_.share_refused(target, admission);
    return Judged::kRefused;
  }
  if (admission.action == Action::kKeep) {
    ++tally_.same;
    return Judged::kSame;
  }
  if (admission.stored != Reason::kOk) {
    ++tally_.misses;
    return Judged::kNoRoom;
  }
  ++tally_.hits;
  report_.share_published(target, admission);
  return Judged::kCommitted;
}

void Sharing::judged(Entry entry, Judged judged, const std::optional<Sha1>& digest) {
  Item& item = items_.at(entry);
  switch (judged) {
    case Judged::kCommitted:
      return committed(entry);
    case Judged::kSame:
    case Judged::kRefused:
    case Judged::kNotForUs:
      item.known = digest;
      item.may_replace = judged != Judged::kNotForUs;
      // A store that has gone down meanwhile has handed all others back, and would never wake this one.
      if (++item.judged < kMostJudged && digest.has_value() && store_.up()) {
        return wait(entry, context_.clock.monotonic());
      }
      break;
    default:
      break;
  }
  hand_back(entry);
}

// An exchange that waits for its turn is needless now; one under way goes on.
void Sharing::committed(Entry entry) {
  progressed_ = context_.clock.monotonic();
  forget(entry);
  const auto granted = leases_.find(entry);
  if (granted != leases_.end() && !granted->second.asking) {
    release(entry);
  }
  user_.received(entry);
}

// --- what this node has asked for ---

void Sharing::asking(Entry entry) {
  const auto granted = leases_.find(entry);
  if (granted != leases_.end()) {
    granted->second.asking = true;
  }
}

void Sharing::release(Entry entry) {
  const auto granted = leases_.find(entry);
  if (granted != leases_.end()) {
    settle(entry, std::move(granted->second), 0, false);
    leases_.erase(granted);
  }
}

void Sharing::release_all() {
  while (!leases_.empty()) {
    release(leases_.begin()->first);
  }
}

// The fleet's failures count where they are more than this node's own, so that it backs off as one.
void Sharing::settled(Entry entry, UnixSeconds next, bool failed) {
  const auto granted = leases_.find(entry);
  if (granted == leases_.end()) {
    return;
  }
  const UnixSeconds now = context_.clock.now();
  const UnixSeconds held = held_until(entry);
  const std::uint32_t failures = granted->second.failures + 1;
  if (failed && failures > roster_.at(entry).attempt.failures) {
    Failure fleet;
    fleet.failures = failures;
    next = std::max(next, next_try(now, fleet, held, context_.settings.retry, context_.random.next()));
  }
  settle(entry, std::move(granted->second), note_time(now, next, held), failed);
  leases_.erase(granted);
}

void Sharing::settle(Entry entry, Granted granted, Millis wait, bool failed) {
  if (!store_.up()) {
    return;  // the lease ends by itself
  }
  settlements_.emplace_back();
  const auto at = std::prev(settlements_.end());
  *at = store_.settle({roster_.at(entry).target.certificate.id, granted.host, std::move(granted.lease), wait, failed},
                      [this, at](const Result<bool>& settled) {
                        tally_.errors += settled.has_value() ? 0 : 1;
                        settlements_.erase(at);
                      });
}

void Sharing::fetched(Entry entry) {
  Pending pending;
  pending.host = host_of(entry);
  const auto granted = leases_.find(entry);
  if (granted != leases_.end()) {
    pending.lease = std::move(granted->second.lease);
    pending.replaces = granted->second.replaces;
    leases_.erase(granted);
  }
  drop_pending(entry);
  pending_.emplace(entry, std::move(pending));
  publish_some();
}

void Sharing::drop_pending(Entry entry) {
  const auto pending = pending_.find(entry);
  if (pending != pending_.end()) {
    publishing_ -= pending->second.query != nullptr ? 1 : 0;
    pending_.erase(pending);
  }
}

void Sharing::publish_some() {
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
bool Sharing::publish(Entry entry, Pending* pending) {
  const Record& record = roster_.at(entry);
  const UnixSeconds now = context_.clock.now();
  store::BlobHeader header;
  const auto response = context_.zone.read(entry, record.target.certificate.id, &header);
  const bool fit = response.has_value() && is_staplable(header, now, context_.settings.policy.clock_skew) &&
                   response->size() <= SharedStore::kMostResponse &&
                   (record.per_connection == nullptr || response->size() <= kMostForeignResponse);
  if (!fit) {
    if (pending->lease.has_value()) {
      settle(entry, {std::move(*pending->lease), pending->host, 0, std::nullopt, 0, false}, 0, false);
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
void Sharing::published(Entry entry, Result<SharedStore::Published> result) {
  --publishing_;
  Pending& pending = pending_.at(entry);
  pending.query.reset();
  if (!result) {
    ++tally_.errors;
    ++tally_.publications_failed;
    // One that is too large, or that this store never takes, would only keep others from theirs.
    if (result.error().reason == Reason::kInvalidArgument || (store_.up() && ++pending.failures >= kMostJudged)) {
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
  judge({entry, std::move(result->other), true, std::nullopt});
}

void Sharing::judged_publication(Entry entry, Judged judged, const std::optional<Sha1>& digest) {
  const auto pending = pending_.find(entry);
  if (judged == Judged::kCommitted) {
    drop_pending(entry);
    committed(entry);
  } else if (pending == pending_.end()) {
    return;
  } else if ((judged == Judged::kSame || judged == Judged::kRefused) && digest.has_value() &&
             ++pending->second.tries < kMostJudged) {
    pending->second.replaces = digest;
    pending->second.judging = false;
  } else {
    drop_pending(entry);
  }
  publish_some();
}

// --- news ---

void Sharing::read_news() {
  if (!store_.up() || news_ != nullptr) {
    return;
  }
  news_ = store_.news([this](const Result<std::vector<SharedStore::News>>& news) {
    news_.reset();
    if (news) {
      heed_news(*news);
    } else {
      ++tally_.errors;
    }
    news_timer_->arm(kNewsInterval - kNewsSpread + jitter(2 * kNewsSpread));
  });
  publish_some();
}

void Sharing::heed_news(const std::vector<SharedStore::News>& news) {
  const Millis now = context_.clock.monotonic();
  for (const SharedStore::News& one : news) {
    const Entry entry = context_.zone.find(one.id);
    if (entry == store::kNoEntry || roster_.find(entry) == nullptr || !shares(entry) ||
        roster_.at(entry).target.ended(context_.clock.now()) || held_digest(entry) == one.response) {
      continue;
    }
    const auto item = items_.find(entry);
    if (item == items_.end()) {
      items_[entry].order = static_cast<std::uint32_t>(context_.random.next());
      wait(entry, now + jitter(kNewsSpread));
    } else if (const auto queue = queues_.find(item->second.host);
               queue != queues_.end() &&
               queue->second.due.count({item->second.due, item->second.order, entry}) +
                       queue->second.starved.count({item->second.due, item->second.order, entry}) !=
                   0) {
      wait(entry, std::min(item->second.due, now + jitter(kNewsSpread)));
    }
  }
}

// --- about certificates ---

std::string Sharing::host_of(Entry entry) const {
  return roster_.at(entry).target.host(0);
}

UnixSeconds Sharing::held_until(Entry entry) const {
  const auto held = gate_.stapled(roster_.at(entry).target, context_.clock.now());
  return held.has_value() ? held->expires : 0;
}

std::optional<net::Sha1> Sharing::held_digest(Entry entry) const {
  const auto response = context_.zone.read(entry, roster_.at(entry).target.certificate.id);
  return response.has_value() ? crypto::sha1(*response) : std::nullopt;
}

// The pause until the next look with nothing to staple: longer if there are many who look.
Millis Sharing::spread(Millis least, Millis most) const {
  return std::min(std::max(static_cast<Millis>(items_.size()) * kForEachWaiting, least), most);
}

Millis Sharing::jitter(Millis most) {
  return most <= 0 ? 0 : static_cast<Millis>(context_.random.next() % static_cast<std::uint64_t>(most + 1));
}

}  // namespace ocsp_plus::engine
