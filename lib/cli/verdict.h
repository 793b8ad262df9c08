// What `ocsp-plus verify` prints, apart from how its input is read; other subcommands show verdicts the same way.
#pragma once

#include <string>

#include "crypto/verify.h"

namespace ocsp_plus::cli {

// One JSON object: verdict, reason, cert_status, this_update, next_update, expires, detail. Null where not known.
std::string verdict_json(const crypto::Verdict& verdict);

// The same in lines for people, each ended by a line feed.
std::string verdict_text(const crypto::Verdict& verdict);

}  // namespace ocsp_plus::cli
