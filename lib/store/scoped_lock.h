// The zone's lock for the length of a scope. It is tried once: nobody waits for it.
#pragma once

#include "base/ports.h"

namespace ocsp_plus::store {

class ScopedLock {
 public:
  explicit ScopedLock(SharedLock& lock) : lock_(lock), held_(lock.try_lock()) {}
  ~ScopedLock() {
    if (held_) {
      lock_.unlock();
    }
  }
  ScopedLock(const ScopedLock&) = delete;
  ScopedLock& operator=(const ScopedLock&) = delete;

  bool held() const { return held_; }

 private:
  SharedLock& lock_;
  const bool held_;
};

}  // namespace ocsp_plus::store
