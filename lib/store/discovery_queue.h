// Hands certificates loaded per connection from the worker that met them in a handshake to the one that holds the
// lease: a bounded queue of slots in the zone.
//
// Lock-free. A worker that offers takes a free slot by one compare-and-swap, fills it, and marks it full by another.
// If none is free, the offer is dropped: there will be another handshake. Most slots hold kOfferBytes; a few hold
// only larger offers, so that a flood of large certificates does not keep out the others. A certificate larger than
// any slot does not pass, but its name and size do: the lease holder reports them. A process may be killed or stopped
// at any instruction: the lease holder frees a slot that is not filled within kPatience, or whose process is gone. If
// the writer wakes up later and writes into another worker's offer, the checksum shows it.
//
// Trust: any worker could have written anything. take() returns bounded bytes of unknown origin.
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

// Returns how many bytes of DER one offer may have at most.
std::size_t max_offer_bytes(const StapleZone& zone) noexcept;

// Returns whether the same offer waits already, most likely from another worker: a second one would only take room.
bool is_offered(const StapleZone& zone, std::uint64_t profile, const CertificateId& id) noexcept;

// Returns whether the queue has room for an offer of so many bytes, or for the notice of one that is too large. It is
// cheap, so that a flood costs no more than this.
bool offers_have_room(const StapleZone& zone, std::size_t bytes) noexcept;

// Hands a certificate over. `chain`: certificates that may be its issuer, in order of preference; those that do not
// fit into max_offer_bytes() with the others are left out. false: the queue is full or the certificate itself is too
// large, and nothing was handed over. Counts either result.
bool offer(const StapleZone& zone, std::int32_t pid, std::uint64_t profile, const CertificateId& id, ByteView leaf,
           const std::vector<ByteView>& chain) noexcept;

// Hands over the notice that a certificate is too large: it has `bytes` with the smallest of its possible issuers.
// `label`: its name for people, any bytes; cut if it is long. false: the queue is full, which is counted. REQUIRES:
// bytes > max_offer_bytes()
bool offer_too_large(const StapleZone& zone, std::int32_t pid, std::uint64_t profile, const CertificateId& id,
                     std::size_t bytes, std::string_view label) noexcept;

// --- the lease holder ---

struct Offer {
  std::uint64_t profile = 0;
  CertificateId id = {};
  Bytes leaf;   // DER
  Bytes chain;  // DER of each, one after the other
  // If the certificate is too large: its size and, in place of the DER, its name for people.
  std::uint32_t too_large = 0;
  std::string label = {};
};

class DiscoveryQueue {
 public:
  static constexpr Millis kPatience = 5000;

  // Copies the zone (a handle). `clock` outlives the object.
  DiscoveryQueue(const StapleZone& zone, const Clock& clock);

  // Takes the next offer, from whichever slot; nothing: no slot is full. Frees, counts and passes over torn offers.
  std::optional<Offer> take();

  // Frees the slots of writers that are gone or do not finish. Call it at each tick. `alive`: as process_alive().
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
