// That there is one OpenSSL in this process, and the right one; and whether it is fit to staple with.
//
// The module brings none of its own: it uses what nginx has loaded. Where another library has brought a second one,
// each symbol is bound to whichever comes first, and an X509 made by one and freed by the other is a crash at best.
// So this asks the linker where each symbol that we use has come from.
#pragma once

#include "base/result.h"

namespace ocsp_plus::crypto {

// Fails with kInvalidArgument, the detail a sentence for the operator:
// - functions of libcrypto that this object (module or program) uses are bound to more than one object;
// - functions of libssl are not bound to that object, nor to one that itself uses it;
// - the OpenSSL found is of another major version than the headers we were built with, or older than these.
Result<void> check_one_openssl();

// The last of them. Versions as OPENSSL_VERSION_NUMBER writes them.
bool version_fits(unsigned long built, unsigned long running);

// Whether anything may be stapled with that version. Not with exactly 3.6.0: once the leaf has a staple it sends an
// empty status for each other certificate of the chain, and Chrome and GnuTLS end such connections (openssl#28989,
// mended in 3.6.1).
bool may_staple(unsigned long running);

// Fails with kInvalidArgument where nothing may be stapled with the OpenSSL that runs; the detail says what to do.
Result<void> check_stapling();

}  // namespace ocsp_plus::crypto
