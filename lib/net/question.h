// A name that is being asked for, and everybody who waits for it. For the resolver; knows nothing of how it asks.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ports.h"
#include "base/result.h"
#include "net/address_cache.h"
#include "net/resolver.h"

namespace ocsp_plus::net {

class Question;

// One who waits. Gets the answer from a timer of its own, never from inside answer().
class Asker : public Resolver::Query {
 public:
  Asker(EventLoop& loop, std::uint16_t port, Resolver::Callback callback);
  ~Asker() override;

  void answer(const Addresses& addresses);

 private:
  friend class Question;
  void deliver();

  std::uint16_t port_;
  Resolver::Callback callback_;
  Question* question_ = nullptr;  // nullptr: answered, or the question is gone
  std::optional<Addresses> answer_;
  std::unique_ptr<Timer> timer_;
};

class Question {
 public:
  // `number` tells questions for one name apart; `families` is how many answers are to come.
  Question(std::uint64_t number, int families) : id(number), outstanding(families) {}
  Question(const Question&) = delete;
  Question& operator=(const Question&) = delete;
  ~Question();  // whoever still waits is left without an answer

  void join(Asker& asker);
  void take(const Address& address, Seconds ttl);
  void limit_ttl(Seconds ttl);
  void take_failure(Reason reason, std::string detail);
  void tell(const Addresses& result);

  bool has_addresses() const { return !v4_.empty() || !v6_.empty(); }
  Seconds ttl() const { return ttl_; }
  // At most 16 addresses, interleaved, so that a network without one of the families costs one attempt and not all.
  Addresses result() const;

  // It is asked from the beginning, under another number. Who waits goes on to wait.
  void start_again(std::uint64_t number, int families);

  std::uint64_t id;
  int outstanding;
  std::unique_ptr<Timer> delay;  // runs while one family is known and the other is not

 private:
  friend class Asker;
  void leave(Asker& asker);

  std::vector<Asker*> askers_;
  std::vector<Address> v4_;
  std::vector<Address> v6_;
  Seconds ttl_ = INT32_MAX;
  std::optional<Error> failure_;
};

}  // namespace ocsp_plus::net
