// Owning types for OpenSSL objects. Private to the .cc files of lib/crypto: no public header includes this one.
//
// OpenSSL keeps errors in a per-thread queue. nginx reads it after its next TLS call and would attribute our errors
// to that connection; inside OpenSSL's callbacks the queue may hold OpenSSL's own errors. So every entry point of
// lib/crypto holds an ErrorMark, or an ErrorsSetAside if it runs TLS, and leaves the queue unchanged.
#pragma once

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"

namespace ocsp_plus::crypto {

template <auto Free>
struct OpenSslDeleter {
  template <typename T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};

template <typename T, auto Free>
using OpenSslPtr = std::unique_ptr<T, OpenSslDeleter<Free>>;

// OPENSSL_free is a macro that records file and line.
inline void free_bytes(unsigned char* bytes) noexcept {
  OPENSSL_free(bytes);
}
inline void free_text(char* text) noexcept {
  OPENSSL_free(text);
}

using Asn1IntegerPtr = OpenSslPtr<ASN1_INTEGER, ASN1_INTEGER_free>;
using AuthorityInfoAccessPtr = OpenSslPtr<AUTHORITY_INFO_ACCESS, AUTHORITY_INFO_ACCESS_free>;
using BioPtr = OpenSslPtr<BIO, BIO_free_all>;
using BytesPtr = OpenSslPtr<unsigned char, free_bytes>;
using CertIdPtr = OpenSslPtr<OCSP_CERTID, OCSP_CERTID_free>;
using DigestPtr = OpenSslPtr<EVP_MD, EVP_MD_free>;
using GeneralNamesPtr = OpenSslPtr<GENERAL_NAMES, GENERAL_NAMES_free>;
using OcspBasicPtr = OpenSslPtr<OCSP_BASICRESP, OCSP_BASICRESP_free>;
using OcspRequestPtr = OpenSslPtr<OCSP_REQUEST, OCSP_REQUEST_free>;
using OcspResponsePtr = OpenSslPtr<OCSP_RESPONSE, OCSP_RESPONSE_free>;
using PssParametersPtr = OpenSslPtr<RSA_PSS_PARAMS, RSA_PSS_PARAMS_free>;
using TextPtr = OpenSslPtr<char, free_text>;
using TlsFeaturePtr = OpenSslPtr<TLS_FEATURE, TLS_FEATURE_free>;

// Removes on destruction the errors queued during its lifetime and keeps earlier ones. (OpenSSL's queue holds 15;
// more push out the oldest.) May be nested.
class ErrorMark {
 public:
  ErrorMark();
  ~ErrorMark() { ERR_pop_to_mark(); }
  ErrorMark(const ErrorMark&) = delete;
  ErrorMark& operator=(const ErrorMark&) = delete;

  // Returns the code of the newest error since the mark; 0 if there is none.
  unsigned long newest() const;

  // The next two functions consume all errors since the mark if the queue was empty at the mark. Otherwise they see
  // only the newest: OpenSSL gives access to nothing between the oldest and the newest error.

  // Returns the errors in one line, oldest first; "no reason given" if there are none.
  std::string text() const;
  // Returns whether one of them reports a lack of memory.
  bool ran_out_of_memory() const;
  // Returns "what: text()" with kOutOfMemory if memory ran out, else with `otherwise`.
  tl::unexpected<Error> failure(Reason otherwise, const std::string& what) const;

 private:
  struct Seen {
    std::string text;
    bool out_of_memory = false;
    void add(unsigned long code);
  };
  // Identifies the newest error. OpenSSL copies the file and function names for each error, so their addresses
  // distinguish two errors of the same place.
  struct Newest {
    unsigned long code = 0;
    const char* file = nullptr;
    int line = 0;
    const char* function = nullptr;
    const char* data = nullptr;
  };
  static Newest look();
  Seen take() const;

  Newest before_;  // code 0: the queue was empty
};

// Saves and empties the queue, and restores it on destruction. For code where an ErrorMark does not suffice: OpenSSL
// clears the queue in SSL_do_handshake() and after reading a file of certificates, and SSL_get_error() attributes
// everything in it to the connection. Marks on the queue are lost, so it must not be used below the status callback
// or within an ErrorMark. Throws std::bad_alloc.
class ErrorsSetAside {
 public:
  ErrorsSetAside();
  ~ErrorsSetAside();
  ErrorsSetAside(const ErrorsSetAside&) = delete;
  ErrorsSetAside& operator=(const ErrorsSetAside&) = delete;

  // Consumes the queue into one line, as ErrorMark::text(). REQUIRES: an object of this class.
  static std::string text();

 private:
  struct Queued {
    unsigned long code = 0;
    int line = 0;
    bool has_data = false;
    std::string file;
    std::string function;
    std::string data;
  };
  std::vector<Queued> errors_;  // oldest first
};

// The pass phrase callback for PEM readers, which never asks on a terminal.
inline int no_pass_phrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*user*/) {
  return -1;
}

inline ByteView view(const ASN1_STRING* string) {
  return {ASN1_STRING_get0_data(string), static_cast<std::size_t>(ASN1_STRING_length(string))};
}

// Returns the content octets of the INTEGER's DER: two's complement, big-endian, minimal. Empty if memory runs out.
Bytes integer_octets(const ASN1_INTEGER* integer);

// Returns the DER of a name as it was read; valid as long as the name.
ByteView name_der(const X509_NAME* name);

// Formats a name after RFC 2253 on one line, control bytes escaped, in UTF-8 if the name's string types allow it.
std::string name_text(const X509_NAME* name);

// Parses YYYYMMDDHHMMSSZ, the only form of RFC 5280 section 4.1.2.5.2: no fraction, offset or leap second.
std::optional<UnixSeconds> parse_generalized_time(const ASN1_GENERALIZEDTIME* time);

// Parses a certificate's notBefore or notAfter, UTCTime or GeneralizedTime.
std::optional<UnixSeconds> parse_certificate_time(const ASN1_TIME* time);

}  // namespace ocsp_plus::crypto
