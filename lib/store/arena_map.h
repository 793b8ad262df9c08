// Knows the free parts of the arena, for the one process that writes. Best fit; free neighbours are joined.
//
// A replaced range stays for a grace period, so that a reader that is copying it finishes on its first try. A reader
// notices a reuse in any case: the grace saves time, safety does not depend on it.
//
// The map never reads the shared memory; its owner builds it anew from what the entries point to. All values are in
// units of kBlobAlign bytes. Not in shared memory, one process, one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "base/time.h"

namespace ocsp_plus::store {

class ArenaMap {
 public:
  struct Range {
    std::uint32_t offset = 0;
    std::uint32_t units = 0;  // 0: no range

    explicit operator bool() const { return units != 0; }
  };

  explicit ArenaMap(std::uint32_t units);  // all of it is free

  // Forgets everything; all space outside `used` becomes free. REQUIRES: `used` is in order of offset, without
  // overlap, inside the arena.
  void rebuild(const std::vector<Range>& used);

  // Returns the smallest free range that is large enough, cut to `units`. If there is none, ends grace periods, the
  // oldest first, until there is one; returns an empty range if that does not help either. REQUIRES: units > 0.
  Range allocate(std::uint32_t units);

  // Gives back a range of allocate() or rebuild(); ignores an empty one.
  void release(Range range);
  // Gives a range back at `until`, or earlier if allocate() needs the room.
  void retire(Range range, Millis until);
  void end_grace(Millis now);

  std::uint32_t free_units() const { return free_; }
  std::uint32_t units_in_grace() const { return in_grace_; }

 private:
  using ByOffset = std::map<std::uint32_t, std::uint32_t>;  // offset, units

  Range take(std::uint32_t units);
  void release_first_in_grace();
  void add(std::uint32_t offset, std::uint32_t units);
  void remove(ByOffset::iterator range);

  std::uint32_t units_;
  std::uint32_t free_ = 0;
  std::uint32_t in_grace_ = 0;
  std::deque<std::pair<Millis, Range>> grace_;  // with the end of its grace, the earliest first
  ByOffset by_offset_;
  std::set<std::pair<std::uint32_t, std::uint32_t>> by_size_;  // units, offset: the same ranges
};

}  // namespace ocsp_plus::store
