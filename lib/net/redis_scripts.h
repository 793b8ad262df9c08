// The Lua scripts of the shared store, redis_*.lua, which CMake writes into redis_scripts.cc (redis_scripts.cmake).
#pragma once

#include <string_view>

namespace ocsp_plus::net {

struct RedisScript {
  std::string_view sha1;  // of `text`, as EVALSHA wants it
  std::string_view text;
};

extern const RedisScript kLookScript;
extern const RedisScript kPublishScript;
extern const RedisScript kSettleScript;
extern const RedisScript kPermissionsScript;  // for whoever wants to know why the others fail

}  // namespace ocsp_plus::net
