// Makes OpenSSL's randomness deterministic: keys, serials and nonces of the simulated CA, and with them the
// certificate ids and the times of attempts, are the same in every process.
#pragma once

namespace ocsp_plus::sim {

void fix_openssl_random();

}  // namespace ocsp_plus::sim
