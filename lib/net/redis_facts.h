// Facts that a Redis or Valkey server tells of itself, for people. Pure functions of its replies, which may be
// anything; the texts are not escaped.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/redis_reply.h"

namespace ocsp_plus::net {

// Returns the value of a field in the reply to INFO, "maxmemory_policy:noeviction\r\n"; nothing if there is none.
std::optional<std::string> info_field(std::string_view info, std::string_view field);

// Returns the reply to ROLE in words: "master, 2 replicas", "replica of cache.example:6379 (connected)". Nothing if
// it is no such reply.
std::optional<std::string> role_in_words(const RedisReply& reply);

// Returns whether the reply to ROLE is that of a replica, which takes no writes.
bool is_replica(const RedisReply& reply);

// A page of SCAN.
struct ScanPage {
  std::string cursor;  // of the next page; "0": this is the last
  std::vector<std::string> keys;
};
std::optional<ScanPage> scan_page(const RedisReply& reply);

// Names the commands in the reply of the script redis_permissions.lua, "<COMMAND> <error>" each, that the user may
// not run. Errors for other causes (a replica, no memory) are left out.
std::vector<std::string> not_permitted(const std::vector<std::string>& refused);

}  // namespace ocsp_plus::net
