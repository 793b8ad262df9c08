#include "engine/freshness.h"

#include <algorithm>

namespace ocsp_plus::engine {
std::optional<UnixSeconds> fresh_until(const net::HttpHead& head, UnixSeconds now) {
  if (head.max_age.has_value()) {
    return saturating_add(now, saturating_sub(*head.max_age, head.age.value_or(0)));
  }
  return head.expires;
}

Seconds age_of(const net::HttpHead& head, UnixSeconds now) {
  const Seconds apparent = head.date.has_value() ? saturating_sub(now, *head.date) : 0;
  return std::max(head.age.value_or(0), apparent > kClocksDiffer ? apparent : 0);
}

UnixSeconds confirmed_at(const net::HttpHead& head, UnixSeconds now) {
  const Seconds age = head.age.value_or(0);
  if (!head.date.has_value()) {
    return saturating_sub(now, age);
  }
  if (age == 0 && saturating_sub(now, *head.date) <= kClocksDiffer) {
    return now;
  }
  return std::min(saturating_sub(*head.date, age), now);
}

}  // namespace ocsp_plus::engine
