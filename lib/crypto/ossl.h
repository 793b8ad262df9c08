// OpenSSL behind owning types, for the .cc files of this room only: no public header includes this one.
//
// OpenSSL keeps errors in a queue of the thread. nginx reads that queue after its next TLS call and would take an
// error of ours for one of the connection; and where OpenSSL has called us, what it had put there before is its own.
// So every entry point of the room holds an ErrorMark, or an ErrorsSetAside where it runs TLS, and leaves the queue
// as it found it.
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
using GeneralNamesPtr = OpenSslPtr<GENERAL_NAMES, GENERAL_NAMES_free>;
using OcspBasicPtr = OpenSslPtr<OCSP_BASICRESP, OCSP_BASICRESP_free>;
using OcspRequestPtr = OpenSslPtr<OCSP_REQUEST, OCSP_REQUEST_free>;
using OcspResponsePtr = OpenSslPtr<OCSP_RESPONSE, OCSP_RESPONSE_free>;
using PssParametersPtr = OpenSslPtr<RSA_PSS_PARAMS, RSA_PSS_PARAMS_free>;
using TextPtr = OpenSslPtr<char, free_text>;
using TlsFeaturePtr = OpenSslPtr<TLS_FEATURE, TLS_FEATURE_free>;

// Removes at its end the errors that were queued while it lived, and leaves those from before. (OpenSSL's queue holds
// 15: whatever is queued beyond that drives out the oldest.) May be nested.
class ErrorMark {
 public:
  ErrorMark();
  ~ErrorMark() { ERR_pop_to_mark(); }
  ErrorMark(const ErrorMark&) = delete;
  ErrorMark& operator=(const ErrorMark&) = delete;

  // The code of the newest error since the mark; 0: there is none.
  unsigned long newest() const;

  // The next two see all errors since the mark, and take them away, where the queue was empty at the mark. Otherwise
  // they see the newest one only: OpenSSL hands out nothing between the oldest and the newest of its queue.

  // In one line, oldest first; "no reason given" where there are none.
  std::string text() const;
  // Whether one of them says that memory is short.
  bool ran_out_of_memory() const;
  // "what: text()" with the reason kOutOfMemory where that is why, else `otherwise`.
  tl::unexpected<Error> failure(Reason otherwise, const std::string& what) const;

 private:
  struct Seen {
    std::string text;
    bool out_of_memory = false;
    void add(unsigned long code);
  };
  // What the newest error is known by. OpenSSL copies the names of file and function for each error, so their
  // addresses tell two errors of the same place apart.
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

// The queue to oneself, for what an ErrorMark cannot help: OpenSSL itself empties the queue in SSL_do_handshake() and
// where it has read a file of certificates, and SSL_get_error() takes whatever is in it for the connection's. What
// was there is put back at the end; marks that others have set on it are lost, so it is not for what the status
// callback calls, nor within an ErrorMark. Throws std::bad_alloc.
class ErrorsSetAside {
 public:
  ErrorsSetAside();
  ~ErrorsSetAside();
  ErrorsSetAside(const ErrorsSetAside&) = delete;
  ErrorsSetAside& operator=(const ErrorsSetAside&) = delete;

  // Empties the queue into one line, as ErrorMark::text(). REQUIRES: an object of this class.
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

// For readers of PEM: a terminal must never be asked for a pass phrase.
inline int no_pass_phrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*user*/) {
  return -1;
}

inline ByteView view(const ASN1_STRING* string) {
  return {ASN1_STRING_get0_data(string), static_cast<std::size_t>(ASN1_STRING_length(string))};
}

// The content octets of the INTEGER's DER: two's complement, big-endian, minimal. Empty if there is no memory.
Bytes integer_octets(const ASN1_INTEGER* integer);

// The DER of a name as it was read; valid as long as the name.
ByteView name_der(const X509_NAME* name);

// RFC 2253 on one line, control bytes escaped, UTF-8 where the name's string types allow it.
std::string name_text(const X509_NAME* name);

// The one form RFC 5280 section 4.1.2.5.2 allows, YYYYMMDDHHMMSSZ. No fraction, no offset, no leap second.
std::optional<UnixSeconds> parse_generalized_time(const ASN1_GENERALIZEDTIME* time);

// notBefore or notAfter of a certificate, UTCTime or GeneralizedTime.
std::optional<UnixSeconds> parse_certificate_time(const ASN1_TIME* time);

}  // namespace ocsp_plus::crypto
