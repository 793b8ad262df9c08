// What all fetches of a process share.
#pragma once

#include <optional>
#include <utility>

#include "base/ports.h"
#include "net/address.h"
#include "net/connection_tally.h"
#include "net/family_memory.h"
#include "net/idle_streams.h"
#include "net/proxy.h"
#include "net/resolver.h"

namespace ocsp_plus::net {

// Belongs to one process: create it after fork. Everything borrowed outlives it, and so do the TlsClients of the
// fetches.
struct Transport {
  Transport(EventLoop& the_loop, const Clock& the_clock, Resolver& the_resolver,
            std::optional<Proxy> the_proxy = std::nullopt)
      : loop(the_loop), clock(the_clock), resolver(the_resolver), proxy(std::move(the_proxy)), idle(the_loop) {}

  EventLoop& loop;
  const Clock& clock;
  Resolver& resolver;
  const std::optional<Proxy> proxy;  // nothing: responders are asked directly
  IdleStreams idle;
  FamilyMemory families;
  ConnectionTally tally;
  // Whence an address can be reached. Tests have addresses of loopback stand for others.
  Address::Scope (*scope_of)(const Address& address) = [](const Address& address) { return address.scope(); };
};

}  // namespace ocsp_plus::net
