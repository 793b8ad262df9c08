#include "engine/issuer_pool.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace ocsp_plus::engine {
namespace {

// Half a megabyte, in sets of which the oldest pair goes first.
constexpr std::size_t kMismatches = 65536;
constexpr std::size_t kSet = 4;

// Ids are SHA-256 sums: any part of one is a hash. Another part for the set than for the word.
std::uint64_t word_of(const CertificateId& id, std::size_t part) {
  std::uint64_t word = 0;
  std::memcpy(&word, id.data() + part * sizeof(word), sizeof(word));
  return word;
}

std::size_t set_of(const CertificateId& leaf, const CertificateId& issuer) {
  return (word_of(leaf, 0) + word_of(issuer, 1)) % (kMismatches / kSet) * kSet;
}

// With how often it was noted in the lowest bits; 0 is a free place.
constexpr std::uint64_t kNoted = 3;

std::uint64_t tag_of(const CertificateId& leaf, const CertificateId& issuer) {
  return (word_of(leaf, 2) + word_of(issuer, 3)) & ~kNoted;
}

}  // namespace

Result<IssuerPtr> IssuerPool::intern(x509_st* certificate) {
  // Thousands of servers read the same issuer each: all but the first need no more than its hash.
  const auto id = crypto::certificate_id(certificate);
  if (!id) {
    return tl::unexpected<Error>(id.error());
  }
  if (const auto known = by_id_.find(*id); known != by_id_.end()) {
    return known->second;
  }
  auto made = crypto::Issuer::create(certificate);
  if (!made) {
    return tl::unexpected<Error>(made.error());
  }
  const IssuerPtr issuer = std::move(*made);
  by_id_.emplace(*id, issuer);
  by_name_[crypto::share(certificate)].emplace(crypto::subject_key_identifier(certificate).copy(), issuer);
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
  const Bytes none;
  const Bytes named = crypto::authority_key_identifier(leaf).copy();
  if (!named.empty()) {
    const auto [first, last] = all.equal_range(named);
    add(first, last);
  }
  const auto without = all.equal_range(none);
  add(without.first, without.second);
  // What is left of the order of keys: before those with the leaf's, and after.
  add(without.second, named.empty() ? all.end() : all.lower_bound(named));
  add(named.empty() ? all.end() : all.upper_bound(named), all.end());
  return found;
}

void IssuerPool::note_mismatch(const CertificateId& leaf, const CertificateId& issuer) {
  if (mismatches_.empty()) {
    mismatches_.resize(kMismatches);
  }
  std::uint64_t* const set = &mismatches_[set_of(leaf, issuer)];
  const std::uint64_t once = tag_of(leaf, issuer) + 1;
  std::uint64_t* const noted = std::find(set, set + kSet, once);
  if (noted != set + kSet) {
    ++*noted;
  } else if (!is_mismatch(leaf, issuer)) {
    std::copy_backward(set, set + kSet - 1, set + kSet);
    *set = once;
  }
}

bool IssuerPool::is_mismatch(const CertificateId& leaf, const CertificateId& issuer) const {
  if (mismatches_.empty()) {
    return false;
  }
  const std::uint64_t* const set = &mismatches_[set_of(leaf, issuer)];
  return std::find(set, set + kSet, tag_of(leaf, issuer) + 2) != set + kSet;
}

void IssuerPool::sweep(std::size_t budget) {
  auto at = by_id_.upper_bound(swept_);
  for (; budget > 0 && at != by_id_.end(); --budget) {
    swept_ = at->first;
    const auto next = std::next(at);
    if (at->second.use_count() <= 2) {  // by_id_'s own and by_name_'s
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
  const auto name = by_name_.find(crypto::share(issuer->certificate()));
  if (name == by_name_.end()) {
    return;
  }
  const Bytes identifier = crypto::subject_key_identifier(issuer->certificate()).copy();
  const auto [first, last] = name->second.equal_range(identifier);
  const auto found = std::find_if(first, last, [&](const auto& other) { return other.second == issuer; });
  if (found != last) {
    name->second.erase(found);
  }
  if (name->second.empty()) {
    by_name_.erase(name);
  }
}

}  // namespace ocsp_plus::engine
