// Memory, locks and contents for zone tests.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/ports.h"
#include "store/layout.h"
#include "store/staple_zone.h"
#include "store/zone_registry.h"

namespace ocsp_plus::testing {

// Memory shared between processes, between two inaccessible pages. The second one begins exactly at its end, so that
// a read one byte beyond the zone crashes. `size` must be a multiple of 64.
class MmapZone {
 public:
  explicit MmapZone(std::size_t size) : size_(size), mapped_((size + kPage - 1) / kPage * kPage + 2 * kPage) {
    void* base = mmap(nullptr, mapped_, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
      throw std::runtime_error("mmap() failed");
    }
    mapping_ = static_cast<std::uint8_t*>(base);
    if (mprotect(mapping_ + kPage, mapped_ - 2 * kPage, PROT_READ | PROT_WRITE) != 0) {
      throw std::runtime_error("mprotect() failed");
    }
  }
  ~MmapZone() { munmap(mapping_, mapped_); }
  MmapZone(const MmapZone&) = delete;
  MmapZone& operator=(const MmapZone&) = delete;

  std::uint8_t* data() const { return mapping_ + mapped_ - kPage - size_; }
  std::size_t size() const { return size_; }

  store::StapleZone format(store::StapleZone::Memory memory = store::StapleZone::Memory::kZeroed) const {
    return store::StapleZone::format(data(), size_, memory).value();
  }
  store::StapleZone attach() const { return store::StapleZone::attach(data(), size_).value(); }

  // Returns the number of resident bytes.
  std::size_t resident() const {
    std::vector<unsigned char> pages(mapped_ / kPage);
    mincore(mapping_, mapped_, pages.data());
    std::size_t count = 0;
    for (const unsigned char page : pages) {
      count += page & 1u;
    }
    return count * kPage;
  }

 private:
  static constexpr std::size_t kPage = 4096;

  std::size_t size_;
  std::size_t mapped_;
  std::uint8_t* mapping_ = nullptr;
};

// A lock within one process; `busy`: another process holds it.
class LocalLock : public SharedLock {
 public:
  bool try_lock() override {
    if (busy || held) {
      return false;
    }
    ++taken;
    return held = true;
  }
  void unlock() override { held = false; }

  bool busy = false;
  bool held = false;
  int taken = 0;
};

// Works like nginx's lock: a word with the holder's pid, which the parent can clear after a kill.
class PidLock : public SharedLock {
 public:
  using Word = std::atomic<std::int32_t>;

  explicit PidLock(Word* word) : word_(word) {}
  bool try_lock() override {
    std::int32_t free = 0;
    return word_->compare_exchange_strong(free, getpid(), std::memory_order_acquire);
  }
  void unlock() override { word_->store(0, std::memory_order_release); }

  static void free_after(Word* word, std::int32_t dead) { word->compare_exchange_strong(dead, 0); }

 private:
  Word* word_;
};

// splitmix64: fast, and the same on every machine.
class TestRandom {
 public:
  explicit TestRandom(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  std::uint64_t below(std::uint64_t limit) { return next() % limit; }
  void fill(std::uint8_t* to, std::size_t size) {
    for (; size >= 8; to += 8, size -= 8) {
      const std::uint64_t value = next();
      std::memcpy(to, &value, 8);
    }
    if (size > 0) {
      const std::uint64_t value = next();
      std::memcpy(to, &value, size);
    }
  }
  Bytes bytes(std::size_t size) {
    Bytes bytes(size);
    fill(bytes.data(), size);
    return bytes;
  }

 private:
  std::uint64_t state_;
};

inline CertificateId test_id(std::uint64_t number) {
  CertificateId id;
  TestRandom(number * 1000003 + 17).fill(id.data(), id.size());
  return id;
}

inline store::Registration test_registration(std::uint64_t number) {
  return {test_id(number), test_id(number % 7 + (std::uint64_t{1} << 40))};
}

// Numbers first .. first + count - 1.
inline std::vector<store::Registration> test_registrations(std::size_t count, std::uint64_t first = 0) {
  std::vector<store::Registration> registrations;
  for (std::size_t i = 0; i < count; ++i) {
    registrations.push_back(test_registration(first + i));
  }
  return registrations;
}

inline store::BlobHeader test_header(const store::Registration& registration) {
  store::BlobHeader header = {};
  header.id = registration.id;
  header.issuer_key = registration.issuer_key;
  header.this_update = 1;
  header.expires = 2;
  return header;
}

}  // namespace ocsp_plus::testing
