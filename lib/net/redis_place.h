// The place where a Redis or Valkey server listens.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ocsp_plus::net {

struct RedisPlace {
  static constexpr std::uint16_t kPort = 6379;
  static constexpr std::uint16_t kSentinelPort = 26379;

  bool tls = false;
  std::string host;         // a name in lower case, or an IP literal without brackets; empty: a unix socket
  bool ip_literal = false;  // `host` is an address
  std::uint16_t port = 0;
  std::string path;       // of the unix socket, absolute; empty: none
  unsigned database = 0;  // for SELECT
  // User and password of the URL, decoded. Must never be shown.
  std::string user;
  std::string password;

  bool is_unix() const { return !path.empty(); }
  // Returns the place without user and password: "rediss://cache.example:6379/2", "unix:/run/redis.sock".
  std::string to_string() const;

  // The kind of server that listens there decides the default port. A sentinel has no unix socket.
  enum class Role { kServer, kSentinel };

  // Parses "redis://[user:password@]host[:port][/db]", "rediss://…" (with TLS) or "unix:/path[:/db]". User and
  // password are percent-encoded where necessary; a password alone is ":password@". Errors: kInvalidArgument; their
  // text shows nothing of `text` and names the remedy.
  static Result<RedisPlace> parse(std::string_view text, Role role = Role::kServer);
};

}  // namespace ocsp_plus::net
