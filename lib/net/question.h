// One name being resolved, and the queries that wait for it. Private to the resolver; independent of c-ares.
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

// One waiting query. Its own timer delivers the answer, never answer() itself.
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
  Question* question_ = nullptr;  // nullptr: answered, or the question was destroyed
  std::optional<Addresses> answer_;
  std::unique_ptr<Timer> timer_;
};

class Question {
 public:
  // `number` distinguishes successive questions for one name; `families` is the number of answers to expect.
  Question(std::uint64_t number, int families) : id(number), outstanding(families) {}
  Question(const Question&) = delete;
  Question& operator=(const Question&) = delete;
  ~Question();  // askers that still wait get no answer

  // Adds an asker, which must wait for no other question. It leaves when it is destroyed.
  void join(Asker& asker);
  // Adds an address of an answer, and bounds ttl() by the record's; ignores an address of length 0.
  void take(const Address& address, Seconds ttl);
  void limit_ttl(Seconds ttl);  // by a record without an address, as an alias
  // Notes that a query failed. result() reports the least final failure, and only if there is no address.
  void take_failure(Reason reason, std::string detail);
  // Hands `result` to all askers, which pass it on from the loop: no callback runs within.
  void tell(const Addresses& result);

  bool has_addresses() const { return !v4_.empty() || !v6_.empty(); }
  Seconds ttl() const { return ttl_; }  // the shortest of the records' so far; INT32_MAX: there were none
  // Returns at most 16 addresses, the families interleaved, so that a network without one of them costs one attempt,
  // not all. Without an address: the failure taken, else kDnsNoAddress.
  Addresses result() const;

  // Restarts the question under a new number. The askers keep waiting.
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
