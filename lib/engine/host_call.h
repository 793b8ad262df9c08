// One fetch from one host, counted in the host's health; and what all fetches of the engine have in common.
#pragma once

#include <memory>
#include <string>

#include "base/ports.h"
#include "engine/catalog.h"
#include "engine/methods.h"
#include "engine/responder_health.h"
#include "engine/settings.h"
#include "engine/tls_clients.h"
#include "engine/work_queue.h"
#include "net/fetch.h"

namespace ocsp_plus::engine {

class Gate;
class MissingIssuers;

// Services that an exchange works with: the network, the hosts' health and the issuers. Unlike Context it has no
// zone, since `ocsp-plus fetch` has none. All of it outlives the exchanges.
struct ExchangeServices {
  const Clock& clock;
  Random& random;
  net::Transport& transport;
  TlsClients& tls;
  ResponderHealth& health;
  WorkQueue& work_queue;  // answers wait there for their verification
  const Settings& settings;
  net::Trace trace = {};              // each step, for people; may be empty
  MissingIssuers* issuers = nullptr;  // nullptr: every target has its issuer
  Methods* methods = nullptr;         // nullptr: nothing is remembered
  const Gate* gate = nullptr;         // nullptr: nothing is held
};

// A request to `url` for `target`, with the common bounds, TLS, redirects and tracing. `public_only`: addresses of
// private networks are not asked.
net::FetchRequest request_for(const ExchangeServices& services, const Target& target, const net::Url& url,
                              bool public_only);

// A call in flight, from construction until answered(), failed() or cancelled(); the first of these settles it, later
// ones do nothing. Destruction cancels.
class HostCall {
 public:
  // `host`: a key of ResponderHealth.
  HostCall(const ExchangeServices& services, std::string host);
  ~HostCall() { cancelled(); }
  HostCall(const HostCall&) = delete;
  HostCall& operator=(const HostCall&) = delete;

  const std::string& host() const { return host_; }

  void answered();
  // It ended and says nothing about the host's health.
  void cancelled();
  // It failed, and that counts against the host, or the proxy: ResponderHealth decides whether to leave it alone for
  // a while.
  void failed(const net::Fetch::Failure& error);

 private:
  const ExchangeServices& services_;
  std::string host_;
  std::uint32_t token_;  // ResponderHealth::started() gave it
  bool settled_ = false;
};

}  // namespace ocsp_plus::engine
