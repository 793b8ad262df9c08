// From a certificate id to its entry: open addressing with linear probing, in shared memory.
//
// find() takes no lock and may meet a change half done: it then misses the certificate, never mistakes it. The others
// REQUIRE the zone's lock. A slot is written in one store, after the entry it names; whoever is killed between the
// two leaves an entry that no slot names, which remove_stale() picks up.
#pragma once

#include <cstdint>

#include "store/staple_zone.h"

namespace ocsp_plus::store {

class ZoneIndex {
 public:
  // Slots that a search looks at. Ids are hashes and at most half of the slots are in use, so an index that nobody
  // scribbled on never comes near it; in one that somebody filled on purpose a search of all slots for each
  // certificate would keep the master busy for minutes.
  static constexpr std::uint32_t kMaxProbes = 1024;

  explicit ZoneIndex(const StapleZone& zone) : zone_(zone) {}

  EntryIndex find(const CertificateId& id) const noexcept;

  // REQUIRES: the entry is written and its id is not in the index. Where it finds no slot it builds the index anew,
  // once in the life of this object: an entry that finds none after that stays without, and its certificate gets
  // another entry the next time that it is registered.
  void insert(EntryIndex entry) noexcept;

  // Does nothing where no slot names the entry.
  void remove(EntryIndex entry) noexcept;

 private:
  bool try_insert(EntryIndex entry) noexcept;
  void rebuild(EntryIndex first) noexcept;

  const StapleZone& zone_;
  bool rebuilt_ = false;
};

}  // namespace ocsp_plus::store
