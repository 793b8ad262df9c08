// The search for the issuer of one certificate, a verification of its signature at a time. A thousand candidates of
// one name, which anybody can make, take as many verifications; so whoever serves handshakes beside does one step in
// a turn of the loop (engine/turns.h).
#pragma once

#include <cstddef>
#include <vector>

#include "crypto/certificate.h"
#include "engine/issuer_pool.h"

namespace ocsp_plus::engine {

class IssuerSearch {
 public:
  enum class Step { kFound, kMore, kNone };

  // Among `offered`, in their order as crypto::rank_issuers() has it, and then the pool's candidates. `id` is the
  // leaf's. The pool outlives the object; of the certificates it keeps references.
  IssuerSearch(IssuerPool& pool, const CertificateId& id, x509_st* leaf, const std::vector<x509_st*>& offered);

  // Verifies once, if that is left to do; passes over what is known not to verify. kFound, kNone: it is over.
  // Throws std::bad_alloc where there is no memory to tell; the same step can be tried again.
  Step step();
  // All steps at once, for a process that serves nobody meanwhile.
  Step finish();

  std::size_t steps() const { return steps_; }  // verifications so far
  // REQUIRES: kFound.
  const IssuerPtr& found() const { return found_; }
  bool is_new() const { return is_new_; }  // the pool did not have it

 private:
  IssuerPool* pool_;
  CertificateId id_;
  crypto::X509Ptr leaf_;
  std::vector<crypto::X509Ptr> candidates_;
  std::size_t next_ = 0;
  std::size_t steps_ = 0;
  IssuerPtr found_;
  bool is_new_ = false;
};

}  // namespace ocsp_plus::engine
