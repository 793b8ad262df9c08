// Checks that this process contains exactly one OpenSSL, of a matching version, that can staple.
//
// The module uses the OpenSSL that nginx has loaded. If another library has loaded a second one, the linker binds
// each symbol to whichever comes first, and an X509 created by one and freed by the other is a crash at best. So this
// code asks the dynamic linker for the origin of every symbol that we use.
#pragma once

#include "base/result.h"

namespace ocsp_plus::crypto {

// Fails with kInvalidArgument and a sentence for the operator if:
// - functions of libcrypto that this object (module or program) uses are bound to more than one object;
// - functions of libssl are bound neither to that object nor to one that itself uses it;
// - OpenSSL has another major version than the headers of our build, or is older than they are.
Result<void> check_one_openssl();

// The last of these checks. Versions are OPENSSL_VERSION_NUMBER values.
bool version_fits(unsigned long built, unsigned long running);

// Returns whether that version can staple. Exactly 3.6.0 cannot: with a staple for the leaf it sends an empty status
// for every other certificate of the chain, and Chrome and GnuTLS abort (openssl#28989, fixed in 3.6.1).
bool may_staple(unsigned long running);

// Fails with kInvalidArgument if the running OpenSSL cannot staple; the detail names the remedy.
Result<void> check_stapling();

}  // namespace ocsp_plus::crypto
