#include "base/random.h"

#include <sys/random.h>

namespace ocsp_plus {

SystemRandom::SystemRandom() : state_(0) {
  // Without the system's randomness the address of the object is jitter enough; nothing secret hangs on it.
  if (getrandom(&state_, sizeof(state_), GRND_NONBLOCK) != static_cast<ssize_t>(sizeof(state_))) {
    state_ = reinterpret_cast<std::uintptr_t>(this);
  }
}

std::uint64_t SystemRandom::next() {
  state_ += 0x9e3779b97f4a7c15;
  std::uint64_t mixed = state_;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  return mixed ^ (mixed >> 31);
}

}  // namespace ocsp_plus
