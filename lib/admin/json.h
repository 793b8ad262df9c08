// JSON values of the snapshot, as the status document shows them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "admin/runway.h"
#include "admin/snapshot.h"

namespace ocsp_plus::admin {

// Formats in one line. Strings may contain any bytes: invalid UTF-8 becomes U+FFFD, unsafe characters \uNNNN.
std::string dump(const nlohmann::ordered_json& value);

nlohmann::ordered_json to_json(const CertificateStatus& status, UnixSeconds now);
nlohmann::ordered_json to_json(const ResponderStatus& status);
nlohmann::ordered_json to_json(const Runway& runway, UnixSeconds now);

}  // namespace ocsp_plus::admin
