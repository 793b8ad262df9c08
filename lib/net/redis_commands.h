// SharedStore in a Redis or Valkey server, of version 5 or later: its keys, the commands, and what is read from their
// replies. All of it is pure; redis_store.cc sends the commands. A reply that is none of those that can come is an
// error, kStoreMalformed.
//
// The keys of a prefix P, version 1 (the scripts redis_*.lua read and write them):
//
//   {P}:1:c:<certificate id>   a hash. r: the response, DER. l, l1, l2, …: leases, "<ms of the server when it ends>
//                              <token>". w: the note, "<ms of the server when it ends> <failures>"
//   {P}:1:f:<host of the responder>   a sorted set: tokens of the leases given within the last two seconds
//   {P}:1:n                    a stream: c: the id, s: SHA-1 of the response published
//
// All expire: a response with its validity, everything after 8 days. In the braces, Redis Cluster would keep all in
// one slot; it is not supported, though.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "net/redis_reply.h"
#include "net/shared_store.h"

namespace ocsp_plus::net {

// Keys under one prefix, a documented format.
struct RedisKeys {
  std::string prefix;

  std::string certificate(const CertificateId& id) const { return "{" + prefix + "}:1:c:" + to_hex(id); }
  std::string begun(const std::string& host) const { return "{" + prefix + "}:1:f:" + host; }
  std::string news() const { return "{" + prefix + "}:1:n"; }
};

using RedisWords = std::vector<std::string>;  // a command

// Returns the command of a look. `tokens`: one for each item, by which its lease will be known. `most_response`:
// bytes of a response at most (SharedStoreOptions), bounded; a longer one counts as none. REQUIRES: as many tokens as
// items.
RedisWords look_words(const RedisKeys& keys, const SharedStore::Wanted& wanted,
                      const std::vector<std::string>& tokens, std::size_t most_response);
struct RedisLooked {
  std::vector<SharedStore::Found> found;  // one for each item
  bool granted = false;                   // at least one lease was given
  std::string refused;                    // the server's words where it cannot write; else empty
};
// Takes the responses out of `reply`. Errors: kStoreMalformed.
Result<RedisLooked> read_look(RedisReply& reply, const std::vector<SharedStore::Item>& items,
                              const std::vector<std::string>& tokens);

// Returns the command that stores a response and gives the lease back, if there is one. `most_response`: as above, so
// that a longer one in the store is replaced like none. REQUIRES: a response of 1 to `most_response` bytes.
RedisWords publish_words(const RedisKeys& keys, const SharedStore::Publication& publication,
                         std::size_t most_response);
// Errors: kStoreMalformed.
Result<SharedStore::Published> read_published(const RedisReply& reply);

// Returns the command that gives a lease back without a response, and leaves a note of `settlement.wait` ms, which is
// bounded to 8 days.
RedisWords settle_words(const RedisKeys& keys, const SharedStore::Settlement& settlement);
// Returns whether something was written: not where the lease is another's by now. Errors: kStoreMalformed.
Result<bool> read_settled(const RedisReply& reply);

// Position in the stream of news: reads on from the last entry that was read.
class RedisNews {
 public:
  explicit RedisNews(std::string key) : key_(std::move(key)) {}

  // Returns whether words() may be sent; else newest_words() are sent first, and begin() is told their reply.
  bool begun() const { return !from_.empty() && full_reads_ <= kFullReads; }
  RedisWords newest_words() const;
  void begin(const RedisReply& newest);
  RedisWords words() const;
  Result<std::vector<SharedStore::News>> read(const RedisReply& reply);
  // Forgets the position: another server is connected.
  void begin_anew() { from_.clear(); }

 private:
  static constexpr int kFullReads = 4;  // in a row; then the rest is skipped

  const std::string key_;
  std::string from_;    // the id of the last entry read; empty: none yet
  int full_reads_ = 0;  // in a row
};

}  // namespace ocsp_plus::net
