#include "net/question.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace ocsp_plus::net {
namespace {

constexpr std::size_t kMaxAddresses = 16;

// Ranks failures: of two, the less final one is reported, since negative answers are cached. A name without AAAA
// whose query for A failed may well have an address.
int failure_rank(Reason reason) {
  switch (reason) {
    case Reason::kDnsTimeout:
      return 3;
    case Reason::kDnsFailed:
      return 2;
    case Reason::kDnsNoAddress:
      return 1;
    default:
      return 0;
  }
}

}  // namespace

Asker::Asker(EventLoop& loop, std::uint16_t port, Resolver::Callback callback)
    : port_(port), callback_(std::move(callback)), timer_(loop.timer([this] { deliver(); })) {}

Asker::~Asker() {
  if (question_ != nullptr) {
    question_->leave(*this);
  }
}

void Asker::answer(const Addresses& addresses) {
  answer_ = addresses;
  if (answer_->has_value()) {
    for (Address& address : **answer_) {
      address.set_port(port_);
    }
  }
  timer_->arm(0);
}

void Asker::deliver() {
  const Resolver::Callback callback = std::move(callback_);
  callback(std::move(*answer_));  // may destroy this, or the resolver
}

Question::~Question() {
  for (Asker* asker : askers_) {
    asker->question_ = nullptr;
  }
}

void Question::join(Asker& asker) {
  askers_.push_back(&asker);
  asker.question_ = this;
}

void Question::leave(Asker& asker) {
  askers_.erase(std::remove(askers_.begin(), askers_.end(), &asker), askers_.end());
}

void Question::start_again(std::uint64_t number, int families) {
  id = number;
  outstanding = families;
  delay.reset();
  v4_.clear();
  v6_.clear();
  ttl_ = INT32_MAX;
  failure_.reset();
}

void Question::take(const Address& address, Seconds ttl) {
  if (address.length != 0) {
    (address.family() == AF_INET ? v4_ : v6_).push_back(address);
    limit_ttl(ttl);
  }
}

void Question::limit_ttl(Seconds ttl) {
  ttl_ = std::min(ttl_, ttl);
}

void Question::take_failure(Reason reason, std::string detail) {
  if (!failure_ || failure_rank(reason) > failure_rank(failure_->reason)) {
    failure_ = Error{reason, std::move(detail)};
  }
}

void Question::tell(const Addresses& result) {
  for (Asker* asker : askers_) {
    asker->answer(result);
  }
}

Addresses Question::result() const {
  if (!has_addresses()) {
    // Without a failure c-ares found the name but no address.
    return tl::unexpected<Error>(failure_.value_or(Error{Reason::kDnsNoAddress, "the answer holds no address"}));
  }
  std::vector<Address> all;
  for (std::size_t i = 0; i < std::max(v4_.size(), v6_.size()); ++i) {
    for (const auto* family : {&v6_, &v4_}) {
      if (i < family->size() && all.size() < kMaxAddresses) {
        all.push_back((*family)[i]);
      }
    }
  }
  return all;
}

}  // namespace ocsp_plus::net
