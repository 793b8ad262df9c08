#include "store/zone_repair.h"

#include "store/layout.h"
#include "store/zone_index.h"

namespace ocsp_plus::store {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
// How many configurations may have registered since the lease holder's own; a number farther away is no generation.
constexpr std::uint32_t kGenerationsAhead = 4096;

bool is_generation(std::uint32_t found, std::uint32_t ours) {
  return found >= ours && found - ours <= kGenerationsAhead;
}

// Counts the words of the header, and times of the stats, that are wrong. `repair`: corrects them as well.
std::size_t check_header(const WriterState& state, const ProcessIdentity& self, bool repair) {
  Header& header = state.zone().header();
  std::size_t wrong = 0;
  const auto expect = [&](auto& word, auto value) {
    if (word.load(kRelaxed) != value) {
      ++wrong;
      if (repair) {
        word.store(value, std::memory_order_release);
      }
    }
  };
  expect(header.layout_version, kLayoutVersion);
  expect(header.size, std::uint64_t{state.zone().size()});
  expect(header.lease.generation, self.generation);
  expect(header.lease.slot, self.slot);
  expect(header.magic, kMagic);
  if (!is_generation(header.generation.load(kRelaxed), self.generation)) {
    expect(header.generation, self.generation);
  }
  expect(header.entries, state.high_water_mark());
  const Millis now = state.clock().monotonic();
  for (const Number::Kind what : {Number::kBegan, Number::kClockJumpedAt}) {
    if (const Millis time = number(state.zone(), what); time < 0 || time > now) {
      expect(state.zone().stats().numbers[what], now);
    }
  }
  return wrong;
}

bool is_entry_sound(const StapleZone& zone, EntryIndex index, const Registration& registration,
                    std::uint32_t generation, bool newest) {
  const Entry& entry = zone.entry(index);
  const EntryIndex found = zone.find(registration.id);
  const bool same_issuer =
      registration.issuer_key == kUnknownIssuer || entry.issuer_key == registration.issuer_key || !newest;
  return index < zone.entries_used() && entry.id == registration.id && same_issuer &&
         is_generation(entry.generation.load(kRelaxed), generation) && (newest ? found == index : found != kNoEntry);
}

bool is_held(const WriterState& state, EntryIndex index) {
  const WriterState::Held held = state.held(index);
  const std::uint64_t word = state.zone().entry(index).word.load(std::memory_order_acquire);
  if (!held.response) {
    return word == 0;
  }
  return word >> 32 != 0 && static_cast<std::uint32_t>(word) == held.response.offset && state.is_intact(index, held);
}

HeldResponse judge_held(const WriterState& state, EntryIndex index) {
  const WriterState::Held held = state.held(index);
  return held.response && held.sum == 0 ? HeldResponse::kUnknown : HeldResponse::kSound;
}

}  // namespace

Result<std::size_t> repair_header(ZoneWriter& writer, const ProcessIdentity& self) {
  WriterState& state = writer.state();
  if (!state.has_invalid() && check_header(state, self, false) == 0) {
    return std::size_t{0};
  }
  const ScopedLock scope(state.lock());
  RETURN_IF_ERROR(state.begin(scope.held()));
  return check_header(state, self, true);
}

Result<bool> repair_entry(ZoneWriter& writer, EntryIndex index, const Registration& registration,
                          std::uint32_t generation, bool newest) {
  WriterState& state = writer.state();
  const StapleZone& zone = state.zone();
  if (index >= zone.entries_used() || is_entry_sound(zone, index, registration, generation, newest)) {
    return false;
  }
  const ScopedLock scope(state.lock());
  RETURN_IF_ERROR(state.begin(scope.held()));
  if (is_entry_sound(zone, index, registration, generation, newest)) {
    return false;  // a registration was changing it
  }
  Entry& entry = zone.entry(index);
  const bool same_issuer = registration.issuer_key == kUnknownIssuer || entry.issuer_key == registration.issuer_key;
  if (entry.id != registration.id || (newest && !same_issuer)) {
    entry.id = registration.id;
    entry.issuer_key = registration.issuer_key;  // check_response() drops another issuer's response
  }
  if (!is_generation(entry.generation.load(kRelaxed), generation)) {
    entry.generation.store(zone.generation(), std::memory_order_release);
  }
  const EntryIndex other = zone.find(registration.id);
  if (newest && other != index && other != kNoEntry && !state.owns(other)) {
    state.remove(other);  // none of our processes has made it
  }
  if (zone.find(registration.id) == kNoEntry) {
    ZoneIndex(zone).insert(index);
  }
  return true;
}

Result<HeldResponse> check_response(ZoneWriter& writer, EntryIndex index) {
  WriterState& state = writer.state();
  if (index >= state.zone().entries_used() || is_held(state, index)) {
    return judge_held(state, index);
  }
  const ScopedLock scope(state.lock());
  RETURN_IF_ERROR(state.begin(scope.held()));
  state.catch_up();
  if (is_held(state, index)) {
    return judge_held(state, index);
  }
  const WriterState::Held held = state.held(index);
  Entry& entry = state.zone().entry(index);
  const bool intact = held.response && held.sum != 0 && state.is_intact(index, held);
  if (intact && entry.generation.load(kRelaxed) != 0) {
    set_word(entry, held.response.offset, entry.length.load(kRelaxed));
    return HeldResponse::kRestored;
  }
  // An unfinished registration has freed the entry.
  const bool taken_away = intact && entry.word.load(kRelaxed) == 0;
  state.drop(index);
  if (taken_away) {
    return HeldResponse::kSound;
  }
  state.lost().push_back(index);
  return HeldResponse::kLost;
}

}  // namespace ocsp_plus::store
