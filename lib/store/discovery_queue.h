// Certificates loaded per connection, on their way from the worker that met them in a handshake to the
// one that holds the lease: a bounded queue of slots in the zone.
//
// Lock-free. Whoever offers takes a free slot by one compare-and-swap, fills it, and marks it full by another; if
// none is free, the offer is dropped: there will be another handshake. Most slots hold kOfferBytes; a few hold what
// is larger and nothing else, so that a flood of large certificates is none for the others. What is larger than any
// slot does not pass, but its name and size do: the lease holder says so. A process may be killed or stopped at any
// instruction: a slot that is not filled within kPatience, or whose process is gone, is freed by the lease holder;
// should its writer wake up later and scribble into somebody else's offer, the checksum tells.
//
// Trust: any worker could have written anything. What comes out is bounded, and bytes of unknown origin.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/ports.h"
#include "store/staple_zone.h"

namespace ocsp_plus::store {

// --- any worker ---

// How many bytes of DER one offer may have at the most.
std::size_t max_offer_bytes(const StapleZone& zone) noexcept;

// Whether the same offer waits already, most likely by another worker: handed over once more it would only take room.
bool is_offered(const StapleZone& zone, std::uint64_t profile, const CertificateId& id) noexcept;

// Whether the queue has room for one of so many bytes, or for word of one that is too large: cheap, so that a flood
// costs no more than this.
bool offers_have_room(const StapleZone& zone, std::size_t bytes) noexcept;

// `chain`: certificates that may be its issuer, in order of preference; of what is longer than max_offer_bytes()
// together what does not fit any more is left out. false: nothing was handed over, the queue is full or the
// certificate itself is too large. Counted in either case.
bool offer(const StapleZone& zone, std::int32_t pid, std::uint64_t profile, const CertificateId& id, ByteView leaf,
           const std::vector<ByteView>& chain) noexcept;

// Hands over that a certificate cannot be offered, as it has `bytes` with the smallest of its possible issuers.
// `label`: what people call it, any bytes; cut where it is long. false: the queue is full, which is counted.
// REQUIRES: bytes > max_offer_bytes()
bool offer_too_large(const StapleZone& zone, std::int32_t pid, std::uint64_t profile, const CertificateId& id,
                     std::size_t bytes, std::string_view label) noexcept;

// --- the lease holder ---

struct Offer {
  std::uint64_t profile = 0;
  CertificateId id = {};
  Bytes leaf;   // DER
  Bytes chain;  // DER, one after the other
  // Of one that is too large: its size, and in place of the DER what it is called.
  std::uint32_t too_large = 0;
  std::string label = {};
};

class DiscoveryQueue {
 public:
  static constexpr Millis kPatience = 5000;

  // The zone is copied (a handle); `clock` outlives the object.
  DiscoveryQueue(const StapleZone& zone, const Clock& clock);

  // The next one, from whichever slot; nothing where none is full. Those that are torn are freed, counted and passed
  // over.
  std::optional<Offer> take();

  // Frees the slots of writers that are gone or do not come to an end. To be called at each tick. `alive` as
  // process_alive().
  void free_abandoned(bool (*alive)(std::int32_t pid));

 private:
  struct Watched {
    std::uint64_t state = 0;  // of a slot that is being filled
    Millis since = 0;
  };

  std::optional<Offer> take(std::uint32_t slot, std::uint64_t full);

  StapleZone zone_;
  const Clock& clock_;
  std::uint32_t next_ = 0;
  std::vector<Watched> watched_;
};

}  // namespace ocsp_plus::store
