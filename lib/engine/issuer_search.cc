#include "engine/issuer_search.h"

#include <new>
#include <utility>

namespace ocsp_plus::engine {

IssuerSearch::IssuerSearch(IssuerPool& pool, const CertificateId& id, x509_st* leaf,
                           const std::vector<x509_st*>& offered)
    : pool_(&pool), id_(id), leaf_(crypto::share(leaf)) {
  for (x509_st* certificate : crypto::rank_issuers(leaf, offered)) {
    candidates_.push_back(crypto::share(certificate));
  }
  for (const IssuerPtr& issuer : pool.candidates(id, leaf)) {
    candidates_.push_back(crypto::share(issuer->certificate()));
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
    return next_ < candidates_.size() ? Step::kMore : Step::kNone;
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

}  // namespace ocsp_plus::engine
