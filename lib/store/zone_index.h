// Finds the entry of a certificate id: a hash table with open addressing and linear probing, in shared memory.
//
// find() takes no lock and may meet a change that is half done: it may then miss the certificate, but never takes
// another for it. The other functions REQUIRE the zone's lock. They write a slot in one store, after the entry that
// it names. A process killed between the two leaves an entry that no slot names, which remove_stale() picks up.
#pragma once

#include <cstdint>

#include "store/staple_zone.h"

namespace ocsp_plus::store {

class ZoneIndex {
 public:
  // The most slots that a search looks at. Ids are hashes and at most half of the slots are in use, so an index that
  // no process wrote over never comes near this bound. In an index that was filled on purpose, a search of all slots
  // for each certificate would keep the master busy for minutes.
  static constexpr std::uint32_t kMaxProbes = 1024;

  explicit ZoneIndex(const StapleZone& zone) : zone_(zone) {}

  EntryIndex find(const CertificateId& id) const noexcept;

  // Adds the entry. REQUIRES: the entry is written and its id is not in the index. If it finds no slot it builds the
  // index anew, once in the life of this object. An entry that finds none after that stays without a slot, and its
  // certificate gets another entry when it is registered next.
  void insert(EntryIndex entry) noexcept;

  // Removes the entry's slot; does nothing if no slot names the entry.
  void remove(EntryIndex entry) noexcept;

 private:
  bool try_insert(EntryIndex entry) noexcept;
  void rebuild(EntryIndex first) noexcept;

  const StapleZone& zone_;
  bool rebuilt_ = false;
};

}  // namespace ocsp_plus::store
