// Key kind and names of a server's certificate, which a client looks at beside its status. For the command line; the
// linker leaves it out of nginx, like crypto/tls_probe.h. Leaves OpenSSL's error queue unchanged.
#pragma once

#include <string>

#include "crypto/certificate.h"

namespace ocsp_plus::crypto {

// A server may have one certificate of each kind, and chooses by the signature algorithms that the client offers.
enum class KeyKind { kRsa, kEc, kOther };
KeyKind key_kind(x509_st* certificate);

// Returns whether the certificate is for that host name or IP address, as OpenSSL's clients judge (RFC 6125).
bool is_for(x509_st* certificate, const std::string& name);

}  // namespace ocsp_plus::crypto
