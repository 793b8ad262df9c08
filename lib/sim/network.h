// The simulated network: implements net::Fetch and net::Resolver, the engine's only ways to the network, by the
// contracts in their headers. The linker then leaves the real implementations out, whose parts (addresses, redirects,
// HTTP, the DNS cache) have their own tests and are not simulated.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "net/fetch.h"
#include "sim/ca.h"
#include "sim/script.h"

namespace ocsp_plus::sim {

class Network {
 public:
  // `scripts`: one for each node, which meets the responders as its own says.
  Network(std::vector<const Script*> scripts, Ca& ca, Prng prng);
  ~Network();
  static Network& here();

  struct Counts {
    std::int64_t requests = 0, good = 0, lies = 0, failures = 0;
    std::map<Lie, std::int64_t> kinds;
  };
  const Counts& counts() const { return counts_; }
  using Requests = std::map<LeafNumber, std::int64_t>;
  const Requests& requests(std::size_t node = 0) const { return requests_[node]; }
  // Requests for the certificate's issuer.
  const Requests& issuer_requests(std::size_t node = 0) const { return issuer_requests_[node]; }
  // The most requests that were begun within (nearly) two seconds with one responder.
  std::size_t most_begun() const { return most_begun_; }
  const std::vector<Millis>& times() const { return times_; }  // of the requests, after keep_times()
  void keep_times() { keep_times_ = true; }

  // Called when the engine requests a response or an issuer.
  std::function<void(LeafNumber)> on_request;
  // Called when an honest answer has reached the engine.
  std::function<void(LeafNumber, const Signed&)> on_honest;

  // --- for the replaced functions ---
  struct Plan {
    Millis after = 0;  // until the outcome; kNever: hangs
    std::size_t responder = 0;
    LeafNumber leaf = 0;
    bool get = false;
    Deed deed = Deed::kHonest;
    Lie lie = Lie::kGarbage;
    bool issuer = false;  // the request is for the issuer
    WrongIssuer wrong = WrongIssuer::kGarbage;
    Seconds retry_after = 0;
  };
  Plan begin(const net::FetchRequest& request);
  net::Fetch::Outcome finish(const Plan& plan, Millis took);

 private:
  net::Fetch::Outcome answer(const Plan& plan, Bytes body, Millis took);
  net::Fetch::Outcome lie(const Plan& plan, Millis took);

  std::vector<const Script*> scripts_;
  Ca& ca_;
  Prng prng_;
  Counts counts_;
  std::vector<Requests> requests_, issuer_requests_;  // by node
  std::map<std::string, std::deque<Millis>> begun_;   // lately, by host
  std::size_t most_begun_ = 0;
  std::vector<Millis> times_;
  bool keep_times_ = false;
};

}  // namespace ocsp_plus::sim
