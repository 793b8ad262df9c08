// Certificates that are trusted as they stand: those that TLS servers are checked against. What is stapled needs none
// of them; a response is checked to be the issuer's own.
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
  // Those of a file that was read, of the system (OpenSSL's default file and directory), or both. kInternal where
  // there is no memory.
  static Result<TrustAnchors> of(const std::vector<X509Ptr>& certificates, bool and_of_system = false);
  static Result<TrustAnchors> of_system();

  // The anchor that issued `certificate`; null: none.
  X509Ptr issuer_of(x509_st* certificate) const;

  // Why `chain`, the server's own certificate first, does not lead to an anchor as a TLS server's does at `now`;
  // empty where it does. An anchor may be an intermediate. Names are not looked at.
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
