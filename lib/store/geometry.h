// Computes where each part of a zone lies: a pure function of the zone's size, so that no bytes that another process
// may have written decide where we read. Also computes how large a zone has to be.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ocsp_plus::store {

constexpr std::size_t kWorkerSlots = 1024;  // processes of all generations that may be alive together
constexpr std::size_t kCounterSlots = 128;  // handshake counters, one cache line each; slot = worker % kCounterSlots
// Rows of the staple counts, each with a number for every entry; row = worker % kStapleCountRows. Workers that
// counted in one place would take its cache line from each other in every handshake.
constexpr std::size_t kStapleCountRows = 8;
// Bytes of DER in a slot of the discovery queue (discovery_queue.h), and in a large slot, in zones of 4 MB or more.
// 256 kB is the largest Certificate message that any common TLS client accepts by default (Go; OpenSSL accepts 100
// kB, NSS and GnuTLS 128 kB, rustls 64 kB).
constexpr std::size_t kOfferBytes = 8128;
constexpr std::size_t kLargeOfferBytes = (256 << 10) - 64;

struct Geometry {
  std::size_t size = 0;
  // offsets from the start
  std::size_t stats = 0, workers = 0, counters = 0, hosts = 0, methods = 0, index = 0, offers = 0, large_offers = 0,
              entries = 0, details = 0, staple_counts = 0, arena = 0;
  std::size_t staple_count_row = 0;     // bytes
  std::uint32_t offer_slots = 0;        // 0: the zone is too small for certificates loaded per connection
  std::uint32_t large_offer_slots = 0;  // in addition; 0 likewise
  std::size_t large_offer_bytes = 0;    // in each of them
  std::uint32_t host_slots = 0;         // for the health of responder hosts, and as many for the methods of base URLs
  std::uint32_t index_slots = 0;        // a power of two, at least twice capacity
  std::uint32_t capacity = 0;           // entries
  std::size_t arena_bytes = 0;          // a multiple of kBlobAlign

  // Returns capacity 0 if `size` is too small to hold anything.
  static Geometry of(std::size_t size);
};

// Returns the bytes that a zone for `certificates` needs at least: for each an entry and a response of 3 kB, and a
// quarter more for responses that are being replaced (the old one stays while the new one is written) and for gaps.
// Such a zone has entries for twice as many, so one reload may renew all of them.
//
// `loads`: some server loads certificates per connection. The zone then has room for a queue and a few dozen of them.
std::size_t required_size(std::size_t certificates, bool loads = false);

// Returns the size of a zone if the operator names none: a power of two of at least twice required_size(), at least 8
// MB, and with `loads` enough for ten thousand more certificates. Pages that are never written cost nothing.
std::size_t default_size(std::size_t certificates, bool loads = false);

}  // namespace ocsp_plus::store
