#include "net/family_memory.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace ocsp_plus::net {

void FamilyMemory::record_success(const std::string& host, int family, Millis now) {
  const auto found = hosts_.find(host);
  if (found != hosts_.end() && found->second.family == family && now < found->second.until) {
    return;  // however often the host is asked, the other family gets its chance
  }
  if (hosts_.size() >= kMaxHosts && found == hosts_.end()) {
    hosts_.erase(hosts_.begin());
  }
  hosts_[host] = {family, saturating_add(now, kKept)};
}

void FamilyMemory::sort(const std::string& host, Millis now, std::vector<Address>* addresses) const {
  const auto found = hosts_.find(host);
  if (found == hosts_.end() || found->second.until <= now) {
    return;
  }
  const auto same = [&found](const Address& address) { return address.family() == found->second.family; };
  std::vector<Address> sorted;
  std::copy_if(addresses->begin(), addresses->end(), std::back_inserter(sorted), same);
  std::remove_copy_if(addresses->begin(), addresses->end(), std::back_inserter(sorted), same);
  *addresses = std::move(sorted);
}

}  // namespace ocsp_plus::net
