// The protocol of Redis and Valkey, RESP2: replies are parsed and commands written by hiredis, whose headers only
// redis_reply.cc includes. hiredis itself waits for whatever length a server announces; the bounds are ours.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace ocsp_plus::net {

struct RedisReply {
  enum class Kind {
    kString,
    kStatus,  // "+OK"
    kError,   // "-NOPERM …"
    kInteger,
    kNil,
    kArray,
  };

  Kind kind = Kind::kNil;
  std::string text;                  // kString, kStatus, kError; any bytes
  std::int64_t integer = 0;          // kInteger
  std::vector<RedisReply> elements;  // kArray

  bool is(Kind other) const { return kind == other; }
  bool is_status(std::string_view value) const { return kind == Kind::kStatus && text == value; }
};

// Returns a command as the server reads it: an array of strings, any bytes each. REQUIRES: `words` is not empty.
// Throws std::bad_alloc.
std::string redis_command(const std::vector<std::string_view>& words);

// Reads replies from a stream of bytes.
class RedisReader {
 public:
  static constexpr std::size_t kMostBuffered = std::size_t{1024} * 1024;  // bytes of one reply
  static constexpr std::size_t kMostElements = 256;                       // of one array
  static constexpr std::size_t kMostInAll = 4096;                         // of a reply, those of its arrays included
  static constexpr int kMostNested = 6;                                   // arrays within each other

  // Strings, statuses and errors of more than `most_string` bytes are refused.
  explicit RedisReader(std::size_t most_string);
  ~RedisReader();
  RedisReader(const RedisReader&) = delete;
  RedisReader& operator=(const RedisReader&) = delete;

  // Takes bytes from the server, in pieces of any size; call next() until it returns nothing before the next piece.
  void feed(ByteView bytes);
  // Returns the next complete reply; nothing if more bytes are needed. Errors: kStoreMalformed for what is no RESP2
  // or beyond a bound (each later call returns it again), kOutOfMemory.
  Result<std::optional<RedisReply>> next();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ocsp_plus::net
