#include "net/address_cache.h"

#include <algorithm>
#include <utility>

namespace ocsp_plus::net {
namespace {

bool worth_keeping(const Addresses& addresses) {
  return addresses.has_value() || addresses.error().reason == Reason::kDnsNotFound ||
         addresses.error().reason == Reason::kDnsNoAddress;
}

}  // namespace

const Addresses* AddressCache::find(const std::string& name, Millis now) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() || found->second->until <= now ? nullptr : &found->second->addresses;
}

void AddressCache::store(const std::string& name, Addresses addresses, Seconds ttl, Millis now) {
  if (const auto found = by_name_.find(name); found != by_name_.end()) {
    answers_.erase(found->second);
    by_name_.erase(found);
  }
  if (!worth_keeping(addresses)) {
    return;
  }
  if (answers_.size() >= kMaxNames) {
    by_name_.erase(answers_.front().name);
    answers_.pop_front();
  }
  const Seconds kept = addresses.has_value() ? std::min(std::max(ttl, kMinTtl), max_ttl_) : kMinTtl;
  answers_.push_back({name, std::move(addresses), saturating_add(now, kept * 1000)});
  by_name_[name] = std::prev(answers_.end());
}

}  // namespace ocsp_plus::net
