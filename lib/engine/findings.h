// Finds what the operator should know of a configuration: which certificates get no staple and why, which servers of
// a certificate differ, and which servers would refuse every handshake because no staple can ever be had.
//
// Call it when all servers are added: a later one may name the issuer or the responder that an earlier one lacks.
#pragma once

#include <string>
#include <vector>

#include "engine/catalog.h"
#include "engine/settings.h"

namespace ocsp_plus::engine {

enum class Severity : int { kEmergency = 1, kError = 4, kWarning = 5, kNotice = 6 };  // as NGX_LOG_*

struct Finding {
  Severity severity = Severity::kNotice;
  std::string text;  // a sentence for the log, safe to print
};

// Returns findings on the whole configuration first, then on unusable certificates, then on the others in the order
// of the configuration. kEmergency ends the list: the configuration must not come into force. `nothing_stapled`: why
// this OpenSSL must not staple (crypto::check_stapling()); empty: it may.
// REQUIRES: before Catalog::settle_issuers().
std::vector<Finding> findings(const Catalog& catalog, const Settings& settings, const std::string& nothing_stapled);

}  // namespace ocsp_plus::engine
