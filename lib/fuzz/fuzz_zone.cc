// Fuzzes a corrupted zone: each patch is an offset (2 bytes), a length (1 byte) and bytes that overwrite a valid
// zone. The first byte chooses what its users then do.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "fuzz/fuzz.h"
#include "store/counters.h"
#include "store/entry_state.h"
#include "store/lease.h"
#include "store/shared_stats.h"
#include "store/zone_registry.h"
#include "store/zone_writer.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/mmap_zone.h"

using namespace ocsp_plus;         // NOLINT: only the target
using namespace ocsp_plus::store;  // NOLINT: only the target

namespace {

constexpr std::size_t kSize = 36 << 10;
constexpr std::size_t kCertificates = 8;

struct World {
  testing::MmapZone memory{kSize};
  testing::MmapZone other{kSize};
  Bytes image;  // of a valid zone

  World() {
    testing::FakeClock clock;
    testing::LocalLock lock;
    StapleZone zone = memory.format(StapleZone::Memory::kUsed);
    std::vector<EntryIndex> entries;
    const auto registrations = testing::test_registrations(kCertificates);
    (void)store::register_all(zone, lock, registrations, &entries);
    ZoneWriter writer(zone, lock, clock, 0, 0);
    for (std::size_t i = 0; i < 5; ++i) {
      (void)writer.publish(entries[i], testing::test_header(registrations[i]), Bytes(100 + 300 * i, 1));
    }
    image.assign(memory.data(), memory.data() + kSize);
  }
};

bool some_live(std::int32_t pid) {
  return pid % 3 == 0;
}

void read_everything(const StapleZone& zone) {
  for (std::size_t i = 0; i < kCertificates; ++i) {
    const CertificateId id = testing::test_id(i);
    const EntryIndex found = zone.find(id);
    fuzz::promise(found == kNoEntry || found < zone.capacity(), "an entry that exists");
    for (EntryIndex entry = 0; entry <= zone.capacity(); ++entry) {
      StapleZone::Copy copy;
      if (zone.copy(entry, id, std::malloc, std::free, &copy) == StapleZone::Read::kCopied) {
        fuzz::promise(copy.header.id == id && copy.header.length <= zone.geometry().arena_bytes,
                      "a copy is of this certificate");
        std::free(copy.data);
      }
      zone.peek(entry, id);
      store::read_attempt(zone, entry);
    }
  }
  store::handshake_totals(zone);
  lease_holder(zone);
}

void write_everything(StapleZone& zone) {
  testing::FakeClock clock;
  testing::LocalLock lock;
  store::worker_started(zone, 33, 1);
  store::oldest_living_generation(zone, some_live);
  store::worker_stopped(zone, 33);
  acquire_lease(zone, lock, {100, 0, 1}, clock, some_live);
  const LeaseState holder = lease_holder(zone);
  renew_lease(zone, holder.epoch, holder.pid, clock);
  ZoneWriter writer(zone, lock, clock, holder.epoch, holder.pid);
  fuzz::promise(writer.bytes_used() + writer.bytes_free() == zone.geometry().arena_bytes, "the arena adds up");
  (void)writer.drop(3);
  (void)writer.remove_stale(1);
  std::vector<EntryIndex> entries;
  const auto registrations = testing::test_registrations(kCertificates);
  if (store::register_all(zone, lock, registrations, &entries)) {
    for (std::size_t i = 0; i < kCertificates; ++i) {
      fuzz::promise(entries[i] < zone.capacity(), "an entry that exists");
      const Bytes der(1 + 331 * i, static_cast<std::uint8_t>(i));
      if (writer.publish(entries[i], testing::test_header(registrations[i]), der)) {
        fuzz::promise(zone.read(entries[i], registrations[i].id) == der, "what was published is read");
      }
    }
  }
  fuzz::promise(writer.bytes_used() + writer.bytes_free() == zone.geometry().arena_bytes, "the arena adds up");
  fuzz::promise(!lock.held, "no lock is left behind");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const World world;
  fuzz::Input input(data, size);
  const std::uint8_t use = input.byte();
  std::memcpy(world.memory.data(), world.image.data(), kSize);
  while (!input.empty()) {
    const std::size_t offset = input.number(2) % kSize;
    const ByteView patch = input.take(1 + input.byte());
    std::memcpy(world.memory.data() + offset, patch.data(), std::min(patch.size(), kSize - offset));
  }
  auto zone = StapleZone::attach(world.memory.data(), kSize);
  if (!zone) {
    return 0;
  }
  read_everything(*zone);
  if ((use & 1) != 0) {
    testing::FakeClock clock;
    testing::LocalLock lock;
    StapleZone to = world.other.format(StapleZone::Memory::kUsed);
    std::vector<EntryIndex> entries;
    (void)store::register_all(to, lock, testing::test_registrations(kCertificates), &entries);
    copy_stats(*zone, to, clock.monotonic());
    read_everything(to);
  }
  if ((use & 2) == 0) {
    write_everything(*zone);
    read_everything(*zone);
  }
  return 0;
}
