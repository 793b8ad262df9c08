#include "store/arena_map.h"

#include <cstddef>
#include <iterator>

namespace ocsp_plus::store {

ArenaMap::ArenaMap(std::uint32_t units) : units_(units) {
  rebuild({});
}

void ArenaMap::rebuild(const std::vector<Range>& used) {
  by_offset_.clear();
  by_size_.clear();
  grace_.clear();
  free_ = in_grace_ = 0;
  std::uint32_t end = 0;
  for (const Range& range : used) {
    add(end, range.offset - end);
    end = range.offset + range.units;
  }
  add(end, units_ - end);
}

ArenaMap::Range ArenaMap::take(std::uint32_t units) {
  const auto best = by_size_.lower_bound({units, 0});
  if (best == by_size_.end()) {
    return {};
  }
  const auto [available, offset] = *best;
  remove(by_offset_.find(offset));
  add(offset + units, available - units);
  return {offset, units};
}

ArenaMap::Range ArenaMap::allocate(std::uint32_t units) {
  Range range = take(units);
  while (!range && !grace_.empty()) {
    release_first_in_grace();
    range = take(units);
  }
  return range;
}

void ArenaMap::release(Range range) {
  if (!range) {
    return;
  }
  auto next = by_offset_.lower_bound(range.offset);
  if (next != by_offset_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == range.offset) {
      range = {before->first, before->second + range.units};
      remove(before);
    }
  }
  if (next != by_offset_.end() && range.offset + range.units == next->first) {
    range.units += next->second;
    remove(next);
  }
  add(range.offset, range.units);
}

void ArenaMap::retire(Range range, Millis until) {
  if (range) {
    grace_.emplace_back(until, range);
    in_grace_ += range.units;
  }
}

void ArenaMap::end_grace(Millis now) {
  while (!grace_.empty() && grace_.front().first <= now) {
    release_first_in_grace();
  }
}

void ArenaMap::release_first_in_grace() {
  in_grace_ -= grace_.front().second.units;
  release(grace_.front().second);
  grace_.pop_front();
}

void ArenaMap::add(std::uint32_t offset, std::uint32_t units) {
  if (units == 0) {
    return;
  }
  by_offset_.emplace(offset, units);
  by_size_.emplace(units, offset);
  free_ += units;
}

void ArenaMap::remove(ByOffset::iterator range) {
  free_ -= range->second;
  by_size_.erase({range->second, range->first});
  by_offset_.erase(range);
}

}  // namespace ocsp_plus::store
