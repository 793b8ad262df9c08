// CertID (RFC 6960 section 4.1.1): whom a single response is about.
#pragma once

#include <openssl/ocsp.h>

#include <string>

#include "base/bytes.h"

namespace ocsp_plus::crypto {

//   CertID ::= SEQUENCE {
//       hashAlgorithm       AlgorithmIdentifier,
//       issuerNameHash      OCTET STRING, -- Hash of issuer's DN
//       issuerKeyHash       OCTET STRING, -- Hash of issuer's public key
//       serialNumber        CertificateSerialNumber }
struct CertId {
  int hash_nid = 0;       // NID_undef where OpenSSL does not know the algorithm
  std::string hash_name;  // its name in OpenSSL, or its dotted number
  Bytes issuer_name_hash;
  Bytes issuer_key_hash;
  Bytes serial;  // as Certificate::serial: the octets of the INTEGER
};

// All fields empty where memory runs out.
CertId read_cert_id(const OCSP_CERTID* id);

}  // namespace ocsp_plus::crypto
