#include "engine/issuer_pool.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <utility>

namespace ocsp_plus::engine {
namespace {

// Half a megabyte, in sets; a new pair replaces the oldest of its set.
constexpr std::size_t kMismatches = 65536;
constexpr std::size_t kSet = 4;

// The lowest bits of a pair's word count how often it was noted; 0 is a free place.
constexpr std::uint64_t kNoted = 3;

constexpr CertificateId kFirst = {};
CertificateId last_id() {
  CertificateId id;
  id.fill(0xff);
  return id;
}

std::size_t set_of(std::uint64_t hash) {
  return (hash >> 32) % (kMismatches / kSet) * kSet;
}

}  // namespace

IssuerPool::IssuerPool() {
  std::random_device device;
  seed_ = std::uint64_t{device()} << 32 | device();
}

std::uint64_t IssuerPool::hash(const CertificateId& leaf, const CertificateId& issuer) const {
  const std::uint64_t sum = checksum({issuer.data(), issuer.size()}, checksum({leaf.data(), leaf.size()}, seed_));
  return sum & ~kNoted;
}

Result<IssuerPtr> IssuerPool::intern(x509_st* certificate) {
  // Thousands of servers may read the same issuer: all but the first only need its hash.
  const auto id = crypto::certificate_id(certificate);
  RETURN_IF_ERROR(id);
  if (const auto known = by_id_.find(*id); known != by_id_.end()) {
    return known->second;
  }
  auto made = crypto::Issuer::create(certificate);
  RETURN_IF_ERROR(made);
  const IssuerPtr issuer = std::move(*made);
  by_id_.emplace(*id, issuer);
  by_name_[crypto::up_ref(certificate)].emplace(std::pair(crypto::subject_key_identifier(certificate).copy(), *id),
                                                issuer);
  return issuer;
}

std::vector<IssuerPtr> IssuerPool::candidates(const CertificateId& id, x509_st* leaf) const {
  std::vector<IssuerPtr> found;
  const auto name = by_name_.find(crypto::IssuerOf{leaf});
  if (name == by_name_.end()) {
    return found;
  }
  const auto add = [&](ByKeyIdentifier::const_iterator from, ByKeyIdentifier::const_iterator to) {
    for (; from != to && found.size() < kMaxCandidates; ++from) {
      if (!is_mismatch(id, from->second->id())) {
        found.push_back(from->second);
      }
    }
  };
  const ByKeyIdentifier& all = name->second;
  const auto after_all_of = [&](const Bytes& identifier) {
    return all.upper_bound(std::pair(identifier, last_id()));
  };
  const Bytes named = crypto::authority_key_identifier(leaf).copy();
  const auto first = named.empty() ? all.end() : all.lower_bound(std::pair(named, kFirst));
  const auto last = named.empty() ? all.end() : after_all_of(named);
  const auto without = after_all_of(Bytes());
  add(first, last);
  add(all.begin(), without);
  add(without, first);
  add(last, all.end());
  return found;
}

void IssuerPool::note_mismatch(const CertificateId& leaf, const CertificateId& issuer) {
  if (mismatches_.empty()) {
    mismatches_.resize(kMismatches);
  }
  const std::uint64_t pair = hash(leaf, issuer);
  std::uint64_t* const set = &mismatches_[set_of(pair)];
  std::uint64_t* const noted = std::find(set, set + kSet, pair + 1);
  if (noted != set + kSet) {
    ++*noted;
  } else if (std::find(set, set + kSet, pair + 2) == set + kSet) {
    std::copy_backward(set, set + kSet - 1, set + kSet);
    *set = pair + 1;
  }
}

bool IssuerPool::is_mismatch(const CertificateId& leaf, const CertificateId& issuer) const {
  if (mismatches_.empty()) {
    return false;
  }
  const std::uint64_t pair = hash(leaf, issuer);
  const std::uint64_t* const set = &mismatches_[set_of(pair)];
  return std::find(set, set + kSet, pair + 2) != set + kSet;
}

void IssuerPool::sweep(std::size_t budget) {
  auto at = by_id_.upper_bound(swept_);
  for (; budget > 0 && at != by_id_.end(); --budget) {
    swept_ = at->first;
    const auto next = std::next(at);
    if (at->second.use_count() <= 2) {  // the copies in by_id_ and by_name_
      drop(at->second);
      by_id_.erase(at);
    }
    at = next;
  }
  if (at == by_id_.end()) {
    swept_ = {};
  }
}

void IssuerPool::drop(const IssuerPtr& issuer) {
  const auto name = by_name_.find(crypto::up_ref(issuer->certificate()));
  if (name == by_name_.end()) {
    return;
  }
  name->second.erase(std::pair(crypto::subject_key_identifier(issuer->certificate()).copy(), issuer->id()));
  if (name->second.empty()) {
    by_name_.erase(name);
  }
}

}  // namespace ocsp_plus::engine
