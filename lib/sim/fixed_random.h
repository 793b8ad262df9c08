// OpenSSL's randomness from a fixed stream: keys, serials and nonces of the simulated CA are the same in every
// process, so certificate ids, and with them the points at which certificates are looked at, are the same too.
#pragma once

namespace ocsp_plus::sim {

void fix_openssl_random();

}  // namespace ocsp_plus::sim
