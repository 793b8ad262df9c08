// The network as the engine sees it: net::Fetch and net::Resolver, the two doors through which it leaves, lead here
// instead of to sockets and c-ares. The headers are the contract; the simulator is linked with this implementation
// and so without theirs. What those two do below their interface (addresses, redirects, HTTP, the DNS cache) has
// tests of its own and is not simulated.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "net/fetch.h"
#include "sim/ca.h"
#include "sim/script.h"

namespace ocsp_plus::sim {

class Network {
 public:
  Network(const Script& script, Ca& ca, Prng prng);
  ~Network();
  static Network& here();

  struct Counts {
    std::int64_t requests = 0, good = 0, lies = 0, failures = 0;
    std::map<Lie, std::int64_t> kinds;
  };
  const Counts& counts() const { return counts_; }
  const std::map<LeafNumber, std::int64_t>& requests() const { return requests_; }
  // Those for the certificate's issuer.
  const std::map<LeafNumber, std::int64_t>& issuer_requests() const { return issuer_requests_; }
  const std::vector<Millis>& times() const { return times_; }  // of the requests, where wanted
  void keep_times() { keep_times_ = true; }

  // The engine asks for a certificate, or for its issuer.
  std::function<void(LeafNumber)> on_request;
  // An honest answer has reached the engine.
  std::function<void(LeafNumber, const Signed&)> on_honest;

  // --- for the seam ---
  struct Plan {
    Millis after = 0;  // until the outcome; kNever: it hangs
    std::size_t responder = 0;
    LeafNumber leaf = 0;
    bool get = false;
    Deed deed = Deed::kHonest;
    Lie lie = Lie::kGarbage;
    bool issuer = false;  // the certificate's issuer is asked for
    WrongIssuer wrong = WrongIssuer::kGarbage;
    Seconds retry_after = 0;
  };
  Plan begin(const net::FetchRequest& request);
  net::Fetch::Outcome finish(const Plan& plan, Millis took);

 private:
  net::Fetch::Outcome answer(const Plan& plan, Bytes body, Millis took);
  net::Fetch::Outcome lie(const Plan& plan, Millis took);

  const Script& script_;
  Ca& ca_;
  Prng prng_;
  Counts counts_;
  std::map<LeafNumber, std::int64_t> requests_, issuer_requests_;
  std::vector<Millis> times_;
  bool keep_times_ = false;
};

}  // namespace ocsp_plus::sim
