#include "engine/failure_groups.h"

#include <catch2/catch.hpp>

#include "tests/fakes/mmap_zone.h"

namespace ocsp_plus::engine {
namespace {

using testing::test_id;
using Key = FailureGroups::Key;

const Key kTimeout = {"a", Reason::kTimeout, false};
const Key kHeld = {"a", Reason::kTimeout, true};
const Key kRefused = {"a", Reason::kConnectRefused, false};
const Key kOther = {"b", Reason::kTimeout, false};
constexpr Millis kHour = 3600000;

// A failure, and the line for it where one is due.
bool fail(FailureGroups& groups, int certificate, const Key& key, Millis now) {
  auto& group = groups.failed(test_id(certificate), key, now);
  const bool due = FailureGroups::is_due(group, now);
  if (due) {
    groups.said(key, group, now, FailureGroups::level_of(key));
  }
  return due;
}

TEST_CASE("failure groups: host, reason and whether something is held make a group", "[failure_groups]") {
  FailureGroups groups;
  CHECK(fail(groups, 1, kTimeout, 0));
  CHECK_FALSE(fail(groups, 2, kTimeout, 0));
  CHECK(fail(groups, 3, kHeld, 0));
  CHECK(fail(groups, 4, kRefused, 0));
  CHECK(fail(groups, 5, kOther, 0));
  CHECK(groups.failed(test_id(6), kTimeout, 1).certificates == 3);
  CHECK_FALSE(groups.failed(test_id(6), kHeld, 1).first_of_host);
  CHECK(groups.failed(test_id(6), kOther, 1).first_of_host);
  CHECK(groups.failed(test_id(7), kTimeout, 1).certificates == 3);  // the sixth is in another one now
}

TEST_CASE("failure groups: a line is repeated when it holds for twice as many, and each hour", "[failure_groups]") {
  FailureGroups groups;
  CHECK(fail(groups, 0, kTimeout, 0));
  CHECK(groups.take_due(kHour).empty());  // one certificate has a line of its own
  CHECK(fail(groups, 0, kTimeout, kHour));
  for (int i = 1; i < 100; ++i) {
    CHECK_FALSE(fail(groups, i, kTimeout, kHour));
  }
  CHECK(groups.take_due(kHour + 9999).empty());
  const auto due = groups.take_due(kHour + 10000);
  REQUIRE(due.size() == 1);
  CHECK(due[0].second.certificates == 100);
  CHECK(due[0].second.failures == 99);
  CHECK_FALSE(fail(groups, 100, kTimeout, kHour + 10001));
  CHECK(groups.take_due(kHour + 3000000).empty());
  CHECK(groups.take_due(2 * kHour + 10000).size() == 1);
  CHECK(groups.take_due(9 * kHour).empty());  // nothing failed since
}

TEST_CASE("failure groups: the end of a group is its last success", "[failure_groups]") {
  FailureGroups groups;
  CHECK_FALSE(groups.succeeded(test_id(1)).has_value());
  fail(groups, 1, kTimeout, 0);
  fail(groups, 2, kTimeout, 0);
  CHECK_FALSE(groups.succeeded(test_id(1)).has_value());
  SECTION("succeeded") {
    const auto over = groups.succeeded(test_id(2));
    REQUIRE(over.has_value());
    CHECK(over->first.host == "a");
    CHECK(over->second.most == 2);
    CHECK(fail(groups, 2, kTimeout, 1));  // news again, but no longer the first of its host
    CHECK_FALSE(groups.failed(test_id(2), kTimeout, 1).first_of_host);
  }
  SECTION("another reason is none") {
    fail(groups, 2, kRefused, 0);
    CHECK_FALSE(fail(groups, 2, kTimeout, 0));  // nor is the old reason news
  }
  SECTION("nor is a certificate that goes") {
    groups.forget(test_id(2));
    CHECK_FALSE(groups.succeeded(test_id(2)).has_value());
    CHECK_FALSE(fail(groups, 3, kTimeout, 1));
  }
  SECTION("what was never said needs no end") {
    groups.failed(test_id(9), kOther, 0);
    CHECK_FALSE(groups.succeeded(test_id(9)).has_value());
  }
}

TEST_CASE("failure groups: what is over is forgotten after an hour", "[failure_groups]") {
  FailureGroups groups;
  fail(groups, 1, kTimeout, 0);
  fail(groups, 1, kRefused, 1);
  groups.take_due(kHour - 1);
  CHECK_FALSE(fail(groups, 1, kTimeout, kHour - 1));
  fail(groups, 1, kRefused, kHour - 1);
  groups.take_due(2 * kHour);
  CHECK(fail(groups, 1, kTimeout, 2 * kHour));
  CHECK(groups.failed(test_id(1), kHeld, 4 * kHour).first_of_host);
}

}  // namespace
}  // namespace ocsp_plus::engine
