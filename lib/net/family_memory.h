// Which family of addresses worked for a host, so that a network that swallows the other is not asked again each
// time (RFC 8305 section 4 allows to remember).
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
  static constexpr Millis kKept = 600000;
  static constexpr std::size_t kMaxHosts = 1024;

  void worked(const std::string& host, int family, Millis now);
  // That address is of no use after all.
  void forget(const std::string& host) { hosts_.erase(host); }
  // Puts the addresses of the family that worked first; the order among each stays.
  void sort(const std::string& host, Millis now, std::vector<Address>* addresses) const;

 private:
  struct Host {
    int family;
    Millis until;
  };
  std::map<std::string, Host> hosts_;
};

}  // namespace ocsp_plus::net
