// Where each part of a zone lies: a pure function of its size, so that nothing that another process could have
// scribbled on decides where we read. And how large a zone has to be.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ocsp_plus::store {

constexpr std::size_t kWorkerSlots = 1024;  // processes of all generations that may be alive together
constexpr std::size_t kCounterSlots = 128;  // handshake counters, one cache line each; slot = worker % kCounterSlots
// Bytes of DER in a slot of the queue of certificates (discovery_queue.h); in one of the large ones, in zones of 4 MB
// or more. The largest Certificate message that any common TLS client takes by default is one of 256 kB (Go; OpenSSL
// takes 100 kB, NSS and GnuTLS 128 kB, rustls 64 kB).
constexpr std::size_t kOfferBytes = 8128;
constexpr std::size_t kLargeOfferBytes = (256 << 10) - 64;

struct Geometry {
  std::size_t size = 0;
  // offsets from the start
  std::size_t stats = 0, workers = 0, counters = 0, hosts = 0, methods = 0, index = 0, offers = 0, large_offers = 0,
              entries = 0, details = 0, arena = 0;
  std::uint32_t offer_slots = 0;        // 0 in a zone that is too small for certificates loaded per connection
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
