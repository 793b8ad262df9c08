// How often a certificate's signature was verified: what is dear is counted, not timed.
#pragma once

#include <cstddef>

namespace ocsp_plus::testing {

// Calls of X509_verify() in this program since it began.
std::size_t verifications();

}  // namespace ocsp_plus::testing
