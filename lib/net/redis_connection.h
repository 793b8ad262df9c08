// One connection to a Redis or Valkey server or sentinel, from the name to the last reply: it resolves, connects,
// sets up TLS, logs in, and sends commands one after another without waiting for their replies. It never blocks.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ports.h"
#include "base/result.h"
#include "base/tls.h"
#include "net/connector.h"
#include "net/redis_place.h"
#include "net/redis_reply.h"
#include "net/resolver.h"
#include "net/stream.h"

namespace ocsp_plus::net {

// Returns an error reply ("NOPERM this user has no permissions …") as an Error: kStoreAuth (no or wrong password),
// kStoreUnreachable (loading, busy, too many clients; a node of a Cluster, which is not supported), else
// kStoreDenied. The detail has the first 128 bytes of `text`, escaped.
Error redis_error(std::string_view text);
// Returns whether an error reply, or one that a script had, says that nothing can be written: the server is a replica
// or out of memory, or the user may not.
bool refuses_writes(std::string_view text);

struct RedisConnectionOptions {
  RedisPlace place;             // with the user and password to log in with; both empty: no login
  TlsClient* tls = nullptr;     // for a place with TLS; must outlive the connection
  Millis timeout = 0;           // for everything until the connection is up, and then for each command
  std::size_t most_string = 0;  // bytes of a string in a reply; larger ones end the connection
  std::string name;             // for CLIENT SETNAME
  bool must_be_master = false;  // asks for its ROLE; anything but a master ends the connection
};

class RedisConnection : private Stream::User {
 public:
  static constexpr std::size_t kMostUnsent = std::size_t{1024} * 1024;  // bytes that wait to be sent
  static constexpr std::size_t kMostPending = 1024;                     // commands that wait for their reply

  // Receives the connection's events, from the loop only. Each function may destroy the connection.
  class User {
   public:
    virtual ~User() = default;
    virtual void on_up() = 0;  // logged in, and PING was answered
    // The last event: no callback of a command is run any more. Errors: kStoreUnreachable, kStoreTimeout, kStoreAuth,
    // kStoreDenied, kStoreMalformed, kOutOfMemory; their detail names the place, the cause and, where there is one,
    // the remedy, and never a secret.
    virtual void on_end(Error error) = 0;
  };
  // Runs from the loop, once, with the reply, which may be an error (redis_error()). May destroy the connection.
  using Callback = std::function<void(RedisReply)>;

  struct Traffic {
    std::uint64_t sent = 0;  // bytes, without TLS
    std::uint64_t received = 0;
  };

  // Begins to connect. All references must outlive the connection; destroying it cancels everything.
  RedisConnection(EventLoop& loop, const Clock& clock, Resolver& resolver, RedisConnectionOptions options,
                  User& user);
  ~RedisConnection() override;
  RedisConnection(const RedisConnection&) = delete;
  RedisConnection& operator=(const RedisConnection&) = delete;

  // Sends a command. Returns false, and does nothing, if too much waits to be sent or answered. A command that has
  // not been answered within the timeout ends the connection. REQUIRES: up.
  bool send(const std::vector<std::string_view>& words, Callback callback);
  // Ends the connection from the loop's next turn, with on_end().
  void end_with(Error error);

  bool up() const { return up_; }
  const RedisPlace& place() const { return options_.place; }
  const Address& peer() const { return peer_; }  // the server connected to; length 0: none yet
  const Traffic& traffic() const { return traffic_; }
  const TlsSession* tls() const { return stream_ != nullptr ? stream_->tls() : nullptr; }  // nullptr: none

 private:
  struct Pending {
    Callback callback;
    Millis deadline;
  };

  void begin();
  void on_addresses(Result<std::vector<Address>> addresses);
  void on_stream(Result<std::unique_ptr<Stream>> stream);
  void log_in();
  void on_login(const RedisReply& reply);
  void on_role(const RedisReply& reply);
  void on_pong(const RedisReply& reply);
  void write(const std::vector<std::string_view>& words, Callback callback);
  void on_timer();
  void arm();
  void end(Error error);
  void end_of_network(Error error);

  void on_open() override;
  void on_data(ByteView bytes) override;
  void on_end(std::optional<Error> error) override;

  Millis now() const { return clock_.monotonic(); }
  std::string where() const;

  EventLoop& loop_;
  const Clock& clock_;
  Resolver& resolver_;
  const RedisConnectionOptions options_;
  User& user_;
  const Millis deadline_;  // for being up
  bool up_ = false;
  bool in_tls_ = false;    // the handshake has begun
  bool answered_ = false;  // the server has sent something
  Address peer_;
  Traffic traffic_;
  std::optional<Error> ending_;
  std::unique_ptr<Resolver::Query> query_;
  std::optional<Connector> connector_;
  std::unique_ptr<Stream> stream_;
  RedisReader reader_;
  std::deque<Pending> pending_;  // in the order of their deadlines
  std::unique_ptr<Timer> timer_;
  std::unique_ptr<Timer> begin_timer_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // expires with the connection
};

}  // namespace ocsp_plus::net
