#include "sim/fleet_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "crypto/digest.h"
#include "net/shared_store.h"

namespace ocsp_plus::sim {
namespace {

using net::SharedStore;

FleetStore* store = nullptr;

constexpr std::size_t kJournal = 12;
constexpr Millis kPoll = 12000;        // the longest time between two reads of news
constexpr Millis kReconnects = 30000;  // likewise between two attempts to connect
constexpr Millis kSlowAnswer = 2000;
constexpr Millis kFarNote = Millis{7} * 86400 * 1000;
constexpr std::size_t kFlood = 2000;

}  // namespace

// A node's connection: a part of its process, and killed with it.
class StoreConnection : public SharedStore {
 public:
  StoreConnection(EventLoop& loop, const Clock& clock, net::SharedStoreOptions options, OnState on_state)
      : loop_(loop),
        clock_(clock),
        options_(std::move(options)),
        on_state_(std::move(on_state)),
        timer_(loop.timer([this] { connect(); })) {
    const Shield shield;
    process_ = Machine::here().current();
    store->connections().push_back(this);
    timer_->arm(1);
  }
  ~StoreConnection() override {
    const Shield shield;
    auto& all = store->connections();
    all.erase(std::remove(all.begin(), all.end(), this), all.end());
    for (Command* const command : commands_) {
      command->owner = nullptr;
    }
  }

  std::unique_ptr<Query> look(const Wanted& wanted, Callback<std::vector<Found>> callback) override {
    return command<std::vector<Found>>(std::move(callback), [wanted, most = options_.most_response] {
      return Result<std::vector<Found>>(store->look(wanted, most));
    });
  }
  std::unique_ptr<Query> publish(const Publication& publication, Callback<Published> callback) override {
    return command<Published>(
        std::move(callback), [publication] { return store->publish(publication); }, Kind::kWrites);
  }
  std::unique_ptr<Query> settle(const Settlement& settlement, Callback<bool> callback) override {
    return command<bool>(
        std::move(callback), [settlement] { return store->settle(settlement); }, Kind::kWrites);
  }
  std::unique_ptr<Query> news(Callback<std::vector<News>> callback) override {
    return command<std::vector<News>>(
        std::move(callback), [read = read_] { return Result<std::vector<News>>(store->server().news(read.get())); },
        up() && *read_ == store->server().news_count() ? Kind::kSleeps : Kind::kReads);
  }
  State state() const override { return status_.state; }
  Status status() const override { return status_; }
  Tally tally() const override { return tally_; }

  // --- the world's ---
  bool alive() const { return process_->alive; }
  std::size_t node() const { return process_->node; }
  // Something has changed that a connection notices: `at once`, or with its next poll.
  void notice() {
    const StoreSpan* const fault = store->fault();
    if (up() && fault != nullptr && fault->deed == StoreDeed::kDown) {
      broken_ = true;
      timer_->arm(store->prng().between(0, 1000));
    }
    poll_soon();
  }
  void poll_soon() {
    for (Command* const command : commands_) {
      if (command->sleeps && up()) {
        command->sleeps = false;
        command->timer->arm(store->prng().between(0, kPoll));
      }
    }
  }

 private:
  enum class Kind { kReads, kWrites, kSleeps };
  struct Command : Query {
    ~Command() override {
      if (owner != nullptr) {
        owner->commands_.remove(this);
      }
    }
    StoreConnection* owner = nullptr;
    std::unique_ptr<Timer> timer;
    std::function<void()> send;  // empty: sent
    std::function<bool()> answered;
    std::function<bool()> denied;  // of a command that writes
    std::function<void(bool)> end;
    bool sleeps = false;  // until there is something to read
  };

  template <typename T>
  std::unique_ptr<Query> command(Callback<T> callback, std::function<Result<T>()> run, Kind kind = Kind::kReads) {
    auto made = std::make_unique<Command>();
    Command* const self = made.get();
    made->owner = this;
    auto box = std::make_shared<std::optional<Result<T>>>();
    made->end = [callback = std::move(callback), box](bool worked) {
      callback(worked ? std::move(**box) : Result<T>(fail(Reason::kStoreTimeout, "no answer")));
    };
    made->answered = [box] { return box->has_value(); };
    if (kind == Kind::kWrites) {
      made->denied = [box] { return !box->value().has_value(); };
    }
    made->send = [this, self, box, run = std::move(run)] { send<T>(self, box, run); };
    made->timer = loop_.timer([this, self] { next(self); });
    commands_.push_back(self);
    ++tally_.commands;
    made->sleeps = kind == Kind::kSleeps;
    if (!up()) {
      made->send = nullptr;
      made->timer->arm(0);
    } else if (!made->sleeps) {
      next(self);
    }
    return made;
  }

  // What the server does is an event of the world: it comes to pass even if the process is killed meanwhile.
  template <typename T>
  void send(Command* command, const std::shared_ptr<std::optional<Result<T>>>& box,
            const std::function<Result<T>()>& run) {
    const Shield shield;
    Machine& machine = Machine::here();
    const StoreSpan* const fault = store->fault();
    const Millis now = machine.monotonic();
    Millis done = now + store->prng().between(1, 10);
    Millis answer = done + store->prng().between(1, 10);
    bool does = true;
    if (fault != nullptr && fault->deed == StoreDeed::kDown) {
      does = false;
      answer = now;
    } else if (fault != nullptr && fault->deed == StoreDeed::kHang) {
      done = fault->to;
      answer = now + options_.timeout;
    } else if (fault != nullptr && fault->deed == StoreDeed::kSlow) {
      done = now + kSlowAnswer;
      answer = now + options_.timeout;
    }
    if (does) {
      machine.at(
          done,
          [box, run, timely = done < answer] {
            auto result = run();
            if (timely) {
              *box = std::move(result);
            }
          },
          true);
    }
    command->timer->arm(answer - now);
  }

  void next(Command* command) {
    if (command->send && up()) {
      const auto send = std::move(command->send);
      command->send = nullptr;
      return send();
    }
    const bool works = up() && command->answered();
    const auto end = std::move(command->end);
    commands_.remove(command);
    command->owner = nullptr;
    if (works && command->denied) {
      set(command->denied() ? State::kReadOnly : State::kUp);
    } else if (!works && up()) {
      down({Reason::kStoreTimeout, "no answer"});
    }
    end(works);
  }

  void connect() {
    const StoreSpan* const fault = store->fault();
    if (broken_) {
      broken_ = false;
      return down({Reason::kStoreUnreachable, "reset"});
    }
    if (fault == nullptr || fault->deed == StoreDeed::kReadOnly) {
      hung_ = false;
      return set(State::kUp);
    }
    const bool hangs = fault->deed == StoreDeed::kHang || fault->deed == StoreDeed::kSlow;
    if (hangs && !hung_) {
      hung_ = true;
      return timer_->arm(options_.timeout);
    }
    hung_ = false;
    down(hangs                             ? Error{Reason::kStoreTimeout, "no answer"}
         : fault->deed == StoreDeed::kAuth ? Error{Reason::kStoreAuth, "WRONGPASS"}
                                           : Error{Reason::kStoreUnreachable, "refused"});
  }

  // Attempts to connect that must fail are left out.
  void down(Error why) {
    for (Command* const command : commands_) {
      command->sleeps = false;
      command->send = nullptr;
      command->timer->arm(0);
    }
    const StoreSpan* const fault = store->fault();
    const Millis now = clock_.monotonic();
    const Millis lasts = fault == nullptr || fault->deed == StoreDeed::kReadOnly ? 0 : fault->to - now;
    const Millis after = std::max<Millis>(lasts, 500) + store->prng().between(0, kReconnects - 500);
    timer_->arm(after);
    status_.last_error = std::move(why);
    status_.next_attempt = now + after;
    set(State::kDown);
  }

  void set(State state) {
    if (std::exchange(status_.state, state) == state) {
      return;
    }
    status_.since = clock_.now();
    status_.place = "simulated";
    on_state_(state);
  }

  EventLoop& loop_;
  const Clock& clock_;
  const net::SharedStoreOptions options_;
  const OnState on_state_;
  Process* process_ = nullptr;
  std::unique_ptr<Timer> timer_;
  std::list<Command*> commands_;
  Status status_;
  Tally tally_;
  std::shared_ptr<std::size_t> read_ = std::make_shared<std::size_t>(0);
  bool hung_ = false;
  bool broken_ = false;
};

// --- the server ---

FleetStore::FleetStore(Machine& machine, Ca& ca, const Script& script, Prng prng)
    : machine_(machine), ca_(ca), script_(script), prng_(prng), clock_(machine), server_(clock_) {
  store = this;
  plan();
}

FleetStore* FleetStore::here() {
  return store;
}

void FleetStore::plan() {
  for (const StoreSpan& span : script_.store) {
    ++counts_.deeds[static_cast<std::size_t>(span.deed)];
    machine_.at(span.from, [this, &span] {
      machine_.say(fmt::format("the shared store: {}", name_of(span.deed)));
      change();
      strike(span);
    });
    machine_.at(span.to, [this] { change(); });
  }
}

bool FleetStore::calm_for(Millis span) const {
  const Millis now = machine_.monotonic();
  return std::none_of(script_.store.begin(), script_.store.end(),
                      [&](const StoreSpan& one) { return one.from <= now && now - span < one.to; });
}

void FleetStore::change() {
  if (on_change) {
    on_change();
  }
  for (StoreConnection* const connection : connections_) {
    if (connection->alive()) {
      const Machine::OnNode on(machine_, connection->node());
      connection->notice();
    }
  }
}

void FleetStore::wake() {
  for (StoreConnection* const connection : connections_) {
    if (connection->alive()) {
      connection->poll_soon();
    }
  }
}

void FleetStore::strike(const StoreSpan& span) {
  if (span.of_some() || machine_.monotonic() >= span.to) {
    for (auto& [id, slot] : server_.slots()) {
      for (auto lease = slot.leases.begin(); lease != slot.leases.end();) {
        lease = lease->second.first == "attacker" ? slot.leases.erase(lease) : std::next(lease);
      }
    }
    return;
  }
  switch (span.deed) {
    case StoreDeed::kFlush:
      server_.flush();
      journal_.clear();
      break;
    case StoreDeed::kEvict:
      server_.slots().erase(Pki::get().id(some_leaf()));
      break;
    case StoreDeed::kFailover:
      for (auto lost = prng_.between(1, kJournal); lost > 0 && !journal_.empty(); --lost) {
        server_.slots()[journal_.back().first] = std::move(journal_.back().second);
        journal_.pop_back();
      }
      break;
    case StoreDeed::kLeases: {
      auto& slot = server_.slots()[Pki::get().id(some_leaf())];
      for (unsigned number = 0; number < 1024; ++number) {
        slot.leases[number] = {"attacker", INT64_MAX};
      }
      break;
    }
    case StoreDeed::kNotes: {
      auto& slot = server_.slots()[Pki::get().id(some_leaf())];
      slot.note_ends = machine_.monotonic() + kFarNote;
      slot.failures = static_cast<unsigned>(prng_.between(0, 99));
      break;
    }
    case StoreDeed::kPoison:
      poison();
      break;
    case StoreDeed::kNews:
    case StoreDeed::kNewsFlood:
      for (std::size_t n = span.deed == StoreDeed::kNews ? 3 : kFlood; n > 0; --n) {
        SharedStore::News news;
        news.id = Pki::get().id(some_leaf());
        if (prng_.chance(50)) {
          news.id[0] ^= static_cast<std::uint8_t>(prng_.between(1, 255));
        }
        news.response[0] = static_cast<std::uint8_t>(prng_.next());
        server_.announce(news);
      }
      wake();
      break;
    default:
      break;
  }
  machine_.at(
      machine_.monotonic() + span.step, [this, &span] { strike(span); }, true);
}

LeafNumber FleetStore::some_leaf() {
  return static_cast<LeafNumber>(prng_.between(0, static_cast<std::int64_t>(script_.certificates) - 1));
}

void FleetStore::poison() {
  const LeafNumber leaf = some_leaf();
  Bytes bytes = poison_for(leaf);
  if (!bytes.empty()) {
    server_.put(Pki::get().id(leaf), std::move(bytes), kFarNote);
    wake();
  }
}

Bytes FleetStore::poison_for(LeafNumber leaf) {
  const UnixSeconds now = machine_.true_time();
  const LeafNumber other = (leaf + 1) % Pki::kLeaves;
  Bytes bytes;
  switch (prng_.between(0, 6)) {
    case 0:
      return ca_.answer(other, now);
    case 1:
      return ca_.old_answer(leaf, now);
    case 2:
      bytes = ca_.answer(leaf, now);
      bytes.resize(bytes.size() / 2);
      return bytes;
    case 3:
      bytes.resize(static_cast<std::size_t>(prng_.spread(1, 3000)));
      for (auto& byte : bytes) {
        byte = static_cast<std::uint8_t>(prng_.next());
      }
      return bytes;
    case 4:
      bytes.resize(static_cast<std::size_t>(prng_.spread(20000, 400000)), 0x30);
      return bytes;
    default:
      return ca_.lie(static_cast<Lie>(prng_.between(0, static_cast<int>(Lie::kLast))), leaf, now);
  }
}

bool FleetStore::loses_news() const {
  return std::any_of(script_.store.begin(), script_.store.end(), [&](const StoreSpan& span) {
    return span.deed == StoreDeed::kNewsLost && span.from <= machine_.monotonic() && machine_.monotonic() < span.to;
  });
}

bool FleetStore::refuses_writes() const {
  const StoreSpan* const now = fault();
  return now != nullptr && now->deed == StoreDeed::kReadOnly;
}

void FleetStore::remember(const CertificateId& id) {
  journal_.emplace_back(id, server_.slots()[id]);
  if (journal_.size() > kJournal) {
    journal_.pop_front();
  }
}

std::vector<SharedStore::Found> FleetStore::look(const SharedStore::Wanted& wanted, std::size_t most_response) {
  for (const auto& item : wanted.items) {
    remember(item.id);
  }
  auto all = server_.look(wanted, most_response, !refuses_writes());
  counts_.looks += static_cast<std::int64_t>(all.size());
  for (const auto& found : all) {
    using Kind = SharedStore::Found::Kind;
    counts_.responses += found.kind == Kind::kResponse ? 1 : 0;
    counts_.leases += found.kind == Kind::kLease ? 1 : 0;
    counts_.elsewhere += found.kind == Kind::kElsewhere || found.kind == Kind::kNote ? 1 : 0;
  }
  weigh();
  return all;
}

Result<SharedStore::Published> FleetStore::publish(const SharedStore::Publication& publication) {
  if (refuses_writes()) {
    return fail(Reason::kStoreDenied, "READONLY");
  }
  remember(publication.id);
  const auto before = server_.slots()[publication.id].response;
  auto published = server_.publish(publication);
  ++(published.stored ? counts_.published : counts_.refused);
  if (published.stored) {
    if (loses_news()) {
      server_.lose_news();
    } else {
      wake();
    }
    const Signed* const honest = ca_.find(publication.response);
    if (honest != nullptr && on_stored) {
      on_stored(before.has_value() ? ca_.find(*before) : nullptr, *honest);
    }
    weigh();
  }
  return published;
}

Result<bool> FleetStore::settle(const SharedStore::Settlement& settlement) {
  if (refuses_writes()) {
    return fail(Reason::kStoreDenied, "READONLY");
  }
  remember(settlement.id);
  return server_.settle(settlement);
}

// As the design counts: the responses, and 60 bytes for a lease.
void FleetStore::weigh() {
  std::size_t bytes = 0;
  for (const auto& [id, slot] : server_.slots()) {
    bytes += slot.response.has_value() ? slot.response->size() : 0;
    for (const auto& [number, lease] : slot.leases) {
      bytes += lease.first != "attacker" && lease.second > machine_.monotonic() ? 60 : 0;
    }
  }
  counts_.most_bytes = std::max(counts_.most_bytes, bytes);
}

}  // namespace ocsp_plus::sim

// --- the replaced function ---

namespace ocsp_plus::net {

std::unique_ptr<SharedStore> SharedStore::create(EventLoop& loop, const Clock& clock, Random&, Resolver&,
                                                 SharedStoreOptions options, OnState on_state) {
  return std::make_unique<sim::StoreConnection>(loop, clock, std::move(options), std::move(on_state));
}

}  // namespace ocsp_plus::net
