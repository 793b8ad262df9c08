// Trusted certificates, for checking TLS servers. Stapling needs none: a response is verified with its issuer's key.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "crypto/certificate.h"

struct x509_store_st;  // OpenSSL's X509_STORE

namespace ocsp_plus::crypto {

class TrustAnchors {
 public:
  // Creates anchors from `certificates`, from the system (OpenSSL's default file and directory), or from both.
  // kInternal if memory runs out.
  static Result<TrustAnchors> of(const std::vector<X509Ptr>& certificates, bool and_of_system = false);
  static Result<TrustAnchors> of_system();

  // Returns the anchor that issued `certificate`, or null.
  X509Ptr issuer_of(x509_st* certificate) const;

  // Returns why `chain`, the server's own certificate first, does not lead from a TLS server to an anchor at `now`;
  // empty if it does. An anchor may be an intermediate. Host names are not checked.
  std::string objection(const std::vector<X509Ptr>& chain, UnixSeconds now) const;

  x509_store_st* store() const;  // borrowed

 private:
  struct Store;
  struct StoreDeleter {
    void operator()(Store* store) const noexcept;
  };
  static Result<TrustAnchors> create();

  std::unique_ptr<Store, StoreDeleter> store_;
};

}  // namespace ocsp_plus::crypto
