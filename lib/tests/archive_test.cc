// The cache folder as the engine uses it: through the post, whose holders come and go.
#include "engine/archive.h"

#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>

#include "engine/post.h"
#include "store/board.h"
#include "tests/fakes/engine_house.h"
#include "tests/fakes/scratch_folder.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;
namespace fs = std::filesystem;

constexpr std::size_t kCount = 6;

struct Fixture : EngineHouse {
  Fixture() {
    settings.cache = folder.string();
    OcspServer& responder = server();
    for (std::size_t i = 0; i < kCount; ++i) {
      add(i, {&responder});
    }
    generation = register_all();
  }
  std::unique_ptr<Post> post() {
    auto taken = Post::take({loop, loop.clock, random, log, lock, zone, catalog, settings},
                            store::Candidate{getpid(), 0, generation});
    REQUIRE(taken);
    return std::move(*taken);
  }
  // What the zone holds of a certificate is what its file holds.
  bool kept(Catalog::Index index) {
    const Target& target = catalog.target(index);
    auto disk = store::DiskStore::open(folder.string(), settings.max_response);
    const auto file = disk ? disk->load(target.certificate.id) : Result<store::Kept>(store::Kept());
    return file && !file->bytes.empty() && zone.read(target.entry, target.certificate.id) == file->bytes;
  }
  std::size_t kept() {
    std::size_t count = 0;
    for (Catalog::Index i = 0; i < kCount; ++i) {
      count += kept(i) ? 1u : 0u;
    }
    return count;
  }

  ScratchFolder folder;
  std::uint32_t generation = 0;
};

TEST_CASE("archive: what is published is kept, a few in each turn of the loop", "[archive]") {
  Fixture f;
  const auto post = f.post();
  post->beat();
  std::size_t most = 0, before = 0;
  for (int turns = 0; turns < 1000 && before < kCount; ++turns) {
    f.loop.turn();
    const std::size_t now = f.folder.names().size();
    most = std::max(most, now - before);
    before = now;
  }
  CHECK(f.kept() == kCount);
  CHECK(most <= 2);
}

TEST_CASE("archive: whoever takes the post keeps what the zone holds and the folder does not", "[archive]") {
  Fixture f;
  auto post = f.post();
  post->beat();
  f.loop.settle();
  REQUIRE(f.kept() == kCount);
  post.reset();
  fs::remove(f.folder.file(f.catalog.target(1).certificate.id));
  // Torn, and of another certificate.
  fs::resize_file(f.folder.file(f.catalog.target(2).certificate.id), 20);
  fs::copy_file(f.folder.file(f.catalog.target(4).certificate.id), f.folder.file(f.catalog.target(3).certificate.id),
                fs::copy_options::overwrite_existing);
  REQUIRE(f.kept() == kCount - 3);

  const auto untouched = fs::last_write_time(f.folder.file(f.catalog.target(0).certificate.id));
  post = f.post();
  f.loop.settle();
  CHECK(f.kept() == kCount - 3);  // taking it alone does nothing: the start helper leaves it to the worker
  post->catch_up();
  f.loop.settle();
  CHECK(f.kept() == kCount);
  CHECK(fs::last_write_time(f.folder.file(f.catalog.target(0).certificate.id)) == untouched);  // not written again
  CHECK(f.log.count("cache folder") == 0);
}

TEST_CASE("archive: who leaves keeps what is still to be kept", "[archive]") {
  Fixture f;
  auto post = f.post();
  const Bytes response = good_response(test_leaf(0), test_ca(), kNow, kNow + kDay);
  REQUIRE(post->gate().admit(f.catalog.target(0), response, store::Source::kNetwork, {kNow}).stored == Reason::kOk);
  CHECK(f.kept() == 0);
  post.reset();
  CHECK(f.kept() == 1);
}

TEST_CASE("archive: a folder that is gone is said once, and once when it is there again", "[archive]") {
  Fixture f;
  fs::remove_all(f.folder.string());
  const auto post = f.post();
  post->beat();
  f.loop.pass(120000);
  CHECK(f.stapled() == kCount);
  CHECK(f.log.count("cache folder cannot be used") == 1);
  CHECK(f.log.count("cache folder can be used again") == 0);
  REQUIRE(store::cache_failure(f.zone).has_value());
  CHECK(store::cache_failure(f.zone)->reason == Reason::kUnreadable);
  CHECK(store::cache_failure(f.zone)->since >= kNow);
  CHECK(store::cache_failure(f.zone)->since < kNow + 60);

  fs::create_directory(f.folder.string());
  fs::permissions(f.folder.string(), fs::perms::owner_all);
  f.loop.pass(31000);
  CHECK(f.kept() == kCount);
  CHECK(f.log.count("cache folder cannot be used") == 1);
  CHECK(f.log.count("cache folder can be used again") == 1);
  CHECK_FALSE(store::cache_failure(f.zone).has_value());
}

TEST_CASE("archive: who takes the post has not tried the folder yet, and who leaves says nothing of it",
          "[archive]") {
  Fixture f;
  store::record_cache_failure(f.zone, Reason::kDiskFull, kNow - 100);
  auto post = f.post();
  CHECK_FALSE(store::cache_failure(f.zone).has_value());
  const Bytes response = good_response(test_leaf(0), test_ca(), kNow, kNow + kDay);
  REQUIRE(post->gate().admit(f.catalog.target(0), response, store::Source::kNetwork, {kNow}).stored == Reason::kOk);
  fs::remove_all(f.folder.string());
  post.reset();
  CHECK_FALSE(store::cache_failure(f.zone).has_value());
  CHECK(f.log.count("cache folder") == 0);
}

TEST_CASE("archive: without a folder nothing is kept and nothing is said", "[archive]") {
  Fixture f;
  f.settings.cache.clear();
  const auto post = f.post();
  post->beat();
  post->catch_up();
  f.loop.pass(60000);
  CHECK(f.stapled() == kCount);
  CHECK(f.folder.names().empty());
  CHECK(f.log.count("cache folder") == 0);
}

}  // namespace
}  // namespace ocsp_plus::engine
