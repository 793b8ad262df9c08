// Counts what happens: any worker counts, any process reads, without a lock. Trust: as for the rest of the zone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/reason.h"
#include "base/time.h"
#include "store/staple_zone.h"

namespace ocsp_plus::store {

struct Counter {
  enum Kind : std::size_t {
    kExchangesOk,
    kExchangesFailed,
    kExchangeMillis,  // the sum of their times
    // Connections to responders.
    kIpv4Ok,
    kIpv4Failed,
    kIpv6Ok,
    kIpv6Failed,
    // The shared store of ocsp_plus_share: the counts of engine::Sharing and its store, of all lease holders so far.
    kShareLooks,
    kShareHits,
    kShareSame,
    kShareRefused,
    kShareMisses,
    kShareElsewhere,
    kShareLooksFailed,
    kSharePublished,
    kSharePublicationsFailed,
    kShareLeases,
    kShareAlone,
    kShareErrors,
    kShareCommands,
    kShareMillis,  // the sum of their times
    kShareSent,    // bytes
    kShareReceived,
    // The fate of certificates loaded per connection.
    kHanded,   // to the designated worker, by the worker that met it in a handshake
    kDropped,  // not handed: the queue was full
    kTorn,     // handed by a process that was killed or stopped half way
    kTaken,    // got an entry
    kRefused,  // got none: it is too large or does not parse, or the zone has no room
    kEvicted,  // lost it to others: the least recently used
    kEnded,    // lost it: it has expired, or was not used for a long time
    kKinds
  };
};
void count(const StapleZone& zone, Counter::Kind what, std::uint64_t more = 1) noexcept;
std::uint64_t counted(const StapleZone& zone, Counter::Kind what) noexcept;

// Handshakes that asked for a status. Each counts as one of the first five.
struct Handshake {
  enum Kind : std::size_t {
    kStapled,
    kMissing,       // went on without a staple
    kUnsupported,   // went on without one, and their certificate can never have any
    kRefused,       // was refused because it had no response
    kForeign,       // went on with a response that another module had set
    kReplaced,      // no handshake: our status callback, which another module had replaced, was put back
    kTooLarge,      // those of kMissing whose response was left out for the size of the Certificate message
    kChainStapled,  // those of kStapled with at least one staple of a certificate after the leaf
    kKinds
  };
};
// Counts a staple that a handshake got after the leaf's. `worker`: its number, as in count_handshake().
void count_staple(const StapleZone& zone, std::uint32_t worker, EntryIndex entry) noexcept;
// Counts a handshake. `entry`: the one whose staple the handshake got, if any.
void count_handshake(const StapleZone& zone, std::uint32_t worker, Handshake::Kind what,
                     EntryIndex entry = kNoEntry) noexcept;
using HandshakeTotals = std::array<std::uint64_t, Handshake::kKinds>;
HandshakeTotals handshake_totals(const StapleZone& zone) noexcept;

// Exchanges by duration: upper bounds in ms; an exchange that took longer is counted behind the last one.
constexpr std::array<std::uint32_t, 11> kDurationBounds = {10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000};
using Durations = std::array<std::uint64_t, kDurationBounds.size() + 1>;
void count_duration(const StapleZone& zone, Millis took) noexcept;  // adds to Counter::kExchangeMillis as well
Durations durations(const StapleZone& zone) noexcept;

// Failed exchanges, by reason.
constexpr std::size_t kReasonNumbers = 256;  // more than the largest Reason
void count_failure(const StapleZone& zone, Reason reason) noexcept;
std::uint64_t failures(const StapleZone& zone, Reason reason) noexcept;

// Copies the numbers into a fresh zone that replaces `from`, except those of entries and of certificates loaded per
// connection. REQUIRES: no other process uses `to` yet.
void copy_counters(const StapleZone& from, const StapleZone& to) noexcept;

}  // namespace ocsp_plus::store
