#include "engine/startup.h"

#include <algorithm>
#include <utility>

#include "store/entry_state.h"

namespace ocsp_plus::engine {
namespace {

// Time to take the lease: the lease holder before us writes to the zone for an instant at a time.
constexpr Millis kTakeTime = 1000;
// Time for what goes to the shared store last: other nodes wait for it.
constexpr Millis kPublishTime = 500;
constexpr Seconds kAboutToEnd = 10;

}  // namespace

Startup::Startup(PollLoop& loop, const Context& context, const store::ProcessIdentity& self,
                 std::function<void()> progress, const std::optional<store::StapleZone>& replaced)
    : loop_(loop), context_(context), self_(self), progress_(std::move(progress)) {
  context_.starting = true;
  if (replaced.has_value()) {
    replaced_.emplace(*replaced, context_.zone, context_.clock, context_.settings);
  }
}

Result<void> Startup::run(const Patience& patience) {
  progress_();
  if (replaced_.has_value()) {
    replaced_->carry_numbers();  // first: a lease holder plans by them
    progress_();
  }
  RETURN_IF_ERROR(take_lease());
  progress_();
  load_what_was_kept();
  holder_->files().look_at_all(progress_);
  holder_->plan_what_was_kept();
  const std::vector<const Target*> awaited = missing();
  if (!awaited.empty() && patience.wait > 0) {
    wait_for(awaited, patience);
    holder_->end_sharing();
    if (holder_->sharing_ends()) {  // else the loop would wait for its next timer
      loop_.run_until([this] { return !holder_->sharing_ends(); }, kPublishTime);
    }
  }
  tell();
  holder_.reset();
  return {};
}

Result<void> Startup::take_lease() {
  Result<void> taken;
  const auto try_once = [&] {
    auto holder = LeaseHolder::take(context_, self_);
    if (holder) {
      holder_ = std::move(*holder);
      taken = {};
    } else {
      taken = tl::unexpected<Error>(std::move(holder.error()));
    }
    return taken || taken.error().reason != Reason::kLeaseLost;
  };
  if (!try_once()) {
    // The lease holder before us writes to the zone for an instant at a time.
    const auto work = [&] {
      (void)try_once();
      return kTick;
    };
    every_tick(
        work, [&] { return holder_ != nullptr; }, kTakeTime);
  }
  return taken;
}

// A responder that hangs or answers slowly does not hold up the others: the wait ends when nothing has begun or
// arrived for patience.quiet, unless clients refuse a certificate that still has no response.
void Startup::wait_for(const std::vector<const Target*>& awaited, const Patience& patience) {
  holder_->report().startup_waits(awaited.size(), patience.wait);
  const Clock& clock = context_.clock;
  const Millis began = clock.monotonic();
  std::vector<const Target*> open = awaited;
  bool lost = false;
  const auto quiet_at = [&] { return std::max(began, holder_->progressed()) + patience.quiet; };
  const auto work = [&] {
    lost = lost || !holder_->tick();
    const Millis left = quiet_at() - clock.monotonic();
    return left > 0 ? std::min(left, kTick) : kTick;
  };
  const auto done = [&] {
    while (!open.empty() && settled(*open.back(), patience)) {
      open.pop_back();
    }
    return lost || open.empty() ||
           (clock.monotonic() >= quiet_at() && std::all_of(open.begin(), open.end(), [&](const Target* target) {
              return !is_urgent(*target, patience) || settled(*target, patience);
            }));
  };
  every_tick(work, done, patience.wait);
  const auto stapled = static_cast<std::size_t>(
      std::count_if(awaited.begin(), awaited.end(), [this](const Target* target) { return held(*target, 0); }));
  holder_->report().startup_ends(stapled, awaited.size() - stapled, clock.monotonic() - began);
  if (!lost) {
    mark_tried(awaited);
  }
}

// Runs the loop until `done` or for `wait` ms. Calls `work` at once, and then again after as many ms as it returned,
// at most kTick.
void Startup::every_tick(const std::function<Millis()>& work, const std::function<bool()>& done, Millis wait) {
  std::unique_ptr<Timer> timer;
  timer = context_.loop.timer([&] {
    progress_();
    timer->arm(work());
  });
  timer->arm(0);
  loop_.run_until(done, wait);
}

// The old zone's responses come first. The cache directory is read all the same, since it may have a newer response
// or a revocation; where both agree, nothing is verified twice.
void Startup::load_what_was_kept() {
  for (const auto& target : context_.catalog.targets()) {
    progress_();
    if (held(*target, 0) || target->ended(context_.clock.now()) ||
        (target->issuer == nullptr && (target->issuer_lookup == nullptr || !holder_->issuers().find(*target)))) {
      continue;
    }
    if (replaced_.has_value()) {
      replaced_->carry(*target, holder_->gate());
    }
    (void)holder_->gate().admit_kept(*target, context_.clock.now(), &holder_->report());
  }
  if (replaced_.has_value()) {
    replaced_->carry_loaded(context_.catalog, holder_->writer(), progress_);
    holder_->report().zone_replaced(replaced_->taken(), replaced_->refused(), replaced_->loaded());
  }
}

// The certificates that a start waits for: they can be stapled by fetching, have no staple (or not for long), and no
// configuration has tried them before, so that a dead responder does not delay each reload.
std::vector<const Target*> Startup::missing() const {
  std::vector<const Target*> missing;
  for (const auto& target : context_.catalog.targets()) {
    if (!target->ca && target->stapleable() && !target->ended(context_.clock.now()) && !held(*target, kAboutToEnd) &&
        store::read_attempt(context_.zone, target->entry).at == 0) {
      missing.push_back(target.get());
    }
  }
  return missing;
}

bool Startup::is_urgent(const Target& target, const Patience& patience) const {
  return patience.for_those_required && target.staple_required();
}

// Whether the wait for the target is over: it has a staple that lasts; or it was tried or is hopeless, and it has a
// staple or is not urgent.
bool Startup::settled(const Target& target, const Patience& patience) const {
  if (held(target, kAboutToEnd)) {
    return true;
  }
  return (held(target, 0) || !is_urgent(target, patience)) &&
         (store::read_attempt(context_.zone, target.entry).at != 0 || holder_->hopeless(target.entry));
}

// Marks as tried even certificates that had no turn, because their responder failed for others or took too long: they
// delay no other start.
void Startup::mark_tried(const std::vector<const Target*>& awaited) {
  for (const Target* target : awaited) {
    store::Attempt attempt = store::read_attempt(context_.zone, target->entry);
    if (attempt.at == 0) {
      attempt.at = context_.clock.now();
      store::record_attempt(context_.zone, target->entry, attempt);
    }
  }
}

// One line says what the workers begin with.
void Startup::tell() const {
  const UnixSeconds now = context_.clock.now();
  Report::Started started;
  for (const auto& target : context_.catalog.targets()) {
    if (target->ca) {
      continue;
    }
    ++started.certificates;
    const auto response = holder_->gate().held(*target);
    if (response.has_value() && is_staplable(*response, now, context_.settings.policy.clock_skew)) {
      if (static_cast<crypto::CertStatus>(response->cert_status) == crypto::CertStatus::kRevoked) {
        ++started.revoked;
      } else {
        ++started.stapled;
        ++started.from[std::min<std::size_t>(static_cast<std::size_t>(response->source), started.from.size() - 1)];
      }
    } else if (target->ended(now)) {
      ++started.ended;
    } else if (!target->supported()) {
      ++started.unsupported;
    } else {
      ++started.missing;
      if (started.first_missing == nullptr ||
          (target->staple_required() && !started.first_missing->staple_required())) {
        started.first_missing = target.get();
      }
    }
  }
  started.cache = context_.settings.cache;
  holder_->report().started(started);
}

bool Startup::held(const Target& target, Seconds margin) const {
  return holder_->gate().stapled(target, saturating_add(context_.clock.now(), margin)).has_value();
}

}  // namespace ocsp_plus::engine
