// Asks responders for the certificates of "ocsp-plus fetch": with the engine's exchange on a poll loop, up to 16
// certificates at once, or through the store of a fleet, one after the other.
//
// A certificate without a response is asked for again until FetchOptions::wait is over, at the times at which a node
// would that lacks a required staple (engine/schedule.h). A failure that a wait cannot mend ends at once.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/poll_loop.h"
#include "base/random.h"
#include "base/result.h"
#include "cli/fetch_job.h"
#include "engine/issuer_search.h"
#include "engine/settings.h"
#include "engine/tls_clients.h"
#include "engine/work_queue.h"
#include "net/resolver.h"
#include "net/transport.h"

namespace ocsp_plus::cli {

class Fetching {
 public:
  // `share`: nullptr if there is no store. Both outlive the object.
  Fetching(const FetchOptions& options, const engine::ShareSettings* share);
  Fetching(const Fetching&) = delete;
  Fetching& operator=(const Fetching&) = delete;

  Result<void> set_proxy(const std::string& text);
  const engine::Settings& settings() const { return settings_; }
  UnixSeconds now() const { return clock_.now(); }

  // Fills in the outcome of each job that can be asked. `ended` is called as soon as a job has its outcome. Fails if
  // the resolver, or what a store needs, cannot be set up.
  Result<void> run(const std::vector<std::unique_ptr<FetchJob>>& jobs, const std::function<void(FetchJob&)>& ended);

 private:
  class Call;
  using Calls = std::vector<std::unique_ptr<Call>>;

  Result<void> set_up();
  Result<void> begin_due(Calls& calls);
  void wait_for_one(const Calls& calls);
  Result<void> begin(Call& call);
  void ask(Call& call);
  Result<void> ask_fleet(Call& call);
  void take_result(Call& call);
  bool goes_on(Call& call);

  const FetchOptions& options_;
  const engine::ShareSettings* share_;
  SystemClock clock_;
  PollLoop loop_{clock_};
  SystemRandom random_;
  engine::Settings settings_;
  engine::WorkQueue work_queue_{loop_};
  engine::IssuerSearches searches_{loop_, clock_, work_queue_};
  std::unique_ptr<net::Resolver> resolver_;
  engine::TlsClients tls_;
  std::optional<net::Transport> transport_;
  Millis deadline_ = 0;        // monotonic; no attempt begins later
  std::size_t in_flight_ = 0;  // exchanges
};

}  // namespace ocsp_plus::cli
