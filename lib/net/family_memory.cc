#include "net/family_memory.h"

#include <algorithm>

namespace ocsp_plus::net {

void FamilyMemory::worked(const std::string& host, int family, Millis now) {
  if (hosts_.size() >= kMaxHosts && hosts_.find(host) == hosts_.end()) {
    hosts_.erase(hosts_.begin());
  }
  hosts_[host] = {family, saturating_add(now, kKept)};
}

void FamilyMemory::sort(const std::string& host, Millis now, std::vector<Address>* addresses) const {
  const auto found = hosts_.find(host);
  if (found == hosts_.end() || found->second.until <= now) {
    return;
  }
  std::stable_partition(addresses->begin(), addresses->end(),
                        [&found](const Address& address) { return address.family() == found->second.family; });
}

}  // namespace ocsp_plus::net
