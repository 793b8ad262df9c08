// The cache directory as the engine uses it: through the lease, whose holders come and go.
#include "engine/disk_cache.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>

#include "store/shared_stats.h"
#include "tests/fakes/lease_fixture.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;
namespace fs = std::filesystem;

constexpr std::size_t kCount = 6;

struct Fixture : LeaseFixture {
  Fixture() {
    OcspServer& responder = server();
    for (std::size_t i = 0; i < kCount; ++i) {
      add(i, {&responder});
    }
  }
  // What the zone holds of a certificate is what its file holds.
  bool kept(std::size_t index) {
    const Target& target = *catalog.targets()[index];
    auto disk = store::CacheFiles::open(directory.string(), settings.max_response);
    const auto file = disk ? disk->load(target.certificate.id) : Result<store::Kept>(store::Kept());
    return file && !file->bytes.empty() && zone.read(target.entry, target.certificate.id) == file->bytes;
  }
  std::size_t kept() {
    std::size_t count = 0;
    for (std::size_t i = 0; i < kCount; ++i) {
      count += kept(i) ? 1u : 0u;
    }
    return count;
  }
};

TEST_CASE("disk_cache: what is published is kept, a few in each turn of the loop", "[disk_cache]") {
  Fixture f;
  f.take_lease();
  f.holder->tick();
  std::size_t most = 0, before = 0;
  for (int turns = 0; turns < 1000 && before < kCount; ++turns) {
    f.loop.turn();
    const std::size_t now = f.directory.names().size();
    most = std::max(most, now - before);
    before = now;
  }
  CHECK(f.kept() == kCount);
  CHECK(most <= 2);
}

TEST_CASE("disk_cache: whoever takes the lease keeps what the zone holds and the directory does not",
          "[disk_cache]") {
  Fixture f;
  f.take_lease();
  f.holder->tick();
  f.loop.settle();
  REQUIRE(f.kept() == kCount);
  f.holder.reset();
  fs::remove(f.directory.file(f.catalog.targets()[1]->certificate.id));
  // Torn, and of another certificate.
  fs::resize_file(f.directory.file(f.catalog.targets()[2]->certificate.id), 20);
  fs::copy_file(f.directory.file(f.catalog.targets()[4]->certificate.id),
                f.directory.file(f.catalog.targets()[3]->certificate.id), fs::copy_options::overwrite_existing);
  REQUIRE(f.kept() == kCount - 3);

  const auto untouched = fs::last_write_time(f.directory.file(f.catalog.targets()[0]->certificate.id));
  f.take_lease();
  f.loop.settle();
  CHECK(f.kept() == kCount - 3);  // taking it alone does nothing: the start helper leaves it to the worker
  f.holder->catch_up();
  f.loop.settle();
  CHECK(f.kept() == kCount);
  CHECK(fs::last_write_time(f.directory.file(f.catalog.targets()[0]->certificate.id)) ==
        untouched);  // not written again
  CHECK(f.log.count("cache directory") == 0);
}

TEST_CASE("disk_cache: who leaves keeps what is still to be kept", "[disk_cache]") {
  Fixture f;
  f.take_lease();
  const Bytes response = good_response(test_leaf(0), test_ca(), kNow, kNow + kDay);
  REQUIRE(f.holder->gate().admit(*f.catalog.targets()[0], response, store::Source::kNetwork, {kNow}).stored ==
          Reason::kOk);
  CHECK(f.kept() == 0);
  f.holder.reset();
  CHECK(f.kept() == 1);
}

TEST_CASE("disk_cache: a directory that is gone is said once, and once when it is there again", "[disk_cache]") {
  Fixture f;
  fs::remove_all(f.directory.string());
  f.take_lease();
  f.holder->tick();
  f.loop.pass(120000);
  CHECK(f.stapled() == kCount);
  CHECK(f.log.count("cache directory cannot be used") == 1);
  CHECK(f.log.count("cache directory can be used again") == 0);
  REQUIRE(store::number(f.zone, store::Number::kCacheFailingSince) != 0);
  CHECK(store::number(f.zone, store::Number::kCacheReason) == static_cast<std::int64_t>(Reason::kUnreadable));
  CHECK(store::number(f.zone, store::Number::kCacheFailingSince) >= kNow);
  CHECK(store::number(f.zone, store::Number::kCacheFailingSince) < kNow + 60);

  fs::create_directory(f.directory.string());
  fs::permissions(f.directory.string(), fs::perms::owner_all);
  f.loop.pass(31000);
  CHECK(f.kept() == kCount);
  CHECK(f.log.count("cache directory cannot be used") == 1);
  CHECK(f.log.count("cache directory can be used again") == 1);
  CHECK(store::number(f.zone, store::Number::kCacheFailingSince) == 0);
}

TEST_CASE("disk_cache: who takes the lease has not tried the directory yet, and who leaves says nothing of it",
          "[disk_cache]") {
  Fixture f;
  store::record_cache_failure(f.zone, Reason::kDiskFull, kNow - 100);
  f.take_lease();
  CHECK(store::number(f.zone, store::Number::kCacheFailingSince) == 0);
  const Bytes response = good_response(test_leaf(0), test_ca(), kNow, kNow + kDay);
  REQUIRE(f.holder->gate().admit(*f.catalog.targets()[0], response, store::Source::kNetwork, {kNow}).stored ==
          Reason::kOk);
  fs::remove_all(f.directory.string());
  f.holder.reset();
  CHECK(store::number(f.zone, store::Number::kCacheFailingSince) == 0);
  CHECK(f.log.count("cache directory") == 0);
}

TEST_CASE("disk_cache: without a directory nothing is kept and nothing is said", "[disk_cache]") {
  Fixture f;
  f.settings.cache.clear();
  f.take_lease();
  f.holder->tick();
  f.holder->catch_up();
  f.loop.pass(60000);
  CHECK(f.stapled() == kCount);
  CHECK(f.directory.names().empty());
  CHECK(f.log.count("cache directory") == 0);
}

}  // namespace
}  // namespace ocsp_plus::engine
