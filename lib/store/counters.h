// What has happened, counted: any worker counts, any process reads, without a lock. Trust: as the rest of the zone.
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
    kExchangeMillis,  // that they took together
    // Connections to responders.
    kIpv4Ok,
    kIpv4Failed,
    kIpv6Ok,
    kIpv6Failed,
    // The shared store of ocsp_plus_share: what engine::Sharing and its store count, of all lease holders so far.
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
    kShareMillis,  // that these took together
    kShareSent,    // bytes
    kShareReceived,
    // What becomes of certificates loaded per connection.
    kHanded,   // to the designated worker, by whoever met it in a handshake
    kDropped,  // not handed: the queue was full
    kTorn,     // handed by a process that was killed or stopped half way
    kTaken,    // got an entry
    kRefused,  // got none: too large, does not parse, or the zone has no room for any
    kEvicted,  // lost it to others, not used for longest
    kEnded,    // lost it because it has expired or nobody has used it for long
    kKinds
  };
};
void count(const StapleZone& zone, Counter::Kind what, std::uint64_t more = 1) noexcept;
std::uint64_t counted(const StapleZone& zone, Counter::Kind what) noexcept;

// Handshakes that asked for a status, each as one of the first four.
struct Handshake {
  enum Kind : std::size_t {
    kStapled,
    kMissing,   // went on without
    kRefused,   // was refused for want of a response
    kForeign,   // went on with a response that another module had set
    kReplaced,  // no handshake: a status callback that another module had taken was put back
    kKinds
  };
};
// `worker`: its number. `entry`: whose staple it got, if any.
void count_handshake(const StapleZone& zone, std::uint32_t worker, Handshake::Kind what,
                     EntryIndex entry = kNoEntry) noexcept;
using HandshakeTotals = std::array<std::uint64_t, Handshake::kKinds>;
HandshakeTotals handshake_totals(const StapleZone& zone) noexcept;

// Exchanges by what they took: upper bounds in ms; what took longer is counted behind the last one.
constexpr std::array<std::uint32_t, 11> kDurationBounds = {10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000};
using Durations = std::array<std::uint64_t, kDurationBounds.size() + 1>;
void count_duration(const StapleZone& zone, Millis took) noexcept;  // and Counter::kExchangeMillis
Durations durations(const StapleZone& zone) noexcept;

// Exchanges that failed, by reason.
constexpr std::size_t kReasonNumbers = 256;  // more than the largest Reason
void count_failure(const StapleZone& zone, Reason reason) noexcept;
std::uint64_t failures(const StapleZone& zone, Reason reason) noexcept;

// For a fresh zone that replaces `from`: goes on with these numbers, except for those of entries and of certificates
// loaded per connection. REQUIRES: nobody else uses `to` yet.
void copy_counters(const StapleZone& from, const StapleZone& to) noexcept;

}  // namespace ocsp_plus::store
