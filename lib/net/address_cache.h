// A cache of DNS answers.
#pragma once

#include <cstddef>
#include <list>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "net/address.h"

namespace ocsp_plus::net {

// The addresses of a name, with port 0, or the reason why there are none.
using Addresses = Result<std::vector<Address>>;

// Holds at most kMaxNames answers; when it is full, the oldest is dropped.
class AddressCache {
 public:
  static constexpr std::size_t kMaxNames = 1024;
  static constexpr Seconds kMinTtl = 5;  // also for negative answers

  explicit AddressCache(Seconds max_ttl) : max_ttl_(max_ttl) {}

  // Returns the unexpired answer for `name`, or nullptr. Valid until the next store(). `now` is monotonic.
  const Addresses* find(const std::string& name, Millis now) const;

  // Keeps the answer for `ttl`, at least kMinTtl and at most max_ttl, which takes precedence. Negative answers
  // (kDnsNotFound, kDnsNoAddress) are kept for kMinTtl; other failures are not kept, because the next query may reach
  // a working server.
  void store(const std::string& name, Addresses addresses, Seconds ttl, Millis now);

  std::size_t size() const { return answers_.size(); }

 private:
  struct Answer {
    std::string name;
    Addresses addresses;
    Millis until = 0;
  };

  Seconds max_ttl_;
  std::list<Answer> answers_;  // oldest first
  std::unordered_map<std::string, std::list<Answer>::iterator> by_name_;
};

}  // namespace ocsp_plus::net
