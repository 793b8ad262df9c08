// Which parts of the arena are free: the private map of the one process that writes. Best fit, neighbours joined.
//
// What was replaced stays for a grace period, so that a reader in the middle of copying it finishes on the first try;
// that it would notice otherwise makes the grace a courtesy, not a condition.
//
// It knows nothing about the shared memory and is built anew from what the entries point to. All in units of
// kBlobAlign bytes. Not in shared memory, one process, one thread.
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

  explicit ArenaMap(std::uint32_t units);  // all of it free

  // Forgets everything; what lies between `used` becomes free. REQUIRES: `used` in order of offset, without overlap,
  // inside the arena.
  void rebuild(const std::vector<Range>& used);

  // The smallest free range that is large enough, cut to `units`; where there is none, what was retired first loses
  // its grace. An empty range where that does not help either. REQUIRES: units > 0.
  Range allocate(std::uint32_t units);

  // Gives a range of allocate() or rebuild() back; an empty one is ignored.
  void release(Range range);
  // The same at `until`, or when the room is needed before.
  void retire(Range range, Millis until);
  void end_grace(Millis now);

  std::uint32_t total_units() const { return units_; }
  std::uint32_t free_units() const { return free_; }
  std::uint32_t units_in_grace() const { return in_grace_; }
  std::size_t free_ranges() const { return by_offset_.size(); }

 private:
  using ByOffset = std::map<std::uint32_t, std::uint32_t>;  // offset, units

  Range take(std::uint32_t units);
  void release_first_in_grace();
  void add(std::uint32_t offset, std::uint32_t units);
  void remove(ByOffset::iterator range);

  std::uint32_t units_;
  std::uint32_t free_ = 0;
  std::uint32_t in_grace_ = 0;
  std::deque<std::pair<Millis, Range>> grace_;  // until when, in this order
  ByOffset by_offset_;
  std::set<std::pair<std::uint32_t, std::uint32_t>> by_size_;  // units, offset: the same ranges
};

}  // namespace ocsp_plus::store
