// Fuzzes what a Redis server sends, and places. The first byte is the size of the pieces that the rest arrives in;
// the rest is read as replies, and as a place.
#include <algorithm>
#include <optional>
#include <utility>

#include "fuzz/fuzz.h"
#include "net/redis_connection.h"
#include "net/redis_place.h"
#include "net/redis_reply.h"
#include "net/redis_sentinel.h"

using namespace ocsp_plus;  // NOLINT: only the target

namespace {

using net::RedisReader;
using net::RedisReply;

constexpr std::size_t kMostString = 64;

bool same(const RedisReply& a, const RedisReply& b) {
  return a.kind == b.kind && a.text == b.text && a.integer == b.integer &&
         std::equal(a.elements.begin(), a.elements.end(), b.elements.begin(), b.elements.end(), same);
}

// Returns the number of elements.
std::size_t check(const RedisReply& reply, int nested) {
  fuzz::promise(reply.text.size() <= kMostString, "strings are bounded");
  fuzz::promise(reply.elements.size() <= RedisReader::kMostElements, "arrays are bounded");
  fuzz::promise(reply.is(RedisReply::Kind::kArray) || reply.elements.empty(), "only arrays have elements");
  fuzz::promise(!reply.is(RedisReply::Kind::kArray) || nested < RedisReader::kMostNested, "nesting is bounded");
  std::size_t count = reply.elements.size();
  for (const RedisReply& each : reply.elements) {
    count += check(each, nested + 1);
  }
  return count;
}

struct Replies {
  std::vector<RedisReply> all;
  std::optional<Reason> error;
};

Replies read(ByteView bytes, std::size_t piece) {
  RedisReader reader(kMostString);
  Replies replies;
  for (std::size_t at = 0; at < bytes.size() && !replies.error; at += piece) {
    reader.feed({bytes.data() + at, std::min(piece, bytes.size() - at)});
    for (;;) {
      auto reply = reader.next();
      if (!reply) {
        replies.error = reply.error().reason;
        break;
      }
      if (!*reply) {
        break;
      }
      fuzz::promise(check(**reply, 0) <= RedisReader::kMostInAll, "a reply is bounded");
      replies.all.push_back(std::move(**reply));
    }
  }
  return replies;
}

void judge(const RedisReply& reply) {
  if (reply.is(RedisReply::Kind::kError)) {
    const Error error = net::redis_error(reply.text);
    fuzz::promise(error.reason >= Reason::kStoreUnreachable && error.reason <= Reason::kStoreDenied,
                  "a store's reason");
    net::refuses_writes(reply.text);
  }
  const auto master = net::read_master(reply, "mymaster", {}, net::Address::literal("192.0.2.1", 26379));
  fuzz::promise(!master || (!master->host.empty() && master->port != 0 && master->password.empty()),
                "a master has a host and a port");
  fuzz::promise(!master || !net::Address::literal(master->host, 1).is_loopback(), "and is not this machine");
}

void read_place(std::string_view text) {
  const auto place = net::RedisPlace::parse(text);
  if (!place) {
    return;
  }
  const auto again = net::RedisPlace::parse(place->to_string());
  fuzz::promise(again && again->to_string() == place->to_string(), "what is shown can be read");
  fuzz::promise(again->user.empty() && again->password.empty(), "what is shown has no secrets");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::size_t piece = input.byte() + std::size_t{1};
  const ByteView bytes = input.rest();
  const Replies whole = read(bytes, bytes.size() + 1);
  const Replies pieces = read(bytes, piece);
  fuzz::promise(whole.error == pieces.error &&
                    std::equal(whole.all.begin(), whole.all.end(), pieces.all.begin(), pieces.all.end(), same),
                "pieces make no difference");
  fuzz::promise(!whole.error || *whole.error == Reason::kStoreMalformed, "what is no reply is malformed");
  for (const RedisReply& each : whole.all) {
    judge(each);
  }
  read_place(bytes.text());
  return 0;
}
