// A shared store in memory, by the contract of net/shared_store.h, and nodes that are connected to it. Each node may
// have faults of its own, as in a partition.
#pragma once

#include <algorithm>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "crypto/digest.h"
#include "net/shared_store.h"

namespace ocsp_plus::testing {

enum class StoreFault {
  kNone,
  kDown,      // refuses connections
  kHang,      // never answers
  kReadOnly,  // refuses writes: a replica, out of memory, no permission
};

// The server: what all nodes share. Times are its own clock's.
class MemoryStore {
 public:
  using SharedStore = net::SharedStore;

  struct Slot {
    std::optional<Bytes> response;
    Millis ends = 0;
    std::map<unsigned, std::pair<std::string, Millis>> leases;  // token, end
    Millis note_ends = 0;
    unsigned failures = 0;
  };

  explicit MemoryStore(const Clock& clock) : clock_(clock) {}

  std::vector<SharedStore::Found> look(const SharedStore::Wanted& wanted, std::size_t most_response, bool writes) {
    const Millis now = clock_.monotonic();
    std::vector<SharedStore::Found> all;
    unsigned leases = 0;
    std::size_t bytes = 0;
    for (const SharedStore::Item& item : wanted.items) {
      Slot& slot = live(item.id);
      SharedStore::Found found;
      found.failures = slot.failures;
      auto lease = slot.leases.find(item.lease);
      if (lease != slot.leases.end() && lease->second.second <= now) {
        slot.leases.erase(lease);
        lease = slot.leases.end();
      }
      if (always_full) {
        found.kind = SharedStore::Found::Kind::kMore;
      } else if (slot.response.has_value() && slot.response->size() <= most_response &&
                 (!item.known.has_value() || crypto::sha1(*slot.response) != item.known)) {
        bytes += slot.response->size();
        const bool room = bytes <= std::max(SharedStore::kMostResponse, slot.response->size());
        found.kind = room ? SharedStore::Found::Kind::kResponse : SharedStore::Found::Kind::kMore;
        found.response = room ? *slot.response : Bytes();
      } else if (lease != slot.leases.end()) {
        found.kind = SharedStore::Found::Kind::kElsewhere;
        found.wait = lease->second.second - now;
      } else if (slot.note_ends > now && !item.past_note) {
        found.kind = SharedStore::Found::Kind::kNote;
        found.wait = slot.note_ends - now;
      } else if (!throttles && leases < wanted.leases && begun_lately(wanted.host) < wanted.most_begun) {
        if (!writes) {
          found.kind = SharedStore::Found::Kind::kNoWrites;
        } else {
          found.kind = SharedStore::Found::Kind::kLease;
          found.lease = {item.lease, std::to_string(++tokens_)};
          slot.leases[item.lease] = {found.lease.token, now + wanted.lease_time};
          begun_[wanted.host].push_back(now);
          ++leases;
        }
      }
      all.push_back(std::move(found));
    }
    return all;
  }

  SharedStore::Published publish(const SharedStore::Publication& publication) {
    Slot& slot = live(publication.id);
    give_back(slot, publication.lease);
    const bool free = !slot.response.has_value() || slot.response == publication.response ||
                      (publication.replaces.has_value() && crypto::sha1(*slot.response) == publication.replaces);
    if (!free) {
      return {false, *slot.response};
    }
    put(publication.id, publication.response, publication.keep);
    return {true, {}};
  }

  // Also what an attacker does: any bytes.
  void put(const CertificateId& id, Bytes response, Millis keep) {
    Slot& slot = slots_[id];
    slot.ends = clock_.monotonic() + keep;
    slot.note_ends = 0;
    slot.failures = 0;
    news_.push_back({id, crypto::sha1(response).value()});
    slot.response = std::move(response);
  }

  bool settle(const SharedStore::Settlement& settlement) {
    Slot& slot = live(settlement.id);
    if (!give_back(slot, settlement.lease)) {
      return false;
    }
    slot.note_ends = settlement.wait > 0 ? clock_.monotonic() + settlement.wait : 0;
    slot.failures = settlement.failed ? std::min(slot.failures + 1, 99U) : 0;
    return true;
  }

  std::vector<SharedStore::News> news(std::size_t* from) const {
    *from = std::min(std::max(*from, news_.size() - std::min(news_.size(), SharedStore::kMostNews)), news_.size());
    std::vector<SharedStore::News> all(news_.begin() + static_cast<std::ptrdiff_t>(*from), news_.end());
    *from = news_.size();
    return all;
  }

  // Also what an attacker does: invents news.
  void announce(const SharedStore::News& news) { news_.push_back(news); }
  void lose_news() { news_.pop_back(); }
  std::size_t news_count() const { return news_.size(); }

  void flush() {
    slots_.clear();
    news_.clear();
  }
  std::map<CertificateId, Slot>& slots() { return slots_; }
  bool throttles = false;                             // the fleet has begun as many requests as it may, for ever
  std::function<StoreFault(const void* node)> fault;  // of a node's connection; empty: none
  Millis latency = 1;
  bool always_full = false;  // a server that answers each look with "more"

 private:
  Slot& live(const CertificateId& id) {
    Slot& slot = slots_[id];
    if (slot.response.has_value() && slot.ends <= clock_.monotonic()) {
      slot.response.reset();
    }
    return slot;
  }
  static bool give_back(Slot& slot, const std::optional<SharedStore::Lease>& lease) {
    const auto found = lease.has_value() ? slot.leases.find(lease->number) : slot.leases.end();
    if (found == slot.leases.end() || found->second.first != lease->token) {
      return false;
    }
    slot.leases.erase(found);
    return true;
  }
  std::size_t begun_lately(const std::string& host) {
    auto& begun = begun_[host];
    const Millis since = clock_.monotonic() - 2000;
    begun.erase(begun.begin(), std::find_if(begun.begin(), begun.end(), [since](Millis at) { return at > since; }));
    return begun.size();
  }

  const Clock& clock_;
  std::map<CertificateId, Slot> slots_;
  std::map<std::string, std::vector<Millis>> begun_;
  std::vector<SharedStore::News> news_;
  std::uint64_t tokens_ = 0;
};

// A node's connection.
class MemoryStoreNode : public net::SharedStore {
 public:
  // `node` is what MemoryStore::fault is asked for.
  MemoryStoreNode(EventLoop& loop, const Clock& clock, MemoryStore& store, const void* node,
                  net::SharedStoreOptions options, OnState on_state)
      : loop_(loop),
        clock_(clock),
        store_(store),
        node_(node),
        options_(std::move(options)),
        on_state_(std::move(on_state)),
        timer_(loop.timer([this] { connect(); })) {
    timer_->arm(store.latency);
  }

  std::unique_ptr<Query> look(const Wanted& wanted, Callback<std::vector<Found>> callback) override {
    return command<std::vector<Found>>(std::move(callback), [this, wanted]() -> Result<std::vector<Found>> {
      return store_.look(wanted, options_.most_response, fault() != StoreFault::kReadOnly);
    });
  }
  std::unique_ptr<Query> publish(const Publication& publication, Callback<Published> callback) override {
    return command<Published>(std::move(callback), [this, publication]() -> Result<Published> {
      if (fault() == StoreFault::kReadOnly) {
        return fail(Reason::kStoreDenied, "READONLY");
      }
      if (publication.response.size() > options_.most_response) {
        return fail(Reason::kInvalidArgument, "too large");
      }
      return store_.publish(publication);
    });
  }
  std::unique_ptr<Query> settle(const Settlement& settlement, Callback<bool> callback) override {
    return command<bool>(std::move(callback), [this, settlement]() -> Result<bool> {
      if (fault() == StoreFault::kReadOnly) {
        return fail(Reason::kStoreDenied, "READONLY");
      }
      return store_.settle(settlement);
    });
  }
  std::unique_ptr<Query> news(Callback<std::vector<News>> callback) override {
    return command<std::vector<News>>(std::move(callback),
                                      [this]() -> Result<std::vector<News>> { return store_.news(&read_); });
  }
  // The connection ends.
  void lose() { down(); }
  State state() const override { return status_.state; }
  Status status() const override { return status_; }
  Tally tally() const override { return tally_; }

 private:
  struct Command : Query {
    ~Command() override {
      if (owner != nullptr) {
        owner->commands_.remove(this);
      }
    }
    MemoryStoreNode* owner = nullptr;
    std::unique_ptr<Timer> timer;
    std::function<void(bool worked)> end;
  };

  StoreFault fault() const { return store_.fault ? store_.fault(node_) : StoreFault::kNone; }

  template <typename T>
  std::unique_ptr<Query> command(Callback<T> callback, std::function<Result<T>()> run) {
    auto command = std::make_unique<Command>();
    Command* const self = command.get();
    command->owner = this;
    command->end = [callback = std::move(callback), run = std::move(run)](bool worked) {
      callback(worked ? run() : Result<T>(fail(Reason::kStoreTimeout, "no answer")));
    };
    command->timer = loop_.timer([this, self] { answer(self); });
    commands_.push_back(self);
    ++tally_.commands;
    command->timer->arm(!up() ? 0 : fault() == StoreFault::kHang ? options_.timeout : store_.latency);
    return command;
  }

  void answer(Command* command) {
    const bool works = up() && fault() != StoreFault::kHang && fault() != StoreFault::kDown;
    tally_.last = store_.latency;
    const auto end = std::move(command->end);
    commands_.remove(command);
    command->owner = nullptr;
    if (!works && up()) {
      down();
    }
    end(works);
  }

  void connect() {
    const StoreFault now = fault();
    if (now == StoreFault::kHang && !hung_) {
      hung_ = true;
      timer_->arm(options_.timeout);
      return;
    }
    hung_ = false;
    if (now == StoreFault::kDown || now == StoreFault::kHang) {
      return down();
    }
    set(now == StoreFault::kReadOnly ? State::kReadOnly : State::kUp);
  }

  // Commands under way fail in the loop's next turn.
  void down() {
    for (Command* const command : commands_) {
      command->timer->arm(0);
    }
    timer_->arm(5000);
    status_.last_error = Error{Reason::kStoreTimeout, "no answer"};
    set(State::kDown);
  }

  void set(State state) {
    status_.state = state;
    status_.since = clock_.now();
    status_.place = "memory";
    on_state_(state);
  }

  EventLoop& loop_;
  const Clock& clock_;
  MemoryStore& store_;
  const void* node_;
  net::SharedStoreOptions options_;
  OnState on_state_;
  std::unique_ptr<Timer> timer_;
  std::list<Command*> commands_;
  Status status_;
  Tally tally_;
  std::size_t read_ = 0;
  bool hung_ = false;
};

}  // namespace ocsp_plus::testing
