// When to ask again: pure functions of times, failures and a seed. No clock, randomness or I/O of their own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/reason.h"
#include "base/time.h"
#include "ocsp_plus/defaults.h"

namespace ocsp_plus::engine {

struct RetryBounds {
  Seconds min = OP_DEFAULT_RETRY_MIN_S;
  Seconds max = OP_DEFAULT_RETRY_MAX_S;
};

struct Validity {
  UnixSeconds this_update = 0;
  UnixSeconds expires = 0;
};

// ocsp_plus_refresh: how often a certificate's responder is asked at least, whatever its response allows.
struct RefreshBound {
  Seconds within = 0;      // at least OP_MIN_REFRESH_S; 0: as the response says alone
  UnixSeconds asked = 0;   // when it was last asked, or said it later (thisUpdate)
  std::uint64_t node = 0;  // drawn once by each node
};

// The `random` with which next_refresh() returns its latest time.
constexpr std::uint64_t kLatest = UINT64_MAX;

// The next attempt after a response was verified: between 40 % and 50 % of the validity. The certificate id chooses
// 4 % of it, so that a node's certificates spread out; `random` chooses 6 %, so that the nodes of a fleet, which may
// all hold the same response, spread out. A validity counts as seven days at most, so the attempt is never later than
// 3.5 days after thisUpdate (clients distrust old responses). `fresh_until`, from HTTP caching (RFC 9919 section 5),
// may bring the attempt forward, but not before 25 % of the validity, or a max-age of a minute on a response of a
// week would become polling; the 6 % are added here as well.
//
// If that time has passed (the responder hands out responses made earlier), the attempt comes after an eighth of the
// time left, or at `fresh_until` if that is later, plus up to a quarter of that wait by `random`; but never past half
// of the time left (again of seven days at most), and never in under a second.
//
// `bound`: no later than the certificate's next turn after it was asked. Its turns are a whole bound apart, at a
// second that its id and the node choose, so ten thousand certificates are spread evenly however they began; the
// first is sooner. In under OP_MIN_REFRESH_S after `asked` there is none. `now`, if the turn was missed.
//
// `random`: uniform, drawn anew for each response.
UnixSeconds next_refresh(UnixSeconds now, const Validity& validity, const CertificateId& id,
                         std::optional<UnixSeconds> fresh_until, const RetryBounds& bounds, std::uint64_t random,
                         const RefreshBound& bound = {});

// The distance of the turns of a node that shares: it looks in the store so early that it can wait for another node
// and ask in time itself.
constexpr Seconds turns_of_fleet(Seconds within) {
  return within - within / 8;
}

// Whether a node that got the response when it was made may ask again by `now`: the earliest time that next_refresh()
// has for it, without HTTP freshness, has come.
bool is_refresh_due(UnixSeconds now, const Validity& validity, const CertificateId& id);

// A response from the cache directory that was last confirmed longer ago than kBelievedFor s may have been revoked
// since. After a start it is asked for again within kCheckedWithin s, at a time that each node draws for each
// certificate.
constexpr Seconds kBelievedFor = 3600;
constexpr Seconds kCheckedWithin = 300;
UnixSeconds next_check(UnixSeconds now, std::uint64_t random);

// The harm to clients while an answer is missing.
enum class Need {
  kNone,            // nothing: handshakes get a response
  kStaple,          // the staple
  kRequiredStaple,  // the staple, and they refuse the certificate (Must-Staple), or a server refuses them
};

// `held_until`: end of the held response; 0: none.
inline Need need_for(UnixSeconds held_until, bool staple_required, UnixSeconds now) {
  return held_until > now ? Need::kNone : staple_required ? Need::kRequiredStaple : Need::kStaple;
}

// The longest back-off for each need, and the time during which it does not grow. None of them shortens the minimum,
// or what a responder asks for (Retry-After).
constexpr Seconds kLongestForStaple = 600;
constexpr Seconds kLongestForRequiredStaple = 120;
constexpr Seconds kNoGrowthFor = 15;

// Whether a failure may pass by itself at any moment: the responder was not reached, was not understood, or said that
// it is in trouble. Other failures last longer: a responder's refusal (`unauthorized`, 4xx), and a response that the
// gate refused. `status`: HTTP status, 0 without an answer.
bool may_pass(Reason reason, unsigned status);

// Whether a responder's refusal may only mean that the CA has not told it of a new certificate yet.
bool is_newly_issued(Reason reason, UnixSeconds not_before, UnixSeconds now);

struct Failure {
  std::uint32_t failures = 1;              // in a row, this one included
  std::optional<UnixSeconds> retry_after;  // as the responder asked
  bool newly_issued = false;               // is_newly_issued()
  Need need = Need::kNone;                 // kNone unless the failure may_pass()
  std::uint32_t refusals = 0;              // in a row, if the host refuses every certificate; else 0
  // RefreshBound::within: the longest back-off where there are no `refusals`, not below the minimum.
  Seconds within = 0;
};

// A host that refuses every certificate is asked once in this time by all of them together.
constexpr Seconds kBetweenRefused = 1;

// The next attempt after a failure: exponential back-off with full jitter, within the bounds; never longer than half
// of the time left to the held response, so that attempts get denser towards its end, and never in under a second.
// `held_until`: end of the held response, 0: none. `random`: uniform.
UnixSeconds next_try(UnixSeconds now, const Failure& failure, UnixSeconds held_until, const RetryBounds& bounds,
                     std::uint64_t random);

// How long a node waits for the others of its fleet, in ms (engine/sharing.h): whatever a store says, it asks on its
// own after that.
struct Patience {
  Millis lease = 0;  // for another node's lease
  Millis note = 0;   // for a note that nobody need ask
};
// Returns, with a valid response, a quarter of the time left, plus up to an eighth. With nothing to staple: `timeout`
// (ocsp_plus_timeout) for leases; for notes 10 to 30 s while this node itself has not failed, after `failures`
// 2^failures times the minimum of the back-off, at most the longest back-off for the need. `held_until`: end of the
// held response, 0: none. `need`: kNone unless the last failure may_pass(). `random`: uniform.
Patience patience_for(UnixSeconds now, UnixSeconds held_until, std::uint32_t failures, Need need,
                      const RetryBounds& bounds, Millis timeout, std::uint64_t random);

// Returns the lease that a node with nothing to staple asks for after `waited` ms: one of 2^n after n seconds,
// at most 1,024. Each second doubles the nodes that may ask, so one that hangs with a lease in its hand delays the
// fleet by a moment only.
unsigned lease_number(Millis waited, std::uint64_t random);

// How long nobody need ask after an attempt without a new response, in ms: until this node's own next attempt, at
// most an eighth of the time left to a held response.
Millis note_time(UnixSeconds now, UnixSeconds next_attempt, UnixSeconds held_until);

// The next probe of a failing responder for which certificates wait.
struct TryTimes {
  UnixSeconds planned = 0;
  // Not after `planned`, if a waiting certificate has the need; kNever: needs do not count.
  UnixSeconds for_staple = kNever;
  UnixSeconds for_required_staple = kNever;
  // A bound counts from the failure, but neither shortens the minimum nor what the responder asked for.
  UnixSeconds failed = 0;
  UnixSeconds not_before = 0;

  UnixSeconds within(Seconds bound) const { return std::max(not_before, saturating_add(failed, bound)); }
  UnixSeconds by(Need need) const {
    return need == Need::kNone ? planned : need == Need::kStaple ? for_staple : for_required_staple;
  }
};
// `failure.need` and `failure.within` are ignored; `passes`: needs count.
TryTimes next_tries(UnixSeconds now, Failure failure, bool passes, const RetryBounds& bounds, std::uint64_t random);

}  // namespace ocsp_plus::engine
