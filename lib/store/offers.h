// Certificates that were loaded for a connection, on their way from the worker that met them in a handshake to the
// one that holds the lease: a bounded queue of slots in the zone.
//
// Lock-free. Whoever offers takes a free slot by one compare-and-swap, fills it, and marks it full by another; if
// none is free, the offer is dropped: there will be another handshake. A process may be killed or stopped at any
// instruction: a slot that is not filled within kPatience, or whose process is gone, is freed by the lease holder;
// should its writer wake up later and scribble into somebody else's offer, the checksum tells.
//
// Trust: any worker could have written anything. What comes out is bounded, and bytes of unknown origin.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/ports.h"
#include "store/staple_zone.h"

namespace ocsp_plus::store {

// --- any worker ---

// Whether the queue has room: cheap, so that a flood costs no more than this.
bool offers_have_room(const StapleZone& zone) noexcept;

// `chain`: certificates that may be its issuer, in order of preference; what does not fit any more is left out.
// false: nothing was handed over, the queue is full or the certificate itself is too large. Counted in either case.
bool offer(const StapleZone& zone, std::int32_t pid, std::uint64_t profile, const CertificateId& id, ByteView leaf,
           const std::vector<ByteView>& chain) noexcept;

// --- the lease holder ---

struct Offer {
  std::uint64_t profile = 0;
  CertificateId id = {};
  Bytes leaf;   // DER
  Bytes chain;  // DER, one after the other
};

class Offers {
 public:
  static constexpr Millis kPatience = 5000;

  // The zone is copied (a handle); `clock` outlives the object.
  Offers(const StapleZone& zone, const Clock& clock);

  // The next one, from whichever slot; nothing where none is full. Those that are torn are freed, counted and passed
  // over.
  std::optional<Offer> take();

  // Frees the slots of writers that are gone or do not come to an end. To be called at each beat. `alive` as
  // process_alive().
  void free_abandoned(bool (*alive)(std::int32_t pid));

 private:
  struct Watched {
    std::uint64_t state = 0;  // of a slot that is being filled
    Millis since = 0;
  };

  std::optional<Offer> take(OfferSlot& slot, std::uint64_t full);

  StapleZone zone_;
  const Clock& clock_;
  std::uint32_t next_ = 0;
  std::vector<Watched> watched_;
};

}  // namespace ocsp_plus::store
