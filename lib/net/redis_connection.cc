#include "net/redis_connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "base/log.h"
#include "base/text.h"

namespace ocsp_plus::net {
namespace {

constexpr std::size_t kMostShown = 128;  // bytes of a server's text in a message

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string said(std::string_view text) {
  return "the server says " + quoted(text.substr(0, kMostShown));
}

// Quotes the server's answer to AUTH without what it repeats of our command: "ERR unknown command 'AUTH', with args
// beginning with: 'the password'".
std::string said_of_login(std::string_view text, const RedisPlace& place) {
  if (!place.password.empty() && contains(text, place.password)) {
    return "the server's answer repeats the password and is not shown";
  }
  return said(text.substr(0, text.find_first_of("'`\"")));
}

}  // namespace

bool refuses_writes(std::string_view text) {
  // Servers before Redis 7 put the reason of a script's failure behind "ERR Error running script".
  for (const std::string_view word : {"READONLY", "OOM", "NOPERM", "MISCONF", "NOREPLICAS"}) {
    if (starts_with(text, word) || contains(text, fmt::format("-{} ", word)) ||
        contains(text, fmt::format(" {} ", word))) {
      return true;
    }
  }
  return contains(text, "can't run this command");  // Redis 6, within a script
}

Error redis_error(std::string_view text) {
  for (const std::string_view word : {"MOVED ", "ASK ", "CLUSTERDOWN", "CROSSSLOT"}) {
    if (starts_with(text, word)) {
      return {Reason::kStoreUnreachable, said(text) + ": Redis Cluster is not supported, name a server of its own"};
    }
  }
  if (starts_with(text, "NOAUTH") || starts_with(text, "WRONGPASS") || starts_with(text, "ERR invalid password")) {
    return {Reason::kStoreAuth, said(text) + ": give its user and password"};
  }
  for (const std::string_view word :
       {"LOADING", "BUSY ", "MASTERDOWN", "TRYAGAIN", "UNBLOCKED", "ERR max number of clients"}) {
    if (starts_with(text, word)) {
      return {Reason::kStoreUnreachable, said(text)};
    }
  }
  return {Reason::kStoreDenied, said(text)};
}

RedisConnection::RedisConnection(EventLoop& loop, const Clock& clock, Resolver& resolver,
                                 RedisConnectionOptions options, User& user)
    : loop_(loop),
      clock_(clock),
      resolver_(resolver),
      options_(std::move(options)),
      user_(user),
      deadline_(saturating_add(clock.monotonic(), options_.timeout)),
      reader_(options_.most_string),
      timer_(loop.timer([this] { on_timer(); })),
      begin_timer_(loop.timer([this] { ending_ ? end(std::move(*ending_)) : begin(); })) {
  timer_->arm(options_.timeout);
  // The first step runs from the loop, so a step that fails immediately may call back.
  begin_timer_->arm(0);
}

// Leases that were given back last should not keep other nodes waiting.
RedisConnection::~RedisConnection() {
  if (stream_ != nullptr) {
    stream_->send_now();
  }
}

void RedisConnection::begin() {
  const RedisPlace& place = options_.place;
  if (place.is_unix()) {
    return on_addresses(std::vector<Address>{Address::unix_socket(place.path)});
  }
  if (place.ip_literal) {
    return on_addresses(std::vector<Address>{Address::literal(place.host, place.port)});
  }
  query_ = resolver_.resolve(place.host, place.port, [this](Result<std::vector<Address>> addresses) {
    query_.reset();
    on_addresses(std::move(addresses));
  });
}

void RedisConnection::on_addresses(Result<std::vector<Address>> addresses) {
  if (!addresses) {
    Error error = std::move(addresses.error());
    if (error.reason == Reason::kDnsNotFound) {
      error.detail += "; names are asked for without search domains, write the whole name";
    }
    return end_of_network(std::move(error));
  }
  Stream::User& user = *this;
  connector_.emplace(loop_, std::move(*addresses), user, nullptr, nullptr,
                     [this](Result<std::unique_ptr<Stream>> stream) { on_stream(std::move(stream)); });
  connector_->next();
}

void RedisConnection::on_stream(Result<std::unique_ptr<Stream>> stream) {
  if (!stream) {
    return end_of_network(std::move(stream.error()));
  }
  stream_ = std::move(*stream);
  peer_ = stream_->peer();
  if (!options_.place.tls) {
    return log_in();
  }
  if (options_.tls == nullptr) {
    return end({Reason::kStoreUnreachable, "no TLS client could be set up"});
  }
  auto session = options_.tls->open(options_.place.host, options_.place.port);
  if (!session) {
    return end_of_network(std::move(session.error()));
  }
  in_tls_ = true;
  stream_->start_tls(std::move(*session));
}

// The server is who it should be; without TLS the connector has said so already.
void RedisConnection::on_open() {
  log_in();
}

void RedisConnection::log_in() {
  const RedisPlace& place = options_.place;
  if (!place.user.empty()) {
    write({"AUTH", place.user, place.password}, [this](const RedisReply& reply) { on_login(reply); });
  } else if (!place.password.empty()) {
    write({"AUTH", place.password}, [this](const RedisReply& reply) { on_login(reply); });
  }
  if (place.database != 0) {
    write({"SELECT", fmt::format_int(place.database).str()}, [this](const RedisReply& reply) {
      if (reply.is(RedisReply::Kind::kError)) {
        end(redis_error(reply.text));
      }
    });
  }
  if (!options_.name.empty()) {
    // The name is for whoever looks at the server's list of clients; not each server permits it.
    write({"CLIENT", "SETNAME", options_.name}, [](const RedisReply&) {});
  }
  if (options_.must_be_master) {
    write({"ROLE"}, [this](const RedisReply& reply) { on_role(reply); });
  }
  write({"PING"}, [this](const RedisReply& reply) { on_pong(reply); });
}

void RedisConnection::on_login(const RedisReply& reply) {
  if (!reply.is(RedisReply::Kind::kError)) {
    return;
  }
  Error error = redis_error(reply.text);
  if (error.reason == Reason::kStoreDenied && starts_with(reply.text, "ERR")) {
    error.reason = Reason::kStoreAuth;
  }
  error.detail = said_of_login(reply.text, options_.place);
  end(std::move(error));
}

void RedisConnection::on_role(const RedisReply& reply) {
  if (reply.is(RedisReply::Kind::kError)) {
    return end(redis_error(reply.text));
  }
  const std::string role = reply.elements.empty() ? "" : reply.elements.front().text;
  if (role != "master") {
    end({Reason::kStoreUnreachable, fmt::format("its role is {}, not \"master\": a sentinel has named it too early",
                                                quoted(std::string_view(role).substr(0, kMostShown)))});
  }
}

void RedisConnection::on_pong(const RedisReply& reply) {
  // A server that cannot save its data answers PING with that, although it can be read.
  const bool cannot_save = reply.is(RedisReply::Kind::kError) && starts_with(reply.text, "MISCONF");
  if (reply.is(RedisReply::Kind::kError) && !cannot_save) {
    return end(redis_error(reply.text));
  }
  if (!reply.is_status("PONG") && !cannot_save) {
    return end({Reason::kStoreMalformed, "PING was not answered with PONG"});
  }
  up_ = true;
  connector_.reset();
  user_.on_up();
}

bool RedisConnection::send(const std::vector<std::string_view>& words, Callback callback) {
  if (stream_->unsent() > kMostUnsent || pending_.size() >= kMostPending) {
    return false;
  }
  write(words, std::move(callback));
  return true;
}

void RedisConnection::write(const std::vector<std::string_view>& words, Callback callback) {
  const std::string text = redis_command(words);
  traffic_.sent += text.size();
  pending_.push_back({std::move(callback), up_ ? saturating_add(now(), options_.timeout) : deadline_});
  stream_->send(text);
  if (up_ && pending_.size() == 1) {
    arm();
  }
}

// Arms the timer for the oldest command; until the connection is up it is armed for `deadline_`.
void RedisConnection::arm() {
  if (pending_.empty()) {
    return timer_->disarm();
  }
  timer_->arm(std::max<Millis>(saturating_sub(pending_.front().deadline, now()), 0));
}

void RedisConnection::on_timer() {
  end({Reason::kStoreTimeout, fmt::format("no answer within {} ms, {}", options_.timeout, where())});
}

void RedisConnection::on_data(ByteView bytes) {
  const std::weak_ptr<bool> here = alive_;
  answered_ = true;
  traffic_.received += bytes.size();
  reader_.feed(bytes);
  for (;;) {
    auto reply = reader_.next();
    if (!reply) {
      return end(std::move(reply.error()));
    }
    if (!*reply) {
      break;
    }
    if (pending_.empty()) {
      return end({Reason::kStoreMalformed, "a reply that no command has asked for"});
    }
    const Callback callback = std::move(pending_.front().callback);
    pending_.pop_front();
    callback(std::move(**reply));
    if (here.expired() || stream_ == nullptr) {
      return;
    }
  }
  if (up_) {
    arm();
  }
}

void RedisConnection::on_end(std::optional<Error> error) {
  if (!error && answered_) {
    error = Error{Reason::kConnectionReset, "the server has closed the connection"};
  } else if (!error) {
    error = Error{Reason::kConnectionReset, "the server has closed the connection without an answer"};
    if (!options_.place.tls && !options_.place.is_unix()) {
      error->detail += "; where it wants TLS, the place begins with rediss://";
    }
  }
  // An address that was of no use may be followed by one that is.
  if (!answered_ && connector_ && connector_->more()) {
    pending_.clear();
    in_tls_ = false;
    stream_.reset();
    connector_->remember(std::move(*error));
    return connector_->next();
  }
  end_of_network(std::move(*error));
}

void RedisConnection::end_with(Error error) {
  ending_ = std::move(error);
  begin_timer_->arm(0);
}

// Ends with an error from a lower layer, whose token says more than ours.
void RedisConnection::end_of_network(Error error) {
  if (error.reason == Reason::kOutOfMemory) {
    return end(std::move(error));
  }
  end({Reason::kStoreUnreachable, fmt::format("{}: {}", token(error.reason), error.detail)});
}

void RedisConnection::end(Error error) {
  up_ = false;
  query_.reset();
  connector_.reset();
  stream_.reset();
  pending_.clear();
  timer_->disarm();
  begin_timer_->disarm();
  error.detail = fmt::format("{}: {}", options_.place.to_string(), error.detail);
  user_.on_end(std::move(error));  // may destroy this
}

// Names the current step, for messages.
std::string RedisConnection::where() const {
  if (stream_ == nullptr) {
    return query_ != nullptr ? fmt::format("resolving {}; asked {}", options_.place.host, resolver_.asked())
                             : "connecting";
  }
  if (in_tls_ && !stream_->tls()->established()) {
    return "in the TLS handshake with " + peer_.to_string();
  }
  return fmt::format("{} {}", stream_->sent_all() ? "waiting for" : "sending to", peer_.to_string());
}

}  // namespace ocsp_plus::net
