// When to look again: pure functions of times, failures and a seed. No clock, no randomness, no I/O of their own.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/reason.h"
#include "base/time.h"

namespace ocsp_plus::engine {

struct RetryBounds {
  Seconds min = 5;
  Seconds max = 3600;
};

struct Validity {
  UnixSeconds this_update = 0;
  UnixSeconds expires = 0;
};

// `random` of next_refresh() that yields the latest point it can.
constexpr std::uint64_t kLatest = UINT64_MAX;

// The next look after a response was verified. It lies between 40 % and 50 % of the validity: 4 % of it are chosen by
// the certificate id, so that the certificates of a node do not march in step, and 6 % by `random`, so that the nodes
// of a fleet do not, which may all hold the same response. Of a longer validity seven days count, so it is never
// later than 3.5 days after thisUpdate (clients distrust old responses). `fresh_until` is what HTTP caching said (RFC
// 9919 section 5): it may bring the look forward, but not before 25 % of the validity, or a max-age of a minute on a
// response of a week would become polling; those 6 % are added here as well.
//
// Where that point is past already (the responder hands out responses it has made earlier): after an eighth of what
// is left, or when HTTP says that there is something newer if that is later, and up to a quarter of that wait longer
// by `random`; but never past half of what is left (again, of seven days at the most) and never under a second.
//
// `random`: uniform, to be drawn anew for each response.
UnixSeconds next_refresh(UnixSeconds now, const Validity& validity, const CertificateId& id,
                         std::optional<UnixSeconds> fresh_until, const RetryBounds& bounds, std::uint64_t random);

// A response that came from the cache directory and was last confirmed longer ago is asked for again after a start,
// at a moment within the span, drawn by each node for each certificate: it may have been revoked since.
constexpr Seconds kBelievedFor = 3600;
constexpr Seconds kCheckedWithin = 300;
UnixSeconds next_check(UnixSeconds now, std::uint64_t random);

// What clients go without while an answer is missing.
enum class Need {
  kNone,            // nothing: a handshake gets a response
  kStaple,          // the staple
  kRequiredStaple,  // the staple, and they refuse the certificate for it (Must-Staple), or a server refuses them
};

// `held_until`: when the response that is held ends; 0: none is.
inline Need need_for(UnixSeconds held_until, bool staple_required, UnixSeconds now) {
  return held_until > now ? Need::kNone : staple_required ? Need::kRequiredStaple : Need::kStaple;
}

// The longest back-off while there is such a need, and how long it does not grow at all. Neither shortens the minimum
// nor what a responder asks for (Retry-After).
constexpr Seconds kLongestForStaple = 600;
constexpr Seconds kLongestForRequiredStaple = 120;
constexpr Seconds kNoGrowthFor = 15;

// Whether a failure may be over the next moment, without anybody's decision: the responder was not reached, was not
// understood, or said itself that it is in trouble. `status`: of the HTTP answer, 0 where there was none. What a
// responder refuses (`unauthorized`, 4xx), and what it sent and the gate refused, stays as it is for longer.
bool may_pass(Reason reason, unsigned status);

struct Failure {
  std::uint32_t failures = 1;              // in a row, this one included
  std::optional<UnixSeconds> retry_after;  // what the responder asked for
  bool newly_issued = false;               // `unauthorized` for a certificate younger than an hour
  Need need = Need::kNone;                 // to be given where the failure may_pass()
  std::uint32_t refusals = 0;              // in a row, of a host that refuses everybody; else 0
};

// A host that refuses everybody is asked again that seldom, by all of its certificates together.
constexpr Seconds kBetweenRefused = 1;

// The next try after a failure: exponential with full jitter, between the bounds; never longer than half of what is
// left of the response that is held, so that tries get denser towards its end, and never under a second.
// `expires`: the end of the held response, 0 where none is. `random`: uniform.
UnixSeconds next_try(UnixSeconds now, const Failure& failure, UnixSeconds held_until, const RetryBounds& bounds,
                     std::uint64_t random);

// The same for a responder that fails, for whom others wait.
struct TryTimes {
  UnixSeconds planned = 0;
  UnixSeconds for_staple = kNever;  // not after `planned`, where one who waits needs it; kNever: needs do not count
  UnixSeconds for_required_staple = kNever;

  UnixSeconds by(Need need) const {
    return need == Need::kNone ? planned : need == Need::kStaple ? for_staple : for_required_staple;
  }
};
// `failure.need` does not count; `passes`: needs do.
TryTimes next_tries(UnixSeconds now, Failure failure, bool passes, const RetryBounds& bounds, std::uint64_t random);

}  // namespace ocsp_plus::engine
