// All issuers that this process knows, whatever their source: the configuration, chains of certificates loaded per
// connection, caIssuers URLs, the cache directory. One shared object for each certificate, found by what a leaf says
// about its issuer: the name, then the key identifier.
//
// Not all of them are the operator's: a tenant may bring thousands of CAs with one name. So an issuer found here is
// only a candidate until its key has verified the leaf's signature (engine/issuer_search.h), and a mismatch is
// remembered, so that it is not verified again.
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

  // Returns the issuer with that certificate; creates it if it is new. Errors as crypto::Issuer::create().
  Result<IssuerPtr> intern(x509_st* certificate);

  // The issuers with the name of the leaf's issuer, without known mismatches, at most kMaxCandidates: first those
  // with the leaf's authority key identifier, then those without one, then the others. `id` is the leaf's.
  std::vector<IssuerPtr> candidates(const CertificateId& id, x509_st* leaf) const;

  // Records that the key of `issuer` (its certificate's id) did not verify the signature of `leaf`. That never
  // changes, but OpenSSL does not always tell lack of memory from a wrong signature: only a pair noted twice is a
  // mismatch. A bounded number of pairs is remembered, the latest ones.
  void note_mismatch(const CertificateId& leaf, const CertificateId& issuer);
  bool is_mismatch(const CertificateId& leaf, const CertificateId& issuer) const;

  // Drops unused issuers; looks at `budget` of them. Call it at each tick.
  void sweep(std::size_t budget);
  // Call it once in a while: memory may have been short twice.
  void forget_mismatches() { mismatches_.clear(); }

  std::size_t size() const { return by_id_.size(); }

 private:
  // Issuers by key identifier, then by the certificate's id.
  using ByKeyIdentifier = std::map<std::pair<Bytes, CertificateId>, IssuerPtr>;
  // Keyed by a certificate of that subject.
  using ByName = std::map<crypto::X509Ptr, ByKeyIdentifier, crypto::BySubject>;

  void drop(const IssuerPtr& issuer);
  std::uint64_t hash(const CertificateId& leaf, const CertificateId& issuer) const;

  std::map<CertificateId, IssuerPtr> by_id_;
  ByName by_name_;
  CertificateId swept_ = {};               // where sweep() goes on
  std::uint64_t seed_;                     // this process's own: an attacker cannot construct a pair that collides
  std::vector<std::uint64_t> mismatches_;  // one word a pair, placed by its hash; empty before the first
};

}  // namespace ocsp_plus::engine
