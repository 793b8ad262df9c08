#include "net/redis_sentinel.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "net/names.h"

namespace ocsp_plus::net {
namespace {

constexpr std::size_t kMostShown = 128;  // bytes of a sentinel's text in a message

bool is_this_machine(const RedisPlace& place) {
  if (place.ip_literal) {
    const Address address = Address::literal(place.host, place.port);
    return address.is_loopback() || Address::literal("0.0.0.0", place.port).to_string() == address.to_string();
  }
  return is_localhost(place.host);
}

}  // namespace

Result<RedisPlace> read_master(const RedisReply& reply, const std::string& name, const RedisPlace& sentinel,
                               const Address& peer) {
  if (reply.is(RedisReply::Kind::kError)) {
    return tl::unexpected<Error>(redis_error(reply.text));
  }
  if (reply.is(RedisReply::Kind::kNil)) {
    return fail(Reason::kStoreUnreachable,
                fmt::format("the sentinel knows no master {}: sentinel= is the name in its \"sentinel monitor\"",
                            quoted(name)));
  }
  if (!reply.is(RedisReply::Kind::kArray) || reply.elements.size() != 2) {
    return fail(Reason::kStoreMalformed, "the sentinel's answer is no address");
  }
  const std::string& host = reply.elements[0].text;
  const std::string& port = reply.elements[1].text;
  const bool v6 = host.find(':') != std::string::npos;
  const std::string text = fmt::format("redis://{}{}{}:{}", v6 ? "[" : "", host, v6 ? "]" : "", port);
  const std::string shown = quoted(std::string_view(fmt::format("{}:{}", host, port)).substr(0, kMostShown));
  auto master = RedisPlace::parse(text);
  // Host and port, and nothing else that a place may have.
  if (!master || host.find_first_of("@/[]") != std::string::npos || port.empty() ||
      !std::all_of(port.begin(), port.end(), is_digit)) {
    return fail(Reason::kStoreMalformed, fmt::format("the sentinel's answer {} is no address", shown));
  }
  if (is_this_machine(*master) && !peer.is_loopback()) {
    return fail(Reason::kStoreUnreachable,
                fmt::format("the sentinel says that the master is {}, which is its own machine's loopback: let it "
                            "monitor the server by an address that all reach (\"sentinel monitor\", \"sentinel "
                            "announce-ip\", \"replica-announce-ip\")",
                            shown));
  }
  master->tls = sentinel.tls;
  master->database = sentinel.database;
  return master;
}

RedisSentinel::RedisSentinel(EventLoop& loop, const Clock& clock, Resolver& resolver, RedisConnectionOptions sentinel,
                             std::string name, Callback callback)
    : name_(std::move(name)),
      callback_(std::move(callback)),
      connection_(loop, clock, resolver, std::move(sentinel), *this) {}

void RedisSentinel::on_up() {
  connection_.send({"SENTINEL", "get-master-addr-by-name", name_},
                   [this](const RedisReply& reply) { on_address(reply); });
}

void RedisSentinel::on_end(Error error) {
  const Callback callback = std::move(callback_);
  callback(tl::unexpected<Error>(std::move(error)));  // may destroy this
}

void RedisSentinel::on_address(const RedisReply& reply) {
  auto master = read_master(reply, name_, connection_.place(), connection_.peer());
  if (!master) {
    master.error().detail = fmt::format("{}: {}", connection_.place().to_string(), master.error().detail);
  }
  const Callback callback = std::move(callback_);
  callback(std::move(master));  // may destroy this
}

}  // namespace ocsp_plus::net
