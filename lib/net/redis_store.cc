// SharedStore::create(): a connection to the server, made again whenever it ends, and the commands that wait for
// replies.
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/text.h"
#include "net/redis_commands.h"
#include "net/redis_connection.h"
#include "net/redis_scripts.h"
#include "net/redis_sentinel.h"

namespace ocsp_plus::net {
namespace {

constexpr Millis kFirstPause = 1000;  // between attempts, at most; doubling
constexpr Millis kLeastPause = 500;
constexpr Millis kLongestPause = 30000;
constexpr Millis kHangsWithin = 600000;
constexpr std::size_t kHangsBorne = 3;
constexpr Millis kProven = 30000;  // a connection that lasted so long ends the doubling

constexpr std::size_t kLeastString = 1024;  // bytes of a string in a reply, however small responses are

class RedisStore : public SharedStore, RedisConnection::User {
 public:
  RedisStore(EventLoop& loop, const Clock& clock, Random& random, Resolver& resolver, SharedStoreOptions options,
             OnState on_state);

  std::unique_ptr<Query> look(const Wanted& wanted, Callback<std::vector<Found>> callback) override;
  std::unique_ptr<Query> publish(const Publication& publication, Callback<Published> callback) override;
  std::unique_ptr<Query> settle(const Settlement& settlement, Callback<bool> callback) override;
  std::unique_ptr<Query> news(Callback<std::vector<News>> callback) override;
  State state() const override { return status_.state; }
  Status status() const override { return status_; }
  Tally tally() const override;

 private:
  // One command of the engine's, from its call to its callback.
  struct Operation {
    std::vector<std::string> words;       // the command to send
    const RedisScript* script = nullptr;  // words[1] is its SHA-1
    // The command that follows the first one's reply, for `then`.
    std::function<std::vector<std::string>(const RedisReply&)> follow;
    std::function<void(RedisReply)> then;
    std::function<void(Error)> fail;
    bool cancelled = false;
    bool done = false;
    std::optional<Error> error;  // it fails in the next turn
    Millis sent = 0;

    void end() {
      done = true;
      follow = nullptr;
      then = nullptr;
      fail = nullptr;
    }
  };
  using OperationPtr = std::shared_ptr<Operation>;
  struct Handle : Query {
    explicit Handle(OperationPtr the_operation) : operation(std::move(the_operation)) {}
    ~Handle() override {
      operation->cancelled = true;
      operation->end();
    }
    OperationPtr operation;
  };

  // --- the connection ---
  void attempt();
  void try_place();
  void connect(RedisPlace place);
  RedisConnectionOptions options_for(RedisPlace place) const;
  void on_up() override;
  void on_end(Error error) override;
  void next_place(Error error);
  void pause(Error error);
  Millis pause_time();
  void drop(Error error);
  void set_state(State state);

  // --- operations ---
  template <typename T>
  OperationPtr operation(Callback<T> callback, std::function<Result<T>(RedisReply&)> read);
  std::unique_ptr<Query> start(const OperationPtr& operation);
  void send(const OperationPtr& operation);
  void on_reply(const OperationPtr& operation, RedisReply reply);
  void answer_error(const OperationPtr& operation, std::string_view text);
  void fail_later(const OperationPtr& operation, Error error);
  void fail_all();
  void no_writes(std::string_view text);
  void written();

  std::string new_token();

  Millis now() const { return clock_.monotonic(); }
  std::size_t most_response() const { return std::min(options_.most_response, kMostResponse); }

  EventLoop& loop_;
  const Clock& clock_;
  Random& random_;
  Resolver& resolver_;
  const SharedStoreOptions options_;
  const OnState on_state_;
  std::optional<Reason> down_for_;
  const RedisKeys keys_;
  Status status_;
  Tally tally_;            // of connections that have ended, as far as traffic is concerned
  std::size_t place_ = 0;  // the one that is tried or used
  int failures_ = 0;       // in a row, over all places
  Millis up_since_ = 0;
  std::deque<Millis> hangs_;
  const std::string tokens_;  // begins each token of this object
  std::uint64_t token_ = 0;
  RedisNews news_;
  std::list<OperationPtr> operations_;  // sent, or about to fail
  std::unique_ptr<RedisSentinel> sentinel_;
  std::unique_ptr<RedisConnection> connection_;
  std::unique_ptr<Timer> attempt_timer_;
  std::unique_ptr<Timer> fail_timer_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // expires with the store
};

RedisStore::RedisStore(EventLoop& loop, const Clock& clock, Random& random, Resolver& resolver,
                       SharedStoreOptions options, OnState on_state)
    : loop_(loop),
      clock_(clock),
      random_(random),
      resolver_(resolver),
      options_(std::move(options)),
      on_state_(std::move(on_state)),
      keys_{options_.prefix},
      tokens_(fmt::format("{:016x}", random.next())),
      news_(keys_.news()),
      attempt_timer_(loop.timer([this] { attempt(); })),
      fail_timer_(loop.timer([this] { fail_all(); })) {
  status_.since = clock_.now();
  status_.place = options_.places.front().to_string();
  attempt_timer_->arm(0);
}

// --- the connection ---

void RedisStore::attempt() {
  place_ = 0;
  try_place();
}

RedisConnectionOptions RedisStore::options_for(RedisPlace place) const {
  RedisConnectionOptions options;
  options.place = std::move(place);
  options.tls = options_.tls;
  options.timeout = options_.timeout;
  options.most_string = std::max(most_response(), kLeastString);
  options.name = "ocsp_plus";
  return options;
}

void RedisStore::try_place() {
  const RedisPlace& place = options_.places[place_];
  status_.place = place.to_string();
  if (options_.sentinel.empty()) {
    return connect(place);
  }
  RedisConnectionOptions options = options_for(place);
  options.place.database = 0;  // a sentinel has none
  sentinel_ = std::make_unique<RedisSentinel>(loop_, clock_, resolver_, std::move(options), options_.sentinel,
                                              [this](Result<RedisPlace> master) {
                                                sentinel_.reset();
                                                if (!master) {
                                                  return next_place(std::move(master.error()));
                                                }
                                                master->database = options_.places[place_].database;
                                                connect(std::move(*master));
                                              });
}

void RedisStore::connect(RedisPlace place) {
  if (status_.place != place.to_string()) {
    news_.begin_anew();  // another server has another clock
  }
  status_.place = place.to_string();
  if (place.user.empty() && place.password.empty()) {
    place.user = options_.user;
    place.password = options_.password;
  }
  RedisConnectionOptions options = options_for(std::move(place));
  options.must_be_master = !options_.sentinel.empty();
  RedisConnection::User& user = *this;
  connection_ = std::make_unique<RedisConnection>(loop_, clock_, resolver_, std::move(options), user);
}

void RedisStore::on_up() {
  up_since_ = now();
  status_.next_attempt = 0;
  set_state(State::kUp);
}

void RedisStore::on_end(Error error) {
  const bool was_up = status_.state == State::kUp || status_.state == State::kReadOnly;
  tally_.sent += connection_->traffic().sent;
  tally_.received += connection_->traffic().received;
  connection_.reset();
  for (const OperationPtr& each : operations_) {
    if (!each->error) {
      each->error = error;
    }
  }
  fail_timer_->arm(0);
  if (!was_up) {
    return next_place(std::move(error));
  }
  if (error.reason == Reason::kStoreTimeout) {
    hangs_.push_back(now());
  }
  if (saturating_sub(now(), up_since_) >= kProven) {
    failures_ = 0;
  }
  pause(std::move(error));
}

void RedisStore::next_place(Error error) {
  if (++place_ < options_.places.size()) {
    status_.last_error = std::move(error);
    return try_place();
  }
  pause(std::move(error));
}

void RedisStore::pause(Error error) {
  status_.last_error = std::move(error);
  const Millis time = pause_time();
  ++failures_;
  status_.next_attempt = saturating_add(now(), time);
  attempt_timer_->arm(time);
  set_state(State::kDown);
}

Millis RedisStore::pause_time() {
  while (!hangs_.empty() && saturating_sub(now(), hangs_.front()) > kHangsWithin) {
    hangs_.pop_front();
  }
  const Millis most = std::min(kLongestPause, kFirstPause << std::min(failures_, 5));
  const Millis time =
      kLeastPause + static_cast<Millis>(random_.next() % static_cast<std::uint64_t>(most - kLeastPause + 1));
  return hangs_.size() < kHangsBorne ? time : kLongestPause + time / 4;
}

// Ends a connection that is of no use, from the loop's next turn.
void RedisStore::drop(Error error) {
  if (connection_ != nullptr) {
    connection_->end_with(std::move(error));
  }
}

void RedisStore::set_state(State state) {
  const std::optional<Reason> why = state == State::kDown && status_.last_error.has_value()
                                        ? std::optional(status_.last_error->reason)
                                        : std::nullopt;
  if (status_.state == state && down_for_ == why) {
    return;
  }
  status_.since = status_.state == state ? status_.since : clock_.now();
  status_.state = state;
  down_for_ = why;
  if (on_state_) {
    on_state_(state);
  }
}

SharedStore::Tally RedisStore::tally() const {
  Tally tally = tally_;
  if (connection_ != nullptr) {
    tally.sent += connection_->traffic().sent;
    tally.received += connection_->traffic().received;
  }
  return tally;
}

// --- operations ---

template <typename T>
RedisStore::OperationPtr RedisStore::operation(Callback<T> callback, std::function<Result<T>(RedisReply&)> read) {
  auto made = std::make_shared<Operation>();
  made->fail = [callback](Error error) { callback(tl::unexpected<Error>(std::move(error))); };
  made->then = [this, callback = std::move(callback), read = std::move(read)](RedisReply reply) {
    Result<T> result = read(reply);
    if (!result && result.error().reason == Reason::kStoreMalformed) {
      drop(result.error());
    }
    callback(std::move(result));  // may destroy the store
  };
  return made;
}

std::unique_ptr<SharedStore::Query> RedisStore::start(const OperationPtr& operation) {
  operations_.push_back(operation);
  if (connection_ == nullptr || !connection_->up()) {
    fail_later(operation, status_.last_error.value_or(Error{Reason::kStoreUnreachable, "not connected yet"}));
  } else {
    send(operation);
  }
  return std::make_unique<Handle>(operation);
}

void RedisStore::send(const OperationPtr& operation) {
  const std::vector<std::string_view> words(operation->words.begin(), operation->words.end());
  operation->sent = now();
  const bool taken =
      connection_->send(words, [this, operation](RedisReply reply) { on_reply(operation, std::move(reply)); });
  if (!taken) {
    fail_later(operation, {Reason::kStoreUnreachable, "too many commands wait for the shared store"});
  }
}

void RedisStore::on_reply(const OperationPtr& operation, RedisReply reply) {
  ++tally_.commands;
  tally_.last = std::max<Millis>(saturating_sub(now(), operation->sent), 0);
  tally_.waited += tally_.last;
  // A script that the server does not know yet is sent once as a whole, for the commands that are under way already
  // as well.
  if (reply.is(RedisReply::Kind::kError) && operation->script != nullptr && operation->words[0] == "EVALSHA" &&
      starts_with(reply.text, "NOSCRIPT") && !operation->cancelled) {
    operation->words[0] = "EVAL";
    operation->words[1] = operation->script->text;
    return send(operation);
  }
  if (!reply.is(RedisReply::Kind::kError) && operation->follow) {
    operation->words = std::exchange(operation->follow, nullptr)(reply);
    return send(operation);
  }
  operations_.remove(operation);
  if (reply.is(RedisReply::Kind::kError)) {
    return answer_error(operation, reply.text);
  }
  if (operation->cancelled) {
    return;
  }
  const auto then = std::move(operation->then);
  operation->end();
  then(std::move(reply));  // may destroy this
}

void RedisStore::answer_error(const OperationPtr& operation, std::string_view text) {
  Error error = redis_error(text);
  // Who may not run a script is told so before that; what the script itself may not do, look() says for each item.
  const bool may_not_run = starts_with(text, "NOPERM") &&
                           (operation->script == &kLookScript || text.find("eval") != std::string_view::npos);
  const bool of_script = operation->script != nullptr;
  if (of_script && error.reason == Reason::kStoreDenied && refuses_writes(text) && !may_not_run) {
    no_writes(text);
  } else if (error.reason != Reason::kStoreDenied || (of_script && (may_not_run || starts_with(text, "ERR ")))) {
    drop(error);  // of no use now, or a script that will never run
  }
  if (operation->cancelled) {
    return;
  }
  const auto fail = std::move(operation->fail);
  operation->end();
  fail(std::move(error));  // may destroy this
}

void RedisStore::fail_later(const OperationPtr& operation, Error error) {
  operation->error = std::move(error);
  fail_timer_->arm(0);
}

void RedisStore::fail_all() {
  const std::weak_ptr<bool> here = alive_;
  std::list<OperationPtr> failed;
  for (auto each = operations_.begin(); each != operations_.end();) {
    const auto next = std::next(each);
    if ((*each)->error) {
      failed.splice(failed.end(), operations_, each);
    }
    each = next;
  }
  for (const OperationPtr& each : failed) {
    if (each->done) {
      continue;
    }
    const auto fail = std::move(each->fail);
    each->end();
    fail(std::move(*each->error));
    if (here.expired()) {
      return;
    }
  }
}

// The server is a replica, or has no room. With a sentinel another one is the master by now.
void RedisStore::no_writes(std::string_view text) {
  const Error error = redis_error(text);
  if (!options_.sentinel.empty() && text.find("READONLY") != std::string_view::npos) {
    return drop({Reason::kStoreUnreachable, error.detail + ": no master any more"});
  }
  status_.last_error = Error{error.reason, fmt::format("{}: {}", status_.place, error.detail)};
  set_state(State::kReadOnly);
}

void RedisStore::written() {
  if (status_.state == State::kReadOnly) {
    set_state(State::kUp);
  }
}

std::string RedisStore::new_token() {
  return fmt::format("{}.{:x}", tokens_, ++token_);
}

std::unique_ptr<SharedStore::Query> RedisStore::look(const Wanted& wanted, Callback<std::vector<Found>> callback) {
  std::vector<std::string> tokens;
  for (std::size_t i = 0; i < wanted.items.size(); ++i) {
    tokens.push_back(new_token());
  }
  auto words = look_words(keys_, wanted, tokens, most_response());
  const OperationPtr created = operation<std::vector<Found>>(
      std::move(callback),
      [this, items = wanted.items, tokens = std::move(tokens)](RedisReply& reply) -> Result<std::vector<Found>> {
        auto looked = read_look(reply, items, tokens);
        RETURN_IF_ERROR(looked);
        if (!looked->refused.empty()) {
          no_writes(looked->refused);
        } else if (looked->granted) {
          written();
        }
        return std::move(looked->found);
      });
  created->script = &kLookScript;
  created->words = std::move(words);
  return start(created);
}

std::unique_ptr<SharedStore::Query> RedisStore::publish(const Publication& publication,
                                                        Callback<Published> callback) {
  const OperationPtr created = operation<Published>(std::move(callback), [this](RedisReply& reply) {
    auto published = read_published(reply);
    if (published && published->stored) {
      written();
    }
    return published;
  });
  if (publication.response.empty() || publication.response.size() > most_response()) {
    operations_.push_back(created);
    fail_later(created, {Reason::kInvalidArgument, "a response too large to be shared"});
    return std::make_unique<Handle>(created);
  }
  created->script = &kPublishScript;
  created->words = publish_words(keys_, publication, most_response());
  return start(created);
}

std::unique_ptr<SharedStore::Query> RedisStore::settle(const Settlement& settlement, Callback<bool> callback) {
  const OperationPtr created = operation<bool>(std::move(callback), [this](RedisReply& reply) {
    auto settled = read_settled(reply);
    if (settled && *settled) {
      written();
    }
    return settled;
  });
  created->script = &kSettleScript;
  created->words = settle_words(keys_, settlement);
  return start(created);
}

std::unique_ptr<SharedStore::Query> RedisStore::news(Callback<std::vector<News>> callback) {
  const OperationPtr created =
      operation<std::vector<News>>(std::move(callback), [this](RedisReply& reply) { return news_.read(reply); });
  if (news_.begun()) {
    created->words = news_.words();
    return start(created);
  }
  created->words = news_.newest_words();
  created->follow = [this](const RedisReply& newest) {
    news_.begin(newest);
    return news_.words();
  };
  return start(created);
}

}  // namespace

std::unique_ptr<SharedStore> SharedStore::create(EventLoop& loop, const Clock& clock, Random& random,
                                                 Resolver& resolver, SharedStoreOptions options, OnState on_state) {
  return std::make_unique<RedisStore>(loop, clock, random, resolver, std::move(options), std::move(on_state));
}

}  // namespace ocsp_plus::net
