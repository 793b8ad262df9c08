#include "sim/oracle.h"

#include <fmt/format.h>

#include <algorithm>

namespace ocsp_plus::sim {
namespace {

constexpr Seconds kSettle = 13;      // after an outage or a kill: an exchange that hangs, a lease that went stale
constexpr Seconds kSlack = 6;        // from being due to being served: a beat, an answer, rounding
constexpr Seconds kOneMore = 6;      // and half of the time-out for another responder that was asked first
constexpr Seconds kAhead = 300;      // how far thisUpdate may lie ahead
constexpr Seconds kAboutToEnd = 10;  // what ends sooner is fetched anew by a start
constexpr Millis kDiskRetry = 61000;

}  // namespace

Seconds Oracle::slack() const {
  return kSlack + static_cast<Seconds>(script_.responders.size() - 1) * kOneMore;
}

// Whether all that time a responder answered honestly. Another one may have failed meanwhile; but not have replayed
// old responses, which look like good ones that are not newer. What goes wrong for one certificate counts for all:
// the host they share has a bad name then.
bool Oracle::good(LeafNumber, Millis from, Millis to) const {
  bool honest = false;
  for (std::size_t i = 0; i < script_.responders.size(); ++i) {
    bool clean = true;
    for (const Conduct& conduct : script_.responders[i]) {
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
  if (!known.open.has_value() || at <= *known.open) {
    return known.sure;
  }
  UnixSeconds from = *known.open;
  UnixSeconds sure = known.sure;
  if (sure <= from) {
    const Seconds longest = script_.retry_max + slack();
    if (at < from + longest) {
      return sure;
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
  return sure;
}

void Oracle::close(LeafNumber leaf, Known* known) {
  known->sure = sure_at(leaf, *known, machine_.true_time());
  known->open.reset();
}

void Oracle::conditions_change() {
  for (const LeafNumber leaf : served_) {
    Known& known = known_[leaf];
    const bool is_good = up_ && machine_.offset() == 0 && good(leaf, machine_.monotonic(), machine_.monotonic());
    if (!is_good) {
      close(leaf, &known);
    } else if (!known.open.has_value()) {
      known.open = machine_.true_time() + kSettle;
    }
  }
}

void Oracle::interrupted() {
  for (const LeafNumber leaf : served_) {
    close(leaf, &known_[leaf]);
    known_[leaf].revoked_soon.reset();
  }
  conditions_change();
}

// --- starts and ends ---

void Oracle::forget(Known* known) {
  known->sure = 0;
  known->newest = 0;
  known->revoked.reset();
}

bool Oracle::disk_was_good(Millis span) const {
  const Millis now = machine_.monotonic();
  return std::none_of(script_.disk.begin(), script_.disk.end(),
                      [&](const DiskSpan& disk) { return disk.from <= now && now - span < disk.to; });
}

void Oracle::stopped(bool power_cut) {
  for (const LeafNumber leaf : served_) {
    close(leaf, &known_[leaf]);
  }
  const bool kept = !power_cut && disk_was_good(kDiskRetry);
  for (auto& [leaf, known] : known_) {
    known.in_zone = false;
    known.revoked_soon.reset();
    if (!kept || served_.count(leaf) == 0) {
      forget(&known);
    }
  }
  served_.clear();
  up_ = false;
}

void Oracle::start_begins(bool new_zone) {
  new_zone_ = new_zone;
  start_began_ = machine_.monotonic();
  // What was kept has to be read, and believed: with a clock that is wrong it may not be.
  if (new_zone && (!disk_was_good(0) || machine_.offset() != 0)) {
    for (auto& [leaf, known] : known_) {
      forget(&known);
    }
  }
}

void Oracle::start_ended(const std::set<LeafNumber>& served, bool helper_killed) {
  up_ = true;
  for (const LeafNumber leaf : served_) {
    close(leaf, &known_[leaf]);
  }
  for (auto& [leaf, known] : known_) {
    if (served.count(leaf) == 0 || (helper_killed && new_zone_)) {
      forget(&known);  // nobody cares for it any more, or it was not loaded
    }
  }
  for (const LeafNumber leaf : served) {
    Known& known = known_[leaf];
    const bool reachable = good(leaf, start_began_ - 1000 * kSettle, machine_.monotonic());
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

void Oracle::delivered(LeafNumber leaf, const Signed& response) {
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
  const UnixSeconds wall = machine_.wall();
  if (staple.status == OP_STAPLE_NONE) {
    ++bare_;
    const UnixSeconds sure = sure_at(leaf, known, machine_.true_time());
    if (machine_.offset() == 0 && sure > machine_.true_time()) {
      complain(leaf, fmt::format("(b) no staple, though one was to be had that is valid until {}", to_rfc3339(sure)));
    }
    return;
  }
  strict_ += sure_at(leaf, known, machine_.true_time()) > machine_.true_time() ? 1 : 0;
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
  if (honest->revoked != (staple.status == OP_STAPLE_REVOKED)) {
    return complain(leaf, "(a) the status is not the one of the response");
  }
  if (accepted_.insert(honest).second && honest->this_update > wall + kAhead) {
    return complain(leaf, fmt::format("(a) served what begins at {}", to_rfc3339(honest->this_update)));
  }
  judge_order(leaf, &known, *honest);
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
