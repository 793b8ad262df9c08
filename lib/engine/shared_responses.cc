#include "engine/shared_responses.h"

#include <algorithm>
#include <utility>

#include "crypto/digest.h"

namespace ocsp_plus::engine {
namespace {

constexpr Millis kZoneBusyPause = 20;

}  // namespace

bool concerns_this_node(Reason reason) {
  return reason == Reason::kUnsupportedHash || reason == Reason::kSha256Only || reason == Reason::kNotSendable ||
         reason == Reason::kThisUpdateInFuture || reason == Reason::kProducedAtInFuture ||
         reason == Reason::kUnsupportedSignature || reason == Reason::kOutOfMemory;
}

SharedResponses::SharedResponses(const Context& context, Report& report, WorkQueue& work_queue, Gate& gate,
                                 Roster& roster, SharingTally& tally, OnJudged on_judged)
    : context_(context),
      report_(report),
      work_queue_(work_queue),
      gate_(gate),
      roster_(roster),
      tally_(tally),
      on_judged_(std::move(on_judged)),
      busy_timer_(context.loop.timer([this] { queue(); })) {}

void SharedResponses::judge(Response response) {
  waiting_.push_back({std::move(response), std::nullopt});
  queue();
}

void SharedResponses::end(Entry entry) {
  waiting_.erase(std::remove_if(waiting_.begin(), waiting_.end(),
                                [entry](const Waiting& waiting) { return waiting.response.entry == entry; }),
                 waiting_.end());
}

void SharedResponses::queue() {
  if (turn_ == nullptr) {
    turn_ = work_queue_.enqueue([this] { next(); });
  }
}

void SharedResponses::next() {
  turn_.reset();
  if (waiting_.empty()) {
    return;
  }
  Waiting first = std::move(waiting_.front());
  waiting_.pop_front();
  const auto judged = judge_one(&first);
  if (!judged.has_value()) {
    waiting_.push_front(std::move(first));
    return busy_timer_->arm(kZoneBusyPause);
  }
  if (!waiting_.empty() && *judged != Judged::kLost) {
    queue();
  }
  on_judged_(first.response, *judged, crypto::sha1(first.response.response));
}

// Nothing: the zone was busy. The response is not verified again then.
std::optional<SharedResponses::Judged> SharedResponses::judge_one(Waiting* waiting) {
  const Target& target = roster_.at(waiting->response.entry).target;
  const UnixSeconds now = context_.clock.now();
  if (target.issuer == nullptr) {
    return Judged::kNotForUs;  // it has gone meanwhile
  }
  if (!waiting->verified.has_value()) {
    waiting->verified =
        verify(target, waiting->response.response, store::Source::kShared, {now, false}, context_.settings.policy);
  }
  const Admission admission = gate_.commit(target, *waiting->verified, now);
  if (admission.stored == Reason::kZoneBusy) {
    return std::nullopt;
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

}  // namespace ocsp_plus::engine
