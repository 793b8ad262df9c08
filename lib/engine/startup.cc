#include "engine/startup.h"

#include <algorithm>
#include <utility>

namespace ocsp_plus::engine {
namespace {

constexpr Millis kTakeTime = 1000;  // for the post: the holder before us writes
                                    // to the zone for an instant at a time
constexpr Millis kBeat = 100;
constexpr Seconds kAboutToEnd = 10;

}  // namespace

Startup::Startup(PollLoop& loop, const Post::Environment& environment, const store::Candidate& self)
    : loop_(loop), environment_(environment), self_(self), report_(environment.log) {
  environment_.starting = true;
}

Result<void> Startup::run(Millis wait) {
  if (auto taken = take_post(); !taken) {
    return taken;
  }
  load_archive();
  post_->files().look_at_all();
  post_->plan_what_was_kept();
  const std::vector<const Target*> awaited = missing();
  if (!awaited.empty() && wait > 0) {
    wait_for(awaited, wait);
  }
  post_.reset();
  return {};
}

Result<void> Startup::take_post() {
  Result<void> taken;
  const auto try_once = [&] {
    auto post = Post::take(environment_, self_);
    if (post) {
      post_ = std::move(*post);
      taken = {};
    } else {
      taken = tl::unexpected<Error>(std::move(post.error()));
    }
    return taken || taken.error().reason != Reason::kLeaseLost;
  };
  if (!try_once()) {
    // The holder before us writes to the zone for an instant at a time.
    every_beat([&] { (void)try_once(); }, [&] { return post_ != nullptr; }, kTakeTime);
  }
  return taken;
}

void Startup::wait_for(const std::vector<const Target*>& awaited, Millis wait) {
  report_.startup_waits(awaited.size(), wait);
  const Millis began = environment_.clock.monotonic();
  bool lost = false;
  every_beat([&] { lost = lost || !post_->beat(); },
             [&] {
               return lost || std::all_of(awaited.begin(), awaited.end(),
                                          [this](const Target* target) { return settled(*target); });
             },
             wait);
  const auto stapled = static_cast<std::size_t>(
      std::count_if(awaited.begin(), awaited.end(), [this](const Target* target) { return held(*target, 0); }));
  report_.startup_ends(stapled, awaited.size() - stapled, environment_.clock.monotonic() - began);
  if (!lost) {
    mark_tried(awaited);
  }
}

// Runs the loop, with `work` at once and then at each beat, until `done` or the time is over.
void Startup::every_beat(const std::function<void()>& work, const std::function<bool()>& done, Millis wait) {
  std::unique_ptr<Timer> timer;
  timer = environment_.loop.timer([&] {
    work();
    timer->arm(kBeat);
  });
  timer->arm(0);
  loop_.run_until(done, wait);
}

void Startup::load_archive() {
  for (const auto& target : environment_.catalog.targets()) {
    if (held(*target, 0) || target->ended(environment_.clock.now()) ||
        (target->issuer == nullptr && (target->sought == nullptr || !post_->issuers().find(*target)))) {
      continue;
    }
    (void)post_->gate().admit_kept(*target, environment_.clock.now(), &report_);
  }
}

// Whom the workers may have to wait for: certificates that can be stapled by fetching, are not (or not for long), and
// that no configuration has tried before, so that a responder that is dead does not delay each reload.
std::vector<const Target*> Startup::missing() const {
  std::vector<const Target*> missing;
  for (const auto& target : environment_.catalog.targets()) {
    if (target->stapleable() && !target->ended(environment_.clock.now()) && !held(*target, kAboutToEnd) &&
        environment_.zone.attempt(target->entry).at == 0) {
      missing.push_back(target.get());
    }
  }
  return missing;
}

// Stapled; or tried in vain, or nobody is left who might answer, unless clients would refuse it without.
bool Startup::settled(const Target& target) const {
  if (held(target, 0)) {
    return true;
  }
  return !target.urgent() && (environment_.zone.attempt(target.entry).at != 0 || post_->hopeless(target));
}

// Certificates whose turn did not come, because their responder failed for others or took too long, count as tried:
// they delay no other start.
void Startup::mark_tried(const std::vector<const Target*>& awaited) {
  for (const Target* target : awaited) {
    store::Attempt attempt = environment_.zone.attempt(target->entry);
    if (attempt.at == 0) {
      attempt.at = environment_.clock.now();
      environment_.zone.set_attempt(target->entry, attempt);
    }
  }
}

bool Startup::held(const Target& target, Seconds margin) const {
  return post_->gate().stapled(target, saturating_add(environment_.clock.now(), margin)).has_value();
}

}  // namespace ocsp_plus::engine
