// Answers of the DNS, kept for a while.
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

// The addresses of a name (their ports are 0), or why there are none.
using Addresses = Result<std::vector<Address>>;

// Bounded: where it is full, the answer that came first goes.
class AddressCache {
 public:
  static constexpr std::size_t kMaxNames = 1024;
  static constexpr Seconds kMinTtl = 5;  // also for "there is no such name"

  explicit AddressCache(Seconds max_ttl) : max_ttl_(max_ttl) {}

  // nullptr where nothing is known, or no longer. Valid until the cache is changed. `now` is monotonic.
  const Addresses* find(const std::string& name, Millis now) const;

  // Keeps the answer for `ttl`, but at least kMinTtl and at most the cache's own limit, which goes first. Failures
  // other than kDnsNotFound and kDnsNoAddress are forgotten at once: the next question may find a server that works.
  void store(const std::string& name, Addresses addresses, Seconds ttl, Millis now);

  std::size_t size() const { return answers_.size(); }

 private:
  struct Answer {
    std::string name;
    Addresses addresses;
    Millis until = 0;
  };

  Seconds max_ttl_;
  std::list<Answer> answers_;  // in the order they came
  std::unordered_map<std::string, std::list<Answer>::iterator> by_name_;
};

}  // namespace ocsp_plus::net
