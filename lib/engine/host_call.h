// One fetch from one host, as the host's health sees it; and what every fetch of the engine has in common.
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
class Issuers;

// What exchanges need of their process. All of it outlives them.
struct ExchangeContext {
  const Clock& clock;
  Random& random;
  net::Transport& transport;
  TlsClients& tls;
  ResponderHealth& health;
  WorkQueue& work_queue;  // each answer waits there for its verification
  const Settings& settings;
  net::Trace trace = {};       // of each step, for people; may be empty
  Issuers* issuers = nullptr;  // nullptr: no target comes without an issuer
  Methods* methods = nullptr;  // nullptr: nothing is remembered
  const Gate* gate = nullptr;  // nullptr: nothing is held
};

// A request to `url` for the sake of `target`, with what holds for all of them: bounds, TLS, redirects, tracing.
// `public_only`: no address of a private network is asked.
net::FetchRequest request_for(const ExchangeContext& context, const Target& target, const net::Url& url,
                              bool public_only);

// Counts as running from its construction until it is settled by one of the three below, of which the first counts.
// One that is destroyed before was cancelled.
class HostCall {
 public:
  // `host`: a key of ResponderHealth.
  HostCall(const ExchangeContext& context, std::string host);
  ~HostCall() { cancelled(); }
  HostCall(const HostCall&) = delete;
  HostCall& operator=(const HostCall&) = delete;

  const std::string& host() const { return host_; }

  void answered();
  // It ended without a word on the host's health.
  void cancelled();
  // It ended in a way that counts against the host, or against the proxy: it is left alone for a while, where it is
  // time to.
  void failed(const net::Fetch::Failure& error);

 private:
  const ExchangeContext& context_;
  std::string host_;
  std::uint32_t token_;  // what ResponderHealth gave for it
  bool settled_ = false;
};

}  // namespace ocsp_plus::engine
