// CertID (RFC 6960 section 4.1.1), which identifies the certificate of a single response.
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
  int hash_nid = 0;       // NID_undef if OpenSSL does not know the algorithm
  std::string hash_name;  // its name in OpenSSL, or its dotted OID
  Bytes issuer_name_hash;
  Bytes issuer_key_hash;
  Bytes serial;  // as Certificate::serial: the octets of the INTEGER
};

// Returns empty fields if memory runs out.
CertId read_cert_id(const OCSP_CERTID* id);

}  // namespace ocsp_plus::crypto
