// Counts signature verifications, so that tests need not measure time.
#pragma once

#include <cstddef>

namespace ocsp_plus::testing {

// Calls of X509_verify() (certificates) since the program began.
std::size_t verifications();
// Calls of ASN1_item_verify() (responses) since the program began.
std::size_t verified_responses();

}  // namespace ocsp_plus::testing
