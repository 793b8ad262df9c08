// Names to addresses, by c-ares on the event loop: never blocking, and every answer comes from the loop, also where
// c-ares calls back before its own call returns.
//
// Names are asked for as they stand: no search domains. "localhost" and names below it are loopback (RFC 6761 section
// 6.3). The system's configuration is read again when it has changed: who is asked then, is asked anew. When c-ares
// tries again is counted by its own clock.
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
  // "address[:port]" or "[v6]:port" each; empty: the system's configuration (resolv.conf, hosts). With servers named
  // here only DNS is asked, as with nginx's own `resolver`.
  std::vector<std::string> servers;
  std::string servers_from = "ocsp_plus_resolver";  // where the servers were named, for messages
  std::string system = "/etc/resolv.conf";
  bool ipv4 = true;
  bool ipv6 = true;
  Millis timeout = OP_DEFAULT_RESOLVER_TIMEOUT_MS;  // one question to one server, then the next; the exchange's
                                                    // deadline bounds the whole
  Seconds max_ttl = OP_DEFAULT_RESOLVER_VALID_S;    // answers are kept for their TTL, at most so long
};

class Resolver {
 public:
  using Callback = std::function<void(Result<std::vector<Address>>)>;

  // A question under way; destroying it cancels, the callback is not called any more. It may outlive the resolver.
  class Query {
   public:
    virtual ~Query() = default;
  };

  virtual ~Resolver() = default;

  // Both families unless the options say otherwise, interleaved, IPv6 first; at most 16 addresses. Once one family is
  // known, the other gets half a second. Answers are cached per name for their TTL, 5 seconds at least, so long also
  // that there is no such name or address. Questions for a name that is being asked for already join in. Errors:
  // kDnsNotFound, kDnsNoAddress, kDnsTimeout, kDnsFailed; their text has the name first, then asked(). Never calls
  // back before it returns.
  virtual std::unique_ptr<Query> resolve(const std::string& host, std::uint16_t port, Callback callback) = 0;

  // Which servers are asked and who named them, for messages: "192.0.2.1, 192.0.2.2 (/etc/resolv.conf)". Short: the
  // first few.
  virtual std::string asked() const { return {}; }

  // Errors: kInvalidArgument for a server that is no address; kOutOfMemory.
  static Result<std::unique_ptr<Resolver>> create(EventLoop& loop, const Clock& clock, ResolverOptions options);
};

}  // namespace ocsp_plus::net
