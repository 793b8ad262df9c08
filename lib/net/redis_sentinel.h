// Asks a sentinel where the master is.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/ports.h"
#include "base/result.h"
#include "base/tls.h"
#include "net/redis_connection.h"

namespace ocsp_plus::net {

class RedisSentinel : private RedisConnection::User {
 public:
  // Runs from the loop, once. The place has the sentinel's TLS and database, and no user or password. Errors: those
  // of RedisConnection, and kStoreUnreachable if the sentinel knows no such master, or names an address that is its
  // own machine's although it is another machine than this one; their detail names the remedy. May destroy the
  // object.
  using Callback = std::function<void(Result<RedisPlace>)>;

  // Connects to `sentinel` and asks for the master called `name`. All references must outlive the object; destroying
  // it cancels everything.
  RedisSentinel(EventLoop& loop, const Clock& clock, Resolver& resolver, RedisConnectionOptions sentinel,
                std::string name, Callback callback);

 private:
  void on_up() override;
  void on_end(Error error) override;
  void on_address(const RedisReply& reply);

  const std::string name_;
  Callback callback_;
  RedisConnection connection_;
};

// Makes the master's place of a sentinel's answer; `sentinel` is where that listens, `peer` its address. As above.
Result<RedisPlace> read_master(const RedisReply& reply, const std::string& name, const RedisPlace& sentinel,
                               const Address& peer);

}  // namespace ocsp_plus::net
