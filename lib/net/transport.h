// State shared by all fetches of a process.
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

// Belongs to one process: create it after fork. All references, and the TlsClients of the fetches, must outlive it.
struct Transport {
  Transport(EventLoop& the_loop, const Clock& the_clock, Resolver& the_resolver,
            std::optional<Proxy> the_proxy = std::nullopt)
      : loop(the_loop), clock(the_clock), resolver(the_resolver), proxy(std::move(the_proxy)), idle(the_loop) {}

  EventLoop& loop;
  const Clock& clock;
  Resolver& resolver;
  const std::optional<Proxy> proxy;  // nothing: direct connections
  IdleStreams idle;
  FamilyMemory families;
  ConnectionTally tally;
  // Returns an address's scope. Tests replace it, so that loopback addresses stand for others.
  Address::Scope (*scope_of)(const Address& address) = [](const Address& address) { return address.scope(); };
};

}  // namespace ocsp_plus::net
