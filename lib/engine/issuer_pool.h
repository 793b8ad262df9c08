// The issuers that this process knows, whoever brought them: the configuration, the chains of certificates loaded per
// connection, caIssuers URLs, the cache directory. One object for each certificate, shared by all who use it, and
// found by what a leaf says of its issuer: the name, then the key identifier.
//
// Not all of it is the operator's: a tenant may bring thousands of CAs of one name. So what is found here is a
// candidate, until its key has verified the leaf's signature (engine/issuer_search.h), and what did not verify is
// remembered: asking again costs nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "crypto/certificate.h"

namespace ocsp_plus::engine {

using IssuerPtr = std::shared_ptr<const crypto::Issuer>;

class IssuerPool {
 public:
  IssuerPool();

  static constexpr std::size_t kMaxCandidates = 1024;

  // The issuer of that certificate, made where it is new. Errors as crypto::Issuer::create().
  Result<IssuerPtr> intern(x509_st* certificate);

  // Those of the name of the leaf's issuer whose key is not known not to have signed it, at most kMaxCandidates:
  // first those with the leaf's authority key identifier, then those without one, then all others. `id` is the
  // leaf's.
  std::vector<IssuerPtr> candidates(const CertificateId& id, x509_st* leaf) const;

  // The key of `issuer` (its certificate's id) did not verify the signature of `leaf`. That never changes, but
  // OpenSSL does not always tell want of memory from a wrong signature: what is noted twice is a mismatch, until it
  // is forgotten. Of a bounded number of pairs the last ones are remembered.
  void note_mismatch(const CertificateId& leaf, const CertificateId& issuer);
  bool is_mismatch(const CertificateId& leaf, const CertificateId& issuer) const;

  // Lets go those that nobody uses any more, looking at `budget` of them. To be called at each tick.
  void sweep(std::size_t budget);
  // To be called once in a while, should memory have been short twice.
  void forget_mismatches() { mismatches_.clear(); }

  std::size_t size() const { return by_id_.size(); }

 private:
  // By key identifier, then by the certificate's id.
  using ByKeyIdentifier = std::map<std::pair<Bytes, CertificateId>, IssuerPtr>;
  // Keyed by a certificate of that subject.
  using ByName = std::map<crypto::X509Ptr, ByKeyIdentifier, crypto::BySubject>;

  void drop(const IssuerPtr& issuer);
  std::uint64_t hash(const CertificateId& leaf, const CertificateId& issuer) const;

  std::map<CertificateId, IssuerPtr> by_id_;
  ByName by_name_;
  CertificateId swept_ = {};               // where sweep() goes on
  std::uint64_t seed_;                     // of this process: nobody can make up a pair that meets another
  std::vector<std::uint64_t> mismatches_;  // one word a pair, by a part of its hash; empty before the first
};

}  // namespace ocsp_plus::engine
