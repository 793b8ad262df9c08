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
// Waits for another node's request, with nothing to staple: they double from the first to the second.
constexpr Millis kShortestWait = 100;
constexpr Millis kLongestWait = 1000;
constexpr Millis kLongestStarved = 30000;  // for room in this node, with nothing to staple
constexpr Millis kForEachWaiting = 2;      // so many looks are spread
constexpr unsigned kMostBegunPerSlot = 4;  // requests that the fleet may begin with a host within two seconds
constexpr unsigned kMostJudged = 3;        // useless responses for a certificate, until it asks on its own
constexpr Millis kSlow = 250;  // an answer of the store that takes longer holds up a node with nothing to staple
// A store may answer with more than can be verified at once. No more looks are sent then, so that memory is bounded.
constexpr std::size_t kMostLooks = 8;      // under way, for all hosts
constexpr std::size_t kMostJudging = 128;  // responses that wait to be verified
// A full answer settles one certificate at least, up to kMostJudged times.
constexpr unsigned kMostPutOff = kMostJudged * SharedStore::kMostItems;

}  // namespace

Sharing::Sharing(const Context& context, Report& report, WorkQueue& work_queue, Gate& gate, Roster& roster,
                 SharedStore& store, User& user)
    : context_(context),
      report_(report),
      gate_(gate),
      roster_(roster),
      store_(store),
      user_(user),
      timer_(context.loop.timer([this] { pump(); })),
      news_timer_(context.loop.timer([this] { read_news(); })),
      verdict_timer_(context.loop.timer([this] { verdict_overdue(); })),
      responses_(
          context, report, work_queue, gate, roster, tally_,
          [this](const auto& response, auto judged, const auto& digest) { this->judged(response, judged, digest); }),
      publisher_(context, gate, roster, store, tally_, [this](Entry entry, Bytes response) {
        responses_.judge({entry, std::move(response), true});
      }) {
  verdict_timer_->arm(kVerdictWithin);
}

Sharing::~Sharing() = default;

// --- taking and handing back ---

// Returns whether the issuer is known: without it no response can be verified, and the exchange gets it first.
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
  item.host = roster_.at(entry).target.host(0);
  item.order = static_cast<std::uint32_t>(context_.random.next());
  item.taken = context_.clock.monotonic();
  item.bound = end_of_bound(entry, item.taken);
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
         lacks_staple(entry);
}

bool Sharing::may_look() const {
  return batches_.size() < kMostLooks && responses_.waiting() < kMostJudging;
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
  publisher_.publish_some();
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
    tally_.alone += publisher_.holds(entry) ? 0 : 1;
    user_.ask(entry);
  }
}

void Sharing::forget(Entry entry) {
  unschedule(entry);
  items_.erase(entry);
}

void Sharing::end(Entry entry) {
  forget(entry);
  publisher_.end(entry);
  responses_.end(entry);
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
  if (lacks_staple(entry)) {
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
  const std::size_t spoken_for = queues_.at(host).wanted + publisher_.unused(host);
  const std::size_t room = host.empty() || user_.hopeless(entry) ? 0 : user_.room(entry);
  return room > spoken_for ? room - spoken_for : 0;
}

SharedStore::Item Sharing::question(Entry entry, const Item& item, Millis now) const {
  SharedStore::Item question;
  question.id = roster_.at(entry).target.certificate.id;
  question.known = item.known.has_value() ? item.known : held_digest(entry);
  if (item.waits_since != 0 && lacks_staple(entry)) {
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
    return;  // a lease given for another certificate ends by itself
  }
  const auto item = items_.find(entry);
  if (item == items_.end()) {
    if (found.kind == Found::Kind::kLease) {
      publisher_.give_back(entry, std::move(found.lease), record->target.host(0));
    }
    return;
  }
  item->second.put_off = found.kind == Found::Kind::kMore ? item->second.put_off + 1 : 0;
  const Millis now = context_.clock.monotonic();
  switch (found.kind) {
    case Found::Kind::kResponse:
      queues_[item->second.host].progressed = now;
      return responses_.judge({entry, std::move(found.response)});
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
  publisher_.hold(entry, {std::move(found.lease), item.host, found.failures, replaces,
                          context_.clock.monotonic() + context_.settings.timeout + kLeaseMargin});
  hand_back(entry);
}

// Another node asks, or nobody need ask. Whoever has nothing to staple looks again after 0.1 s, then less and less
// often up to once a second; also less often if there are many such certificates.
void Sharing::elsewhere(Entry entry, const Found& found) {
  Item& item = items_.at(entry);
  const Millis now = context_.clock.monotonic();
  const UnixSeconds wall = context_.clock.now();
  const Record& record = roster_.at(entry);
  const UnixSeconds held = gate_.stapled_until(record.target, wall);
  ++tally_.elsewhere;
  item.throttled_since = 0;
  if (held == 0 && found.kind == Found::Kind::kElsewhere) {
    progressed_ = now;
  }
  if (item.waits_since == 0) {
    // A node that is alone would do this by itself: it tries more often where the failure may have passed.
    const Need need =
        may_pass(record.attempt.reason, 500) ? need_for(held, record.target.staple_required(), wall) : Need::kNone;
    const Patience patience = patience_for(wall, held, record.attempt.failures, need, context_.settings.retry,
                                           context_.settings.timeout, context_.random.next());
    item.waits_since = now;
    item.lease_patience = std::min(saturating_add(now, patience.lease), item.bound);
    item.note_patience = std::min(saturating_add(now, patience.note), item.bound);
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
      item.lease_patience = std::min(item.lease_patience, item.bound);
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
  const Millis end =
      std::min(item.throttled_since + (progress ? kLongestThrottled : context_.settings.timeout), item.bound);
  if (now >= end || (item.waits_since != 0 && now >= item.lease_patience)) {
    return hand_back(entry);
  }
  wait(entry, std::min(now + pause / 2 + jitter(pause), end));
}

// --- judged ---

void Sharing::judged(const SharedResponses::Response& response, SharedResponses::Judged judged,
                     const std::optional<Sha1>& digest) {
  if (judged == SharedResponses::Judged::kLost) {
    return user_.zone_lost();
  }
  if (responses_.waiting() + 1 == kMostJudging) {
    arm();
  }
  if (!response.publication) {
    return judged_found(response.entry, judged, digest);
  }
  publisher_.judged(response.entry, judged, digest);
  if (judged == SharedResponses::Judged::kCommitted) {
    committed(response.entry);
  }
}

void Sharing::judged_found(Entry entry, SharedResponses::Judged judged, const std::optional<Sha1>& digest) {
  using Judged = SharedResponses::Judged;
  const auto item = items_.find(entry);
  if (item == items_.end()) {
    return;
  }
  if (judged == Judged::kCommitted) {
    return committed(entry);
  }
  if (judged != Judged::kNoRoom) {
    item->second.known = digest;
    item->second.may_replace = judged != Judged::kNotForUs;
    // A store that has gone down meanwhile has handed all others back, and would never wake this one.
    if (++item->second.judged < kMostJudged && digest.has_value() && store_.up()) {
      return wait(entry, context_.clock.monotonic());
    }
  }
  hand_back(entry);
}

// An exchange that waits for its turn is needless now; one under way goes on.
void Sharing::committed(Entry entry) {
  progressed_ = context_.clock.monotonic();
  forget(entry);
  publisher_.release_unused(entry);
  user_.received(entry);
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
  publisher_.publish_some();
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

bool Sharing::lacks_staple(Entry entry) const {
  return gate_.stapled_until(roster_.at(entry).target, context_.clock.now()) == 0;
}

// When the certificate has to be asked for by this node, whatever the others do. What this node has never asked for
// itself, and has no time of, is due a bound from now.
Millis Sharing::end_of_bound(Entry entry, Millis now) const {
  const Record& record = roster_.at(entry);
  if (record.target.refresh == 0) {
    return INT64_MAX;
  }
  const UnixSeconds wall = context_.clock.now();
  const auto held = gate_.stapled(record.target, wall);
  const UnixSeconds asked = last_asked(record, held ? gate_.confirmed_at(record.target, *held, wall) : 0, wall);
  const Seconds left = asked == 0 ? record.target.refresh : saturating_sub(asked, wall) + record.target.refresh;
  return saturating_add(now, std::max<Seconds>(left, 0) * 1000);
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
