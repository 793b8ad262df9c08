// How often a signature was verified: what is dear is counted, not timed.
#pragma once

#include <cstddef>

namespace ocsp_plus::testing {

// Calls of X509_verify() in this program since it began: certificates.
std::size_t verifications();
// Calls of ASN1_item_verify(): responses.
std::size_t verified_responses();

}  // namespace ocsp_plus::testing
