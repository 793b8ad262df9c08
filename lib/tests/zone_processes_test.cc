// Real processes on one zone. Readers copy without a pause and check every byte; writers publish as fast as they can
// into an arena so small that space is used again at once; they are killed at any instruction, with and without the
// lock, or stopped and continued after another one has taken over. Nothing here waits for a time to pass.
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "store/lease.h"
#include "store/zone_registry.h"
#include "store/zone_writer.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/mmap_zone.h"

namespace ocsp_plus::store {
namespace {

using testing::MmapZone;
using testing::PidLock;
using testing::test_header;
using testing::test_registration;
using testing::test_registrations;
using testing::TestRandom;

constexpr std::size_t kEntries = 4;
constexpr std::size_t kReaders = 3;
constexpr std::size_t kZoneSize = 36 << 10;  // leaves an arena of 16 kB
constexpr std::size_t kLongest = 2400;       // so four responses and a new one fit, hardly more
constexpr Millis kTestLasts = 2500;
constexpr Millis kDeadline = 60000;  // nothing of this may hang for ever

enum ExitCode { kFine = 0, kWrongBytes = 11, kVanished = 12, kWentBack = 13, kNoLease = 14, kLost = 15, kThrew = 16 };

// Beside the zone, shared by all processes.
struct Shared {
  PidLock::Word lock{0};
  std::atomic<std::uint64_t> sequence{0};  // of payloads, drawn before each publication
  std::atomic<std::uint64_t> published{0};
  std::atomic<std::uint64_t> full{0};
  std::atomic<std::uint64_t> copies{0};
  std::atomic<std::uint64_t> lock_deaths{0};
  std::atomic<bool> stop{false};
  std::array<std::atomic<bool>, kEntries> held{};  // set once the first response is published
};

struct Payload {  // in front of random bytes; the digest covers all that follows it
  std::uint64_t digest;
  std::uint64_t entry;
  std::uint64_t sequence;
};

std::uint64_t fnv(const std::uint8_t* data, std::size_t size) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (std::size_t i = 0; i < size; ++i) {
    hash = (hash ^ data[i]) * 0x100000001b3;
  }
  return hash;
}

Bytes make_payload(std::size_t entry, std::uint64_t sequence, TestRandom& random) {
  Bytes bytes = random.bytes(sizeof(Payload) + random.below(kLongest - sizeof(Payload)));
  const Payload head = {0, entry, sequence};
  std::memcpy(bytes.data(), &head, sizeof(head));
  const std::uint64_t digest = fnv(bytes.data() + 8, bytes.size() - 8);
  std::memcpy(bytes.data(), &digest, sizeof(digest));
  return bytes;
}

// Where it is deadly, its holder dies now and then: on taking it, and when all is written but it is not given back.
class DeadlyLock : public SharedLock {
 public:
  DeadlyLock(Shared* shared, TestRandom* random, bool deadly)
      : lock_(&shared->lock), shared_(shared), random_(random), deadly_(deadly) {}
  bool try_lock() override {
    const bool taken = lock_.try_lock();
    maybe_die(taken);
    return taken;
  }
  void unlock() override {
    maybe_die(true);
    lock_.unlock();
  }

 private:
  void maybe_die(bool holding) {
    if (deadly_ && holding && random_->below(1500) == 0) {
      ++shared_->lock_deaths;
      raise(SIGKILL);
    }
  }

  PidLock lock_;
  Shared* shared_;
  TestRandom* random_;
  bool deadly_;
};

// Between a reader's look at the header and its copy of the bytes: now and then a writer gets its turn just there.
void* allocate_and_dawdle(std::size_t size) {
  if (size % 4 == 0) {
    sched_yield();
  }
  return std::malloc(size);
}

int run_reader(const StapleZone& zone, Shared* shared, std::uint64_t seed) {
  setpriority(PRIO_PROCESS, 0, 10);  // they never rest; the parent has to get its turns
  TestRandom random(seed);
  std::array<std::uint64_t, kEntries> newest{};
  while (!shared->stop) {
    const std::size_t entry = random.below(kEntries);
    const CertificateId id = test_registration(entry).id;
    const bool must_be_there = shared->held[entry];
    StapleZone::Copy copy;
    if (zone.copy(static_cast<EntryIndex>(entry), id, allocate_and_dawdle, std::free, &copy) !=
        StapleZone::Read::kCopied) {
      if (must_be_there) {
        return kVanished;
      }
      continue;
    }
    const auto* bytes = static_cast<const std::uint8_t*>(copy.data);
    Payload head = {};
    std::memcpy(&head, bytes, sizeof(head));
    const bool whole = copy.header.id == id && copy.header.length >= sizeof(Payload) && head.entry == entry &&
                       head.digest == fnv(bytes + 8, copy.header.length - 8);
    std::free(copy.data);
    if (!whole) {
      return kWrongBytes;
    }
    if (head.sequence < newest[entry]) {
      return kWentBack;
    }
    newest[entry] = head.sequence;
    ++shared->copies;
  }
  return kFine;
}

int run_writer(StapleZone zone, Shared* shared, std::uint32_t generation, std::uint64_t seed, bool deadly_lock) {
  TestRandom random(seed);
  const SystemClock clock;
  PidLock lock(&shared->lock);
  DeadlyLock deadly(shared, &random, deadly_lock);
  const auto epoch = acquire_lease(zone, lock, {getpid(), 0, generation}, clock, process_alive);
  if (!epoch) {
    return kNoLease;
  }
  ZoneWriter writer(zone, deadly, clock, *epoch, getpid());
  for (;;) {
    const std::size_t entry = random.below(kEntries);
    const Bytes payload = make_payload(entry, ++shared->sequence, random);
    const auto done = writer.publish(static_cast<EntryIndex>(entry), test_header(test_registration(entry)), payload);
    if (done) {
      shared->held[entry] = true;
      ++shared->published;
    } else if (done.error().reason == Reason::kZoneFull) {
      ++shared->full;
    } else if (done.error().reason == Reason::kLeaseLost) {
      return renew_lease(zone, *epoch, getpid(), clock) ? kFine : kLost;
    }
    renew_lease(zone, *epoch, getpid(), clock);
  }
}

// The parent: owns the children and, as nginx's master does, frees the lock of those that are gone.
class Family {
 public:
  explicit Family(Shared* shared) : shared_(shared) {}
  ~Family() {
    for (const pid_t pid : children_) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
  }

  template <typename Run>
  pid_t start(Run run) {
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      int code = kThrew;
      try {
        code = getppid() == parent ? run() : kFine;
      } catch (...) {
      }
      _exit(code);
    }
    REQUIRE(pid > 0);
    children_.push_back(pid);
    return pid;
  }

  // Waits for its end. The status as of waitpid().
  int reap(pid_t pid) {
    int status = 0;
    REQUIRE(waitpid(pid, &status, 0) == pid);
    forget(pid);
    return status;
  }

  // Stops it at any instruction at which it does not hold the lock. false: it has ended instead.
  bool stop_outside_lock(pid_t pid) {
    for (;;) {
      kill(pid, SIGSTOP);
      int status = 0;
      REQUIRE(waitpid(pid, &status, WUNTRACED) == pid);
      if (!WIFSTOPPED(status)) {
        forget(pid);
        return false;
      }
      if (shared_->lock != pid) {
        return true;
      }
      kill(pid, SIGCONT);
    }
  }

  // Waits until `count` more responses were published. false: the child ended before.
  bool progress(pid_t pid, std::uint64_t count) {
    const std::uint64_t target = shared_->published + count;
    const Millis deadline = clock_.monotonic() + kDeadline;
    while (shared_->published < target) {
      int status = 0;
      if (waitpid(pid, &status, WNOHANG) == pid) {
        INFO("writer ended with " << status);
        REQUIRE((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
        forget(pid);
        return false;
      }
      REQUIRE(clock_.monotonic() < deadline);
      sched_yield();
    }
    return true;
  }

 private:
  void forget(pid_t pid) {
    PidLock::free_after(&shared_->lock, pid);
    children_.erase(std::find(children_.begin(), children_.end(), pid));
  }

  Shared* shared_;
  SystemClock clock_;
  std::vector<pid_t> children_;
};

struct Stage {
  MmapZone memory{kZoneSize};
  MmapZone beside{4096};
  StapleZone zone = memory.format();
  Shared* shared = new (beside.data()) Shared;
  Family family{shared};
  std::uint32_t generation = 1;
  std::uint64_t seed = 1;

  Stage() {
    PidLock lock(&shared->lock);
    std::vector<EntryIndex> entries;
    REQUIRE(store::register_all(zone, lock, test_registrations(kEntries), &entries));
    REQUIRE(entries == std::vector<EntryIndex>{0, 1, 2, 3});
  }
  pid_t start_writer(bool deadly) {
    const std::uint64_t own_seed = ++seed;
    const std::uint32_t own_generation = generation;
    return family.start([=] { return run_writer(zone, shared, own_generation, own_seed, deadly); });
  }
  // The index, the entries and the arena: what the lease protects.
  Bytes snapshot() const { return Bytes(memory.data() + zone.geometry().index, memory.data() + memory.size()); }
};

// The writer is stopped, a newer one takes over and is stopped, too; the first one goes on, and must notice.
// Returns the newer one, going on as well, or 0 if it has died meanwhile.
pid_t overtake(Stage& stage, pid_t old_writer) {
  ++stage.generation;
  const pid_t writer = stage.start_writer(false);
  if (!stage.family.progress(writer, 20) || !stage.family.stop_outside_lock(writer)) {
    kill(old_writer, SIGCONT);
    const int status = stage.family.reap(old_writer);
    CHECK((WIFEXITED(status) || WTERMSIG(status) == SIGKILL));
    return 0;
  }
  const Bytes before = stage.snapshot();
  kill(old_writer, SIGCONT);
  const int status = stage.family.reap(old_writer);
  CHECK(((WIFEXITED(status) && WEXITSTATUS(status) == kLost) || WIFSIGNALED(status)));
  CHECK(stage.snapshot() == before);
  CHECK(lease_holder(stage.zone).pid == writer);
  kill(writer, SIGCONT);
  return writer;
}

TEST_CASE("processes: readers see whole responses whatever happens to the writers", "[zone][processes]") {
  Stage stage;
  std::vector<pid_t> readers;
  for (std::size_t i = 0; i < kReaders; ++i) {
    readers.push_back(stage.family.start([&stage, i] { return run_reader(stage.zone, stage.shared, 1000 + i); }));
  }
  TestRandom random(42);
  const SystemClock clock;
  const Millis end = clock.monotonic() + kTestLasts;
  int kills = 0;
  int overtaken = 0;
  const auto start_any = [&] { return stage.start_writer(random.below(2) == 0); };
  pid_t writer = start_any();
  // On a slow machine a little longer, until each kind of mishap has happened.
  const auto enough = [&] { return kills > 3 && overtaken > 3 && stage.shared->lock_deaths > 0; };
  while (clock.monotonic() < end || (!enough() && clock.monotonic() < end + kDeadline)) {
    if (writer == 0 || !stage.family.progress(writer, 1 + random.below(200))) {
      ++kills;
      writer = start_any();
    } else if (random.below(2) == 0) {
      kill(writer, SIGKILL);
      stage.family.reap(writer);
      ++kills;
      writer = start_any();
    } else if (stage.family.stop_outside_lock(writer)) {
      writer = overtake(stage, writer);
      overtaken += writer != 0 ? 1 : 0;
    } else {
      writer = 0;
    }
  }
  stage.shared->stop = true;
  for (const pid_t reader : readers) {
    const int status = stage.family.reap(reader);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == kFine);
  }
  INFO(kills << " kills, " << overtaken << " overtaken, " << stage.shared->lock_deaths << " died with the lock, "
             << stage.shared->published << " published, " << stage.shared->full << " refused, "
             << stage.shared->copies << " copied");
  CHECK(enough());
  CHECK(stage.shared->published > 500);
  CHECK(stage.shared->copies > 500);
  CHECK(stage.shared->full < stage.shared->published);
}

}  // namespace
}  // namespace ocsp_plus::store
