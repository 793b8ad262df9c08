// OpenSSL behind owning types, for the .cc files of this room only: no public header includes this one.
//
// OpenSSL keeps errors in a queue of the thread. nginx reads that queue after its next TLS call and would take an
// error of ours for one of the connection, so every entry point of the room holds an ErrorQueueCleaner.
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

#include "base/bytes.h"
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

// Leaves the error queue empty when the scope ends, whatever was in it.
class ErrorQueueCleaner {
 public:
  ErrorQueueCleaner() = default;
  ~ErrorQueueCleaner() { ERR_clear_error(); }
  ErrorQueueCleaner(const ErrorQueueCleaner&) = delete;
  ErrorQueueCleaner& operator=(const ErrorQueueCleaner&) = delete;
};

// Empties the error queue into one line, oldest error first; "no reason given" where it was empty.
std::string drain_errors();

// Whether an error in the queue says that memory is short; empties the queue.
bool ran_out_of_memory();

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
