#include "engine/schedule.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>

#include "ocsp_plus/defaults.h"
#include "tests/fakes/mmap_zone.h"

namespace ocsp_plus::engine {
namespace {

using testing::test_id;
using testing::TestRandom;

constexpr Seconds kHour = 3600;
constexpr Seconds kDay = 24 * kHour;
constexpr UnixSeconds kStart = 1900000000;
const RetryBounds kBounds = {5, 3600};

CertificateId id_at(std::uint64_t permille) {
  CertificateId id = {};
  id[0] = static_cast<std::uint8_t>(permille & 0xff);
  id[1] = static_cast<std::uint8_t>(permille >> 8);
  return id;
}

// --- ocsp_plus_refresh -------------------------------------------------------------------------------------------

UnixSeconds bounded(UnixSeconds now, const CertificateId& id, const RefreshBound& bound,
                    Seconds validity = 7 * kDay) {
  return next_refresh(now, {kStart - kHour, kStart - kHour + validity}, id, {}, kBounds, 0, bound);
}

TEST_CASE("schedule: a bound holds whatever the validity, and never in under five seconds", "[schedule]") {
  for (const Seconds within : {5, 6, 9, 10, 60, 900, 40000}) {
    for (std::uint64_t i = 0; i < 200; ++i) {
      const UnixSeconds asked = kStart + static_cast<Seconds>(i);
      const UnixSeconds next = bounded(asked, test_id(i), {within, asked, i * 7});
      INFO(within << " " << i);
      CHECK(next >= asked + OP_MIN_REFRESH_S);
      CHECK(next <= asked + within);
      // From its turn on it is a whole bound.
      if (within >= 2 * OP_MIN_REFRESH_S) {
        const UnixSeconds turn = bounded(next, test_id(i), {within, next, i * 7});
        CHECK(bounded(turn, test_id(i), {within, turn, i * 7}) == turn + within);
      }
    }
  }
  // HTTP's freshness does not put it off, and a shorter validity still counts.
  CHECK(next_refresh(kStart, {kStart, kStart + 7 * kDay}, id_at(0), kStart + kDay, kBounds, 0, {60, kStart, 0}) <=
        kStart + 60);
  CHECK(next_refresh(kStart, {kStart, kStart + 60}, id_at(0), {}, kBounds, 0, {900, kStart, 0}) <= kStart + 30);
  // None, and one whose turn was missed.
  CHECK(bounded(kStart, id_at(0), {}) > kStart + kDay);
  CHECK(bounded(kStart, id_at(0), {60, kStart - 3600, 0}) == kStart);
  CHECK(bounded(kStart, id_at(0), {60, 0, 0}) == kStart);
}

TEST_CASE("schedule: ten thousand certificates under a bound of 15 minutes, asked for together", "[schedule]") {
  constexpr Seconds kBound = 900;
  std::map<UnixSeconds, int> by_second;
  for (std::uint64_t i = 0; i < 10000; ++i) {
    UnixSeconds asked = kStart + static_cast<Seconds>(i % 30);
    for (int round = 0; round < 4; ++round) {
      asked = bounded(asked, test_id(i), {kBound, asked, 42});
      ++by_second[asked];
    }
  }
  // From the second round on each is asked for once in a bound: 11.1 a second.
  int total = 0, most = 0;
  for (auto at = by_second.lower_bound(kStart + kBound); at != by_second.end() && at->first < kStart + 2 * kBound;
       ++at) {
    total += at->second;
    most = std::max(most, at->second);
  }
  CHECK(total >= 9900);
  CHECK(total <= 10100);
  CHECK(most <= 30);
  for (const auto& [second, requests] : by_second) {
    CHECK(requests <= 60);  // also in the first round, where turns are sooner
  }
}

TEST_CASE("schedule: the back-off under a bound", "[schedule]") {
  Failure failure;
  failure.failures = 20;
  failure.within = 60;
  CHECK(next_try(kStart, failure, 0, kBounds, kLatest) <= kStart + 60);
  failure.within = 2;  // the minimum holds
  CHECK(next_try(kStart, failure, 0, {7, 3600}, kLatest) == kStart + 7);
  failure.newly_issued = true;
  CHECK(next_try(kStart, failure, 0, kBounds, kLatest) == kStart + 5);
  failure.newly_issued = false;
  failure.refusals = 500;  // a crowd that is refused waits for its turn
  CHECK(next_try(kStart, failure, 0, kBounds, kLatest) > kStart + 60);
  failure.refusals = 0;
  failure.within = 60;
  failure.retry_after = kStart + 500;
  CHECK(next_try(kStart, failure, 0, kBounds, 0) == kStart + 500);
  // Of the host: counted from its failure, not before what it asked for.
  TryTimes times = next_tries(kStart, failure, true, kBounds, 0);
  CHECK(times.within(60) == kStart + 500);
  CHECK(times.within(600) == kStart + 600);
  failure.retry_after.reset();
  times = next_tries(kStart, failure, true, kBounds, kLatest);
  CHECK(times.within(60) == kStart + 60);
  CHECK(times.within(1) == kStart + kBounds.min);
}

// --- the next look -----------------------------------------------------------------------------------------------

TEST_CASE("schedule: the first look lies in its window", "[schedule]") {
  struct Case {
    const char* name;
    Seconds span, first, last;
  };
  for (const Case& c : {
           Case{"a minute", 60, 24, 30},
           Case{"two seconds", 2, 1, 1},
           Case{"an hour", kHour, 1440, 1800},
           Case{"a week", 7 * kDay, 241920, 302400},
           Case{"eight days: no later than three and a half", 8 * kDay, 241920, 302400},
           Case{"ten years, likewise", 3650 * kDay, 241920, 302400},
       }) {
    INFO(c.name);
    const Validity validity = {kStart, kStart + c.span};
    CHECK(next_refresh(kStart, validity, id_at(0), {}, kBounds, 0) == kStart + c.first);
    const UnixSeconds latest = next_refresh(kStart, validity, id_at(1000), {}, kBounds, kLatest);
    CHECK((latest <= kStart + c.last && latest >= kStart + c.last - 1));  // each part is rounded down
    TestRandom random(7);
    for (std::uint64_t i = 0; i < 200; ++i) {
      const UnixSeconds look = next_refresh(kStart, validity, test_id(i), {}, kBounds, random.next());
      CHECK((look >= kStart + c.first && look <= kStart + c.last));
    }
  }
}

TEST_CASE("schedule: a response is due for whoever got it first from the beginning of its window", "[schedule]") {
  const Validity validity = {kStart, kStart + 7 * kDay};
  CHECK_FALSE(is_refresh_due(kStart, validity, id_at(0)));
  CHECK_FALSE(is_refresh_due(kStart + 241919, validity, id_at(0)));
  CHECK(is_refresh_due(kStart + 241920, validity, id_at(0)));
  CHECK(is_refresh_due(kStart + 8 * kDay, validity, id_at(0)));
  CHECK_FALSE(is_refresh_due(kStart + 241920, validity, id_at(1000)));  // its window begins later
  CHECK_FALSE(is_refresh_due(kStart - kHour, validity, id_at(0)));      // our clock is behind
  CHECK_FALSE(is_refresh_due(kStart, {kStart, kStart}, id_at(0)));
  CHECK(is_refresh_due(kStart + 1, {kStart, kStart}, id_at(0)));
}

TEST_CASE("schedule: ten thousand certificates are spread evenly, however long the validity", "[schedule]") {
  for (const Seconds span : {Seconds{kDay}, 7 * kDay, 10 * kDay, 365 * kDay}) {
    const Seconds counted = std::min(span, 7 * kDay);
    // By id over 4 % of the validity and by chance over 6 %: the sum is even between its ends.
    TestRandom random(3);
    std::map<Seconds, int> tenths;
    for (std::uint64_t i = 0; i < 10000; ++i) {
      const UnixSeconds look = next_refresh(kStart, {kStart, kStart + span}, test_id(i), {}, kBounds, random.next());
      ++tenths[std::min<Seconds>((look - kStart - counted * 40 / 100) * 10 / (counted / 10), 9)];
    }
    CHECK(tenths.size() == 10);
    for (const auto& [part, count] : tenths) {
      INFO("span " << span << " part " << part);
      CHECK(count < 2000);  // in the middle, a sixth of all
      CHECK(count > 80);
    }
  }
}

// Nodes that got the same response through a cache do not ask together the next time.
TEST_CASE("schedule: a hundred nodes with one response are spread over six percent of its validity", "[schedule]") {
  for (const Seconds span : {Seconds{kHour}, 7 * kDay, 30 * kDay}) {
    const Seconds width = std::min(span, 7 * kDay) * 6 / 100;
    const Seconds left = std::min(span - span * 6 / 10, 7 * kDay);
    struct Case {
      const char* name;
      Seconds made_ago;
      std::optional<UnixSeconds> fresh;
      Seconds width;
    };
    for (const Case& c : {
             Case{"new", 0, std::nullopt, width},
             Case{"with a max-age that brings it forward", 0, kStart + 60, width},
             Case{"made earlier: a quarter of an eighth of what is left", span * 6 / 10, std::nullopt, left / 32},
             Case{"made earlier, with a max-age", span * 6 / 10, kStart + left / 5, left / 20},
         }) {
      INFO(c.name << ", span " << span);
      TestRandom random(11);
      std::map<Seconds, int> tenths;
      UnixSeconds first = INT64_MAX, last = 0;
      std::vector<UnixSeconds> looks;
      for (int node = 0; node < 100; ++node) {
        looks.push_back(next_refresh(kStart, {kStart - c.made_ago, kStart - c.made_ago + span}, id_at(321), c.fresh,
                                     kBounds, random.next()));
        first = std::min(first, looks.back());
        last = std::max(last, looks.back());
      }
      CHECK(last - first <= c.width);
      CHECK(last - first >= c.width * 8 / 10);
      for (const UnixSeconds look : looks) {
        ++tenths[(look - first) * 10 / (c.width + 1)];
      }
      for (const auto& [part, count] : tenths) {
        CHECK(count <= 25);  // 10 would be even
      }
    }
  }
}

TEST_CASE("schedule: what a start took from the cache directory is checked within five minutes", "[schedule]") {
  TestRandom random(5);
  std::map<Seconds, int> minutes;
  for (int i = 0; i < 1000; ++i) {
    const Seconds wait = next_check(kStart, random.next()) - kStart;
    CHECK((wait >= 0 && wait <= kCheckedWithin));
    ++minutes[wait / 61];
  }
  CHECK(minutes.size() == 5);
  for (const auto& [minute, count] : minutes) {
    CHECK((count > 140 && count < 260));  // 200 would be even
  }
  CHECK(next_check(INT64_MAX, kLatest) == INT64_MAX);
}

TEST_CASE("schedule: HTTP freshness brings the look forward, to a quarter at the most", "[schedule]") {
  struct Case {
    const char* name;
    Seconds span, fresh, look;
  };
  for (const Case& c : {
           Case{"later than planned: ignored", kDay, kDay / 2 + 1, kDay * 40 / 100},
           Case{"a little earlier", kDay, kDay / 3, kDay / 3},
           Case{"a minute: no polling", 7 * kDay, 60, 7 * kDay / 4},
           Case{"in the past", kDay, -kDay, kDay / 4},
           Case{"nonsense", kDay, INT64_MIN / 2, kDay / 4},
           Case{"ten years: a quarter of a week", 3650 * kDay, 60, 7 * kDay / 4},
       }) {
    INFO(c.name);
    CHECK(next_refresh(kStart, {kStart, kStart + c.span}, id_at(0), kStart + c.fresh, kBounds, 0) == kStart + c.look);
  }
}

TEST_CASE("schedule: past the window, an eighth of what is left", "[schedule]") {
  struct Case {
    const char* name;
    Seconds ago, left;
    std::optional<Seconds> fresh;
    Seconds wait;
  };
  for (const Case& c : {
           Case{"a day left", 5 * kDay, kDay, {}, 3 * kHour},
           Case{"the minimum, where an eighth is less", kHour, 30, {}, 5},
           Case{"half of what is left, where even that is too late", kHour, 8, {}, 4},
           Case{"never under a second", kHour, 1, {}, 1},
           Case{"ended", kHour, 0, {}, 1},
           Case{"ended long ago", kHour, -kDay, {}, 1},
           Case{"HTTP knows when there is something newer", 5 * kDay, kDay, 6 * kHour, 6 * kHour},
           Case{"but not past half of what is left", 5 * kDay, kDay, 30 * kHour, 12 * kHour},
           Case{"stale by HTTP", 5 * kDay, kDay, -60, 3 * kHour},
           Case{"ten years left: an eighth of a week", 4 * kDay, 3650 * kDay, {}, 7 * kDay / 8},
           Case{"and not past half of a week", 4 * kDay, 3650 * kDay, 365 * kDay, 7 * kDay / 2},
       }) {
    INFO(c.name);
    const std::optional<UnixSeconds> fresh =
        c.fresh ? std::optional<UnixSeconds>(kStart + *c.fresh) : std::optional<UnixSeconds>();
    CHECK(next_refresh(kStart, {kStart - c.ago, kStart + c.left}, id_at(0), fresh, kBounds, 0) == kStart + c.wait);
  }
}

TEST_CASE("schedule: looks are in the future and bounded, whatever the times", "[schedule]") {
  const std::int64_t hostile[] = {INT64_MIN,  INT64_MIN + 1, -kDay,         -1,       0, 1, kStart - 1, kStart,
                                  kStart + 1, kStart + kDay, INT64_MAX - 1, INT64_MAX};
  for (const UnixSeconds from : hostile) {
    for (const UnixSeconds to : hostile) {
      for (const UnixSeconds fresh : hostile) {
        INFO(from << " " << to << " " << fresh);
        for (const std::uint64_t random : {std::uint64_t{0}, kLatest / 2, kLatest}) {
          const UnixSeconds look = next_refresh(kStart, {from, to}, id_at(500), fresh, kBounds, random);
          CHECK((look > kStart && look <= kStart + 7 * kDay / 2));
        }
      }
    }
  }
  CHECK(next_refresh(INT64_MAX, {0, INT64_MAX}, id_at(0), {}, kBounds, 0) == INT64_MAX);
}

// Polling a responder that never has anything newer, until what is held has ended.
TEST_CASE("schedule: looking at an old response to its end stays bounded", "[schedule]") {
  for (const Seconds span : {Seconds{60}, kHour, 7 * kDay, 365 * kDay}) {
    int looks = 0;
    for (UnixSeconds now = kStart; now < kStart + span; ++looks) {
      now = next_refresh(now, {kStart, kStart + span}, id_at(500), {}, kBounds, kLatest / 2);
    }
    INFO(span);
    CHECK(looks <= (span <= 7 * kDay ? 90 : 500));
  }
}

// --- the next try ------------------------------------------------------------------------------------------------

TEST_CASE("schedule: the back-off doubles up to its bound, with full jitter", "[schedule]") {
  struct Case {
    std::uint32_t failures;
    Seconds last;
  };
  for (const Case& c :
       {Case{0, 5}, {1, 5}, {2, 10}, {3, 20}, {10, 2560}, {11, 3600}, {31, 3600}, {1000, 3600}, {UINT32_MAX, 3600}}) {
    Seconds least = INT64_MAX;
    Seconds most = 0;
    TestRandom random(c.failures);
    for (int i = 0; i < 20000; ++i) {
      const Seconds wait = next_try(kStart, {c.failures, {}, false}, 0, kBounds, random.next()) - kStart;
      least = std::min(least, wait);
      most = std::max(most, wait);
    }
    INFO(c.failures << " failures");
    CHECK((least >= 5 && least <= 5 + c.last / 100));
    CHECK((most <= c.last && most >= c.last - c.last / 100));
  }
}

TEST_CASE("schedule: what bends the next try", "[schedule]") {
  struct Case {
    const char* name;
    Failure failure;
    Seconds left;  // of what is held; 0: nothing is
    Seconds first, last;
  };
  for (const Case& c : {
           Case{"no later than half of what is left", {20, {}, false}, 100, 5, 50},
           Case{"down to a second", {20, {}, false}, 3, 1, 1},
           Case{"what has ended does not count", {1, {}, false}, -100, 5, 5},
           Case{"Retry-After", {1, kStart + 120, false}, 0, 120, 120},
           Case{"not beyond the maximum", {1, kStart + kDay, false}, 0, 3600, 3600},
           Case{"not below the back-off", {1, kStart + 1, false}, 0, 5, 5},
           Case{"nor beyond half of what is left", {1, kStart + 120, false}, 100, 50, 50},
           Case{"saturating", {1, INT64_MAX, false}, 0, 3600, 3600},
           Case{"in the past", {1, INT64_MIN, false}, 0, 5, 5},
           Case{"a newly_issued", {1, {}, true}, 0, 30, 60},
           Case{"a newly_issued is tried as often after many failures", {1000, {}, true}, 0, 30, 60},
           Case{"for ever valid", {1, {}, false}, INT64_MAX - kStart, 5, 5},
       }) {
    INFO(c.name);
    TestRandom random(7);
    for (int i = 0; i < 1000; ++i) {
      const UnixSeconds held_until = c.left == 0 ? 0 : kStart + c.left;
      const Seconds wait = next_try(kStart, c.failure, held_until, kBounds, random.next()) - kStart;
      CHECK((wait >= c.first && wait <= c.last));
    }
  }
}

TEST_CASE("schedule: while nothing is held, the back-off ends early and does not grow at first", "[schedule]") {
  struct Case {
    const char* name;
    Failure failure;
    RetryBounds bounds;
    Seconds first, last;
  };
  constexpr auto kStaple = Need::kStaple;
  constexpr auto kUrgent = Need::kRequiredStaple;
  for (const Case& c : {
           Case{"held: an hour", {1000, {}, false, Need::kNone}, kBounds, 5, 3600},
           Case{"nothing held: ten minutes", {1000, {}, false, kStaple}, kBounds, 5, 600},
           Case{"urgent: two minutes", {1000, {}, false, kUrgent}, kBounds, 5, 120},
           Case{"a smaller maximum holds", {1000, {}, false, kStaple}, {5, 60}, 5, 60},
           Case{"likewise where it is urgent", {1000, {}, false, kUrgent}, {5, 60}, 5, 60},
           Case{"a larger minimum holds", {1000, {}, false, kUrgent}, {900, 3600}, 900, 900},
           Case{"Retry-After holds", {1, kStart + 1800, false, kUrgent}, kBounds, 1800, 1800},
           Case{"up to the maximum", {1, kStart + kDay, false, kUrgent}, kBounds, 3600, 3600},
           Case{"the second", {2, {}, false, kStaple}, kBounds, 5, 5},
           Case{"the third", {3, {}, false, kUrgent}, kBounds, 5, 5},
           Case{"the fourth grows", {4, {}, false, kStaple}, kBounds, 5, 10},
           Case{"the fifth", {5, {}, false, kUrgent}, kBounds, 5, 20},
           Case{"of a second: fifteen", {15, {}, false, kStaple}, {1, 3600}, 1, 1},
           Case{"and then", {16, {}, false, kStaple}, {1, 3600}, 1, 2},
           Case{"of ten seconds: two", {2, {}, false, kStaple}, {10, 3600}, 10, 10},
           Case{"and then", {3, {}, false, kStaple}, {10, 3600}, 10, 20},
           Case{"of more: grows as ever", {2, {}, false, kStaple}, {60, 3600}, 60, 120},
           Case{"no minimum", {14, {}, false, kStaple}, {0, 3600}, 1, 1},
           Case{"a crowd is refused: one a second", {1, {}, false, Need::kNone, 1000}, kBounds, 5, 1000},
           Case{"nor sooner than by itself", {8, {}, false, Need::kNone, 20}, kBounds, 5, 640},
           Case{"nor later than the maximum", {1, {}, false, Need::kNone, 100000}, kBounds, 5, 3600},
           Case{"new ones as well", {1, {}, true, Need::kNone, 1000}, kBounds, 30, 1000},
       }) {
    INFO(c.name);
    Seconds most = 0;
    TestRandom random(7);
    for (int i = 0; i < 2000; ++i) {
      const Seconds wait = next_try(kStart, c.failure, 0, c.bounds, random.next()) - kStart;
      CHECK((wait >= c.first && wait <= c.last));
      most = std::max(most, wait);
    }
    CHECK(most >= c.last - c.last / 50);
  }
}

TEST_CASE("schedule: the tries at a failing host, by what waits for it", "[schedule]") {
  TestRandom random(7);
  for (std::uint32_t failures = 1; failures < 40; ++failures) {
    for (int i = 0; i < 100; ++i) {
      Failure failure;
      failure.failures = failures;
      const TryTimes times = next_tries(kStart, failure, true, kBounds, random.next());
      CHECK((times.by(Need::kNone) >= kStart + 5 && times.by(Need::kNone) <= kStart + 3600));
      CHECK((times.by(Need::kStaple) >= kStart + 5 && times.by(Need::kStaple) <= kStart + 600));
      CHECK((times.by(Need::kRequiredStaple) >= kStart + 5 && times.by(Need::kRequiredStaple) <= kStart + 120));
      CHECK(times.by(Need::kStaple) <= times.planned);
      CHECK(times.by(Need::kRequiredStaple) <= times.planned);
      failure.retry_after = kStart + 1000;
      CHECK(next_tries(kStart, failure, true, kBounds, random.next()).by(Need::kRequiredStaple) >= kStart + 1000);
      CHECK(next_tries(kStart, failure, false, kBounds, random.next()).by(Need::kRequiredStaple) == kNever);
    }
  }
}

TEST_CASE("schedule: which failures may pass by themselves", "[schedule]") {
  struct Case {
    Reason reason;
    unsigned status;
    bool passes;
  };
  for (const Case& c : {
           Case{Reason::kTryLater, 200, true},
           {Reason::kInternalError, 200, true},
           {Reason::kHttpStatus, 500, true},
           {Reason::kHttpStatus, 503, true},
           {Reason::kHttpStatus, 599, true},
           {Reason::kHttpStatus, 400, false},
           {Reason::kHttpStatus, 404, false},
           {Reason::kHttpStatus, 429, false},
           {Reason::kHttpStatus, 302, false},
           {Reason::kHttpStatus, 0, false},
           {Reason::kDnsNotFound, 0, true},
           {Reason::kDnsNoAddress, 0, true},
           {Reason::kDnsTimeout, 0, true},
           {Reason::kDnsFailed, 0, true},
           {Reason::kConnectRefused, 0, true},
           {Reason::kConnectUnreachable, 0, true},
           {Reason::kConnectionReset, 0, true},
           {Reason::kTimeout, 0, true},
           {Reason::kTruncated, 0, true},
           {Reason::kHttpMalformed, 0, true},
           {Reason::kNetworkError, 0, true},
           {Reason::kTlsFailed, 0, true},
           {Reason::kTlsCertificate, 0, true},
           {Reason::kTlsName, 0, true},
           {Reason::kProxyFailed, 0, true},
           {Reason::kProxyFailed, 502, true},
           {Reason::kProxyAuth, 407, false},
           {Reason::kProxyRefused, 403, false},
           {Reason::kNoIssuer, 0, true},
           {Reason::kUnauthorized, 200, false},
           {Reason::kUnauthorized, 500, false},
           {Reason::kUnknown, 200, false},
           {Reason::kMalformedRequest, 400, false},
           {Reason::kMalformedResponse, 200, false},
           {Reason::kBadSignature, 200, false},
           {Reason::kExpired, 200, false},
           {Reason::kTooLarge, 0, false},
           {Reason::kRedirectForbidden, 302, false},
           {Reason::kZoneFull, 0, false},
           {Reason::kNotChecked, 0, false},
       }) {
    INFO(token(c.reason) << " " << c.status);
    CHECK(may_pass(c.reason, c.status) == c.passes);
  }
}

TEST_CASE("schedule: odd bounds stay sane", "[schedule]") {
  for (const RetryBounds& bounds :
       {RetryBounds{5, 5}, {10, 5}, {0, 0}, {1, INT64_MAX / 2}, {INT64_MAX / 2, INT64_MAX / 2}}) {
    for (const std::uint32_t failures : {0u, 1u, 2u, 31u, UINT32_MAX}) {
      for (const std::uint64_t random : {std::uint64_t{0}, std::uint64_t{12345}, UINT64_MAX}) {
        for (const Need need : {Need::kNone, Need::kStaple, Need::kRequiredStaple}) {
          const UnixSeconds next = next_try(kStart, {failures, {}, false, need}, 0, bounds, random);
          CHECK((next > kStart && next <= kStart + std::max<Seconds>(bounds.max, 1)));
        }
      }
    }
  }
}

// Whenever it comes back: the next try is no more than five seconds away.
TEST_CASE("schedule: for fifteen seconds a dead responder is tried every five, where nothing is held", "[schedule]") {
  for (std::uint64_t random = 0; random < 1000; ++random) {
    UnixSeconds now = kStart;
    for (std::uint32_t failures = 1; now < kStart + 15; ++failures) {
      const UnixSeconds next = next_try(now, {failures, {}, false, Need::kStaple}, 0, kBounds, random);
      CHECK(next == now + 5);
      now = next;
    }
    CHECK(now == kStart + 15);
  }
}

TEST_CASE("schedule: an outage of half a week costs a bounded number of tries, denser towards the end",
          "[schedule]") {
  TestRandom random(3);
  for (int run = 0; run < 100; ++run) {
    const UnixSeconds end = kStart + 7 * kDay / 2;
    int tries = 0;
    int in_last_hour = 0;
    UnixSeconds last = 0;
    for (UnixSeconds now = kStart; now < end; ++tries) {
      last = now;
      in_last_hour += now >= end - kHour ? 1 : 0;
      now = next_try(now, {static_cast<std::uint32_t>(tries + 1), {}, false}, end, kBounds, random.next());
    }
    CHECK(tries <= 260);
    CHECK(in_last_hour >= 5);
    CHECK(end - last <= 2);  // it was tried to the very end
  }
}

}  // namespace
}  // namespace ocsp_plus::engine
