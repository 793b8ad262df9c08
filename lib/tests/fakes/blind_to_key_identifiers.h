// X509_check_issued() as OpenSSL 4.0's is for some pairs of certificates: it does not look at key identifiers.
#pragma once

namespace ocsp_plus::testing {

// From its construction to its end, where it is `on`. Not nested.
class BlindToKeyIdentifiers {
 public:
  explicit BlindToKeyIdentifiers(bool on);
  ~BlindToKeyIdentifiers();
  BlindToKeyIdentifiers(const BlindToKeyIdentifiers&) = delete;
  BlindToKeyIdentifiers& operator=(const BlindToKeyIdentifiers&) = delete;
};

}  // namespace ocsp_plus::testing
