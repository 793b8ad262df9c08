// What the operator should know of a configuration: which certificates get no staple and why, what is joined of
// several servers, and which servers would refuse handshakes for want of a staple that can never be had.
//
// Decided when all servers are known: a later one may name the issuer or the responder that an earlier one lacked.
#pragma once

#include <string>
#include <vector>

#include "engine/catalog.h"

namespace ocsp_plus::engine {

enum class Severity : int { kEmergency = 1, kError = 4, kWarning = 5, kNotice = 6 };  // as NGX_LOG_*

struct Finding {
  Severity severity = Severity::kNotice;
  std::string text;  // a sentence for the log, safe to print
};

// In the order of the configuration, what cannot be mended by the operator's files first. One of kEmergency is the
// last: the configuration must not come into force. `issuer_fetch`: Settings::issuer_fetch. `nothing_stapled`: why
// OpenSSL must not be used to staple (crypto::check_stapling()); empty: it may.
// REQUIRES: before Catalog::settle_issuers() and Catalog::forget_remarks().
std::vector<Finding> findings(const Catalog& catalog, bool issuer_fetch, const std::string& nothing_stapled);

}  // namespace ocsp_plus::engine
