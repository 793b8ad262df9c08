#include "engine/issuer_search.h"

#include <algorithm>
#include <new>
#include <utility>

namespace ocsp_plus::engine {
namespace {

// After kInVain verifications that found nothing comes a rest, twice as long as they took. Each takes as long as the
// key's maker wants, some milliseconds at most.
constexpr unsigned kInVain = 4;
constexpr Millis kRestsFor = 2;
constexpr Millis kShortestRest = 10;
constexpr Millis kLongestRest = 1000;

}  // namespace

IssuerSearch::IssuerSearch(IssuerPool& pool, const CertificateId& id, x509_st* leaf,
                           const std::vector<x509_st*>& offered, std::size_t most)
    : pool_(&pool), id_(id), leaf_(crypto::up_ref(leaf)), most_(most) {
  for (x509_st* certificate : crypto::rank_issuers(leaf, offered)) {
    candidates_.push_back(crypto::up_ref(certificate));
  }
  for (const IssuerPtr& issuer : pool.candidates(id, leaf)) {
    candidates_.push_back(crypto::up_ref(issuer->certificate()));
  }
}

IssuerSearch::Step IssuerSearch::step() {
  for (; next_ < candidates_.size(); ++next_) {
    x509_st* const candidate = candidates_[next_].get();
    const auto candidate_id = crypto::certificate_id(candidate);
    if (!candidate_id || pool_->is_mismatch(id_, *candidate_id)) {
      continue;
    }
    ++steps_;
    if (crypto::signed_by(leaf_.get(), candidate)) {
      const std::size_t known = pool_->size();
      auto issuer = pool_->intern(candidate);
      if (issuer) {
        is_new_ = pool_->size() > known;
        found_ = std::move(*issuer);
        return Step::kFound;
      }
      if (issuer.error().reason == Reason::kOutOfMemory) {
        throw std::bad_alloc();
      }
    }
    pool_->note_mismatch(id_, *candidate_id);
    ++next_;
    return next_ < candidates_.size() && steps_ < most_ ? Step::kMore : Step::kNone;
  }
  return Step::kNone;
}

IssuerSearch::Step IssuerSearch::finish() {
  Step reached = step();
  while (reached == Step::kMore) {
    reached = step();
  }
  return reached;
}

IssuerSearches::Ticket::Ticket(IssuerSearches& queue, IssuerSearch search, Done done)
    : queue_(queue), search_(std::move(search)), done_(std::move(done)) {}

IssuerSearches::Ticket::~Ticket() {
  if (at_ != queue_.waiting_.end()) {
    queue_.waiting_.erase(at_);
  }
}

IssuerSearches::IssuerSearches(EventLoop& loop, const Clock& clock, WorkQueue& work_queue)
    : clock_(clock), work_queue_(work_queue), rest_(loop.timer([this] {
        resting_ = false;
        go_on();
      })) {}

std::unique_ptr<IssuerSearches::Ticket> IssuerSearches::begin(IssuerSearch search, Done done) {
  std::unique_ptr<Ticket> ticket(new Ticket(*this, std::move(search), std::move(done)));
  ticket->at_ = waiting_.end();
  ticket->at_ = waiting_.insert(waiting_.end(), ticket.get());
  go_on();
  return ticket;
}

void IssuerSearches::go_on() {
  if (!resting_ && job_ == nullptr && !waiting_.empty()) {
    job_ = work_queue_.enqueue([this] { step(); });
  }
}

void IssuerSearches::step() {
  const std::unique_ptr<WorkQueue::Ticket> turn = std::move(job_);
  if (waiting_.empty()) {
    return;
  }
  const Millis now = clock_.monotonic();
  if (in_vain_ == 0 || now - stepped_ >= kLongestRest) {
    in_vain_ = 0;
    since_ = now;
  }
  stepped_ = now;
  Ticket& ticket = *waiting_.front();
  const std::size_t steps = ticket.search_.steps();
  const IssuerSearch::Step reached = ticket.search_.step();
  if (reached != IssuerSearch::Step::kFound && ticket.search_.steps() > steps && ++in_vain_ == kInVain) {
    in_vain_ = 0;
    resting_ = true;
    rest_->arm(std::clamp(kRestsFor * (clock_.monotonic() - since_), kShortestRest, kLongestRest));
  }
  if (reached == IssuerSearch::Step::kMore) {
    waiting_.splice(waiting_.end(), waiting_, ticket.at_);
    return go_on();
  }
  waiting_.erase(std::exchange(ticket.at_, waiting_.end()));
  go_on();
  // `done` may destroy the ticket, and done_ with it.
  const IssuerSearch search = std::move(ticket.search_);
  const Done done = std::move(ticket.done_);
  done(search);
}

}  // namespace ocsp_plus::engine
