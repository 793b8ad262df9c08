#include "sim/oracle.h"

#include <fmt/format.h>

#include <algorithm>

namespace ocsp_plus::sim {
namespace {

constexpr Seconds kSettle = 13;      // after an outage or a kill: a hanging exchange, a stale lease
constexpr Seconds kSlack = 6;        // from due to served: a tick, an answer, rounding
constexpr Seconds kOneMore = 6;      // plus half of the time-out per responder tried before
constexpr Seconds kStoreSlack = 4;   // for looks in the shared store, and for one that hangs
constexpr Seconds kAhead = 300;      // how far thisUpdate may lie ahead
constexpr Seconds kAboutToEnd = 10;  // a start refetches responses that end sooner
constexpr Millis kDiskRetry = 61000;
constexpr Seconds kBelieved = 3600;  // a response from the directory confirmed longer ago is fetched again
constexpr Seconds kForStaple = 600;  // longest pause while nothing is held and the responder is unreachable
constexpr Seconds kNotes = 30;       // a node without a failure of its own heeds notes for so long
constexpr Seconds kLeases = 12;      // and then leases
constexpr Millis kFleetKnows = 15000;
constexpr Seconds kCheck = 300;            // and that within this time after a start
constexpr Seconds kHandedAgain = 30;       // after this time a worker repeats an unsuccessful hand-over
constexpr Seconds kUnused = 25 * 86400;    // a certificate not shown for longer may be evicted
constexpr Seconds kFarAstray = 2 * 86400;  // error of a wall clock
constexpr Seconds kEndedFor = 3000;        // an expired certificate may be evicted after that time
// In a small zone four certificates from up to eight workers share two queue slots.
constexpr unsigned kShowsInSmallZone = 16;
constexpr Millis kBetweenShows = 600;  // a tick, after which the slots are free again

}  // namespace

Seconds Oracle::slack() const {
  return kSlack + static_cast<Seconds>(script_.responders.size() - 1) * kOneMore + (script_.shares ? kStoreSlack : 0);
}

// What the node holds at `from`, if it ends before the returned time, has been replaced at `at`. A node alone tries
// by the middle of `from` and that end. One of a fleet then waits for three eighths of the rest, and has five
// sixteenths of the span left.
UnixSeconds Oracle::replaced(UnixSeconds from, UnixSeconds at) const {
  const UnixSeconds done = at - slack();
  return script_.shares ? from + (done - from) * 16 / 11 : 2 * done - from;
}

// Returns whether a responder answered honestly from `from` to `to`. Another one may have failed meanwhile, but not
// have replayed old responses, which look like good ones that are not newer. A failure for one certificate counts for
// all, because it marks their shared host as failing. But a node that is `starting` has not seen failures yet, and
// does not wait for another certificate that hangs.
bool Oracle::good(LeafNumber leaf, Millis from, Millis to, bool starting) const {
  if (served_.count(leaf) == 0 && script_.seeks_issuer(leaf)) {
    const auto& spans = script_.issuer_server;
    if (!Pki::names_issuer(leaf) || std::any_of(spans.begin(), spans.end(), [&](const Conduct& conduct) {
          return conduct.from <= to && from < conduct.to;
        })) {
      return false;
    }
  }
  bool honest = false;
  for (const auto& conducts : script_.responders_of(leaf)) {
    bool clean = true;
    for (const Conduct& conduct : conducts) {
      if (conduct.deed == Deed::kOnlyPost || conduct.deed == Deed::kOnlyGet) {
        continue;
      }
      const bool hangs = conduct.deed == Deed::kHang || conduct.deed == Deed::kSlow;
      if (starting && hangs && conduct.only != SIZE_MAX && conduct.only != leaf) {
        continue;
      }
      if (conduct.from <= to && from < conduct.to) {
        clean = false;
        if (conduct.deed == Deed::kReplay) {
          return false;
        }
      }
    }
    honest = honest || clean;
  }
  return honest;
}

// --- windows ---

UnixSeconds Oracle::sure_at(LeafNumber leaf, const LeafRecord& record, UnixSeconds at) const {
  const UnixSeconds end = Pki::leaf_end(leaf);
  if (!record.open.has_value() || at <= *record.open || (record.loaded && !record.taken)) {
    return std::min(record.sure, end);
  }
  UnixSeconds from = *record.open;
  UnixSeconds sure = record.sure;
  if (sure <= from) {
    const Seconds longest = longest_pause(leaf, from);
    if (at < from + longest) {
      return std::min(sure, end);
    }
    // The node may hold a response from before the window and refresh it by the rule below.
    sure = std::max(sure, std::min(ca_.end_of_answer(leaf, from), replaced(from, at)));
    from += longest;
  }
  // An attempt at u is finished at `at`: the best u is where both bounds meet, or where the CA made a new response.
  const auto tried_from = [&](UnixSeconds u) {
    u = std::clamp(u, from, at);
    sure = std::max(sure, std::min(ca_.end_of_answer(leaf, u), replaced(u, at)));
  };
  const Practice& practice = ca_.practice(leaf);
  tried_from(at - slack() - practice.validity * (script_.shares ? 11 : 8) / 16);
  tried_from(from);
  if (const Seconds resign = practice.resign; resign > 0) {
    for (UnixSeconds u = at - at % resign; u > from && u > at - practice.validity; u -= resign) {
      tried_from(u);
    }
  }
  return std::min(sure, end);
}

// Returns the longest time until a node without a response tries again: the shorter bound applies if all failures
// within the last such span were transient.
Seconds Oracle::longest_pause(LeafNumber leaf, UnixSeconds opened) const {
  const Seconds longest = script_.retry_max + slack();
  const Seconds alone = failures_pass(leaf, opened) ? std::min(longest, kForStaple + slack()) : longest;
  return script_.shares ? alone + std::max(kNotes, alone) + kLeases : alone;
}

// Returns whether nothing within that span has failed for longer than the moment.
bool Oracle::failures_pass(LeafNumber leaf, UnixSeconds opened) const {
  const Seconds longest = script_.retry_max + slack();
  const Millis to = Machine::kBoot + 1000 * (opened - kEpoch);
  const Millis from = to - 1000 * (longest + kSettle);
  bool passing = !script_.jumps;
  const auto look = [&](const std::vector<Conduct>& conducts) {
    for (const Conduct& conduct : conducts) {
      const bool stays =
          conduct.deed == Deed::kRetryAfter || conduct.deed == Deed::kReplay || conduct.deed == Deed::kLie;
      passing = passing && !(stays && conduct.from <= to && from < conduct.to);
    }
  };
  const Conducts& responders = script_.responders_of(leaf);
  std::for_each(responders.begin(), responders.end(), look);
  look(script_.issuer_server);
  return passing;
}

void Oracle::close(LeafNumber leaf, LeafRecord* record) {
  take(record);
  record->sure = sure_at(leaf, *record, machine_.true_time());
  record->open.reset();
  record->handed.reset();
  record->taken_again.reset();
  record->shows = 0;
}

// Returns the configured leaves and those that a server loads.
std::vector<LeafNumber> Oracle::in_care() const {
  std::vector<LeafNumber> leaves(served_.begin(), served_.end());
  for (const auto& [leaf, record] : records_) {
    if (record.loaded) {
      leaves.push_back(leaf);
    }
  }
  return leaves;
}

void Oracle::update_window(LeafNumber leaf, LeafRecord* record) {
  const bool is_good = up_ && machine_.offset() == 0 && !(record->loaded && flooded_) &&
                       good(leaf, machine_.monotonic(), machine_.monotonic());
  if (!is_good) {
    close(leaf, record);
  } else if (!record->open.has_value()) {
    record->open = machine_.true_time() + kSettle;
  }
}

void Oracle::conditions_change() {
  for (const LeafNumber leaf : in_care()) {
    LeafRecord& record = records_[leaf];
    clock_is_right(&record);
    update_window(leaf, &record);
  }
}

void Oracle::interrupted() {
  for (const LeafNumber leaf : in_care()) {
    close(leaf, &records_[leaf]);
    records_[leaf].revoked_soon.reset();
  }
  conditions_change();
}

// --- certificates that servers load per connection ---

unsigned Oracle::shows_needed() const {
  return script_.small_zone ? kShowsInSmallZone : 1;
}

void Oracle::shown(LeafNumber leaf) {
  if (served_.count(leaf) != 0) {
    return;
  }
  LeafRecord& record = records_[leaf];
  const UnixSeconds now = machine_.true_time();
  if (!record.loaded || now - record.last_shown > kUnused) {
    record.loaded = true;
    lost(leaf);
  }
  record.last_shown = now;
  if (record.taken || record.handed.has_value() || !record.open.has_value() || now < *record.open + kHandedAgain ||
      (record.shows > 0 && machine_.monotonic() < record.last_show + kBetweenShows)) {
    return;
  }
  record.last_show = machine_.monotonic();
  if (++record.shows >= shows_needed()) {
    record.handed = now;
  }
}

// Applies the rules for windows from now on; the oracle cannot know whether the node holds a response already.
void Oracle::take(LeafRecord* record) {
  if (!record->handed.has_value() || machine_.true_time() < *record->handed + slack()) {
    return;
  }
  if (record->again && booted_.has_value() && *record->open <= *booted_ + kSettle) {
    record->taken_again = machine_.true_time();
  }
  if (record->again && !disk_was_good(machine_.monotonic() - zone_began_)) {
    clear(record);
  }
  if (record->late && record->late_until == 0) {
    record->late_until = machine_.monotonic() + 1000 * kSettle;
  }
  record->again = false;
  record->taken = true;
  record->open = *record->handed + slack();
  record->handed.reset();
}

void Oracle::reset_taken(LeafRecord* record) const {
  record->taken = false;
  record->taken_again.reset();
  record->handed.reset();
  record->shows = 0;
  record->open.reset();
}

void Oracle::lost(LeafNumber leaf) {
  LeafRecord& record = records_[leaf];
  if (record.loaded) {
    reset_taken(&record);
    clear(&record);
    record.revoked_soon.reset();
    record.late = false;
    record.again = false;
    update_window(leaf, &record);
  }
}

void Oracle::lost_loaded() {
  for (const LeafNumber leaf : in_care()) {
    lost(leaf);
  }
}

// The zone keeps its response, but a worker must hand it over again.
void Oracle::disowned(LeafNumber leaf) {
  LeafRecord& record = records_[leaf];
  if (record.loaded) {
    close(leaf, &record);
    reset_taken(&record);
    update_window(leaf, &record);
  }
}

// In a small zone the least recently used certificates are evicted; with a wrong clock the oracle cannot tell which.
void Oracle::flood_begins(const std::set<LeafNumber>& in_use) {
  flooded_ = true;
  for (const LeafNumber leaf : in_care()) {
    LeafRecord& record = records_[leaf];
    take(&record);
    if (script_.small_zone && (script_.jumps || !record.taken || in_use.count(leaf) == 0)) {
      lost(leaf);
    }
  }
  conditions_change();
}

void Oracle::flood_ended() {
  flooded_ = script_.small_zone && script_.jumps;
  conditions_change();
}

// By a clock that is far ahead every last use is long ago, and some certificates have expired.
void Oracle::clock_set(UnixSeconds before) {
  fleet_is_troubled();
  const UnixSeconds latest = std::max(before, machine_.wall());
  for (const LeafNumber leaf : in_care()) {
    if (latest - machine_.true_time() > kFarAstray || machine_.true_time() - latest > kFarAstray ||
        latest >= Pki::leaf_end(leaf) + kEndedFor) {
      lost(leaf);
    }
  }
  conditions_change();
}

// --- starts and ends ---

void Oracle::clear(LeafRecord* record) {
  record->sure = 0;
  record->newest = 0;
  record->revoked.reset();
}

bool Oracle::disk_was(Millis span, bool (*fine)(DiskFault)) const {
  const Millis now = machine_.monotonic();
  return std::none_of(script_.disk.begin(), script_.disk.end(), [&](const DiskSpan& disk) {
    return disk.from <= now && now - span < disk.to && !fine(disk.fault);
  });
}

bool Oracle::disk_was_good(Millis span) const {
  return disk_was(span, [](DiskFault) { return false; });
}

void Oracle::stopped(bool power_cut) {
  fleet_is_troubled();
  for (const LeafNumber leaf : in_care()) {
    close(leaf, &records_[leaf]);
  }
  const bool kept = !power_cut && disk_was_good(kDiskRetry);
  // Outdated files can be removed even from a full disk.
  const bool taken_back =
      !power_cut && disk_was(kDiskRetry, [](DiskFault fault) { return fault == DiskFault::kFull; });
  for (auto& [leaf, record] : records_) {
    record.in_zone = false;
    record.revoked_soon.reset();
    record.late = false;
    // Only certificates that the node knew were refreshed; and fetched issuers are not kept.
    const bool cared_for = served_.count(leaf) != 0 || (record.loaded && record.taken && !script_.seeks_issuer(leaf));
    if (!kept || !cared_for) {
      const auto revoked = taken_back && cared_for ? record.revoked : std::nullopt;
      clear(&record);
      record.revoked = revoked;
    }
    reset_taken(&record);
  }
  served_.clear();
  up_ = false;
}

void Oracle::start_begins(bool new_zone) {
  fleet_is_troubled();
  new_zone_ = new_zone;
  start_began_ = machine_.monotonic();
  if (!new_zone) {
    return;
  }
  zone_began_ = start_began_;
  if (flooded_ && script_.small_zone) {
    lost_loaded();
  }
  booted_ = machine_.offset() == 0 ? std::optional(machine_.true_time()) : std::nullopt;
  for (auto& [leaf, record] : records_) {
    if (!disk_was_good(0)) {
      const auto revoked = record.revoked;
      clear(&record);
      record.revoked = revoked;
    }
    // With a wrong clock the node may distrust the directory; and a certificate loaded per connection must be taken
    // first.
    record.late = machine_.offset() != 0 || record.loaded;
    record.again = record.loaded;
    record.late_until = 0;
  }
}

// A worker that notices a clock jump reads the directory again.
void Oracle::clock_is_right(LeafRecord* record) const {
  if (record->late && record->late_until == 0 && up_ && machine_.offset() == 0 && !record->loaded) {
    record->late_until = machine_.monotonic() + 1000 * kSettle;
  }
}

void Oracle::start_ended(const std::set<LeafNumber>& configured, bool helper_killed) {
  up_ = true;
  for (const LeafNumber leaf : in_care()) {
    LeafRecord& record = records_[leaf];
    if (record.loaded && machine_.true_time() - record.last_shown > kUnused) {
      lost(leaf);  // unused for so long that it was evicted with its response
    }
    close(leaf, &record);
  }
  for (auto& [leaf, record] : records_) {
    const bool is_served = configured.count(leaf) != 0;
    if (is_served && record.loaded) {
      record.loaded = false;  // configured from now on, in the same entry
      record.in_zone = true;
      reset_taken(&record);
    } else if (!is_served && !(record.loaded && (record.taken || new_zone_))) {
      clear(&record);  // no longer served, or not certainly
    } else if (is_served && helper_killed && new_zone_ && !record.late) {
      record.late = true;  // the first worker reads the directory
      record.late_until = machine_.monotonic() + 1000 * kSettle;
    }
  }
  for (const LeafNumber leaf : configured) {
    LeafRecord& record = records_[leaf];
    const bool reachable = good(leaf, start_began_ - 1000 * kSettle, machine_.monotonic(), true);
    if (!script_.shares && !Pki::is_ca(leaf) && !record.in_zone && !helper_killed && machine_.offset() == 0 &&
        script_.startup_wait >= 5000 && script_.responders.size() == 1 && reachable) {
      // The start waited for missing or soon ending responses; the window's rule applies to what it holds now.
      const UnixSeconds began = kEpoch + (start_began_ - Machine::kBoot) / 1000;
      record.sure = std::max(record.sure, std::min(began + kAboutToEnd, ca_.end_of_answer(leaf, began)));
      record.open = machine_.true_time() + 1;
    }
    record.in_zone = true;
  }
  served_ = configured;
  conditions_change();
}

// --- handshakes ---

void Oracle::asked(LeafNumber leaf) {
  // An exchange that began before may continue with a second responder.
  if (machine_.offset() == 0 && machine_.true_time() > Pki::leaf_end(leaf) + kSettle) {
    complain(leaf, fmt::format("(g) asked for a certificate that ended at {}", to_rfc3339(Pki::leaf_end(leaf))));
  }
}

void Oracle::delivered(LeafNumber leaf, const Signed& response) {
  if (machine_.offset() == 0) {
    records_[leaf].confirmed = machine_.true_time();
  }
  records_[leaf].told_revoked = records_[leaf].told_revoked || response.revoked;
  if (response.revoked && machine_.offset() == 0) {
    LeafRecord& record = records_[leaf];
    record.revoked_soon = response.this_update;
    record.revoked_from = machine_.monotonic() + 2000;
  }
}

// --- fleets ---

void Oracle::fleet_knows(LeafNumber leaf, const Signed& revocation) {
  if (!up_ || machine_.offset() != 0 || served_.count(leaf) == 0) {
    return;
  }
  LeafRecord& record = records_[leaf];
  if (!record.known_soon.has_value()) {
    record.known_soon = revocation.this_update;
    record.known_from = machine_.monotonic() + kFleetKnows;
  }
}

void Oracle::fleet_is_troubled() {
  for (auto& [leaf, record] : records_) {
    record.known_soon.reset();
  }
}

void Oracle::complain(LeafNumber leaf, const std::string& what) {
  if (violation_.empty()) {
    violation_ = fmt::format("{:.1f} s, true time {}, wall clock {}: certificate {}: {}",
                             static_cast<double>(machine_.monotonic() - Machine::kBoot) / 1000,
                             to_rfc3339(machine_.true_time()), to_rfc3339(machine_.wall()), leaf, what);
  }
}

void Oracle::judge(LeafNumber leaf, const Node::Staple& staple) {
  ++judged_;
  judge_outcome(leaf, staple);
  if (leaf >= Pki::kForged) {
    return staple.status == Node::Got::kNone ? void()
                                             : complain(leaf, "(h) a staple for a certificate that is forged");
  }
  bare_ += staple.status == Node::Got::kNone ? 1 : 0;
  if (judge_certificate(leaf, staple.status, staple.der)) {
    ++strict_;
    strict_loaded_ += records_[leaf].loaded ? 1 : 0;
  }
  judge_chain(leaf, staple);
}

// Judges what a handshake got for a certificate, the leaf or one after it. Returns whether a staple was due, and
// there.
bool Oracle::judge_certificate(LeafNumber leaf, Node::Got status, const Bytes& der) {
  LeafRecord& record = records_[leaf];
  if (record.revoked_soon.has_value() && machine_.monotonic() >= record.revoked_from) {
    record.revoked = std::max(record.revoked.value_or(0), *record.revoked_soon);
    record.revoked_soon.reset();
  }
  if (record.known_soon.has_value() && machine_.monotonic() >= record.known_from) {
    const Signed* const served = status == Node::Got::kGood ? ca_.find(der) : nullptr;
    if (served != nullptr && !served->revoked && served->this_update <= *record.known_soon) {
      complain(leaf, fmt::format("(l) served good of {}, though the fleet knew of a revocation at {}",
                                 to_rfc3339(served->this_update), to_rfc3339(*record.known_soon)));
      return false;
    }
    record.known_soon.reset();
  }
  take(&record);
  judge_asked_again(leaf, record);
  judge_bound(leaf, record, status);
  if (status == Node::Got::kNone) {
    judge_missing(leaf, &record);
    return false;
  }
  record.late = false;
  const bool due = sure_at(leaf, record, machine_.true_time()) > machine_.true_time();
  const UnixSeconds wall = machine_.wall();
  const Signed* const honest = ca_.find(der);
  const UnixSeconds end = honest == nullptr ? 0 : std::min(honest->end, Pki::leaf_end(leaf));
  if (honest == nullptr) {
    complain(leaf, "(a) served what the CA never signed");
  } else if (honest->leaf != leaf) {
    complain(leaf, fmt::format("(a) served the response of certificate {}", honest->leaf));
  } else if (wall >= end) {
    complain(leaf, fmt::format("(a) served what ended at {}", to_rfc3339(end)));
  } else if (honest->revoked != (status == Node::Got::kRevoked)) {
    complain(leaf, "(a) the status is not the one of the response");
  } else if (accepted_.insert(honest).second && honest->this_update > wall + kAhead) {
    complain(leaf, fmt::format("(a) served what begins at {}", to_rfc3339(honest->this_update)));
  } else {
    judge_order(leaf, &record, *honest);
  }
  return due;
}

// Counts from the revocation, or from the time at which the node could hear of it.
void Oracle::judge_bound(LeafNumber leaf, const LeafRecord& record, Node::Got status) {
  const auto revoked = ca_.revoked_at(leaf);
  const UnixSeconds now = machine_.true_time();
  if (!revoked.has_value() || now < *revoked || status == Node::Got::kNone) {
    return;
  }
  const bool told = status == Node::Got::kRevoked;
  if (told && !Pki::is_ca(leaf) && seen_revoked_.insert(leaf).second && record.open.has_value() &&
      *record.open <= *revoked) {
    ++noticed_.count;
    noticed_.sum += now - *revoked;
    noticed_.longest = std::max(noticed_.longest, now - *revoked);
  }
  if (told || script_.refresh == 0 || !record.open.has_value() || (record.loaded && !record.taken) ||
      now >= Pki::leaf_end(leaf) || !failures_pass(leaf, *record.open)) {
    return;
  }
  const UnixSeconds due = std::max(*revoked, *record.open) + std::max(script_.refresh, script_.retry_min) + slack();
  if (now > due) {
    complain(leaf, fmt::format("(o) served good {} s after the responder had revoked it", now - *revoked));
  }
}

// When the response is omitted, another module's response is omitted too.
void Oracle::judge_outcome(LeafNumber leaf, const Node::Staple& staple) {
  const bool sent = staple.status != Node::Got::kNone;
  const bool required =
      script_.require == OP_REQUIRE_ON || (script_.require == OP_REQUIRE_MUST_STAPLE && Pki::must_staple(leaf));
  if (sent && script_.omits && staple.status == Node::Got::kRevoked) {
    return complain(leaf, "(i) served a response that says revoked, which had to be omitted");
  }
  const bool foreign = !sent && !required && staple.foreign_set;
  const bool omitted = script_.omits && records_[leaf].told_revoked;
  const op_outcome_t due = sent ? OP_STAPLED : required ? OP_REFUSED : foreign ? OP_FOREIGN : OP_NO_STAPLE;
  refused_ += staple.outcome == OP_REFUSED ? 1 : 0;
  omitted_ += !sent && omitted ? 1 : 0;
  if (staple.outcome != due && !(foreign && omitted && staple.outcome == OP_NO_STAPLE)) {
    complain(leaf,
             fmt::format("(i) outcome {} where {} was due", static_cast<int>(staple.outcome), static_cast<int>(due)));
  }
}

void Oracle::judge_missing(LeafNumber leaf, LeafRecord* record) {
  if (script_.omits && record->told_revoked) {
    return;
  }
  const UnixSeconds sure = sure_at(leaf, *record, machine_.true_time());
  const bool excused = record->late && (record->late_until == 0 || machine_.monotonic() < record->late_until);
  if (machine_.offset() == 0 && sure > machine_.true_time() && !excused) {
    complain(leaf, fmt::format("(b) no staple, though one was to be had that is valid until {}", to_rfc3339(sure)));
  }
}

// Checks only if a responder was reachable without interruption since the start, or since the certificate was taken
// after it.
void Oracle::judge_asked_again(LeafNumber leaf, const LeafRecord& record) {
  if (script_.shares) {
    return;
  }
  const UnixSeconds now = machine_.true_time();
  const auto began = record.loaded ? record.taken_again : booted_;
  if (!began.has_value() || !booted_.has_value() || !record.open.has_value() || *record.open > *began + kSettle ||
      now < *began + kCheck + kSettle + slack() || now >= Pki::leaf_end(leaf)) {
    return;
  }
  if (record.confirmed < *booted_ - kBelieved) {
    complain(leaf, fmt::format("(f) not asked again since the start at {}, though last confirmed at {}",
                               to_rfc3339(*booted_), to_rfc3339(record.confirmed)));
  }
}

void Oracle::judge_order(LeafNumber leaf, LeafRecord* record, const Signed& served) {
  if (served.revoked) {
    record->revoked = std::max(record->revoked.value_or(0), served.this_update);
  } else if (record->revoked.has_value() && served.this_update <= *record->revoked) {
    complain(leaf, fmt::format("(e) served good of {} though it was revoked at {}", to_rfc3339(served.this_update),
                               to_rfc3339(*record->revoked)));
  } else if (record->newest > machine_.wall() + kAhead) {
    record->newest = 0;  // the clock was set back: a response from the future may be replaced
  } else if (served.this_update < record->newest) {
    complain(leaf, fmt::format("(b) served good of {} where that of {} was served before",
                               to_rfc3339(served.this_update), to_rfc3339(record->newest)));
  }
  record->newest = std::max(record->newest, served.this_update);
}

}  // namespace ocsp_plus::sim
