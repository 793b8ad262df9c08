// The TLS 1.3 Certificate message (RFC 8446 section 4.4.2), which carries each certificate's staple beside it: its
// size, and what a server has put into it.
//
// Java's TLS refuses a handshake message over 32,768 bytes, with or without revocation checking
// (jdk.tls.maxHandshakeMessageSize); other clients take 100 kB and more.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "crypto/certificate.h"

namespace ocsp_plus::crypto {

constexpr std::size_t kMostMessage = 32768;  // bytes of the message's body

// Returns the body's size without staples: certificate_request_context, the list's length, and for each certificate
// its length and that of its extensions. `Chain`: a range of x509_st*. Leaves OpenSSL's error queue unchanged.
template <typename Chain>
std::size_t message_size(x509_st* leaf, const Chain& chain) {
  constexpr std::size_t kFixed = 1 + 3, kEach = 3 + 2;
  std::size_t size = kFixed + kEach + der_size(leaf);
  for (x509_st* certificate : chain) {
    size += kEach + der_size(certificate);
  }
  return size;
}

// Bytes that a staple adds to its own: the extension's type and length, the status type, the response's length.
constexpr std::size_t kStapleOverhead = 2 + 2 + 1 + 3;

// Returns the size of the longest staple that a message of `size` bytes has room for. One that is over the bound
// already has room for any: no staple makes it worse.
constexpr std::size_t staple_room(std::size_t size) {
  return size > kMostMessage ? SIZE_MAX : kMostMessage - std::min(kMostMessage, size + kStapleOverhead);
}

// An entry of the message's list. Borrowed from the message.
struct CertificateEntry {
  ByteView certificate;            // DER, not parsed
  std::optional<ByteView> staple;  // an OCSPResponse, not parsed; nothing: the entry has no extension status_request
};

// Parses the body of a Certificate message. The one of TLS 1.2 (RFC 5246 section 7.4.2) is a list of certificates
// without a context before it and extensions in it. The bytes are hostile: nothing if a length does not fit, octets
// are left over, a certificate is empty or an entry has two staples.
std::optional<std::vector<CertificateEntry>> parse_certificates(ByteView body, bool is_tls12);

// Returns the response in a CertificateStatus (RFC 6066 section 8): the data of an entry's status_request, and in
// TLS 1.2 a message of its own. Empty if it is no OCSP response of at least one octet, or more than that.
ByteView parse_certificate_status(ByteView status);

}  // namespace ocsp_plus::crypto
