#include "engine/plan.h"

#include <algorithm>

namespace ocsp_plus::engine {
namespace {

// Halfway to `ends`, at least a second from now.
UnixSeconds halfway(UnixSeconds now, UnixSeconds ends) {
  return saturating_add(now, std::max<Seconds>(saturating_sub(ends, now) / 2, 1));
}

}  // namespace

Plan::Place& Plan::place(Entry entry) {
  if (entry >= places_.size()) {
    places_.resize(entry + 1);
  }
  return places_[entry];
}

void Plan::enqueue(Entry entry, UnixSeconds due) {
  Place& in = place(entry);
  queue_.emplace(due, entry);
  in.due = due;
  in.queued = true;
}

void Plan::wait(Entry entry, Waiting waiting, UnixSeconds now) {
  Place& in = place(entry);
  in.waiting = std::make_unique<Waiting>(std::move(waiting));
  for (const std::string& host : in.waiting->hosts) {
    waiting_[host].emplace(in.waiting->ends, entry);
    if (health_.failing(host)) {
      health_.bring_probe_forward(host, need_of(entry, now));
      bring_within(host, in.waiting->within);
      probe_in_time(host, now);
    }
  }
}

bool Plan::remove(Entry entry) {
  if (queued(entry)) {
    queue_.erase({places_[entry].due, entry});
    places_[entry].queued = false;
    return true;
  }
  if (waits(entry)) {
    stop_waiting(entry);
    return true;
  }
  return false;
}

void Plan::stop_waiting(Entry entry) {
  const std::unique_ptr<Waiting> ended = std::move(places_[entry].waiting);
  for (const std::string& host : ended->hosts) {
    const auto found = waiting_.find(host);
    if (found == waiting_.end()) {
      continue;  // two URLs have the same host
    }
    found->second.erase({ended->ends, entry});
    if (found->second.empty()) {
      waiting_.erase(found);
    }
  }
}

bool Plan::requeue(Entry entry, UnixSeconds due) {
  if (!queued(entry)) {
    return false;
  }
  remove(entry);
  enqueue(entry, due);
  return true;
}

std::optional<Plan::Entry> Plan::take_due(UnixSeconds now) {
  if (queue_.empty() || queue_.begin()->first > now) {
    return std::nullopt;
  }
  const Entry entry = queue_.begin()->second;
  remove(entry);
  return entry;
}

std::optional<Plan::Entry> Plan::take_permitted(UnixSeconds now, Millis monotonic, bool per_connection) {
  auto next = waiting_.upper_bound(turn_);
  for (std::size_t left = waiting_.size(); left > 0; --left, ++next) {
    if (next == waiting_.end()) {
      next = waiting_.begin();
    }
    const auto& [host, waiting_for] = *next;
    // Empty if memory ran out before the first certificate was in it.
    if (waiting_for.empty() || health_.may_start(host, now, monotonic) != ResponderHealth::Permit::kAllowed) {
      continue;
    }
    const Entry chosen = choose(host, waiting_for);
    // Certificates loaded per connection have health keys of their own, so all others that wait for this key are such
    // too.
    if (per_connection || !waiting(chosen).per_connection) {
      turn_ = host;
      stop_waiting(chosen);  // the host goes with its last certificate
      return chosen;
    }
  }
  return std::nullopt;
}

// The certificate whose response ends first; but a host that fails, or has not answered this process yet, may choke
// on a single certificate, so it is asked for others in turn.
Plan::Entry Plan::choose(const std::string& host, const Queue& waiting_for) const {
  if (health_.failing(host)) {
    // The one goes first whose last request is longest ago.
    return std::min_element(
               waiting_for.begin(), waiting_for.end(),
               [this](const auto& a, const auto& b) { return waiting(a.second).tried < waiting(b.second).tried; })
        ->second;
  }
  if (health_.answers(host)) {
    return waiting_for.begin()->second;
  }
  // A certificate for which the previous process got no answer is not asked for first again. There are few of them.
  const auto chosen = std::find_if(waiting_for.begin(), waiting_for.end(),
                                   [this](const auto& each) { return !waiting(each.second).unanswered; });
  return (chosen != waiting_for.end() ? chosen : waiting_for.begin())->second;
}

std::set<Plan::Entry> Plan::take_all() {
  std::set<Entry> all;
  for (const auto& [due, entry] : queue_) {
    all.insert(entry);
  }
  for (const auto& [host, waiting] : waiting_) {
    for (const auto& [ends, entry] : waiting) {
      all.insert(entry);
    }
  }
  queue_.clear();
  waiting_.clear();
  for (const Entry entry : all) {
    places_[entry] = Place();
  }
  return all;
}

void Plan::reschedule(const std::function<UnixSeconds(Entry entry, UnixSeconds due)>& when) {
  Queue queue;
  for (const auto& [due, entry] : queue_) {
    Place& in = places_[entry];
    in.due = when(entry, due);
    queue.emplace(in.due, entry);
  }
  queue_.swap(queue);
}

Need Plan::need_of(Entry entry, UnixSeconds now) const {
  const Waiting& about = waiting(entry);
  return need_for(about.ends, about.staple_required, now);
}

// Certificates without a held response sort first.
Need Plan::most_urgent(const Queue& waiting_for, UnixSeconds now) const {
  Need most = Need::kNone;
  for (auto it = waiting_for.begin(); it != waiting_for.end() && it->first <= now && most != Need::kRequiredStaple;
       ++it) {
    most = std::max(most, need_of(it->second, now));
  }
  return most;
}

// 0: no certificate has a bound.
Seconds Plan::shortest_bound(const Queue& waiting_for) const {
  Seconds shortest = 0;
  for (const auto& [ends, entry] : waiting_for) {
    const Seconds within = waiting(entry).within;
    shortest = within != 0 && (shortest == 0 || within < shortest) ? within : shortest;
  }
  return shortest;
}

void Plan::bring_within(const std::string& host, Seconds bound) {
  if (bound != 0) {
    health_.bring_probe_within(host, bound);
  }
}

void Plan::plan_probe_of(const std::string& host, UnixSeconds now) {
  const auto found = waiting_.find(host);
  if (found != waiting_.end() && health_.failing(host)) {
    health_.bring_probe_forward(host, most_urgent(found->second, now));
    bring_within(host, shortest_bound(found->second));
    probe_in_time(host, now);
  }
}

// A waiting certificate's response may end before the host's next probe.
void Plan::probe_in_time(const std::string& host, UnixSeconds now) {
  const Queue& waiting_for = waiting_.at(host);
  const auto soonest = waiting_for.upper_bound({now, UINT32_MAX});
  if (soonest != waiting_for.end()) {
    health_.bring_probe_forward(host, halfway(now, soonest->first));
  }
}

}  // namespace ocsp_plus::engine
