// Resolves names with c-ares on the event loop. It never blocks, and it calls back only from the loop, even if c-ares
// answers inside its own call.
//
// Names are resolved without search domains. "localhost" and names below it are loopback (RFC 6761 section 6.3). A
// change of the system's configuration is noticed; pending questions then go to the new servers. c-ares times its
// retries with its own clock.
//
// Belongs to one process: create it after fork.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/ports.h"
#include "base/result.h"
#include "net/address.h"
#include "ocsp_plus/defaults.h"

namespace ocsp_plus::net {

struct ResolverOptions {
  // "address[:port]" or "[v6]:port" each; empty: the system's configuration (resolv.conf, hosts). With servers, only
  // DNS is used, as with nginx's own `resolver`.
  std::vector<std::string> servers;
  std::string servers_from = "ocsp_plus_resolver";  // the directive that named them, for messages
  std::string system = "/etc/resolv.conf";
  bool ipv4 = true;
  bool ipv6 = true;
  // Per question and server; the exchange's deadline bounds the total.
  Millis timeout = OP_DEFAULT_RESOLVER_TIMEOUT_MS;
  Seconds max_ttl = OP_DEFAULT_RESOLVER_VALID_S;  // upper bound of an answer's TTL in the cache
};

class Resolver {
 public:
  using Callback = std::function<void(Result<std::vector<Address>>)>;

  // A pending query. Destroying it cancels it: the callback will not run. It may outlive the resolver.
  class Query {
   public:
    virtual ~Query() = default;
  };

  virtual ~Resolver() = default;

  // Resolves `host` to at most 16 addresses of the enabled families, interleaved, IPv6 first. Once one family has
  // answered, the other gets half a second. Answers are cached per name for their TTL, at least 5 seconds, negative
  // answers for 5 seconds. Queries for a name that is already being resolved share its question. Errors:
  // kDnsNotFound, kDnsNoAddress, kDnsTimeout, kDnsFailed; their text names the host, then asked(). Never calls back
  // before it returns.
  virtual std::unique_ptr<Query> resolve(const std::string& host, std::uint16_t port, Callback callback) = 0;

  // Names the first few servers and their source, for messages: "192.0.2.1, 192.0.2.2 (/etc/resolv.conf)".
  virtual std::string asked() const { return {}; }

  // Errors: kInvalidArgument if a server is not an address; kOutOfMemory.
  static Result<std::unique_ptr<Resolver>> create(EventLoop& loop, const Clock& clock, ResolverOptions options);
};

}  // namespace ocsp_plus::net
