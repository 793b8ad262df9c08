// Remembers the address family that worked for each host, so that a network that drops the other family's packets
// delays only the first connection (RFC 8305 section 4).
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "base/time.h"
#include "net/address.h"

namespace ocsp_plus::net {

class FamilyMemory {
 public:
  static constexpr Millis kKept = 600000;  // from the first success on: then the families are raced again
  static constexpr std::size_t kMaxHosts = 1024;

  void record_success(const std::string& host, int family, Millis now);
  // Call when a connected address turns out to be useless.
  void forget(const std::string& host) { hosts_.erase(host); }
  // Moves the addresses of the working family to the front; the order within each family stays.
  void sort(const std::string& host, Millis now, std::vector<Address>* addresses) const;

 private:
  struct Host {
    int family;
    Millis until;
  };
  std::map<std::string, Host> hosts_;
};

}  // namespace ocsp_plus::net
