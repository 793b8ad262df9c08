#include "engine/schedule.h"

#include <algorithm>

namespace ocsp_plus::engine {
namespace {

constexpr Seconds kWeek = Seconds{7} * 86400;
constexpr Seconds kNewlyIssued = 3600;
constexpr Seconds kNewlyIssuedMin = 30;
constexpr Seconds kNewlyIssuedMax = 60;

// part/whole of a span, without overflow.
Seconds fraction(Seconds span, std::int64_t part, std::int64_t whole) {
  return span / whole * part + span % whole * part / whole;
}

// 0..1000, the same for a certificate on every machine and at every start.
std::int64_t permille(const CertificateId& id) {
  return (id[0] | id[1] << 8) % 1001;
}

// A response may be valid for years; planning counts a week at most.
Seconds within_week(Seconds span) {
  return std::clamp<Seconds>(span, 0, kWeek);
}

// 0 to `span`, which is at most a week, growing with `random`.
Seconds part_of(Seconds span, std::uint64_t random) {
  return (span + 1) * static_cast<Seconds>(random >> 40) >> 24;
}

Seconds pick(Seconds from, Seconds to, std::uint64_t random) {
  return from >= to ? from : from + static_cast<Seconds>(random % static_cast<std::uint64_t>(to - from + 1));
}

Seconds longest_for(Need need, const RetryBounds& bounds) {
  const Seconds longest = need == Need::kRequiredStaple ? kLongestForRequiredStaple
                          : need == Need::kStaple       ? kLongestForStaple
                                                        : bounds.max;
  return std::clamp(longest, std::min(bounds.min, bounds.max), bounds.max);
}

// The first turn after `bound.asked`.
UnixSeconds next_turn(const RefreshBound& bound, const CertificateId& id) {
  std::uint64_t place = bound.node;
  for (std::size_t i = 0; i < sizeof(place); ++i) {
    place += std::uint64_t{id[i]} << (8 * i);
  }
  const auto turn = static_cast<Seconds>(place % static_cast<std::uint64_t>(bound.within));
  const Seconds asked = std::max<Seconds>(bound.asked, 0);
  const Seconds since = (asked % bound.within - turn + bound.within) % bound.within;
  return saturating_add(asked, std::max<Seconds>(bound.within - since, OP_MIN_REFRESH_S));
}

UnixSeconds next_by_response(UnixSeconds now, const Validity& validity, const CertificateId& id,
                             std::optional<UnixSeconds> fresh_until, const RetryBounds& bounds,
                             std::uint64_t random) {
  const Seconds span = within_week(saturating_sub(validity.expires, validity.this_update));
  const Seconds by_id = fraction(fraction(span, 4, 100), permille(id), 1000);
  const Seconds by_node = part_of(fraction(span, 6, 100), random);
  UnixSeconds look = saturating_add(validity.this_update, fraction(span, 40, 100) + by_id + by_node);
  if (fresh_until.has_value()) {
    const UnixSeconds fresh = std::max(*fresh_until, saturating_add(validity.this_update, span / 4));
    look = std::min(look, saturating_add(fresh, by_node));
  }
  if (look > now) {
    // A thisUpdate far ahead of our clock, which has been set back since, is no reason to sleep that long.
    return std::min(look, saturating_add(now, kWeek / 2));
  }
  const Seconds left = within_week(saturating_sub(validity.expires, now));
  Seconds wait = std::max(left / 8, bounds.min);
  if (fresh_until.has_value()) {
    wait = std::max(wait, saturating_sub(*fresh_until, now));
  }
  wait = std::min(wait, left / 2);
  return saturating_add(now, std::max<Seconds>(std::min(wait + part_of(within_week(wait / 4), random), left / 2), 1));
}

// The power of two by which the minimum has grown.
std::uint32_t growth(const Failure& failure, const RetryBounds& bounds) {
  const std::uint32_t before = failure.failures == 0 ? 0 : failure.failures - 1;
  const auto at_minimum = failure.need == Need::kNone
                              ? 0
                              : static_cast<std::uint32_t>((kNoGrowthFor - 1) / std::max<Seconds>(bounds.min, 1));
  // 2^30 times the minimum exceeds every sensible maximum; clamped before shifting.
  return std::min<std::uint32_t>(before - std::min(before, at_minimum), 30);
}

}  // namespace

UnixSeconds next_refresh(UnixSeconds now, const Validity& validity, const CertificateId& id,
                         std::optional<UnixSeconds> fresh_until, const RetryBounds& bounds, std::uint64_t random,
                         const RefreshBound& bound) {
  const UnixSeconds next = next_by_response(now, validity, id, fresh_until, bounds, random);
  return bound.within == 0 ? next : std::min(next, std::max(next_turn(bound, id), now));
}

bool is_refresh_due(UnixSeconds now, const Validity& validity, const CertificateId& id) {
  return next_refresh(validity.this_update, validity, id, std::nullopt, RetryBounds(), 0) <= now;
}

UnixSeconds next_check(UnixSeconds now, std::uint64_t random) {
  return saturating_add(now, part_of(kCheckedWithin, random));
}

bool may_pass(Reason reason, unsigned status) {
  switch (reason) {
    case Reason::kInternalError:
    case Reason::kTryLater:
    case Reason::kDnsNotFound:
    case Reason::kDnsNoAddress:
    case Reason::kDnsTimeout:
    case Reason::kDnsFailed:
    case Reason::kConnectRefused:
    case Reason::kConnectUnreachable:
    case Reason::kConnectionReset:
    case Reason::kTimeout:
    case Reason::kTruncated:
    case Reason::kHttpMalformed:
    case Reason::kNetworkError:
    case Reason::kTlsFailed:
    case Reason::kTlsCertificate:
    case Reason::kTlsName:
    case Reason::kProxyFailed:
    case Reason::kNoIssuer:  // the host that has the issuer is left alone because it fails
      return true;
    case Reason::kHttpStatus:
      return status / 100 == 5;
    default:
      return false;
  }
}

bool is_newly_issued(Reason reason, UnixSeconds not_before, UnixSeconds now) {
  return reason == Reason::kUnauthorized && saturating_sub(now, not_before) < kNewlyIssued;
}

UnixSeconds next_try(UnixSeconds now, const Failure& failure, UnixSeconds held_until, const RetryBounds& bounds,
                     std::uint64_t random) {
  Seconds wait = 0;
  const Seconds crowd = failure.refusals * kBetweenRefused;
  if (failure.newly_issued) {
    wait = pick(kNewlyIssuedMin, std::max(kNewlyIssuedMax, crowd), random);
  } else {
    const std::uint32_t exponent = growth(failure, bounds);
    const Seconds longest = longest_for(failure.need, bounds);
    const Seconds ceiling = bounds.min > (longest >> exponent) ? longest : bounds.min << exponent;
    wait = pick(bounds.min, std::max(ceiling, crowd), random);
  }
  if (failure.within != 0 && crowd == 0) {
    wait = std::min(wait, std::max(failure.within, bounds.min));
  }
  if (failure.retry_after.has_value()) {
    wait = std::max(wait, saturating_sub(*failure.retry_after, now));
  }
  wait = std::clamp(wait, std::min(bounds.min, bounds.max), bounds.max);
  if (held_until > now) {
    wait = std::min(wait, saturating_sub(held_until, now) / 2);
  }
  return saturating_add(now, std::max<Seconds>(wait, 1));
}

TryTimes next_tries(UnixSeconds now, Failure failure, bool passes, const RetryBounds& bounds, std::uint64_t random) {
  const auto by = [&](Need need) {
    failure.need = need;
    return next_try(now, failure, 0, bounds, random);
  };
  failure.within = 0;
  TryTimes times;
  times.planned = by(Need::kNone);
  const Seconds asked_for = failure.retry_after.has_value() ? saturating_sub(*failure.retry_after, now) : 0;
  times.failed = now;
  times.not_before = saturating_add(now, std::clamp(asked_for, std::min(bounds.min, bounds.max), bounds.max));
  if (passes) {
    times.for_staple = std::min(times.planned, by(Need::kStaple));
    times.for_required_staple = std::min(times.planned, by(Need::kRequiredStaple));
  }
  return times;
}

Patience patience_for(UnixSeconds now, UnixSeconds held_until, std::uint32_t failures, Need need,
                      const RetryBounds& bounds, Millis timeout, std::uint64_t random) {
  if (held_until > now) {
    const Millis left = within_week(saturating_sub(held_until, now)) * 1000;
    const Millis most = left / 4 + pick(0, left / 8, random);
    return {most, most};
  }
  if (failures == 0) {
    return {timeout, 10000 + pick(0, 20000, random)};
  }
  const Seconds grown = bounds.min << std::min<std::uint32_t>(failures, 20);
  return {timeout, std::min(std::max<Seconds>(grown, 1), longest_for(need, bounds)) * 1000};
}

unsigned lease_number(Millis waited, std::uint64_t random) {
  const auto doublings = static_cast<unsigned>(std::clamp<Millis>(waited / 1000, 0, 10));
  return static_cast<unsigned>(random % (std::uint64_t{1} << doublings));
}

Millis note_time(UnixSeconds now, UnixSeconds next_attempt, UnixSeconds held_until) {
  const Seconds wait = within_week(saturating_sub(next_attempt, now));
  return (held_until > now ? std::min(wait, saturating_sub(held_until, now) / 8) : wait) * 1000;
}

}  // namespace ocsp_plus::engine
