// Tells which responses OpenSSL sends. Since version 3.6 it looks for each certificate's response among those it was
// given, by rules of its own, and leaves out what it takes for another certificate's: without an error or a word.
#pragma once

#include "base/bytes.h"
#include "crypto/certificate.h"

struct ocsp_basic_response_st;  // OpenSSL's OCSP_BASICRESP

namespace ocsp_plus::crypto {

// Returns whether the OpenSSL that this process runs with does so.
bool openssl_selects() noexcept;

// Returns whether OpenSSL of that version sends the staples of certificates after the leaf without harm: 3.6.0 adds
// empty ones, which clients refuse.
constexpr bool sends_chain(unsigned long version) {
  return version >= 0x30600010UL;
}
// Returns whether the OpenSSL that this process runs with does.
bool openssl_sends_chain() noexcept;

// Returns whether an OpenSSL that selects would send `response` with `certificate`. Only one under the hash of the
// first single response can be found: some single response must have the certificate's serial number and that hash of
// the issuer's name as the certificate writes it. What is no basic response, or has no single response, is sent, and
// what does not parse is not. Pure; leaves OpenSSL's error queue unchanged.
bool openssl_would_send(const Certificate& certificate, ByteView response);
// openssl_would_send() for a response that has been parsed.
bool openssl_would_send(const Certificate& certificate, ocsp_basic_response_st* response);

}  // namespace ocsp_plus::crypto
