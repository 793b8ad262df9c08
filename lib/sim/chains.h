// The CA certificates that servers send after their own: which there are, who issued them, and which of a chain may
// be stapled. A server staples them where it has ocsp_plus_chain.
//
//   leaf <- lower <- upper <- root
//
// A lower one certifies the name and key of the CA that signs the leaves, so a server may send any of them, or none,
// with the same leaf and the same response. Those with an odd number expire within a run.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/time.h"
#include "sim/ca.h"
#include "tests/pki.h"

namespace ocsp_plus::sim {

// What a server sends after the leaf.
enum class Sent {
  kNothing,
  kWhole,
  kBothLowers,    // two lower ones, the upper one, the root
  kWithoutRoot,   // the upper one's issuer is missing
  kWithoutUpper,  // a lower one and the root
  kLowerAlone,
  kMisordered,  // the upper one first, so the lower one's issuer comes before it
  kLast = kMisordered
};
const char* name_of(Sent sent);

struct ServerChain {
  Sent sent = Sent::kNothing;
  std::size_t lower = 0;  // number of its lower certificate, modulo their count
  bool stapled = false;   // ocsp_plus_chain
};

namespace chains {

constexpr std::size_t kLowers = 12, kUppers = 4;
constexpr LeafNumber kFirstUpper = Pki::kCas + 100, kRoot = Pki::kCas + 200;

// All lower and upper ones, and the root.
std::vector<LeafNumber> all();
// REQUIRES: not the root.
LeafNumber issuer_of(LeafNumber number);
// Returns another certificate of the same issuer's kind, for responses with a wrong serial number.
LeafNumber neighbour_of(LeafNumber number);
UnixSeconds end_of(LeafNumber number);  // notAfter
testing::CertificateSpec spec_of(LeafNumber number);

// Returns what is sent, in its order.
std::vector<LeafNumber> certificates_of(const ServerChain& chain);
// Returns how many certificates at the chain's beginning may be stapled: none of them is a root, and the issuer of
// each is sent after it.
std::size_t stapleable(const std::vector<LeafNumber>& sent);

}  // namespace chains
}  // namespace ocsp_plus::sim
