// The contents of the shared memory, byte for byte; a StapleZone leads to each part. Only the files of lib/store and
// its tests include this header: other files call the functions that read and record.
//
//   Header | SharedStats | WorkerSlot[] | HandshakeCounters[] | HostSlot[] | index (u32[]) | OfferSlot[] with
//   kOfferBytes | OfferSlot[] with large_offer_bytes | Entry[] | Detail[] | staple counts (u64[kStapleCountRows][]) |
//   arena of blobs (BlobHeader and DER)
//
// Geometry (geometry.h) says where each part begins. Raise kLayoutVersion with any change here: a zone of another
// version is not adopted. Reserved fields are zero, and no process reads them yet.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "store/counters.h"
#include "store/discovery_queue.h"
#include "store/shared_stats.h"
#include "store/staple_zone.h"
#include "store/zone_text.h"

namespace ocsp_plus::store {

constexpr std::uint64_t kMagic = 0x31636f2b7073636f;  // "ocsp+oc1"
constexpr std::uint32_t kLayoutVersion = 10;

struct Lease {
  std::atomic<std::uint64_t> word;        // epoch << 32 | pid; pid 0: no process holds it. The epoch only grows.
  std::atomic<std::uint32_t> generation;  // the holder's
  std::atomic<std::uint32_t> slot;        // worker number of the holder
  std::atomic<std::int64_t> since;        // wall clock
  std::atomic<std::int64_t> heartbeat;    // monotonic clock, ms
};

struct Header {
  std::atomic<std::uint64_t> magic;  // written last: a zone without it was never finished
  std::atomic<std::uint32_t> layout_version;
  std::atomic<std::uint32_t> unlisted_generation;  // oldest one with a worker that found no WorkerSlot; 0: none
  std::atomic<std::uint64_t> size;
  std::atomic<std::uint32_t> generation;  // of the newest configuration that has registered its certificates
  std::atomic<std::uint32_t> entries;     // entries ever used: the high-water mark of Entry[]
  Lease lease;
};

constexpr std::size_t kRefreshSlots = 64;  // refresh requests that the designated worker has not seen yet

// A line of text (zone_text.h).
constexpr std::size_t kLineBytes = 256;
struct Line {
  std::atomic<std::uint32_t> sum;  // checksum; 0: there is none
  std::atomic<std::uint32_t> reserved;
  TextWords<kLineBytes / 8> words;
};

// Statistics that the processes share beside responses (counters.h, shared_stats.h): numbers, each atomic on its own,
// and two lines of text.
struct SharedStats {
  std::array<std::atomic<std::uint64_t>, Counter::kKinds> counters;
  std::array<std::atomic<std::int64_t>, Number::kKinds> numbers;
  Line share_place;   // ShareState::place
  Line share_detail;  // ShareState::detail
  std::array<std::atomic<std::uint64_t>, kDurationBounds.size() + 1> durations;
  std::array<std::atomic<std::uint64_t>, kReasonNumbers> failures;
  // Requests to the lease holder.
  std::atomic<std::uint32_t> refresh_all_serial;                      // grows with each request for all
  std::atomic<std::uint32_t> refresh_all_done;                        // the last one that was carried out
  std::atomic<std::int64_t> refresh_all_at;                           // monotonic clock, ms: the last request for all
  std::array<std::atomic<std::uint32_t>, kRefreshSlots> refresh_one;  // number of an entry plus one; 0: free
};

// A FamilyTimes.
struct FamilySlot {
  std::atomic<std::int64_t> ok;
  std::atomic<std::int64_t> failed;
  std::atomic<std::int64_t> failing_since;
};

// A responder host's health, by a hash of its host key: every process has the name in its configuration.
struct HostSlot {
  std::atomic<std::uint64_t> key;        // 0: free
  std::atomic<std::uint32_t> state;      // engine::ResponderHealth::State
  std::atomic<std::uint32_t> failures;   // since it counts as failing
  std::atomic<std::int64_t> next_probe;  // wall clock; of a failing host
  std::atomic<std::int64_t> failed_at;   // wall clock of its last failure
  std::atomic<std::uint32_t> in_flight;
  std::atomic<std::uint32_t> reason;  // Reason of its last failure
  FamilySlot ipv4, ipv6;
};

// The method by which a responder answers, by a hash of its base URL as the configuration has it. The lease holder
// writes it.
struct MethodSlot {
  std::atomic<std::uint64_t> key;       // 0: free
  std::atomic<std::uint32_t> method;    // net::Method that has worked; 0: forgotten
  std::atomic<std::uint32_t> failures;  // of this method since
};

struct alignas(64) HandshakeCounters {
  std::array<std::atomic<std::uint64_t>, Handshake::kKinds> counts;
};

// An index slot is kEmptySlot if it was never used (a search ends there), kTombstone if it was given up (a search
// goes on), else the number of an entry plus one.
constexpr std::uint32_t kEmptySlot = 0;
constexpr std::uint32_t kTombstone = UINT32_MAX;

// One certificate. Identity and `word` are written under the zone's lock, what is known about attempts by the lease
// holder alone. Handshakes check identity inside the blob.
//
// `leaf` to `per_connection` are for a certificate that no configuration names: a server loaded it for a connection.
struct alignas(64) Entry {
  // The handshake of a configured certificate reads this cache line alone and does not write to it, so that each
  // processor keeps its own copy.
  std::atomic<std::uint64_t> word;  // version of the blob << 32 | arena offset / kBlobAlign; 0: none held
  CertificateId id;
  std::atomic<std::uint32_t> generation;   // of the newest configuration that named it; 0: the entry is free
  std::atomic<std::uint32_t> length;       // of the DER in the blob; a hint: the blob's header decides
  std::atomic<std::uint32_t> used;         // wall clock, s: the last handshake or one shortly before it
  std::atomic<std::uint32_t> unsupported;  // 1: of one loaded per connection, which can never have a staple
  // The handshake of a certificate loaded per connection also reads these.
  alignas(64) std::atomic<std::uint64_t> leaf;  // blob: the certificate itself; 0: the certificate is configured
  std::atomic<std::uint64_t> issuer;            // blob: its issuer, shared by all that it issued; 0: none is known
  std::atomic<std::uint64_t> profile;           // key of the profile of the server that loaded it (engine::Profile)
  // `generation` as it was when the certificate was added; if the two differ, a configuration has named it since.
  std::atomic<std::uint32_t> per_connection;
  std::atomic<std::uint32_t> versions;  // version of the last blob; goes on growing while `word` is 0
  IssuerKey issuer_key;                 // as it was when the entry was registered
  // Attempts, as far as they are known (entry_state.h).
  std::atomic<std::int64_t> confirmed_at;   // wall clock when the responder last confirmed what is held; 0: unknown
  std::atomic<std::int64_t> attempted_at;   // wall clock; 0: never
  std::atomic<std::int64_t> next_attempt;   // wall clock; 0: as soon as possible
  std::atomic<std::int64_t> succeeded_at;   // wall clock of the last exchange that brought something authentic
  std::atomic<std::int64_t> attempt_began;  // wall clock of an exchange that has not ended; 0: there is none
  std::atomic<std::uint32_t> failures;      // since the last success
  std::atomic<std::uint32_t> responder;     // index of the certificate's URL that was asked last
  std::atomic<std::uint32_t> reason;        // Reason of the last attempt
  std::atomic<std::uint32_t> detail;        // checksum of its Detail; 0: there is none
  std::atomic<std::uint32_t> max_age;       // reserved: s after which the held response is too old; 0: no bound
  std::atomic<std::uint32_t> reserved;
};

// A certificate that a worker met in a handshake, on its way to the lease holder (discovery_queue.h). kOfferBytes
// follow the slot, or Geometry::large_offer_bytes: the certificate's DER, then its issuer's. If the two are longer
// than any slot, its label follows instead, and leaf_length says how long they are.
struct alignas(64) OfferSlot {
  std::atomic<std::uint64_t> state;
  std::uint64_t checksum;  // of all that follows
  std::uint64_t profile;
  CertificateId id;
  std::uint32_t leaf_length;
  std::uint32_t length;  // of all the bytes behind the slot
};

// The explanation of an entry's last attempt: text, cut off and padded with zeros. It has a table of its own, so that
// it costs no memory while all goes well.
constexpr std::size_t kDetailBytes = 128;
struct Detail {
  TextWords<kDetailBytes / 8> words;
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<std::uint32_t>::is_always_lock_free,
              "shared memory holds no locks of its own");
static_assert(sizeof(std::size_t) == 8, "zones may be larger than 4 GB");
static_assert(offsetof(Entry, leaf) == 64 && offsetof(Entry, confirmed_at) == 128, "each part is a cache line");
static_assert(sizeof(Header) == 64 && sizeof(Entry) == 192 && sizeof(SharedStats) == 3288 && sizeof(HostSlot) == 88 &&
                  sizeof(MethodSlot) == 16 && sizeof(OfferSlot) == 64 && sizeof(HandshakeCounters) == 64,
              "raise kLayoutVersion");
static_assert(sizeof(OfferSlot) + kLargeOfferBytes == 256 << 10, "a large slot is a power of two");

// --- words of two numbers ---

// Words that name a process: a number of the caller's and a pid, in one store or compare-and-swap.
inline std::uint64_t pid_word(std::uint32_t number, std::int32_t pid) {
  return std::uint64_t{number} << 32 | static_cast<std::uint32_t>(pid);
}

inline std::uint32_t number_of(std::uint64_t word) {
  return static_cast<std::uint32_t>(word >> 32);
}

inline std::int32_t pid_of(std::uint64_t word) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(word));
}

// Returns a version larger than any that this entry had, never 0; it counts from now on. REQUIRES the zone's lock, as
// do the next two functions.
inline std::uint32_t next_version(Entry& entry) {
  const std::uint32_t held = number_of(entry.word.load(std::memory_order_relaxed));
  const std::uint32_t next = std::max(entry.versions.load(std::memory_order_relaxed), held) + 1;
  entry.versions.store(std::max(next, 1u), std::memory_order_relaxed);
  return std::max(next, 1u);
}

// Publishes a blob that is written: readers find it from here on.
inline void set_word(Entry& entry, std::uint32_t offset, std::uint32_t length) {
  const std::uint64_t version = next_version(entry);
  entry.length.store(length, std::memory_order_relaxed);
  entry.word.store(version << 32 | offset, std::memory_order_release);
}

// Clears the word and records its version.
inline void clear_word(Entry& entry) {
  const std::uint32_t held = number_of(entry.word.load(std::memory_order_relaxed));
  entry.versions.store(std::max(entry.versions.load(std::memory_order_relaxed), held), std::memory_order_relaxed);
  entry.word.store(0, std::memory_order_release);
}

}  // namespace ocsp_plus::store
