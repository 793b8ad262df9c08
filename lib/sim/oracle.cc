#include "sim/oracle.h"

#include <fmt/format.h>

#include <algorithm>

namespace ocsp_plus::sim {
namespace {

constexpr Seconds kSettle = 13;      // after an outage or a kill: an exchange that hangs, a lease that went stale
constexpr Seconds kSlack = 6;        // from being due to being served: a tick, an answer, rounding
constexpr Seconds kOneMore = 6;      // and half of the time-out for another responder that was asked first
constexpr Seconds kAhead = 300;      // how far thisUpdate may lie ahead
constexpr Seconds kAboutToEnd = 10;  // what ends sooner is fetched anew by a start
constexpr Millis kDiskRetry = 61000;
constexpr Seconds kBelieved = 3600;  // what the directory holds was confirmed within that time, or is asked for again
constexpr Seconds kForStaple = 600;  // the longest pause while nothing is held and the responder is not reached
constexpr Seconds kCheck = 300;      // within that time after a start
constexpr Seconds kHandedAgain = 30;       // what has come to nothing is handed over again by the worker that met it
constexpr Seconds kUnused = 25 * 86400;    // what nobody shows for longer may go
constexpr Seconds kFarAstray = 2 * 86400;  // a wall clock
constexpr Seconds kEndedFor = 3000;        // what has ended may go after that time
// In a small zone two places in the queue have to be enough for four certificates from up to eight workers.
constexpr unsigned kShowsInSmallZone = 16;
constexpr Millis kBetweenShows = 600;  // a tick, after which those places are free again

}  // namespace

Seconds Oracle::slack() const {
  return kSlack + static_cast<Seconds>(script_.responders.size() - 1) * kOneMore;
}

// Whether all that time a responder answered honestly. Another one may have failed meanwhile; but not have replayed
// old responses, which look like good ones that are not newer. What goes wrong for one certificate counts for all:
// the host they share has a bad name then. But whoever is `starting` has heard nothing bad of it yet, and does not
// wait for a certificate that it hangs for.
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
  for (std::size_t i = 0; i < script_.responders.size(); ++i) {
    bool clean = true;
    for (const Conduct& conduct : script_.responders[i]) {
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

UnixSeconds Oracle::sure_at(LeafNumber leaf, const Known& known, UnixSeconds at) const {
  const UnixSeconds end = Pki::leaf_end(leaf);
  if (!known.open.has_value() || at <= *known.open || (known.loaded && !known.taken)) {
    return std::min(known.sure, end);
  }
  UnixSeconds from = *known.open;
  UnixSeconds sure = known.sure;
  if (sure <= from) {
    const Seconds longest = longest_pause(from);
    if (at < from + longest) {
      return std::min(sure, end);
    }
    // It may hold what it got before the window opened, and look after that by the rule below.
    sure = std::max(sure, std::min(ca_.end_of_answer(leaf, from), 2 * (at - slack()) - from));
    from += longest;
  }
  // Tried at u, known at `at`: the best u is where both bounds meet, or where something new was made.
  const auto tried_from = [&](UnixSeconds u) {
    u = std::clamp(u, from, at);
    sure = std::max(sure, std::min(ca_.end_of_answer(leaf, u), 2 * (at - slack()) - u));
  };
  tried_from(at - slack() - ca_.practice().validity / 2);
  tried_from(from);
  if (const Seconds resign = ca_.practice().resign; resign > 0) {
    for (UnixSeconds u = at - at % resign; u > from && u > at - ca_.practice().validity; u -= resign) {
      tried_from(u);
    }
  }
  return std::min(sure, end);
}

// Until whoever holds nothing tries again. What was planned within the last span of that length was planned for a
// failure that may pass by itself, if there were no others.
Seconds Oracle::longest_pause(UnixSeconds opened) const {
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
  std::for_each(script_.responders.begin(), script_.responders.end(), look);
  look(script_.issuer_server);
  return passing ? std::min(longest, kForStaple + slack()) : longest;
}

void Oracle::close(LeafNumber leaf, Known* known) {
  take(known);
  known->sure = sure_at(leaf, *known, machine_.true_time());
  known->open.reset();
  known->handed.reset();
  known->taken_again.reset();
  known->shows = 0;
}

// Configured ones, and those that a server loads.
std::vector<LeafNumber> Oracle::in_care() const {
  std::vector<LeafNumber> leaves(served_.begin(), served_.end());
  for (const auto& [leaf, known] : known_) {
    if (known.loaded) {
      leaves.push_back(leaf);
    }
  }
  return leaves;
}

void Oracle::look_at_window(LeafNumber leaf, Known* known) {
  const bool is_good = up_ && machine_.offset() == 0 && !(known->loaded && flooded_) &&
                       good(leaf, machine_.monotonic(), machine_.monotonic());
  if (!is_good) {
    close(leaf, known);
  } else if (!known->open.has_value()) {
    known->open = machine_.true_time() + kSettle;
  }
}

void Oracle::conditions_change() {
  for (const LeafNumber leaf : in_care()) {
    Known& known = known_[leaf];
    clock_is_right(&known);
    look_at_window(leaf, &known);
  }
}

void Oracle::interrupted() {
  for (const LeafNumber leaf : in_care()) {
    close(leaf, &known_[leaf]);
    known_[leaf].revoked_soon.reset();
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
  Known& known = known_[leaf];
  const UnixSeconds now = machine_.true_time();
  if (!known.loaded || now - known.last_shown > kUnused) {
    known.loaded = true;
    lost(leaf);
  }
  known.last_shown = now;
  if (known.taken || known.handed.has_value() || !known.open.has_value() || now < *known.open + kHandedAgain ||
      (known.shows > 0 && machine_.monotonic() < known.last_show + kBetweenShows)) {
    return;
  }
  known.last_show = machine_.monotonic();
  if (++known.shows >= shows_needed()) {
    known.handed = now;
  }
}

// The rules for windows apply as soon as it is known; what is held of it, if anything, nobody can say.
void Oracle::take(Known* known) {
  if (!known->handed.has_value() || machine_.true_time() < *known->handed + slack()) {
    return;
  }
  if (known->again && booted_.has_value() && *known->open <= *booted_ + kSettle) {
    known->taken_again = machine_.true_time();
  }
  if (known->again && !disk_was_good(machine_.monotonic() - zone_began_)) {
    forget(known);
  }
  if (known->late && known->late_until == 0) {
    known->late_until = machine_.monotonic() + 1000 * kSettle;
  }
  known->again = false;
  known->taken = true;
  known->open = *known->handed + slack();
  known->handed.reset();
}

void Oracle::untake(Known* known) const {
  known->taken = false;
  known->taken_again.reset();
  known->handed.reset();
  known->shows = 0;
  known->open.reset();
}

void Oracle::lost(LeafNumber leaf) {
  Known& known = known_[leaf];
  if (known.loaded) {
    untake(&known);
    forget(&known);
    known.revoked_soon.reset();
    known.late = false;
    known.again = false;
    look_at_window(leaf, &known);
  }
}

void Oracle::lost_loaded() {
  for (const LeafNumber leaf : in_care()) {
    lost(leaf);
  }
}

// What it holds stays in the zone; but somebody has to hand it over again.
void Oracle::disowned(LeafNumber leaf) {
  Known& known = known_[leaf];
  if (known.loaded) {
    close(leaf, &known);
    untake(&known);
    look_at_window(leaf, &known);
  }
}

// Where there is no room for all, those that were not used for longest go. By a clock that was wrong nobody can say
// which these are.
void Oracle::flood_begins(const std::set<LeafNumber>& in_use) {
  flooded_ = true;
  for (const LeafNumber leaf : in_care()) {
    Known& known = known_[leaf];
    take(&known);
    if (script_.small_zone && (script_.jumps || !known.taken || in_use.count(leaf) == 0)) {
      lost(leaf);
    }
  }
  conditions_change();
}

void Oracle::flood_ended() {
  flooded_ = script_.small_zone && script_.jumps;
  conditions_change();
}

// By a clock that is far ahead everything was used long ago, and some have ended.
void Oracle::clock_set(UnixSeconds before) {
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

void Oracle::forget(Known* known) {
  known->sure = 0;
  known->newest = 0;
  known->revoked.reset();
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
  for (const LeafNumber leaf : in_care()) {
    close(leaf, &known_[leaf]);
  }
  const bool kept = !power_cut && disk_was_good(kDiskRetry);
  // From a disk that is full, what is not true any more can be removed.
  const bool taken_back =
      !power_cut && disk_was(kDiskRetry, [](DiskFault fault) { return fault == DiskFault::kFull; });
  for (auto& [leaf, known] : known_) {
    known.in_zone = false;
    known.revoked_soon.reset();
    known.late = false;
    // Nobody has looked after it unless the node knew it; and of the issuer that was fetched for it nothing is kept.
    const bool cared_for = served_.count(leaf) != 0 || (known.loaded && known.taken && !script_.seeks_issuer(leaf));
    if (!kept || !cared_for) {
      const auto revoked = taken_back && cared_for ? known.revoked : std::nullopt;
      forget(&known);
      known.revoked = revoked;
    }
    untake(&known);
  }
  served_.clear();
  up_ = false;
}

void Oracle::start_begins(bool new_zone) {
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
  for (auto& [leaf, known] : known_) {
    if (!disk_was_good(0)) {
      const auto revoked = known.revoked;
      forget(&known);
      known.revoked = revoked;
    }
    // What was kept has to be believed: with a clock that is wrong it may not be. Of one that is loaded per
    // connection somebody has to know first.
    known.late = machine_.offset() != 0 || known.loaded;
    known.again = known.loaded;
    known.late_until = 0;
  }
}

// What the directory holds is looked at again by whoever sees the clock jump.
void Oracle::clock_is_right(Known* known) const {
  if (known->late && known->late_until == 0 && up_ && machine_.offset() == 0 && !known->loaded) {
    known->late_until = machine_.monotonic() + 1000 * kSettle;
  }
}

void Oracle::start_ended(const std::set<LeafNumber>& served, bool helper_killed) {
  up_ = true;
  for (const LeafNumber leaf : in_care()) {
    Known& known = known_[leaf];
    if (known.loaded && machine_.true_time() - known.last_shown > kUnused) {
      lost(leaf);  // nobody has used it for so long that it went, and with it what is held
    }
    close(leaf, &known);
  }
  for (auto& [leaf, known] : known_) {
    const bool is_served = served.count(leaf) != 0;
    if (is_served && known.loaded) {
      known.loaded = false;  // from now on it is configured, and its entry is the one that it had
      known.in_zone = true;
      untake(&known);
    } else if (!is_served && !(known.loaded && (known.taken || new_zone_))) {
      forget(&known);  // nobody cares for it any more, or nobody knows whether anybody does
    } else if (is_served && helper_killed && new_zone_ && !known.late) {
      known.late = true;  // the first worker looks into the directory
      known.late_until = machine_.monotonic() + 1000 * kSettle;
    }
  }
  for (const LeafNumber leaf : served) {
    Known& known = known_[leaf];
    const bool reachable = good(leaf, start_began_ - 1000 * kSettle, machine_.monotonic(), true);
    if (!known.in_zone && !helper_killed && machine_.offset() == 0 && script_.startup_wait >= 5000 &&
        script_.responders.size() == 1 && reachable) {
      // Waited for was what was missing, or about to end; and to what it has now the window's rule applies at once.
      const UnixSeconds began = kEpoch + (start_began_ - Machine::kBoot) / 1000;
      known.sure = std::max(known.sure, std::min(began + kAboutToEnd, ca_.end_of_answer(leaf, began)));
      known.open = machine_.true_time() + 1;
    }
    known.in_zone = true;
  }
  served_ = served;
  conditions_change();
}

// --- handshakes ---

void Oracle::asked(LeafNumber leaf) {
  // An exchange that had begun before may ask a second responder.
  if (machine_.offset() == 0 && machine_.true_time() > Pki::leaf_end(leaf) + kSettle) {
    complain(leaf, fmt::format("(g) asked for a certificate that ended at {}", to_rfc3339(Pki::leaf_end(leaf))));
  }
}

void Oracle::delivered(LeafNumber leaf, const Signed& response) {
  if (machine_.offset() == 0) {
    known_[leaf].confirmed = machine_.true_time();
  }
  known_[leaf].told_revoked = known_[leaf].told_revoked || response.revoked;
  if (response.revoked && machine_.offset() == 0) {
    Known& known = known_[leaf];
    known.revoked_soon = response.this_update;
    known.revoked_from = machine_.monotonic() + 2000;
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
  Known& known = known_[leaf];
  if (known.revoked_soon.has_value() && machine_.monotonic() >= known.revoked_from) {
    known.revoked = std::max(known.revoked.value_or(0), *known.revoked_soon);
    known.revoked_soon.reset();
  }
  take(&known);
  const UnixSeconds wall = machine_.wall();
  judge_outcome(leaf, staple);
  if (leaf >= Pki::kForged) {
    return staple.status == Node::Got::kNone ? void()
                                             : complain(leaf, "(h) a staple for a certificate that is forged");
  }
  judge_asked_again(leaf, known);
  if (staple.status == Node::Got::kNone) {
    ++bare_;
    return judge_missing(leaf, &known);
  }
  known.late = false;
  if (sure_at(leaf, known, machine_.true_time()) > machine_.true_time()) {
    ++strict_;
    strict_loaded_ += known.loaded ? 1 : 0;
  }
  const Signed* const honest = ca_.find(staple.der);
  if (honest == nullptr) {
    return complain(leaf, "(a) served what the CA never signed");
  }
  if (honest->leaf != leaf) {
    return complain(leaf, fmt::format("(a) served the response of certificate {}", honest->leaf));
  }
  if (wall >= honest->end) {
    return complain(leaf, fmt::format("(a) served what ended at {}", to_rfc3339(honest->end)));
  }
  if (honest->revoked != (staple.status == Node::Got::kRevoked)) {
    return complain(leaf, "(a) the status is not the one of the response");
  }
  if (accepted_.insert(honest).second && honest->this_update > wall + kAhead) {
    return complain(leaf, fmt::format("(a) served what begins at {}", to_rfc3339(honest->this_update)));
  }
  judge_order(leaf, &known, *honest);
}

// A certificate that is omitted goes without another module's response as well.
void Oracle::judge_outcome(LeafNumber leaf, const Node::Staple& staple) {
  const bool sent = staple.status != Node::Got::kNone;
  const bool required = script_.require == OP_REQUIRE_ON;
  if (sent && script_.omits && staple.status == Node::Got::kRevoked) {
    return complain(leaf, "(i) served a response that says revoked, which had to be omitted");
  }
  const bool foreign = !sent && !required && staple.foreign_set;
  const bool omitted = script_.omits && known_[leaf].told_revoked;
  const op_outcome_t due = sent ? OP_STAPLED : required ? OP_REFUSED : foreign ? OP_FOREIGN : OP_NO_STAPLE;
  refused_ += staple.outcome == OP_REFUSED ? 1 : 0;
  omitted_ += !sent && omitted ? 1 : 0;
  if (staple.outcome != due && !(foreign && omitted && staple.outcome == OP_NO_STAPLE)) {
    complain(leaf,
             fmt::format("(i) outcome {} where {} was due", static_cast<int>(staple.outcome), static_cast<int>(due)));
  }
}

void Oracle::judge_missing(LeafNumber leaf, Known* known) {
  if (script_.omits && known->told_revoked) {
    return;
  }
  const UnixSeconds sure = sure_at(leaf, *known, machine_.true_time());
  const bool excused = known->late && (known->late_until == 0 || machine_.monotonic() < known->late_until);
  if (machine_.offset() == 0 && sure > machine_.true_time() && !excused) {
    complain(leaf, fmt::format("(b) no staple, though one was to be had that is valid until {}", to_rfc3339(sure)));
  }
}

// Judged only where a responder was reachable without interruption ever since the start, or since it was taken after
// that.
void Oracle::judge_asked_again(LeafNumber leaf, const Known& known) {
  const UnixSeconds now = machine_.true_time();
  const auto began = known.loaded ? known.taken_again : booted_;
  if (!began.has_value() || !booted_.has_value() || !known.open.has_value() || *known.open > *began + kSettle ||
      now < *began + kCheck + kSettle + slack() || now >= Pki::leaf_end(leaf)) {
    return;
  }
  if (known.confirmed < *booted_ - kBelieved) {
    complain(leaf, fmt::format("(f) not asked again since the start at {}, though last confirmed at {}",
                               to_rfc3339(*booted_), to_rfc3339(known.confirmed)));
  }
}

void Oracle::judge_order(LeafNumber leaf, Known* known, const Signed& served) {
  if (served.revoked) {
    known->revoked = std::max(known->revoked.value_or(0), served.this_update);
  } else if (known->revoked.has_value() && served.this_update <= *known->revoked) {
    complain(leaf, fmt::format("(e) served good of {} though it was revoked at {}", to_rfc3339(served.this_update),
                               to_rfc3339(*known->revoked)));
  } else if (known->newest > machine_.wall() + kAhead) {
    known->newest = 0;  // the clock was set back: what it finds in the future makes room
  } else if (served.this_update < known->newest) {
    complain(leaf, fmt::format("(b) served good of {} where that of {} was served before",
                               to_rfc3339(served.this_update), to_rfc3339(known->newest)));
  }
  known->newest = std::max(known->newest, served.this_update);
}

}  // namespace ocsp_plus::sim
