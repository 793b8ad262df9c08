// What lies in the shared memory, byte for byte. Trivially copyable, offsets instead of pointers, and a geometry that
// is a pure function of the size: nothing that another process could have scribbled on decides where we read.
//
//   Header | SharedStats | WorkerSlot[] | HandshakeCounters[] | HostSlot[] | index (u32[]) | OfferSlot[] with
//   kOfferBytes | OfferSlot[] with large_offer_bytes | Entry[] | Detail[] | Loaded[] | arena of blobs
//
// Change anything here and kLayoutVersion goes up: a zone of another version is not adopted.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "base/bytes.h"

namespace ocsp_plus::store {

constexpr std::uint64_t kMagic = 0x31636f2b7073636f;  // "ocsp+oc1"
constexpr std::uint32_t kLayoutVersion = 5;
constexpr std::size_t kWorkerSlots = 1024;  // processes of all generations that may be alive together
constexpr std::size_t kCounterSlots = 128;  // handshake counters, one cache line each; slot = worker % kCounterSlots
constexpr std::size_t kBlobAlign = 16;      // blobs start at multiples of this; Entry::word counts in it
constexpr std::uint32_t kMaxBlobLength = 1 << 20;  // bytes of DER; whatever refs to be longer makes no sense

struct Lease {
  std::atomic<std::uint64_t> word;        // epoch << 32 | pid; pid 0: nobody holds it. The epoch only grows.
  std::atomic<std::uint32_t> generation;  // of the holder
  std::atomic<std::uint32_t> slot;        // worker number of the holder
  std::atomic<std::int64_t> since;        // wall clock
  std::atomic<std::int64_t> heartbeat;    // monotonic clock, ms
};

struct FetchCounters {
  std::atomic<std::uint64_t> ok;
  std::atomic<std::uint64_t> failed;
  std::atomic<std::uint64_t> in_flight;
};

struct Header {
  std::atomic<std::uint64_t> magic;  // written last: a zone without it was never finished
  std::uint32_t layout_version;
  std::atomic<std::uint32_t> unlisted_generation;  // oldest one with a worker that found no WorkerSlot; 0: none
  std::uint64_t size;
  std::atomic<std::uint32_t> generation;  // of the newest configuration that has registered its certificates
  std::atomic<std::uint32_t> entries;     // entries ever used: the high-water mark of Entry[]
  Lease lease;
  FetchCounters fetches;
};

// Upper bounds of the histogram of exchanges, in ms; what took longer is counted behind the last one.
constexpr std::array<std::uint32_t, 11> kDurationBounds = {10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000};
constexpr std::size_t kReasonNumbers = 256;  // more than the largest Reason
constexpr std::size_t kRefreshSlots = 64;    // refresh requests that the designated worker has not seen yet

// What became of certificates that were loaded per connection, each counted once for each time.
struct LoadedCounters {
  std::atomic<std::uint64_t> handed;   // to the designated worker, by whoever met them in a handshake
  std::atomic<std::uint64_t> dropped;  // not handed: the queue was full
  std::atomic<std::uint64_t> torn;     // handed by a process that was killed or stopped half way
  std::atomic<std::uint64_t> taken;    // got an entry
  std::atomic<std::uint64_t> refused;  // got none: too large, they do not parse, or the zone has no room for any
  std::atomic<std::uint64_t> evicted;  // lost it to others, not used for longest
  std::atomic<std::uint64_t> ended;    // lost it because they have expired or nobody has used them for long
};

// What the processes tell each other beside responses (board.h): numbers only, each of them atomic for itself.
struct SharedStats {
  // Written by the lease holder.
  std::atomic<std::int64_t> clock_skew;         // s: a responder's clock minus ours, at the last look
  std::atomic<std::int64_t> clock_compared_at;  // wall clock; 0: never
  std::atomic<std::int64_t> clock_jumped_at;    // monotonic clock, ms, of the last jump of the wall clock; 0: never
  std::atomic<std::uint64_t> arena_used;        // bytes
  std::atomic<std::uint64_t> duration_ms;       // of all exchanges together
  std::array<std::atomic<std::uint64_t>, kDurationBounds.size() + 1> durations;  // exchanges by duration
  std::array<std::atomic<std::uint64_t>, kReasonNumbers> failures;               // exchanges that failed, by Reason
  std::array<std::atomic<std::uint64_t>, 4> connections;                         // IPv4 ok, failed, IPv6 ok, failed
  // Readiness: set once, by anybody who finds it true.
  std::atomic<std::int64_t> began;     // monotonic clock, ms: when the zone was new
  std::atomic<std::uint32_t> settled;  // 1: the first round of fetches is over
  // Requests to the lease holder.
  std::atomic<std::uint32_t> refresh_all_serial;  // grows with each request for all
  std::atomic<std::uint32_t> refresh_all_done;    // the last one that was carried out
  std::atomic<std::uint32_t> cache_reason;        // Reason why the lease holder cannot use the cache directory
  std::atomic<std::int64_t> refresh_all_at;       // monotonic clock, ms: the last request for all
  std::array<std::atomic<std::uint32_t>, kRefreshSlots> refresh_one;  // number of an entry plus one; 0: free
  LoadedCounters loaded;
  std::atomic<std::int64_t> cache_failing_since;  // wall clock; 0: the cache directory works, as far as it was tried
};

// A responder host's health, by a hash of its host key: names stand in everybody's configuration.
struct HostSlot {
  std::atomic<std::uint64_t> key;        // 0: free
  std::atomic<std::uint32_t> state;      // engine::ResponderHealth::State
  std::atomic<std::uint32_t> failures;   // since it counts as failing
  std::atomic<std::int64_t> next_probe;  // wall clock; of one that fails
  std::atomic<std::int64_t> failed_at;   // wall clock of its last failure
  std::atomic<std::uint32_t> in_flight;
  std::atomic<std::uint32_t> reason;  // Reason of its last failure
};

// How a responder wants to be asked, by a hash of its base URL as the configuration has it. Written by the lease
// holder.
struct MethodSlot {
  std::atomic<std::uint64_t> key;       // 0: free
  std::atomic<std::uint32_t> method;    // net::Method that has worked; 0: forgotten
  std::atomic<std::uint32_t> failures;  // of it since
};

// pid << 32 | generation; 0: free.
using WorkerSlot = std::atomic<std::uint64_t>;

// Handshakes that asked for a status; each is counted in one of the first four only.
struct alignas(64) HandshakeCounters {
  std::atomic<std::uint64_t> stapled;
  std::atomic<std::uint64_t> missing;   // and went on without
  std::atomic<std::uint64_t> refused;   // missing, and refused for it
  std::atomic<std::uint64_t> foreign;   // missing, and went on with a response that another module had set
  std::atomic<std::uint64_t> replaced;  // not handshakes: how often our status callback was put back
};

// In the index: 0 where the slot has never been used (a search ends there), kTombstone where it was given up (a
// search goes on), else the number of an entry plus one.
using IndexSlot = std::atomic<std::uint32_t>;
constexpr std::uint32_t kEmptySlot = 0;
constexpr std::uint32_t kTombstone = UINT32_MAX;

// One certificate. Identity is written under the zone's lock, `word` under the lock too, what is known about attempts
// by the lease holder alone; readers of the handshake path look at `word` only and check identity inside the blob.
struct alignas(64) Entry {
  // What a handshake reads and counts lies in the first cache line.
  std::atomic<std::uint64_t> word;  // generation of the blob << 32 | arena offset / kBlobAlign; 0: none held
  CertificateId id;
  std::atomic<std::uint64_t> stapled;       // handshakes that got its staple
  std::atomic<std::uint32_t> generation;    // of the newest configuration that named it; 0: the entry is free
  std::atomic<std::uint32_t> versions;      // generation of the last blob; goes on growing while `word` is 0
  std::atomic<std::int64_t> confirmed_at;   // wall clock when the responder last confirmed what is held; 0: unknown
  std::array<std::uint8_t, 32> issuer_key;  // SHA-256 of the issuer's key when the entry was registered
  std::atomic<std::int64_t> attempted_at;   // wall clock; 0: never
  std::atomic<std::int64_t> next_attempt;   // wall clock; 0: as soon as possible
  std::atomic<std::int64_t> succeeded_at;   // wall clock of the last exchange that brought something authentic
  std::atomic<std::uint32_t> failures;      // since the last success
  std::atomic<std::uint32_t> responder;     // which of the certificate's URLs was asked last
  std::atomic<std::uint32_t> reason;        // Reason of the last attempt
  std::atomic<std::uint32_t> detail;        // checksum of its Detail; 0: there is none
  std::atomic<std::int64_t> attempt_began;  // wall clock of an exchange that has not ended; 0: there is none
  std::array<std::uint8_t, 48> reserved;    // for what a certificate will be told besides
};

// Of an entry whose certificate no configuration names: a server loaded it for a connection. Blobs as of Entry::word.
struct Loaded {
  std::atomic<std::uint64_t> leaf;     // the certificate itself; 0: the entry is a configured one's
  std::atomic<std::uint64_t> issuer;   // its issuer's, shared by all that it issued; 0: none is known
  std::atomic<std::uint64_t> profile;  // key of the profile of the server that loaded it (engine::Profile)
  std::atomic<std::uint32_t> used;     // wall clock, s, of a handshake not long before the last one
  // Entry::generation as it was then; where the two differ, a configuration has named the certificate since.
  std::atomic<std::uint32_t> generation;
};

// A certificate that a worker met in a handshake, on its way to the lease holder (offers.h). Behind it lie
// kOfferBytes, or large_offer_bytes of the geometry: the certificate's DER, then that of its issuer. Or, where the
// two are longer than any slot, its label; leaf_length says then how long they are.
constexpr std::size_t kOfferBytes = 8128;
struct alignas(64) OfferSlot {
  std::atomic<std::uint64_t> state;
  std::uint64_t checksum;  // of all that follows
  std::uint64_t profile;
  CertificateId id;
  std::uint32_t leaf_length;
  std::uint32_t length;  // of all the bytes behind it
};
// What a large slot holds, in zones of 4 MB or more. The largest Certificate message that any common TLS client takes
// by default is one of 256 kB (Go; OpenSSL takes 100 kB, NSS and GnuTLS 128 kB, rustls 64 kB).
constexpr std::size_t kLargeOfferBytes = (256 << 10) - sizeof(OfferSlot);

// What is to be said of an entry's last attempt: text, cut off and padded with zeros. In a table of its own, so that
// it costs no memory while all goes well.
constexpr std::size_t kDetailBytes = 128;
using Detail = std::array<std::atomic<std::uint64_t>, kDetailBytes / 8>;

enum class Source : std::uint8_t { kNone = 0, kNetwork = 1, kCache = 2, kFile = 3, kShared = 4 };

// In front of each response in the arena; immutable once an Entry::word points to it.
struct BlobHeader {
  CertificateId id;
  std::array<std::uint8_t, 32> issuer_key;
  std::int64_t this_update;
  std::int64_t next_update;  // 0: the response has none
  std::int64_t expires;      // valid while now < expires
  std::int64_t produced_at;
  std::int64_t revoked_at;
  std::int64_t admitted_at;
  std::uint32_t length;      // of the DER that follows
  std::uint8_t cert_status;  // crypto::CertStatus
  Source source;
  std::uint8_t reserved[10];
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<std::uint32_t>::is_always_lock_free,
              "shared memory holds no locks of its own");
static_assert(sizeof(std::size_t) == 8, "zones may be larger than 4 GB");
static_assert(sizeof(BlobHeader) % kBlobAlign == 0, "the DER follows the header without a gap");
static_assert(std::is_trivially_copyable_v<BlobHeader>, "it is copied as bytes");
static_assert(sizeof(Header) == 88 && sizeof(Entry) == 192 && sizeof(BlobHeader) == 128 &&
                  sizeof(SharedStats) == 2568 && sizeof(HostSlot) == 40 && sizeof(MethodSlot) == 16 &&
                  sizeof(Loaded) == 32 && sizeof(OfferSlot) == 64 && sizeof(HandshakeCounters) == 64,
              "raise kLayoutVersion");

// Where everything is. A pure function of the size.
struct Geometry {
  std::size_t size = 0;
  // offsets from the start
  std::size_t stats = 0, workers = 0, counters = 0, hosts = 0, methods = 0, index = 0, offers = 0, large_offers = 0,
              entries = 0, details = 0;
  std::size_t loaded = 0, arena = 0;
  std::uint32_t offer_slots = 0;  // 0 in a zone that is too small for certificates that are loaded per connection
  std::uint32_t large_offer_slots = 0;  // besides; 0 likewise
  std::size_t large_offer_bytes = 0;    // each of them holds
  std::uint32_t host_slots = 0;   // responder hosts whose health is told, and base URLs whose method is remembered
  std::uint32_t index_slots = 0;  // a power of two, at least twice capacity
  std::uint32_t capacity = 0;     // entries
  std::size_t arena_bytes = 0;    // a multiple of kBlobAlign

  // capacity 0 where `size` is too small to hold anything.
  static Geometry of(std::size_t size);
};

// Bytes that a zone for `certificates` needs at the least: an entry for each, a response of 3 kB for each, and a
// quarter more for those that are being replaced (the old one stays while the new one is written) and for gaps. It
// has entries for twice as many, so all of them may be renewed by one reload.
//
// `loads`: some server loads certificates per connection. Then it has room for a queue, and for a few dozen of them.
std::size_t required_size(std::size_t certificates, bool loads = false);

// The size it gets when the operator names none: a power of two of at least twice that, at least 8 MB, and with
// `loads` enough for ten thousand certificates besides. Pages that are never written cost nothing.
std::size_t default_size(std::size_t certificates, bool loads = false);

}  // namespace ocsp_plus::store
