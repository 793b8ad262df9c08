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

// Of a prefix; shown in the documentation, and so here.
struct RedisKeys {
  std::string prefix;

  std::string certificate(const CertificateId& id) const { return "{" + prefix + "}:1:c:" + to_hex(id); }
  std::string begun(const std::string& host) const { return "{" + prefix + "}:1:f:" + host; }
  std::string news() const { return "{" + prefix + "}:1:n"; }
};

using RedisWords = std::vector<std::string>;  // a command

// `tokens`: of the leases, one for each item. `most_response`: SharedStoreOptions, bounded.
RedisWords look_words(const RedisKeys& keys, const SharedStore::Wanted& wanted,
                      const std::vector<std::string>& tokens, std::size_t most_response);
struct RedisLooked {
  std::vector<SharedStore::Found> found;  // one for each item
  bool granted = false;                   // a lease
  std::string refused;                    // the server's words where it cannot write; else empty
};
Result<RedisLooked> read_look(RedisReply& reply, const std::vector<SharedStore::Item>& items,
                              const std::vector<std::string>& tokens);

RedisWords publish_words(const RedisKeys& keys, const SharedStore::Publication& publication,
                         std::size_t most_response);
Result<SharedStore::Published> read_published(const RedisReply& reply);

RedisWords settle_words(const RedisKeys& keys, const SharedStore::Settlement& settlement);
// Whether something was written.
Result<bool> read_settled(const RedisReply& reply);

// Where the reading of the news has come to.
class RedisNews {
 public:
  explicit RedisNews(std::string key) : key_(std::move(key)) {}

  // Whether words() may be sent; else newest_words() are sent first, and begin() is told their reply.
  bool begun() const { return !from_.empty() && full_reads_ <= kFullReads; }
  RedisWords newest_words() const;
  void begin(const RedisReply& newest);
  RedisWords words() const;
  Result<std::vector<SharedStore::News>> read(const RedisReply& reply);
  // With another server.
  void begin_anew() { from_.clear(); }

 private:
  static constexpr int kFullReads = 4;  // in a row; then the rest is skipped

  const std::string key_;
  std::string from_;    // the id of the last entry read; empty: none yet
  int full_reads_ = 0;  // in a row
};

}  // namespace ocsp_plus::net
