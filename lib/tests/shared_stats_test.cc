#include "store/shared_stats.h"

#include <catch2/catch.hpp>
#include <string>

#include "store/counters.h"
#include "store/entry_state.h"
#include "store/zone_registry.h"
#include "store/zone_writer.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/mmap_zone.h"

namespace ocsp_plus::store {
namespace {

using testing::LocalLock;
using testing::MmapZone;
using testing::test_registration;
using testing::test_registrations;

struct Fixture {
  explicit Fixture(std::size_t size = 1 << 20) : memory(size), zone(memory.format()) {
    REQUIRE(store::register_all(zone, lock, test_registrations(3), &entries).has_value());
  }
  MmapZone memory;
  StapleZone zone;
  LocalLock lock;
  std::vector<EntryIndex> entries;
};

TEST_CASE("stats: exchanges are counted by duration and failures by reason", "[zone][stats]") {
  Fixture f;
  for (const Millis took : {-5, 0, 10, 11, 30000, 30001, 100000}) {
    count_duration(f.zone, took);
  }
  CHECK(durations(f.zone) == Durations{3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2});
  CHECK(counted(f.zone, Counter::kExchangeMillis) == 10 + 11 + 30000 + 30001 + 100000);
  count_failure(f.zone, Reason::kTimeout);
  count_failure(f.zone, Reason::kTimeout);
  count_failure(f.zone, static_cast<Reason>(65535));
  CHECK(failures(f.zone, Reason::kTimeout) == 2);
  CHECK(failures(f.zone, Reason::kHttpStatus) == 0);
}

TEST_CASE("stats: hosts are found by their key, and those that went are not", "[zone][stats]") {
  Fixture f;
  CHECK_FALSE(HostTable(f.zone).find("a.example:80").has_value());
  record_host(f.zone, "a.example:80", {2, 6, 1, 1000});
  record_host(f.zone, "b.example:80", {1, 0, 0, 0});
  record_host(f.zone, "a.example:80", {2, 7, 1, 1000});
  const HostTable table(f.zone);
  REQUIRE(table.find("a.example:80").has_value());
  CHECK(table.find("a.example:80")->state == 2);
  CHECK(table.find("a.example:80")->failures == 7);
  CHECK(table.find("a.example:80")->in_flight == 1);
  CHECK(table.find("a.example:80")->next_probe == 1000);
  CHECK(table.find("b.example:80").has_value());
  keep_hosts(f.zone, {"a.example:80", "c.example:80"});
  CHECK(HostTable(f.zone).find("a.example:80")->failures == 7);
  CHECK_FALSE(HostTable(f.zone).find("b.example:80").has_value());
  CHECK_FALSE(HostTable(f.zone).find("c.example:80").has_value());
}

TEST_CASE("stats: hosts for which there is no room are not told", "[zone][stats]") {
  Fixture f(36864);
  const std::size_t slots = f.zone.geometry().host_slots;
  for (std::size_t i = 0; i < slots + 10; ++i) {
    record_host(f.zone, std::to_string(i), {});
  }
  std::size_t found = 0;
  for (std::size_t i = 0; i < slots + 10; ++i) {
    found += HostTable(f.zone).find(std::to_string(i)).has_value() ? 1u : 0u;
  }
  CHECK(found == slots);
}

TEST_CASE("stats: the method that worked, until it has failed twice", "[zone][stats]") {
  Fixture f;
  const std::string url = "http://a.example/ocsp";
  CHECK_FALSE(method_that_worked(f.zone, url).has_value());
  record_method_failure(f.zone, url);
  CHECK_FALSE(method_that_worked(f.zone, url).has_value());
  record_method(f.zone, url, 2);
  record_method(f.zone, "http://b.example/ocsp", 1);
  CHECK(method_that_worked(f.zone, url) == 2u);
  record_method_failure(f.zone, url);
  CHECK(method_that_worked(f.zone, url) == 2u);
  record_method(f.zone, url, 2);
  record_method_failure(f.zone, url);
  CHECK(method_that_worked(f.zone, url) == 2u);

  const MmapZone larger(4 << 20);
  StapleZone next = larger.format();
  copy_stats(f.zone, next, 1000);
  CHECK(method_that_worked(next, url) == 2u);
  record_method_failure(next, url);
  CHECK_FALSE(method_that_worked(next, url).has_value());
  CHECK(method_that_worked(next, "http://b.example/ocsp") == 1u);

  keep_methods(f.zone, {url, "http://c.example/"});
  CHECK_FALSE(method_that_worked(f.zone, "http://b.example/ocsp").has_value());
  record_method_failure(f.zone, url);
  CHECK_FALSE(method_that_worked(f.zone, url).has_value());
  for (std::size_t i = 0; i < 2 * std::size_t{f.zone.geometry().host_slots}; ++i) {
    record_method(f.zone, std::to_string(i), 2);  // more than there is room for
  }
  CHECK(method_that_worked(f.zone, "0") == 2u);
}

TEST_CASE("stats: the text of an attempt, cut off, and none where it is torn", "[zone][stats]") {
  Fixture f;
  CHECK(store::read_detail(f.zone, f.entries[0]).empty());
  store::record_detail(f.zone, f.entries[0], "HTTP status 503");
  store::record_detail(f.zone, f.entries[1], std::string(500, 'x'));
  CHECK(store::read_detail(f.zone, f.entries[0]) == "HTTP status 503");
  CHECK(store::read_detail(f.zone, f.entries[1]) == std::string(kDetailBytes - 3, 'x') + "...");
  store::record_detail(f.zone, f.entries[1], std::string(kDetailBytes, 'x'));  // it just fits
  CHECK(store::read_detail(f.zone, f.entries[1]) == std::string(kDetailBytes, 'x'));
  CHECK(store::read_detail(f.zone, f.entries[2]).empty());
  f.zone.detail_words(f.entries[0]).words[1].fetch_add(1);
  CHECK(store::read_detail(f.zone, f.entries[0]).empty());
  store::record_detail(f.zone, f.entries[1], {});
  CHECK(store::read_detail(f.zone, f.entries[1]).empty());
  store::record_detail(f.zone, kNoEntry, "nowhere");
  CHECK(store::read_detail(f.zone, kNoEntry).empty());
}

TEST_CASE("stats: all are refreshed once a minute at most", "[zone][stats]") {
  Fixture f;
  CHECK(request_refresh_all(f.zone, 5000));
  CHECK_FALSE(request_refresh_all(f.zone, 5000));
  CHECK_FALSE(request_refresh_all(f.zone, 64999));
  CHECK(take_refresh_requests(f.zone).all);
  CHECK_FALSE(take_refresh_requests(f.zone).all);
  CHECK(request_refresh_all(f.zone, 65000));
  CHECK(request_refresh_all(f.zone, 100));  // no clock of this boot has written the time that stands there
  CHECK(take_refresh_requests(f.zone).all);
}

TEST_CASE("stats: single certificates wait for their refresh, each once, up to a number", "[zone][stats]") {
  Fixture f;
  for (std::uint32_t i = 0; i < kRefreshSlots; ++i) {
    CHECK(request_refresh(f.zone, i));
    CHECK(request_refresh(f.zone, i));
  }
  CHECK_FALSE(request_refresh(f.zone, 1000));
  const RefreshRequests requests = take_refresh_requests(f.zone);
  CHECK_FALSE(requests.all);
  REQUIRE(requests.entries.size() == kRefreshSlots);
  CHECK(requests.entries.front() == 0);
  CHECK(take_refresh_requests(f.zone).entries.empty());
  CHECK(request_refresh(f.zone, 1000));
}

TEST_CASE("stats: the cache directory fails since the first failure, for the last reason", "[zone][stats]") {
  Fixture f;
  CHECK(number(f.zone, Number::kCacheFailingSince) == 0);
  record_cache_failure(f.zone, Reason::kDiskFull, 1000);
  record_cache_failure(f.zone, Reason::kUnwritable, 2000);
  CHECK(number(f.zone, Number::kCacheReason) == static_cast<std::int64_t>(Reason::kUnwritable));
  CHECK(number(f.zone, Number::kCacheFailingSince) == 1000);
  record(f.zone, Number::kCacheFailingSince, 0);
  record_cache_failure(f.zone, Reason::kDiskFull, 0);  // a clock that was never set
  CHECK(number(f.zone, Number::kCacheFailingSince) != 0);
}

TEST_CASE("stats: the shared store's state, with texts that are whole or absent", "[zone][stats]") {
  Fixture f;
  ShareState seen = read_share(f.zone);
  CHECK(seen.since == 0);
  CHECK(seen.place.empty());
  CHECK(seen.reason == Reason::kNotChecked);
  record_share(f.zone, {3, 1000, "redis://a.example:6379", Reason::kStoreTimeout, std::string(1000, 'x')});
  seen = read_share(f.zone);
  CHECK(seen.state == 3);
  CHECK(seen.since == 1000);
  CHECK(seen.place == "redis://a.example:6379");
  CHECK(seen.reason == Reason::kStoreTimeout);
  CHECK(seen.detail == std::string(kLineBytes - 3, 'x') + "...");
  record_share(f.zone, {1, 2000, "redis://b.example:6379", Reason::kNotChecked, {}});
  seen = read_share(f.zone);
  CHECK(seen.place == "redis://b.example:6379");
  CHECK(seen.detail.empty());
  f.zone.stats().share_place.words[0].fetch_add(1);
  CHECK(read_share(f.zone).place.empty());
  record_share(f.zone, {1, 2000, "redis://b.example:6379", Reason::kNotChecked, {}});
  CHECK(read_share(f.zone).place == "redis://b.example:6379");  // the same text, written again where it is torn
}

TEST_CASE("stats: a zone of another size goes on counting", "[zone][stats]") {
  Fixture from;
  Fixture to(2 << 20);
  from.zone.handshakes(3).counts[Handshake::kStapled].fetch_add(5);
  from.zone.handshakes(4).counts[Handshake::kMissing].fetch_add(6);
  from.zone.handshakes(5).counts[Handshake::kRefused].fetch_add(7);
  from.zone.handshakes(6).counts[Handshake::kForeign].fetch_add(10);
  from.zone.handshakes(7).counts[Handshake::kReplaced].fetch_add(11);
  count(from.zone, Counter::kExchangesOk, 8);
  count(from.zone, Counter::kExchangesFailed, 9);
  record(from.zone, Number::kInFlight, 3);
  count(from.zone, Counter::kHanded);
  record_stapled(from.zone, from.entries[1], 1);
  from.zone.stats().numbers[Number::kBegan].store(77);
  from.zone.stats().numbers[Number::kSettled].store(1);
  count_duration(from.zone, 20);
  count_failure(from.zone, Reason::kTimeout);
  record(from.zone, Number::kClockSkew, -30);
  count(from.zone, Counter::kIpv4Ok, 1);
  count(from.zone, Counter::kIpv4Ok, 10);
  count(from.zone, Counter::kIpv6Failed, 44);
  count(from.zone, Counter::kShareLooks, std::uint64_t{1} << 40);
  count(from.zone, Counter::kShareReceived, 55);
  record_cache_failure(from.zone, Reason::kDiskFull, 123);
  store::record_attempt(from.zone, from.entries[1], Attempt{1, 2, 3, 4, 5, Reason::kOk});
  copy_stats(from.zone, to.zone, 77);
  CHECK(number(to.zone, Number::kBegan) == 77);
  CHECK(store::read_attempt(to.zone, to.entries[1]).next == 2);
  CHECK(store::read_attempt(to.zone, to.entries[0]).next == 0);
  CHECK(number(to.zone, Number::kCacheReason) == static_cast<std::int64_t>(Reason::kDiskFull));
  CHECK(number(to.zone, Number::kCacheFailingSince) == 123);
  CHECK(store::handshake_totals(to.zone)[Handshake::kStapled] == 5);
  CHECK(store::handshake_totals(to.zone)[Handshake::kMissing] == 6);
  CHECK(store::handshake_totals(to.zone)[Handshake::kRefused] == 7);
  CHECK(store::handshake_totals(to.zone)[Handshake::kForeign] == 10);
  CHECK(store::handshake_totals(to.zone)[Handshake::kReplaced] == 11);
  CHECK(counted(to.zone, Counter::kExchangesOk) == 8);
  CHECK(counted(to.zone, Counter::kExchangesFailed) == 9);
  CHECK(number(to.zone, Number::kInFlight) == 0);
  CHECK(counted(to.zone, Counter::kHanded) == 0);  // of this zone's queue
  CHECK(durations(to.zone)[1] == 1);
  CHECK(counted(to.zone, Counter::kExchangeMillis) == 20);
  CHECK(failures(to.zone, Reason::kTimeout) == 1);
  CHECK(counted(to.zone, Counter::kIpv4Ok) == 11);
  CHECK(counted(to.zone, Counter::kIpv4Failed) == 0);
  CHECK(counted(to.zone, Counter::kIpv6Failed) == 44);
  CHECK(counted(to.zone, Counter::kShareLooks) == std::uint64_t{1} << 40);
  CHECK(counted(to.zone, Counter::kShareReceived) == 55);
  CHECK(store::stapled(to.zone, to.entries[1]) == 1);
  CHECK(store::stapled(to.zone, to.entries[0]) == 0);
  CHECK(to.zone.stats().numbers[Number::kClockSkew] == -30);
  CHECK(to.zone.stats().numbers[Number::kBegan] == 77);
  CHECK(to.zone.stats().numbers[Number::kSettled] == 1);
}

}  // namespace
}  // namespace ocsp_plus::store
